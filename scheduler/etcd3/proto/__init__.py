"""The messages of etcd's v3 API, as far as this project speaks it.

`etcd.proto` is the source, the rest of this folder is generated from it (`make proto`). Its package
is our own, so that it can be loaded beside any other client of etcd: what a message is called does
not show on the wire, only its field numbers do.
"""
