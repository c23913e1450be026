"""Check a whole vector file (format ``sts-vectors/1``): every key and token in it, in both directions.

An entry *fails* if anything it states differs from what is computed, or cannot be read. Where a part is not covered
yet (EA11, the fields of classes 1 and 2), what is covered is compared all the same, and the entry counts as neither
passed nor failed.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cosem_objects.errors import SettingError, TokenFormatError
from sim_meters.sts.vector_entry import Entry
from sim_meters.sts.vector_primitives import PRIMITIVES
from sim_meters.sts.vector_tokens import check_token

_FORMAT = "sts-vectors/1"

Checks = Mapping[str, Callable[[Entry], str | None]]
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
    not_covered: dict[str, int]
    """How many entries need something that is not covered yet, by what that is."""
    not_compared: tuple[str, ...]
    """Fields of covered entries that nothing here knows."""


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
    passed = 0
    mismatches: list[Mismatch] = []
    not_covered: Counter[str] = Counter()
    not_compared: set[str] = set()
    for section, checks in _SECTIONS.items():
        for place, values in enumerate(document[section]):
            entry = Entry(values if isinstance(values, dict) else {})
            gap = _check(entry, checks)
            if entry.differences:
                mismatches.append(Mismatch(_name(values, section, place), tuple(entry.differences)))
            elif gap is not None:
                not_covered[gap] += 1
            else:
                passed += 1
                not_compared.update(map(_printable, entry.not_compared()))
    return VectorReport(passed, tuple(mismatches), dict(sorted(not_covered.items())), tuple(sorted(not_compared)))


def _check(entry: Entry, checks: Checks) -> str | None:
    try:
        kind = entry.text("kind")
        if kind in checks:
            return checks[kind](entry)
        entry.differ("kind", f"{kind!r} is unknown")
    except (SettingError, TokenFormatError) as error:
        entry.differences.append(str(error))
    return None


def _name(values: object, section: str, place: int) -> str:
    stated = values if isinstance(values, dict) else {}
    if isinstance(stated.get("id"), str):
        return _printable(stated["id"])
    kind = stated.get("kind")
    return f"{section}[{place}] {_printable(kind)}" if isinstance(kind, str) else f"{section}[{place}]"


def _printable(text: str) -> str:
    return text if text.isprintable() else ascii(text)
