"""The vectors of one layer, as test parameters named by their id."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

FILE = Path(__file__).parent.parent / "vectors" / "dlms_vectors.json"


@dataclass(frozen=True)
class Vector:
    id: str
    name: str
    wire: bytes
    expect: dict[str, Any]
    source: str


def vectors(layer: str) -> dict[str, Vector]:
    """All vectors of a layer; each has a source outside this project."""
    found = [entry for entry in json.loads(FILE.read_text())["vectors"] if entry["layer"] == layer]
    return {
        entry["id"]: Vector(
            entry["id"], entry["name"], bytes.fromhex(entry["hex"] or ""), entry["expect"], entry["source"]
        )
        for entry in found
    }
