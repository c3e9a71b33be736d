"""Drops a shared object's version requirements on some of the libraries it needs.

The Mesos library was linked with Debian-patched OpenSSL and curl, whose symbols carry a version
(`SSL_read@OPENSSL_1_0_0`). The same OpenSSL out of a Python wheel exports plain names, so the
dynamic loader would refuse it. This rewrites the ELF file in place: the requirements leave
`.gnu.version_r`, and the symbols that pointed at them become unversioned in `.gnu.version`.
It knows little-endian ELF64 only, and must not be used on anything but the library it is for.
"""

import struct
from collections.abc import Iterator
from dataclasses import dataclass

SECTION_DYNAMIC = 6
SECTION_VERSION_NEEDS = 0x6FFFFFFE
SECTION_SYMBOL_VERSIONS = 0x6FFFFFFF
DYNAMIC_VERSION_NEEDS_COUNT = 0x6FFFFFFF
VERSION_INDEX_MASK = 0x7FFF
VERSION_GLOBAL = 1


@dataclass(frozen=True, slots=True)
class Section:
    """One ELF section header: its kind, its place in the file and the section it links to."""

    kind: int
    offset: int
    size: int
    link: int


@dataclass(frozen=True, slots=True)
class VersionNeed:
    """One library in `.gnu.version_r`, with the version indexes that its symbols use."""

    offset: int
    next_offset: int | None
    library: str
    indexes: frozenset[int]


def drop_version_requirements(elf: bytes, libraries: frozenset[str]) -> bytes:
    """The same shared object without version requirements on `libraries` (names up to the dot)."""
    image = bytearray(elf)
    sections = _sections(image)
    by_kind = {section.kind: section for section in sections}
    needs_section = by_kind[SECTION_VERSION_NEEDS]
    needs = list(_version_needs(image, needs_section, sections[needs_section.link]))
    dropped = [need for need in needs if need.library.split(".")[0] in libraries]
    _unlink(image, needs, dropped)
    indexes = frozenset[int]().union(*(need.indexes for need in dropped))
    _make_unversioned(image, by_kind[SECTION_SYMBOL_VERSIONS], indexes)
    _set_needs_count(image, by_kind[SECTION_DYNAMIC], len(needs) - len(dropped))
    return bytes(image)


def _sections(image: bytearray) -> list[Section]:
    (table,) = struct.unpack_from("<Q", image, 0x28)
    (count,) = struct.unpack_from("<H", image, 0x3C)
    sections = []
    for number in range(count):
        header = struct.unpack_from("<IIQQQQIIQQ", image, table + 64 * number)
        sections.append(Section(kind=header[1], offset=header[4], size=header[5], link=header[6]))
    return sections


def _version_needs(image: bytearray, needs: Section, names: Section) -> Iterator[VersionNeed]:
    offset: int | None = needs.offset
    while offset is not None:
        _, count, name, entries, step = struct.unpack_from("<HHIII", image, offset)
        indexes = set()
        entry = offset + entries
        for _ in range(count):
            _, _, index, _, entry_step = struct.unpack_from("<IHHII", image, entry)
            indexes.add(index)
            entry += entry_step
        start = names.offset + name
        library = image[start : image.index(0, start)].decode()
        following = offset + step if step else None
        yield VersionNeed(offset, following, library, frozenset(indexes))
        offset = following


def _unlink(image: bytearray, needs: list[VersionNeed], dropped: list[VersionNeed]) -> None:
    """Takes the dropped entries out of the linked list; its head stays, as ELF points there."""
    kept = [need for need in needs if need not in dropped]
    if not kept or kept[0] is not needs[0]:
        raise ValueError("the first library of .gnu.version_r cannot be dropped")
    for need, following in zip(kept, [*kept[1:], None], strict=True):
        step = following.offset - need.offset if following else 0
        struct.pack_into("<I", image, need.offset + 12, step)


def _make_unversioned(image: bytearray, versions: Section, indexes: frozenset[int]) -> None:
    for offset in range(versions.offset, versions.offset + versions.size, 2):
        (index,) = struct.unpack_from("<H", image, offset)
        if index & VERSION_INDEX_MASK in indexes:
            struct.pack_into("<H", image, offset, VERSION_GLOBAL)


def _set_needs_count(image: bytearray, dynamic: Section, count: int) -> None:
    for offset in range(dynamic.offset, dynamic.offset + dynamic.size, 16):
        (tag,) = struct.unpack_from("<Q", image, offset)
        if tag == DYNAMIC_VERSION_NEEDS_COUNT:
            struct.pack_into("<Q", image, offset + 8, count)
