"""A service to speak to: the real store on SQLite, the engine and the API on a real socket, and its commands beside it.

It can be stopped and started again on the same port and the same files. ``trouble`` is what may happen between a
client and it: an answer that is lost, a stream that is cut.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from random import Random
from typing import Any

import pytest
from aiohttp import web

from gateway.__main__ import main
from gateway.api.app import ApiLimits, ApiParts, create_app
from gateway.api.runner import ApiRunner
from gateway.api_keys import ApiKey, Scope
from gateway.service import Service, ServiceOptions
from gateway.store.records import ApiKeyRecord
from gateway.store.sqlite.store import SqliteStore
from gateway.vault import DATA, DIGEST, DataKey, KeyEncryptionKey, Vault
from sim_meters.meter import SimMeter
from sim_meters.meter_config import lab_config
from sim_meters.sts.tokens.clear_token import encode_credit
from tests.transports.wires import free_port, listen_somewhere

TIMEOUT_SECONDS = 30
CONFIG = lab_config()
TOKENS = [encode_credit(CONFIG.decoder_key, CONFIG.unit.kind, 256, 6_000_000 + number, 5) for number in range(6)]
OTHER_KEY = encode_credit(lab_config(1).decoder_key, CONFIG.unit.kind, 256, 6_000_000, 5)
"""Made for another meter."""
EK, AK, PASSWORD = "000102030405060708090A0B0C0D0E0F", "D0D1D2D3D4D5D6D7D8D9DADBDCDDDEDF", "a secret word"
SIGNING_SECRET = "what_webhooks_are_signed_with"
SECRETS = [*(token.digits for token in (*TOKENS, OTHER_KEY)), EK, AK, PASSWORD, SIGNING_SECRET]


def now() -> datetime:
    return datetime.now(UTC)


def _vault() -> Vault:
    vault = Vault()
    keys = {number: DataKey.new(number, purpose, now()) for number, purpose in enumerate((DATA, DIGEST), 1)}
    vault.unlock(KeyEncryptionKey.new(), keys)
    return vault


@dataclass(slots=True)
class Trouble:
    """What is to happen, once each."""

    lost_answers: int = 0
    """Answers to POST that the client does not get, though all was done."""
    cut_streams: int = 0
    """Streams of events that end in the middle of the first event."""
    last_event_ids: list[str | None] = field(default_factory=list)
    """Of each stream that was asked for."""
    stream_begun: asyncio.Event = field(default_factory=asyncio.Event)
    orders_posted: int = 0

    @web.middleware
    async def middleware(self, request: web.Request, handler: Any) -> web.StreamResponse:
        assert request.transport is not None
        if request.path == "/v1/events":
            return await self._stream(request, handler)
        response: web.StreamResponse = await handler(request)
        self.orders_posted += request.path == "/v1/orders" and request.method == "POST"
        if request.method == "POST" and self.lost_answers:
            self.lost_answers -= 1
            request.transport.abort()
        return response

    async def _stream(self, request: web.Request, handler: Any) -> web.StreamResponse:
        self.stream_begun.set()
        self.last_event_ids.append(request.headers.get("Last-Event-ID"))
        if self.cut_streams:
            self.cut_streams -= 1
            response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
            await response.prepare(request)
            await response.write(b'id: 1\nevent: order.created\ndata: {"number": 1,')
            assert request.transport is not None
            request.transport.abort()
            return response
        answer: web.StreamResponse = await handler(request)
        return answer


class RunningService:
    """Made by ``running``."""

    def __init__(self, folder: Path, *, with_engine: bool) -> None:
        self.folder = folder
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.trouble = Trouble()
        self.key = ApiKey.new("admin")
        self._vault = _vault()
        self.with_engine = with_engine
        """Without it orders are taken, and stay queued."""

    async def start(self) -> None:
        self.store = await SqliteStore.open(self.folder, self._vault, now)
        if await self.store.access.by_digest(self.key.digest) is None:
            record = ApiKeyRecord(id=self.key.id, name="admin", scopes=(Scope.ADMIN.value,), created_at=now())
            await self.store.access.add(record, self.key.digest, who="test")
        self._engine = Service(self.store, ServiceOptions(), now=now, rng=Random(1))
        self._running = asyncio.create_task(self._engine.run()) if self.with_engine else None
        app = create_app(self._parts())
        app.middlewares.insert(0, self.trouble.middleware)
        self._runner = ApiRunner(app, shutdown_timeout_seconds=1.0)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", self.port).start()

    async def stop(self) -> None:
        await self._runner.cleanup()
        if self._running is not None:
            self._engine.drain()
            await self._running
        await self.store.close()

    def _parts(self) -> ApiParts:
        async def fine() -> Mapping[str, Any]:
            return {"ok": True}

        return ApiParts(
            store=self.store,
            limits=ApiLimits(event_ping_seconds=1.0),
            now=now,
            readback=self._engine.readback,
            metrics=lambda: b"",
            health=fine,
            ready=fine,
            version="test",
        )


@asynccontextmanager
async def running(folder: Path, *, with_engine: bool = True) -> AsyncIterator[RunningService]:
    service = RunningService(folder, with_engine=with_engine)
    await service.start()
    try:
        yield service
    finally:
        await service.stop()


@asynccontextmanager
async def meter_at(**made: Any) -> AsyncIterator[tuple[str, SimMeter]]:
    """A simulated meter on a real socket, and its URL."""
    meter = SimMeter(CONFIG, **made)
    async with await listen_somewhere("tcp", meter.serve, accept=meter.config.is_for_us) as listener:
        yield listener.url, meter
    meter.close()


@dataclass(frozen=True)
class Said:
    """How a command ended, and what it said. No secret is ever in it."""

    code: int
    out: str
    err: str

    def __post_init__(self) -> None:
        for text in (self.out, self.err):
            said = text.upper().replace(" ", "").replace("-", "")
            for secret in SECRETS:
                assert secret.upper().replace(" ", "") not in said, f"a secret is shown: {text}"
            assert "Traceback" not in text
            assert "unexpected error" not in text

    @property
    def objects(self) -> list[dict[str, Any]]:
        """One JSON object in each line of standard output, and nothing else."""
        return [json.loads(line) for line in self.out.splitlines()]


class Stsgate:
    """Runs ``stsgate`` in this process. The key comes from the environment, as for a person in a shell."""

    def __init__(self, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
        self._capsys = capsys
        self._monkeypatch = monkeypatch
        for name in ("STSGATE_SERVER", "STSGATE_API_KEY", "STSGATE_API_KEY_FILE"):
            monkeypatch.delenv(name, raising=False)

    def speaks_to(self, service: RunningService) -> None:
        self._monkeypatch.setenv("STSGATE_SERVER", service.url)
        self._monkeypatch.setenv("STSGATE_API_KEY", service.key.text)

    def set(self, name: str, value: str) -> None:
        self._monkeypatch.setenv(name, value)

    def __call__(self, *arguments: str) -> Said:
        self._capsys.readouterr()
        try:
            code = main(arguments)
        except SystemExit as end:  # how argparse leaves
            code = end.code if isinstance(end.code, int) else -1
        return Said(code, *self._capsys.readouterr())

    async def beside(self, *arguments: str) -> Said:
        """The same in a thread of its own, while a service runs in this one."""
        async with asyncio.timeout(TIMEOUT_SECONDS):
            return await asyncio.to_thread(self, *arguments)


def one_line(said: Said, *words: str) -> None:
    """Refused, in one line that names what is wrong."""
    assert said.code == 2, said
    assert len(said.err.splitlines()) == 1, said.err
    for word in words:
        assert word in said.err, said.err
    assert not said.out


def lines_with(text: str, words: Iterable[str]) -> list[str]:
    """The lines in which one of these words stands."""
    return [line for line in text.splitlines() if any(word in line for word in words)]
