"""One call of the API: who calls, what was sent, and how it is answered."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar

from aiohttp import hdrs, web
from pydantic import BaseModel

from gateway.api import bodies, queries
from gateway.api.access import Gate
from gateway.api.event_hub import EventHub
from gateway.api.parts import ApiLimits, ApiParts
from gateway.api.problems import JSON_CHARSET, encode
from gateway.store.store import Store

Model = TypeVar("Model", bound=BaseModel)
Query = TypeVar("Query", bound=BaseModel)
_JSON_HEADERS: Mapping[str, str] = {hdrs.CONTENT_TYPE: bodies.JSON_TYPE + JSON_CHARSET}


@dataclass(slots=True, kw_only=True)
class Api:
    """What all calls share, besides the parts that the API was given."""

    parts: ApiParts
    gate: Gate
    hub: EventHub
    changing: asyncio.Lock = field(default_factory=asyncio.Lock)
    """Held by calls that read something, and write it again changed."""
    batches: int = 0
    """Bulk intakes that are under way."""
    document: bytes = field(default=b"", repr=False)
    """The OpenAPI document."""


@dataclass(slots=True)
class Call:
    """One request, let in."""

    api: Api
    request: web.Request
    who: str
    """The name of the API key; empty where none is needed."""

    @property
    def store(self) -> Store:
        return self.api.parts.store

    @property
    def limits(self) -> ApiLimits:
        return self.api.parts.limits

    @property
    def id(self) -> str:
        """From the path."""
        return self.request.match_info["id"]

    async def body(self, model: type[Model]) -> Model:
        """Raises ``Problem``."""
        return await bodies.read(self.request, model)

    def query(self, model: type[Query]) -> Query:
        """Raises ``Problem``."""
        return queries.parse(self.request, model)


def answer(model: BaseModel, status: int = 200, headers: Mapping[str, str] | None = None) -> web.Response:
    return _response(model.__pydantic_serializer__.to_json(model), status, headers)


def told(members: Mapping[str, Any], status: int = 200, headers: Mapping[str, str] | None = None) -> web.Response:
    """What is JSON already."""
    return _response(encode(members), status, headers)


def nothing() -> web.Response:
    return web.Response(status=204)


def _response(octets: bytes, status: int, headers: Mapping[str, str] | None) -> web.Response:
    return web.Response(body=octets, status=status, headers={**_JSON_HEADERS, **headers} if headers else _JSON_HEADERS)
