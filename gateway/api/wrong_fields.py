"""What pydantic says of a wrong body, told again without anything that was in it. Pure.

A message names a field that we know, and what was expected. The name of an unknown field is repeated only where it
looks like one: anything else may be a token or a key that slipped into the wrong place.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Iterator, Sequence
from functools import cache
from typing import Any, get_args

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from gateway.api.expected import expected

ERRORS_MAX = 20
"""Of one body. More help nobody."""

_NAME = re.compile(r"[a-z_]{1,40}")
_HEX_LETTERS = re.compile(r"[a-f]{16,}")


def field_errors(error: ValidationError, model: type[BaseModel]) -> list[tuple[str, str]]:
    """Fields as paths, such as ``tokens[1].amount``, and messages."""
    known = known_names(model)
    found: dict[tuple[str, str], None] = {}
    lines = error.errors(include_url=False, include_input=False)
    for line in lines:
        if _is_echo(line, lines):
            continue
        place, last = _path(line["loc"], known)
        is_unknown = line["type"] == "extra_forbidden"
        found[place, unknown_name(last, _names_beside(model, line)) if is_unknown else _words(line)] = None
    return list(found)[:ERRORS_MAX]


def is_syntax_error(error: ValidationError) -> str | None:
    """Where the JSON breaks, if it is none; None if it is JSON of another shape."""
    [first, *_] = error.errors(include_url=False, include_input=False, include_context=False)
    return _words(first) if first["type"] == "json_invalid" else None


@cache
def known_names(model: type[BaseModel]) -> frozenset[str]:
    """The names of all fields of a body, and of what is in it."""
    names = set()
    for inner in _models(model):
        names |= set(inner.model_fields)
    return frozenset(names)


def _models(model: type[BaseModel]) -> Iterator[type[BaseModel]]:
    yield model
    for field in model.model_fields.values():
        for kind in _inner(field.annotation):
            yield from _models(kind)


def _inner(annotation: Any) -> list[type[BaseModel]]:
    return [kind for kind in _leaves(annotation) if isinstance(kind, type) and issubclass(kind, BaseModel)]


def _names_beside(model: type[BaseModel], line: ErrorDetails) -> list[str]:
    """The names that could have been given there."""
    models = [model]
    for part in line["loc"][:-1]:
        fields = [one.model_fields[part] for one in models if isinstance(part, str) and part in one.model_fields]
        models = [kind for field in fields for kind in _inner(field.annotation)] if fields else models
    return [name for one in models for name in one.model_fields]


def _leaves(annotation: Any) -> Iterator[Any]:
    inner = get_args(annotation)
    if not inner:
        yield annotation
    for part in inner:
        yield from _leaves(part)


def _path(location: tuple[int | str, ...], known: frozenset[str]) -> tuple[str, str]:
    """The path as far as it is known, and its last part. Branches of a union that pydantic names are left out."""
    path, last = "", str(location[-1]) if location else ""
    for part in location:
        if isinstance(part, int):
            path += f"[{part}]"
        elif part in known:
            path += f".{part}" if path else part
    return path, last


def _is_echo(line: ErrorDetails, lines: Sequence[ErrorDetails]) -> bool:
    """A list whose items are wrong is then too short as well, for pydantic; but not for the caller."""
    place = line["loc"]
    return line["type"] == "too_short" and any(
        len(other["loc"]) > len(place) and other["loc"][: len(place)] == place for other in lines
    )


def unknown_name(name: str, known: Iterable[str], what: str = "field") -> str:
    """There is none of this name, and which one may have been meant."""
    near = difflib.get_close_matches(name.lower(), known, 1, cutoff=0.7)
    return f"there is no {what} {shown_name(name)}" + (f"; did you mean {near[0]}?" if near else "")


def shown_name(name: str) -> str:
    """A name as it was given, if it cannot be anything else."""
    return name if _NAME.fullmatch(name) and not _HEX_LETTERS.fullmatch(name) else "of this name (not shown)"


def _words(line: ErrorDetails) -> str:
    return expected(line["type"], line.get("ctx", {}), line["msg"])
