"""What goes wrong on the way to an answer, as RFC 9457 problem details: one closed table of types."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass

from aiohttp import web


@dataclass(frozen=True, slots=True)
class ProblemKind:
    """One row: a word for programs, its status, and a title for people."""

    word: str
    status: int
    title: str


_ROWS = (
    ProblemKind("malformed", 400, "The request cannot be read"),
    ProblemKind("forbidden", 403, "Not from there"),
    ProblemKind("not-found", 404, "There is no such thing"),
    ProblemKind("method-not-allowed", 405, "This cannot be done here"),
    ProblemKind("request-timeout", 408, "The request did not arrive in time"),
    ProblemKind("conflict", 409, "Not as it is now"),
    ProblemKind("too-large", 413, "The request is too large"),
    ProblemKind("unsupported-media-type", 415, "The body has another media type than expected"),
    ProblemKind("invalid", 422, "The request cannot be used as it is"),
    ProblemKind("internal", 500, "Something went wrong here"),
    ProblemKind("unavailable", 503, "Not possible at the moment"),
)
PROBLEMS: Mapping[str, ProblemKind] = {row.word: row for row in _ROWS}


class Problem(Exception):
    """A refusal. ``word`` is one of ``PROBLEMS``."""

    def __init__(self, word: str, detail: str) -> None:
        super().__init__(detail)
        self.kind = PROBLEMS[word]
        self.detail = detail

    def response(self) -> web.Response:
        kind = self.kind
        members = {"type": kind.word, "title": kind.title, "status": kind.status, "detail": self.detail}
        return web.Response(
            body=json.dumps(members).encode(),
            status=kind.status,
            headers={"Content-Type": "application/problem+json; charset=utf-8"},
        )
