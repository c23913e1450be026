"""Check a whole vector file (format ``sts-vectors/1``): every key and token in it, in both directions.

An entry *fails* if anything it states differs from what is computed, or cannot be read.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cosem_objects.errors import SettingError, TokenFormatError
from sim_meters.sts.vectors.vector_entry import Entry
from sim_meters.sts.vectors.vector_key_changes import check_sets
from sim_meters.sts.vectors.vector_primitives import PRIMITIVES
from sim_meters.sts.vectors.vector_tokens import check_token

_FORMAT = "sts-vectors/1"

Checks = Mapping[str, Callable[[Entry], None]]
_SECTIONS: dict[str, Checks] = {"primitives": PRIMITIVES, "vectors": {"token": check_token}}


@dataclass(frozen=True, slots=True)
class Mismatch:
    """One failed entry: its id (primitives have none: place and kind) and what differs."""

    name: str
    differences: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class VectorReport:
    """What came of a file."""

    passed: int
    mismatches: tuple[Mismatch, ...]
    not_compared: tuple[str, ...]
    """Fields of entries that passed, and that nothing here knows."""


def read_vector_file(path: Path) -> dict[str, Any]:
    """Read a vector file. Raises ``SettingError`` if it is unreadable or not in this format."""
    try:
        document = json.loads(path.read_bytes())
    except OSError as error:
        raise SettingError(f"{path}: {error.strerror}") from None
    except (ValueError, RecursionError) as error:
        raise SettingError(f"{path}: expected a JSON file in UTF-8 ({error})") from None
    if not isinstance(document, dict) or document.get("format") != _FORMAT:
        raise SettingError(f'{path}: expected a JSON object with "format": "{_FORMAT}"')
    for section in _SECTIONS:
        if not isinstance(document.get(section), list):
            raise SettingError(f'{path}: expected a list "{section}"')
    return document


def verify(document: dict[str, Any]) -> VectorReport:
    """Check every entry of a document that ``read_vector_file`` has read."""
    entries: dict[str, list[Entry]] = {}
    for section, checks in _SECTIONS.items():
        entries[section] = [Entry(values if isinstance(values, dict) else {}) for values in document[section]]
        for entry in entries[section]:
            _check(entry, checks)
    check_sets(entries["vectors"])
    mismatches: list[Mismatch] = []
    passed: list[Entry] = []
    for section in _SECTIONS:
        for place, (entry, values) in enumerate(zip(entries[section], document[section], strict=True)):
            if entry.differences:
                mismatches.append(Mismatch(_name(values, section, place), tuple(entry.differences)))
            else:
                passed.append(entry)
    not_compared = {_printable(name) for entry in passed for name in entry.not_compared()}
    return VectorReport(len(passed), tuple(mismatches), tuple(sorted(not_compared)))


def _check(entry: Entry, checks: Checks) -> None:
    try:
        kind = entry.text("kind")
        if kind in checks:
            checks[kind](entry)
        else:
            entry.differ("kind", f"{kind!r} is unknown")
    except (SettingError, TokenFormatError) as error:
        entry.differences.append(str(error))


def _name(values: object, section: str, place: int) -> str:
    stated = values if isinstance(values, dict) else {}
    if isinstance(stated.get("id"), str):
        return _printable(stated["id"])
    kind = stated.get("kind")
    return f"{section}[{place}] {_printable(kind)}" if isinstance(kind, str) else f"{section}[{place}]"


def _printable(text: str) -> str:
    return text if text.isprintable() else ascii(text)
