"""The API on a real socket over a real store, under a clock that the test moves."""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
from aiohttp import web

from cosem_objects.sts_token import Token, TokenClass
from gateway.api.app import ApiLimits, ApiParts, create_app
from gateway.api.runner import ApiRunner
from gateway.api_keys import ApiKey, Scope
from gateway.store.records import ApiKeyRecord
from gateway.store.sqlite.store import SqliteStore
from tests.gateway.stores import Clock, open_vault

METER = "M-1"
ENDPOINT = "tcp://127.0.0.1:4059"
LINK = "tcp%3A%2F%2F127.0.0.1%3A4059"
"""As it stands in a path."""
Json = dict[str, Any]


@dataclass(frozen=True)
class Answered:
    """One answer, read to its end."""

    status: int
    headers: Mapping[str, str]
    octets: bytes

    @property
    def media_type(self) -> str:
        return self.headers.get("Content-Type", "").partition(";")[0]

    @property
    def json(self) -> Any:
        return json.loads(self.octets)

    @property
    def problem(self) -> Json:
        assert self.media_type == "application/problem+json", self
        members: Json = self.json
        assert members["status"] == self.status
        return members


@dataclass
class Service:
    """A running API, and what a test wants to reach behind it."""

    store: SqliteStore
    clock: Clock
    port: int
    session: aiohttp.ClientSession
    keys: dict[str, str]
    """One for each scope, by its word."""
    app: web.Application
    runner: ApiRunner
    readbacks: list[str] = field(default_factory=list)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def headers(self, scope: str = "admin") -> dict[str, str]:
        return {"Authorization": f"Bearer {self.keys[scope]}"}

    async def ask(
        self,
        method: str,
        path: str,
        *,
        scope: str | None = "admin",
        headers: Mapping[str, str] | None = None,
        **more: Any,
    ) -> Answered:
        sent = {**(self.headers(scope) if scope else {}), **(headers or {})}
        async with self.session.request(method, f"{self.url}{path}", headers=sent, **more) as response:
            return Answered(response.status, dict(response.headers), await response.read())

    async def order(self, order_id: str, **changes: Any) -> Answered:
        return await self.ask("POST", "/v1/orders", json=order_body(order_id, **changes))

    async def raw(self, octets: bytes) -> bytes:
        """Everything that comes back until the other side closes."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        try:
            writer.write(octets)
            await writer.drain()
            return await reader.read()
        finally:
            writer.close()


def unread_socket(port: int) -> socket.socket:
    """A connection into which hardly anything fits that is not read."""
    lazy = socket.socket()
    _set_buffers(lazy, 4096)
    lazy.connect(("127.0.0.1", port))
    lazy.setblocking(False)
    return lazy


def _set_buffers(connection: socket.socket, octets: int) -> None:
    for buffer in (socket.SO_SNDBUF, socket.SO_RCVBUF):
        connection.setsockopt(socket.SOL_SOCKET, buffer, octets)


def credit(number: int) -> str:
    """The digits of a credit token that no other number gives."""
    return Token.from_block(TokenClass.CREDIT, number << 32).digits


def token_of(token_class: TokenClass, number: int = 1) -> str:
    return Token.from_block(token_class, number << 32).digits


def order_body(order_id: str, **changes: Any) -> Json:
    number = sum(ord(character) * 131**place for place, character in enumerate(order_id)) % (1 << 31)
    body: Json = {"id": order_id, "meter": METER, "tokens": [credit(number)]}
    return {**body, **changes}


async def readback(meter_id: str) -> Mapping[str, Any]:
    return {"meter": meter_id, "error": None}


async def good() -> Mapping[str, Any]:
    return {"ok": True, "checks": {}}


@asynccontextmanager
async def service(
    folder: Path,
    *,
    limits: ApiLimits | None = None,
    meters: Sequence[str] = (METER,),
    buffers: int | None = None,
    **parts: Any,
) -> AsyncIterator[Service]:
    """``parts`` replace what the API is given; ``buffers`` are the kernel's, for each connection."""
    clock = Clock()
    store = await SqliteStore.open(folder, open_vault(), clock.now)
    keys = {scope.value: await _key(store, clock, scope) for scope in Scope}
    given: dict[str, Any] = {
        "store": store,
        "limits": limits or ApiLimits(),
        "now": clock.now,
        "readback": readback,
        "metrics": lambda: b"stsgate_orders 1\n",
        "health": good,
        "ready": good,
        "version": "0",
        **parts,
    }
    app = create_app(ApiParts(**given))
    runner = ApiRunner(app, shutdown_timeout_seconds=1.0)
    await runner.setup()
    try:
        listening = socket.create_server(("127.0.0.1", 0))
        if buffers is not None:
            _set_buffers(listening, buffers)
        await web.SockSite(runner, listening).start()
        port = listening.getsockname()[1]
        async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=30)) as session:
            running = Service(store, clock, port, session, keys, app, runner)
            for meter in meters:
                await running.ask("PUT", f"/v1/meters/{meter}", json={"endpoint": ENDPOINT})
            yield running
    finally:
        await runner.cleanup()
        await store.close()


async def _key(store: SqliteStore, clock: Clock, scope: Scope) -> str:
    key = ApiKey.new(f"key-{scope.value}")
    record = ApiKeyRecord(id=key.id, name=f"the {scope.value} key", scopes=(scope.value,), created_at=clock.now())
    await store.access.add(record, key.digest, who="test")
    return key.text
