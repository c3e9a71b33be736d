"""Which instance goes where: constraints, the grouped matcher, and carving exact resources.

`Rows` holds the offers, `place` chooses rows for a group of identical instances and says why the
rest waits, `assign` cuts what one instance gets. Nothing here knows time, jobs' records or calls.
"""
