"""The emulated master and agents as values and virtual time: no sockets, no clock, no files.

`Timeline` is the only time there is; whoever drives it (an event loop, a test) says how late it
is. `Master` takes calls and writes events into `EventSink`s; `Agent` drives a `TaskRunner`.
"""
