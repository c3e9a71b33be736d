"""Who may lead, and in which term (`runtime.protocols.Election`). Neighbour: `store`, which keeps
what the leader writes.
"""
