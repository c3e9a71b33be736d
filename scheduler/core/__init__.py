"""The decisions of offerd: pure functions and tables, no I/O, no clock, no asyncio.

Time comes in as `Now`, randomness as a seed, everything else as events; a `Step` goes out.
The rooms around it (mesos, store, api, ...) turn bytes into events and effects into bytes.
"""
