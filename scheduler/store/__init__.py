"""Durable records behind one protocol (`runtime.protocols.Store`): sqlite for one daemon, memory
for tests. Neighbours: `core.records` says what is kept, `election` who may write.
"""
