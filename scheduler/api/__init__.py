"""offerd's REST interface: what users ask, and what they may see, as JSON over HTTP.

It talks to a `Front` (scheduler.runtime.protocols) and decides nothing itself. `app` puts it
together, `server` listens. It must not import an adapter of the Mesos side or of the store.
"""
