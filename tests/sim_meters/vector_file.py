"""The published vectors, for the tests that read or change them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from sim_meters.sts.vectors.verification import verify

VECTOR_FILE = Path(__file__).parent.parent / "vectors" / "sts_vectors.json"
DOCUMENT: dict[str, Any] = json.loads(VECTOR_FILE.read_text(encoding="utf-8"))
PRIMITIVES: list[dict[str, Any]] = DOCUMENT["primitives"]
VECTORS: list[dict[str, Any]] = DOCUMENT["vectors"]
KEY_CHANGES = [vector for vector in VECTORS if "set_id" in vector]


def name_of(entry: dict[str, Any]) -> str:
    words = (entry.get("source") or "no source").split()
    return f"{entry.get('id', entry['kind'])} {entry.get('cts_case')} {words[0]}"


def failures_of(section: str, *entries: dict[str, Any]) -> list[str]:
    """The names of those entries that fail, in a file of these alone."""
    document = {"primitives": [], "vectors": [], section: list(entries)}
    return [mismatch.name for mismatch in verify(document).mismatches]
