"""The `offerd` command. It talks HTTP to a daemon, except `run`, `dev`, `emulate` and `validate`.

Nothing here is imported by another package. Modules import only click and the standard library at
their top, so that `--help` and completion stay quick; what is heavy is imported where it is used.
"""
