"""Where things stand in etcd: `/<prefix>/<framework name>/` and below it

    framework, jobs/<job>, tasks/<job>/<instance>   records (`records.path_of`)
    leader                                          who leads, with a lease; election writes it
    commit/<lane>                                   the mark of a lane's last transaction
    schema                                          the number of this layout

Whoever leads is known by the revision that created `leader`: the term. Names only, no I/O.
"""

from typing import Final
from urllib.parse import quote

from scheduler.errors import StoreUnreadable
from scheduler.store.lanes import LANES

SCHEMA: Final = 1
"""Of the layout; a record's value carries a schema number of its own."""

RESTORING: Final = b"restoring"
"""Stands for the number while a restore replaces the records, in many transactions."""


def prefix_of(prefix: str, framework_name: str) -> str:
    """What one framework's keys begin with. Its name is one piece, whatever is in it."""
    return f"/{prefix.strip('/')}/{quote(framework_name, safe='')}/"


class Layout:
    def __init__(self, prefix: str) -> None:
        """`prefix` ends with a slash, as `prefix_of` gives it."""
        self.prefix: Final = prefix.encode()
        self.leader: Final = self.prefix + b"leader"
        self.schema: Final = self.prefix + b"schema"
        self.commits: Final = tuple(self.prefix + b"commit/%d" % lane for lane in range(LANES))
        self._others = frozenset((self.leader, self.schema, *self.commits))

    def record_path(self, key: bytes) -> str | None:
        """The path of the record that is kept under this key; None for keys of another kind.

        What is no record either is found out when its value is read.
        """
        if key in self._others:
            return None
        return key[len(self.prefix) :].decode(errors="replace")

    def check_schema(self, value: bytes) -> None:
        """Raises `StoreUnreadable` for a layout that this version does not know, and for one whose
        restore is under way or was cut short: no part of it may be taken for the whole."""
        if value == RESTORING:
            raise StoreUnreadable(
                "etcd: a restore is under way, or was not finished; then run it again "
                "(offerd restore --replace)"
            )
        if not (value.isdigit() and 1 <= int(value[:9]) <= SCHEMA):
            raise StoreUnreadable(
                f"etcd: {self.schema.decode(errors='replace')} is {value[:20]!r}, this offerd "
                f"knows {SCHEMA}; a newer offerd may have written it. Nothing was changed"
            )
