"""What pydantic says of a wrong body, told again without anything that was in it. Pure.

A message names a field that we know, and what was expected. The name of an unknown field is repeated only where it is
a known one, misspelt: anything else may be a token that slipped into the wrong place.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterator
from functools import cache
from typing import Any, get_args

from pydantic import BaseModel, ValidationError

ERRORS_MAX = 20
"""Of one body. More help nobody."""


def field_errors(error: ValidationError, model: type[BaseModel]) -> list[tuple[str, str]]:
    """Fields as paths, such as ``tokens[1].amount``, and messages."""
    known = known_names(model)
    found: dict[tuple[str, str], None] = {}
    for line in error.errors(include_url=False, include_input=False, include_context=False):
        place, last = _path(line["loc"], known)
        found[_unknown(place, last, known) if line["type"] == "extra_forbidden" else (place, _words(line["msg"]))] = (
            None
        )
    return list(found)[:ERRORS_MAX]


def is_syntax_error(error: ValidationError) -> str | None:
    """Where the JSON breaks, if it is none; None if it is JSON of another shape."""
    [first, *_] = error.errors(include_url=False, include_input=False, include_context=False)
    return _words(first["msg"]) if first["type"] == "json_invalid" else None


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
        for kind in _leaves(field.annotation):
            if isinstance(kind, type) and issubclass(kind, BaseModel):
                yield from _models(kind)


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


def _unknown(place: str, name: str, known: frozenset[str]) -> tuple[str, str]:
    near = difflib.get_close_matches(name, known, 1, cutoff=0.75)
    return place, f"there is no such field; did you mean {near[0]}?" if near else "there is a field that is not known"


def _words(message: str) -> str:
    message = message.removeprefix("Value error, ")
    return message[:1].lower() + message[1:]
