"""The Mesos v1 messages: our ``.proto`` files and the Python code made from them.

Nothing here is written in Python by hand: `scheduler.protogen` makes the ``*_pb2`` modules.
One module a wire package: ``mesos_v1_pb2`` (what the others share), ``scheduler_pb2``,
``executor_pb2``, ``master_pb2``, ``agent_pb2``, ``maintenance_pb2``, ``quota_pb2`` and
``allocator_pb2``. It must not import the rest of the project; its users are ``scheduler.mesos``
and ``scheduler.emulator``.
"""
