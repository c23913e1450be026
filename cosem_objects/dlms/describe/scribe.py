"""Reads octets field by field, and writes down each field as a node."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from enum import IntEnum

from cosem_objects.dlms.describe.context import Context
from cosem_objects.dlms.describe.node import Node
from cosem_objects.dlms.describe.source import Source
from cosem_objects.errors import RemoteProtocolError
from cosem_objects.names import spell
from cosem_objects.octets import OctetReader

APDU_DEPTH_MAX = 8
"""APDUs inside APDUs: prefix, general block transfer, ciphering, blocks of a service, and some to spare."""

_LOCAL_OFFSET = re.compile(r"(?<=at offset )\d+")


@dataclass(frozen=True, slots=True, repr=False)
class Around:
    """Where an APDU stands."""

    context: Context
    describe: Callable[[Source, Around], Node]
    """Reads an APDU that stands inside."""
    sender: str = ""
    """Who sent it, in any words: blocks of both directions are kept apart by it. Empty = not known."""
    depth: int = 0
    """How many APDUs are around it."""


class Group:
    """A node whose fields are being read; its value may become known late."""

    __slots__ = ("nodes", "value")

    def __init__(self, value: str) -> None:
        self.value = value
        self.nodes: list[Node] = []


class Scribe:
    """A cursor over ``source`` that remembers what it has read."""

    def __init__(self, source: Source, what: str, around: Around, start: int = 0) -> None:
        self.source = source
        self.start = start
        self.reader = OctetReader(source.octets, what, start)
        self.around = around
        self.context = around.context
        self.form = ""
        """Which form of a service it is, such as ``with-list``."""
        self.is_cut_short = False
        """An error ended the reading: where this ends is not known."""
        self.values_shown = 0
        """COSEM values inside others that have become nodes."""
        self._groups = [Group("")]

    @property
    def position(self) -> int:
        return self.reader.position

    @property
    def nodes(self) -> tuple[Node, ...]:
        return tuple(self._groups[0].nodes)

    def put(self, node: Node) -> None:
        self._groups[-1].nodes.append(node)

    def note(self, name: str, value: str, start: int, *, is_secret: bool = False) -> None:
        """A field that was read from ``start`` up to here."""
        end = self.position
        octets = None if is_secret and not self.context.show_secrets else self.source.octets[start:end]
        self.put(Node(name, value, self.source.offset(start), end - start, octets))

    @contextmanager
    def group(self, name: str, value: str = "") -> Iterator[Group]:
        """What is read inside becomes the children of one node, even if an error ends it."""
        start = self.position
        self._groups.append(Group(value))
        try:
            yield self._groups[-1]
        finally:
            group = self._groups.pop()
            size = self.position - start
            self.put(Node(name, group.value, self.source.offset(start), size, children=tuple(group.nodes)))

    def problem(self, message: str, position: int | None = None) -> None:
        where = self.position if position is None else position
        self.put(Node("error", message, self.source.offset(where), is_problem=True))

    def fail(self, error: RemoteProtocolError) -> None:
        """An error ends the reading here. The decoders count from the start of the APDU, a person from the start of
        the input."""
        self.is_cut_short = True
        message = _LOCAL_OFFSET.sub(lambda local: str(self.source.offset(int(local[0]))), str(error))
        self.problem(message)

    def gather(self, key: tuple[str, ...], number: int, part: Source, *, is_last: bool) -> Source | None:
        """Add a block that was read; the whole once the last one came. That one is missing ends no reading here."""
        try:
            return self.context.gather(key, number, part, is_last=is_last)
        except RemoteProtocolError as error:
            self.problem(str(error))
            return None

    def inside(self, source: Source) -> Node:
        """The APDU that stands inside this one."""
        around = replace(self.around, depth=self.around.depth + 1)
        if around.depth > APDU_DEPTH_MAX:
            message = f"APDUs inside APDUs, more than {APDU_DEPTH_MAX} deep"
            return Node("error", message, source.offset(0), is_problem=True)
        return self.around.describe(source, around)

    def inner(self, source: Source, what: str) -> Scribe:
        """A scribe for octets that were put together elsewhere."""
        return Scribe(source, what, self.around)

    def put_inner(self, name: str, value: str, inner: Scribe) -> None:
        self.put(Node(name, value, inner.source.offset(0), len(inner.source), children=inner.nodes))

    # Fields.

    def number(self, name: str, size: int = 1, words: Callable[[int], str] = str) -> int:
        start = self.position
        value = self.reader.unsigned(size)
        self.note(name, words(value), start)
        return value

    def choice(self, name: str, kind: type[IntEnum]) -> int:
        """One octet out of a list of the standard."""
        return self.number(name, 1, lambda value: spell(kind, value))

    def octets(self, name: str, words: Callable[[bytes], str], *, is_secret: bool = False) -> bytes:
        """Octets with their length before them."""
        start = self.position
        octets = self.reader.take(self.reader.length())
        self.note(name, words(octets), start, is_secret=is_secret)
        return octets

    def part(self, size: int) -> Source:
        """The next ``size`` octets with their places, taken but not noted."""
        start = self.position
        self.reader.take(size)
        return self.source.cut(start, start + size)

    def finish(self) -> None:
        if self.reader.remaining:
            self.problem(f"{self.reader.remaining} octets too many")
