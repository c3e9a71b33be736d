"""The Mesos v1 HTTP API, scheduler side and the part of the operator side that we ask.

    session      when to connect, try again and give up: stream and calls as one thing
    stream       one SUBSCRIBE and its records; recordio cuts them out of the bytes
    outbox       calls in order, each with its end; calls (with answers) is the connection
    codec        protobuf ↔ core values, in codec_* by direction; proto has the messages
    operator     all agents, by the operator API
    discovery    which master is tried next; address reads what names one; backoff how long to wait
    zookeeper    reads the group of the masters that elect their leader; master_group understands it
    access       credentials and TLS

It knows the core's events and calls, and what none of them means for a job. The runtime is its
only user; it imports no other adapter.
"""
