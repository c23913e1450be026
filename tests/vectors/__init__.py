"""The DLMS vectors: bytes on the wire, each with its source beside it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).parent


@dataclass(frozen=True, slots=True)
class Vector:
    """One vector. ``str()`` is its id, so that pytest's test ids name it."""

    id: str
    layer: str
    name: str
    octets: bytes
    """The bytes on the wire; empty where the file has only a table in ``expect``."""
    expect: Mapping[str, Any]
    source: str
    provenance: str
    inputs: Mapping[str, Any] = field(default_factory=dict)

    def __str__(self) -> str:
        return self.id

    @property
    def story(self) -> str:
        """What a failing test should say: which vector this is and who vouches for it."""
        return f"{self.id}, {self.name} ({self.provenance}: {self.source})"


@cache
def _file() -> dict[str, Any]:
    loaded: dict[str, Any] = json.loads((FOLDER / "dlms_vectors.json").read_text(encoding="utf-8"))
    return loaded


@cache
def dlms_vectors() -> dict[str, Vector]:
    """All of ``dlms_vectors.json`` by id."""
    return {
        entry["id"]: Vector(
            id=entry["id"],
            layer=entry["layer"],
            name=entry["name"],
            octets=bytes.fromhex(entry["hex"] or ""),
            expect=entry["expect"],
            source=entry["source"],
            provenance=entry["provenance"],
            inputs=entry.get("inputs", {}),
        )
        for entry in _file()["vectors"]
    }


def dlms_vector(vector_id: str) -> Vector:
    return dlms_vectors()[vector_id]


def dlms_key(name: str) -> bytes:
    """A key or system title of the vectors, by the name it has in the file."""
    return bytes.fromhex(_file()["keys"][name])
