"""Scenario files: TOML in, tables out. Every refusal is one sentence that names the place and what was expected.

Values are never repeated in an error: any of them may be a key or a token in the wrong place.
"""

from __future__ import annotations

import json
import tomllib
from collections.abc import Mapping, Sequence
from datetime import date, datetime, time
from pathlib import Path
from typing import Any, TypeVar

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from cosem_objects.errors import SettingError
from sim_meters.scenario.values import Table

FILE_SIZE_MAX = 10_000_000
_NAME_SHOWN_MAX = 40
TableT = TypeVar("TableT", bound=Table)


def read_file(kind: type[TableT], path: Path) -> TableT:
    """Raises ``SettingError``."""
    try:
        with path.open("rb") as file:
            octets = file.read(FILE_SIZE_MAX + 1)
        text = octets.decode("utf-8")
    except OSError as error:
        raise SettingError(f"{path}: cannot be read: {error.strerror}") from None
    except UnicodeDecodeError:
        raise SettingError(f"{path}: expected text in UTF-8") from None
    if len(octets) > FILE_SIZE_MAX:
        raise SettingError(f"{path}: expected at most {FILE_SIZE_MAX} octets")
    try:
        return parse_text(kind, text)
    except SettingError as error:
        raise SettingError(f"{path}: {error}") from None


def parse_text(kind: type[TableT], text: str) -> TableT:
    """Read the text of a file. Raises ``SettingError``."""
    try:
        mapping = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise SettingError(f"no valid TOML: {_printable(str(error), 200)}") from None
    except (ValueError, RecursionError):  # TOML has no limit for the length of a number or the depth of a table
        raise SettingError("no valid TOML: a number or a nesting in it is too large") from None
    return parse_mapping(kind, mapping)


def parse_mapping(kind: type[TableT], mapping: Mapping[str, Any]) -> TableT:
    """Read what a TOML file holds. Raises ``SettingError``."""
    try:
        # As JSON, because that is what the schema speaks of: lists are lists, and moments are text.
        octets = json.dumps(mapping, default=_as_text)
        if _has_nothing(mapping):
            raise TypeError("null does not stand in TOML")
        return kind.model_validate_json(octets)
    except ValidationError as error:
        raise SettingError(_sentence(mapping, error.errors(include_url=False, include_input=False))) from None
    except (TypeError, ValueError, RecursionError):
        raise SettingError("expected a table of tables, lists, texts, numbers, booleans and times") from None


def _has_nothing(value: object) -> bool:
    """``None`` is how we hold what was not said: nobody can say it."""
    if isinstance(value, Mapping):
        return any(map(_has_nothing, value.values()))
    return value is None or (isinstance(value, list | tuple) and any(map(_has_nothing, value)))


def _as_text(value: object) -> str:
    if isinstance(value, datetime | date | time):
        return value.isoformat()
    raise TypeError("nothing that stands in TOML")


def _sentence(mapping: Mapping[str, Any], errors: Sequence[ErrorDetails]) -> str:
    """About the first mistake. What pydantic says of each branch of a union becomes one sentence."""
    # A list of which an element was refused counts as too short, too: that is an echo, and comes later.
    first = _place(mapping, errors[0]["loc"])
    said = dict.fromkeys(_words(error) for error in errors if _place(mapping, error["loc"]) == first)
    return f"{first}: {' or '.join(said)}" if first else " or ".join(said)


def _place(mapping: Mapping[str, Any], location: Sequence[int | str]) -> str:
    """``case 2, step 1, expect, status_code``: only the names that stand in the file, and the one that is missing."""
    words: list[str] = []
    inside: Any = mapping
    for at, part in enumerate(location):
        if isinstance(inside, list | tuple) and isinstance(part, int) and part < len(inside):
            inside = inside[part]
            words[-1:] = [f"{words[-1]} {part + 1}"] if words else [str(part + 1)]
        elif not isinstance(inside, Mapping) or _is_kind_of_step(inside, location[:at], part):
            continue
        elif part in inside:
            inside = inside[part]
            words.append(_printable(str(part), _NAME_SHOWN_MAX))
        elif at == len(location) - 1:
            words.append(_printable(str(part), _NAME_SHOWN_MAX))
    return ", ".join(words)


def _is_kind_of_step(step: Mapping[str, Any], before: Sequence[int | str], part: int | str) -> bool:
    """Right behind the number of a step pydantic names its kind, which may be called as a member of it is."""
    return len(before) == 4 and before[2] == "step" and step.get("do") == part


def _words(error: ErrorDetails) -> str:
    context = error.get("ctx", {})
    match error["type"]:
        case "extra_forbidden":
            return "does not exist"
        case "missing":
            return "is missing"
        case "union_tag_not_found":
            return "do is missing"
        case "union_tag_invalid":
            return f"do: expected one of {context['expected_tags']}".replace("'", "")
        case "literal_error":
            return f"expected {context['expected']}".replace("'", "")
        case "string_pattern_mismatch":
            return f"expected text of the form {context['pattern']}"
    return error["msg"].replace("Input should be", "expected").replace("String should", "expected to")[:120]


def _printable(text: str, size_max: int) -> str:
    shown = "".join(character if character.isprintable() else "?" for character in text[:size_max])
    return shown + ("…" if len(text) > size_max else "")
