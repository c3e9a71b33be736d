"""An async client of etcd's v3 API, in the vocabulary that etcd's Python clients share.

It knows keys, revisions, leases and watches, and nothing of jobs or tasks. It is used by
`scheduler.store` and `scheduler.election`, and itself knows `scheduler.errors` only.

    client       `Client`: calls, paged ranges, transactions; where to begin
    transactions what a transaction compares and does
    leases       `LeaseKeeper`: keeps a lease, and knows when it may have ended
    watches      what changes under a prefix, without a gap
    calls        one call: deadlines, members in turn, tokens, what its failure means
    members      connections to the members

One event loop a process: grpc.aio shares one completion queue between all of them.
"""

import os

# The gRPC library writes lines of its own to standard error, which is not how this daemon logs.
# What they say of a connection, our errors say too.
os.environ.setdefault("GRPC_VERBOSITY", "NONE")
