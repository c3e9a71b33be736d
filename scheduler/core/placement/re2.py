"""From a regular expression as jobs have it (Python's) to one of RE2, which the master runs.

Only what means the same in both is translated, or what can be said wider (for `like`) or narrower
(for `unlike`) where they differ; of anything else nothing is said. The master refuses programs of
more than 100 instructions (`--offer_constraints_re2_max_program_size`), and with them the whole
UPDATE_FRAMEWORK: sizes are reckoned here from above.
"""

import enum
import string

PROGRAM_SIZE_MAX = 80
"""Reckoned instructions; of 100, a few are in each program. What is not told costs only offers."""

PATTERN_CHARS_MAX = 200

_LETTERS = string.ascii_letters + string.digits + "_"
_LITERAL = frozenset(_LETTERS + "-/:@,;=%~#!&'\"<> ")
_ESCAPABLE = frozenset(".-/\\+*?()[]{}|^$:@,;=%~#!&'\"<>")
_IN_CLASS = frozenset(_LETTERS + "./:@,;=%#! ")
_ANY_SIZE = 9
"""Any character is several byte sequences in UTF-8."""

_BEYOND_ASCII = r"\x{80}-\x{10FFFF}"
_CLASSES = {"d": "0-9", "w": "0-9A-Za-z_"}


class Sense(enum.Enum):
    """Whether the translation may match more than the expression, or less."""

    WIDER = "wider"
    NARROWER = "narrower"


class _Untranslatable(Exception):
    """There is no expression that surely means the same."""


def to_re2(pattern: str, sense: Sense) -> str | None:
    """None: nothing can be said in RE2. Both match whole texts alone."""
    if len(pattern) > PATTERN_CHARS_MAX:
        return None
    body = pattern.removeprefix("^")
    if body.endswith("$") and not body.endswith("\\$"):
        body = body[:-1]
    if body != pattern and "|" in body:
        return None  # the anchors may be those of one alternative alone
    reader = _Reader(body, sense)
    try:
        size = reader.alternatives(depth=0)
    except _Untranslatable:
        return None
    return "".join(reader.said) if size <= PROGRAM_SIZE_MAX else None


def in_python(regex: str) -> str:
    """A translation, as Python reads it."""
    return regex.replace(_BEYOND_ASCII, "\u0080-\U0010ffff")


class _Reader:
    """Reads from left to right; `said` is the translation so far. Methods give the size of what
    they read."""

    def __init__(self, pattern: str, sense: Sense) -> None:
        self._rest = pattern
        self._sense = sense
        self.said: list[str] = []

    def alternatives(self, depth: int) -> int:
        size = self._sequence(depth)
        while self._rest.startswith("|"):
            self._take(1)
            size += 1 + self._sequence(depth)
        if not depth and self._rest:
            raise _Untranslatable
        return size

    def _sequence(self, depth: int) -> int:
        size = 0
        while self._rest and self._rest[0] not in "|)":
            one = self._one(depth)
            size += self._repeated(one)
        return size

    def _one(self, depth: int) -> int:
        char = self._rest[0]
        if char in _LITERAL:
            self._take(1)
            return 1
        match char:
            case ".":
                self._take(1)
                return _ANY_SIZE
            case "\\":
                return self._escaped()
            case "[":
                return self._class()
            case "(":
                return self._group(depth)
            case _:
                raise _Untranslatable

    def _escaped(self) -> int:
        char = self._rest[1:2]
        if char in _CLASSES:
            self._take(2, f"[{self._class_of(char)}]")
            return 4 + _ANY_SIZE
        if char in _ESCAPABLE:
            self._take(2)
            return 1
        raise _Untranslatable

    def _class_of(self, char: str) -> str:
        """Python counts digits and letters of every script, RE2 those of ASCII."""
        ascii_only = _CLASSES[char]
        return ascii_only + _BEYOND_ASCII if self._sense is Sense.WIDER else ascii_only

    def _class(self) -> int:
        """Plain ones only: characters and ranges of letters or digits, and `^` before them."""
        end = self._rest.find("]", 1)
        inner = self._rest[1:end].removeprefix("^")
        if end < 0 or not inner:
            raise _Untranslatable
        size, at = 1, 0
        while at < len(inner):
            size += 2
            if inner[at] == "-" and at in (0, len(inner) - 1):
                at += 1
            elif inner[at] not in _IN_CLASS:
                raise _Untranslatable
            elif inner[at + 1 : at + 2] == "-" and at + 2 < len(inner):
                if not _is_range(inner[at], inner[at + 2]):
                    raise _Untranslatable
                at += 3
            else:
                at += 1
        negated = self._rest.startswith("[^")
        self._take(end + 1)
        return size + _ANY_SIZE * negated

    def _group(self, depth: int) -> int:
        self._take(3 if self._rest.startswith("(?:") else 1)
        if self._rest.startswith("?"):
            raise _Untranslatable
        size = self.alternatives(depth + 1)
        if not self._rest.startswith(")"):
            raise _Untranslatable
        self._take(1)
        return size + 2

    def _repeated(self, size: int) -> int:
        if self._rest[:1] in ("*", "+", "?"):
            self._take(1)
            size += 1
        elif self._rest.startswith("{"):
            size = self._counted(size)
        else:
            return size
        if self._rest.startswith("?"):
            self._take(1)  # lazy: the same texts
        if self._rest[:1] in ("*", "+", "?", "{"):
            raise _Untranslatable
        return size

    def _counted(self, size: int) -> int:
        """`{2}`, `{2,}` and `{2,5}`: RE2 repeats what is counted. `{,5}` is another thing in it."""
        end = self._rest.find("}")
        least, comma, most = self._rest[1:end].partition(",")
        numbers = [number for number in (least, most) if number]
        if end < 0 or not least or not all(one.isascii() and one.isdigit() for one in numbers):
            raise _Untranslatable
        if any(len(number) > 2 for number in numbers) or (most and int(least) > int(most)):
            raise _Untranslatable
        self._take(end + 1)
        times = int(most) if most else int(least) + bool(comma)
        return size * times + (times - int(least)) + 2

    def _take(self, count: int, instead: str | None = None) -> None:
        self.said.append(self._rest[:count] if instead is None else instead)
        self._rest = self._rest[count:]


def _is_range(first: str, last: str) -> bool:
    kinds = (str.isdigit, str.islower, str.isupper)
    return first <= last and any(kind(first) and kind(last) for kind in kinds)
