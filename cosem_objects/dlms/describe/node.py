"""The tree that a person reads: immutable nodes, as text and as JSON."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from textwrap import wrap
from typing import TypeAlias

Json: TypeAlias = "str | int | bool | Sequence[Json] | Mapping[str, Json] | None"

_NAME_WIDTH_MAX = 40
"""Values of siblings stand below each other as long as no name is longer than that."""
_LINE_WIDTH = 118
_VALUE_WIDTH_MIN = 40


@dataclass(frozen=True, slots=True, repr=False)
class Node:
    """One thing that was read: its name, and what it says in words."""

    name: str
    value: str = ""
    offset: int = 0
    """Where its first octet stands in the input."""
    size: int = 0
    """How many octets it was read from."""
    octets: bytes | None = None
    """These octets; None where children say it all, and where they would show a secret."""
    children: tuple[Node, ...] = ()
    is_problem: bool = False
    """Nothing that was read, but why it could not be; ``value`` says it."""

    def problems(self) -> Iterator[Node]:
        """All problems in this tree, in the order of the text."""
        if self.is_problem:
            yield self
        for child in self.children:
            yield from child.problems()

    def to_json(self) -> dict[str, Json]:
        """``name, value, offset, size``, and where they exist ``hex``, ``problem`` (true), ``children``."""
        shown: dict[str, Json] = {
            "name": self.name,
            "value": self.value,
            "offset": self.offset,
            "size": self.size,
        }
        if self.octets is not None:
            shown["hex"] = self.octets.hex().upper()
        if self.is_problem:
            shown["problem"] = True
        if self.children:
            shown["children"] = [child.to_json() for child in self.children]
        return shown

    def to_text(self, *, offset_width: int = 4) -> str:
        """One line for each node: offset, name and value, indented."""
        return "\n".join(_lines(self, offset_width, 0, 0))

    def __repr__(self) -> str:
        return f"<Node {self.name}, {self.size} octets at {self.offset}, {len(self.children)} children>"


def _lines(node: Node, offset_width: int, depth: int, name_width: int) -> Iterator[str]:
    marker = "!! " if node.is_problem else ""
    name = f"{node.name}:" if node.value else node.name
    head = f"{node.offset:>{offset_width}}  {'  ' * depth}{marker}{name:<{name_width}}"
    if not node.value:
        yield head.rstrip()
    else:
        room = max(_LINE_WIDTH - len(head) - 1, _VALUE_WIDTH_MIN)
        lines = wrap(node.value, room, break_long_words=False, break_on_hyphens=False) or [node.value]
        yield f"{head} {lines[0]}"
        yield from (f"{' ' * len(head)} {line}" for line in lines[1:])
    names = [len(child.name) + 1 for child in node.children if child.value and not child.is_problem]
    width = min(max(names, default=0), _NAME_WIDTH_MAX)
    for child in node.children:
        yield from _lines(child, offset_width, depth + 1, 0 if child.is_problem else width)
