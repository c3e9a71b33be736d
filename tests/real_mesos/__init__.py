"""A real Apache Mesos 1.11 on loopback, built from packages, as a fixture of the tests.

`build` makes the programs, `cluster` runs masters and agents out of them, `launcher` holds the
programs that an agent starts for a container. Master, agent, allocator, registrar, HTTP API,
update retries, authentication and leader election are Mesos' own; the executors are ours.
Nothing in here imports the `scheduler` package: this is the other side of the wire.
"""
