"""Tasks of emulated agents as real processes: sandboxes, fetching, checks, kills, files.

`runner.process_runners` is the way in; it yields the `RunnerFactory` that a cluster takes.
"""
