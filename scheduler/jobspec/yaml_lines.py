"""YAML documents as plain values, with the line of every one of them.

Built on the parser's events, so nothing is taken in that has not been judged: YAML 1.2 core scalars
(`no`, `on` and `12:30:00` are text), no duplicate keys, no merge keys, no tags, a bound for size,
depth and what aliases unfold to. It knows no vocabulary, opens no file and never raises for what a
text holds. Neighbours: `problems` (how findings read), `documents` and `settings` (who ask).
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final, NamedTuple

import yaml

from scheduler.jobspec.problems import Finding, KeyPath, Lines, shown
from scheduler.yaml_scalars import Scalar, resolve_plain

FILE_BYTES_MAX: Final = 1024 * 1024
DEPTH_MAX: Final = 32
NODES_MAX: Final = 200_000
"""Values in one file, counting those that aliases stand for each time they do."""
DOCUMENT_NODES_MAX: Final = 20_000

_LOADER: Final = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_NOT_YAML: Final = re.compile("[^\t\n\r\x20-\x7e\x85\xa0-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_STR_TAG: Final = "tag:yaml.org,2002:str"
_PLAIN_TAGS: Final = (None, "!", _STR_TAG, "tag:yaml.org,2002:map", "tag:yaml.org,2002:seq")


@dataclass(frozen=True, slots=True)
class Document:
    """One document. `written` holds the text of every number as the author wrote it, since `1.10`
    as an environment variable must not become `1.1`."""

    value: object
    lines: Lines
    written: dict[KeyPath, str]


class LineProblem(NamedTuple):
    """Something that is wrong before there is a document: only its line is known."""

    line: int
    text: str


@dataclass(frozen=True, slots=True)
class Reading:
    """The documents of a text, with what is wrong in each, and what broke the text itself."""

    documents: tuple[tuple[Document, tuple[Finding, ...]], ...]
    broken: LineProblem | None = None


def read_documents(text: str) -> Reading:
    """All documents up to the first place where the text is not YAML; empty ones are left out."""
    broken = _refused_text(text)
    if broken is not None:
        return Reading((), broken)
    read: list[tuple[Document, tuple[Finding, ...]]] = []
    budget = _Budget()
    try:
        for root in _roots(text.removeprefix("\ufeff")):
            budget.begin_document()
            construction = _Construction(budget)
            value = construction.value(root, (), 0)
            if value is not None or construction.findings:
                lines = Lines(construction.lines, construction.key_lines)
                document = Document(value, lines, construction.written)
                read.append((document, tuple(construction.findings)))
    except _Broken as error:
        return Reading(tuple(read), error.problem)
    except yaml.YAMLError as error:
        return Reading(tuple(read), _syntax_problem(text, error))
    except (OverflowError, ValueError):
        # Only the pure parser: it takes the number of an escape for a character unjudged.
        return Reading(tuple(read), LineProblem(0, "is not YAML: an escape is no character"))
    return Reading(tuple(read))


# --- what a text may be at all -------------------------------------------------------------------


class _Broken(Exception):
    """Nothing after this place can be read."""

    def __init__(self, line: int, text: str) -> None:
        super().__init__(text)
        self.problem = LineProblem(line, text)


def _refused_text(text: str) -> LineProblem | None:
    if len(text) > FILE_BYTES_MAX:
        return LineProblem(0, f"is too large (at most {FILE_BYTES_MAX} bytes)")
    odd = _NOT_YAML.search(text)
    if odd is None:
        return None
    line = text.count("\n", 0, odd.start()) + 1
    return LineProblem(line, f"holds the character U+{ord(odd.group()):04X} (text only)")


def _syntax_problem(text: str, error: yaml.YAMLError) -> LineProblem:
    mark = getattr(error, "problem_mark", None) or getattr(error, "context_mark", None)
    what = getattr(error, "problem", None) or "it cannot be read"
    if mark is None:
        return LineProblem(0, f"is not YAML: {shown(str(what))}")
    lines = text.splitlines() or [""]
    index = min(mark.line, len(lines) - 1)  # the end of the text is a line of its own to the parser
    start = lines[index]
    if "\t" in start[: len(start) - len(start.lstrip())]:
        return LineProblem(index + 1, "a tab cannot indent (use spaces)")
    return LineProblem(index + 1, f"is not YAML: {shown(str(what))}")


# --- events to nodes -----------------------------------------------------------------------------


@dataclass(slots=True, eq=False)
class _Leaf:
    line: int
    text: str
    plain: bool
    tag: str | None


@dataclass(slots=True, eq=False)
class _List:
    line: int
    tag: str | None
    items: list["_Node"] = field(default_factory=list)


@dataclass(slots=True, eq=False)
class _Map:
    """`flat` holds key, value, key, value, … as the events bring them."""

    line: int
    tag: str | None
    flat: list["_Node"] = field(default_factory=list)


_Node = _Leaf | _List | _Map


def _roots(text: str) -> Iterator[_Node]:
    """One node tree a document; an alias is the very node that it names."""
    composer = _Composer()
    for event in yaml.parse(text, Loader=_LOADER):
        root = composer.take(event)
        if root is not None:
            yield root


@dataclass(slots=True)
class _Composer:
    """Grows one node tree at a time, without recursion, so that depth is judged as it comes."""

    open_nodes: list[_List | _Map] = field(default_factory=list)
    anchors: dict[str, _Node] = field(default_factory=dict)

    def take(self, event: yaml.Event) -> _Node | None:
        """The root when the event completes it."""
        line = event.start_mark.line + 1 if event.start_mark is not None else 0
        match event:
            case yaml.DocumentStartEvent():
                self.anchors = {}
            case yaml.ScalarEvent():
                leaf = _Leaf(line, event.value, event.implicit[0], event.tag)
                return self._add(leaf, event.anchor)
            case yaml.AliasEvent():
                return self._add(self._named(str(event.anchor), line), None)
            case yaml.SequenceStartEvent():
                self._open(_List(line, event.tag), event.anchor)
            case yaml.MappingStartEvent():
                self._open(_Map(line, event.tag), event.anchor)
            case yaml.CollectionEndEvent():
                closed = self.open_nodes.pop()
                return None if self.open_nodes else closed
            case _:
                pass  # the stream's and the documents' ends say nothing
        return None

    def _open(self, node: _List | _Map, anchor: str | None) -> None:
        self._add(node, anchor)
        self.open_nodes.append(node)
        if len(self.open_nodes) > DEPTH_MAX:
            raise _Broken(node.line, f"is nested too deeply (at most {DEPTH_MAX} levels)")

    def _add(self, node: _Node, anchor: str | None) -> _Node | None:
        if anchor is not None:
            self.anchors[anchor] = node
        if not self.open_nodes:
            return node
        match self.open_nodes[-1]:
            case _List() as parent:
                parent.items.append(node)
            case _Map() as parent:
                parent.flat.append(node)
        return None

    def _named(self, name: str, line: int) -> _Node:
        node = self.anchors.get(name)
        if node is None:
            raise _Broken(line, f"the alias *{shown(name)} names no anchor before it")
        if any(node is opened for opened in self.open_nodes):
            raise _Broken(line, f"the alias *{shown(name)} stands inside of what it names")
        return node


# --- nodes to values -----------------------------------------------------------------------------


@dataclass(slots=True)
class _Budget:
    file: int = NODES_MAX
    document: int = DOCUMENT_NODES_MAX

    def begin_document(self) -> None:
        self.document = min(DOCUMENT_NODES_MAX, self.file)

    def spend(self, line: int) -> None:
        self.file -= 1
        self.document -= 1
        if self.document < 0:
            most = DOCUMENT_NODES_MAX if self.file > 0 else NODES_MAX
            raise _Broken(line, f"holds too many values (at most {most}, aliases unfolded)")


@dataclass(slots=True)
class _Construction:
    """The making of one document's value."""

    budget: _Budget
    lines: dict[KeyPath, int] = field(default_factory=dict)
    key_lines: dict[KeyPath, int] = field(default_factory=dict)
    written: dict[KeyPath, str] = field(default_factory=dict)
    findings: list[Finding] = field(default_factory=list)

    def value(self, node: _Node, path: KeyPath, depth: int) -> object:
        self.budget.spend(node.line)
        if depth > DEPTH_MAX:
            raise _Broken(node.line, f"is nested too deeply (at most {DEPTH_MAX} levels)")
        self.lines[path] = node.line
        if node.tag not in _PLAIN_TAGS:
            self.findings.append(
                Finding(path, f"has the tag {shown(str(node.tag))} (no tags but !!str)")
            )
        match node:
            case _Leaf():
                return self._scalar(node, path)
            case _List():
                return [
                    self.value(item, (*path, index), depth + 1)
                    for index, item in enumerate(node.items)
                ]
            case _Map():
                return self._mapping(node, path, depth)

    def _scalar(self, node: _Leaf, path: KeyPath) -> Scalar:
        if not node.plain or node.tag is not None:
            return node.text
        value = resolve_plain(node.text)
        if isinstance(value, int | float) and not isinstance(value, bool):
            self.written[path] = node.text
        return value

    def _mapping(self, node: _Map, path: KeyPath, depth: int) -> dict[str, object]:
        values: dict[str, object] = {}
        for key_node, value_node in zip(node.flat[::2], node.flat[1::2], strict=True):
            self.budget.spend(key_node.line)
            key = self._key(key_node, path)
            if key is None:
                continue
            key_path = (*path, key)
            if key in values:
                first = self.key_lines[key_path]
                text = f"is given twice, in line {first} and in line {key_node.line}"
                self.findings.append(Finding(key_path, text, line=key_node.line))
                continue
            self.key_lines[key_path] = key_node.line
            values[key] = self.value(value_node, key_path, depth + 1)
        return values

    def _key(self, node: _Node, path: KeyPath) -> str | None:
        """A key as text; None, with a finding at the key's own line, when it is none."""
        if not isinstance(node, _Leaf):
            text = "has a list or mapping as a key (text)"
        elif node.plain and node.text == "<<":
            text = "the merge key << is not supported (write the keys out)"
        elif node.plain and not isinstance(resolve_plain(node.text), str):
            text = f"the key {shown(node.text)} is not text (quote it)"
        else:
            return node.text
        self.findings.append(Finding(path, text, line=node.line))
        return None
