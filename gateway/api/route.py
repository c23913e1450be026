"""One row of the table of routes: what is registered, and what the OpenAPI document says of it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field

from aiohttp import web
from pydantic import BaseModel

from gateway.api.bodies import JSON_TYPE
from gateway.api.call import Call
from gateway.api.queries import NoQuery
from gateway.api_keys import Scope

Handler = Callable[[Call], Awaitable[web.StreamResponse]]


@dataclass(frozen=True, slots=True)
class Content:
    """An answer that is no JSON object of ours."""

    media_type: str
    description: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Route:
    """One method of one path."""

    method: str
    path: str
    handler: Handler
    scope: Scope | None
    """None: open to everybody."""
    summary: str
    answers: Mapping[int, type[BaseModel] | Content | None]
    """By status; None = without a body."""
    body: type[BaseModel] | None = None
    media_types: tuple[str, ...] = (JSON_TYPE,)
    """Of the body."""
    query: type[BaseModel] = NoQuery
    problems: tuple[str, ...] = ()
    """What may go wrong, beside what may go wrong with every route of its kind."""
    id_pattern: str | None = None
    """Of ``{id}`` in the path, where a new thing gets it."""
    waits_itself: bool = field(default=False)
    """It streams or waits longer than others, and limits each wait itself."""
