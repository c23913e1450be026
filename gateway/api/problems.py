"""What goes wrong on the way to an answer, as RFC 9457 problem details: one closed table of types.

A problem names the thing and what was expected. It never repeats what was sent: in the wrong place that may be a token
or a key.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

from aiohttp import web

PROBLEM_TYPE = "application/problem+json"


@dataclass(frozen=True, slots=True)
class ProblemKind:
    """One row of the table: a word for programs, its status, and a title for people."""

    word: str
    status: int
    title: str


_ROWS = (
    ProblemKind("malformed", 400, "The request cannot be read"),
    ProblemKind("invalid-parameter", 400, "A parameter in the URL or a header cannot be used"),
    ProblemKind("unauthenticated", 401, "An API key is needed"),
    ProblemKind("forbidden", 403, "The API key may not do this"),
    ProblemKind("not-found", 404, "There is no such thing"),
    ProblemKind("method-not-allowed", 405, "This cannot be done here"),
    ProblemKind("request-timeout", 408, "The request did not arrive in time"),
    ProblemKind("conflict", 409, "Something else is there already"),
    ProblemKind("illegal-change", 409, "The order does not allow this now"),
    ProblemKind("in-use", 409, "Something depends on it"),
    ProblemKind("meter-busy", 409, "The meter is being spoken to"),
    ProblemKind("gone", 410, "It was there, and was removed"),
    ProblemKind("too-large", 413, "The request is too large"),
    ProblemKind("unsupported-media-type", 415, "The body has another media type than expected"),
    ProblemKind("invalid", 422, "The body cannot be used as it is"),
    ProblemKind("too-many-requests", 429, "Too many requests"),
    ProblemKind("headers-too-large", 431, "The request line or a header is too long"),
    ProblemKind("internal", 500, "Something went wrong here"),
    ProblemKind("meter-unreached", 502, "The meter did not answer"),
    ProblemKind("unavailable", 503, "Not possible at the moment"),
)
PROBLEMS: Mapping[str, ProblemKind] = {row.word: row for row in _ROWS}

FieldErrors: TypeAlias = Sequence[tuple[str, str]]
"""Field and message. A field is written as a path: ``tokens[1].amount``; empty = the body as a whole."""

JSON_CHARSET = "; charset=utf-8"
"""Said with each media type of JSON: there are clients that guess otherwise."""
_encode = json.JSONEncoder(separators=(",", ":"), ensure_ascii=False).encode


def encode(value: object) -> bytes:
    """JSON in UTF-8. Half a surrogate pair, which a path of a file may hold, becomes a question mark."""
    return _encode(value).encode(errors="replace")


class Problem(Exception):
    """A refusal. ``word`` is one of ``PROBLEMS``; ``more`` becomes members of the answer."""

    def __init__(
        self,
        word: str,
        detail: str,
        *,
        errors: FieldErrors = (),
        headers: Mapping[str, str] | None = None,
        **more: str | None,
    ) -> None:
        super().__init__(detail)
        self.kind = PROBLEMS[word]
        self.detail = detail
        self.errors = errors
        self.headers = headers or {}
        self.more = more

    def members(self) -> dict[str, Any]:
        """The answer's body."""
        kind = self.kind
        members: dict[str, Any] = {"type": kind.word, "title": kind.title, "status": kind.status, "detail": self.detail}
        if self.errors:
            members["errors"] = [{"field": field, "message": message} for field, message in self.errors]
        members.update((name, value) for name, value in self.more.items() if value is not None)
        return members

    def response(self) -> web.Response:
        return web.Response(
            body=encode(self.members()),
            status=self.kind.status,
            headers={"Content-Type": PROBLEM_TYPE + JSON_CHARSET, **self.headers},
        )


def invalid(errors: FieldErrors) -> Problem:
    """422 for these fields."""
    field, message = errors[0]
    first = f"{field}: {message}" if field else message
    others = f" (and {len(errors) - 1} more)" if len(errors) > 1 else ""
    return Problem("invalid", first + others, errors=errors)


def not_found(what: str) -> Problem:
    """404; what was asked for is not repeated."""
    return Problem("not-found", f"there is no {what} with this id")


def unavailable(detail: str, *, retry_after_seconds: int = 5) -> Problem:
    return Problem("unavailable", detail, headers={"Retry-After": str(retry_after_seconds)})
