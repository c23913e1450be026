"""Receivers of webhooks on loopback: one that keeps what it gets, and raw ones that behave as receivers should not."""

from __future__ import annotations

import asyncio
import datetime as dates
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from ipaddress import ip_address
from pathlib import Path
from typing import Self

from aiohttp import web
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

LIMIT_SECONDS = 30.0
"""How long a test waits for what must come: a failure, never a measure."""


@dataclass(frozen=True, slots=True)
class Received:
    """One POST as it came in."""

    headers: Mapping[str, str]
    body: bytes
    path: str
    peer: object
    """Who is at the other end of the connection."""


@dataclass
class Receiver:
    """Keeps what it gets. ``answer`` says what each is answered; ``gate`` holds all answers back while it is shut."""

    url: str = ""
    answer: Callable[[Received], web.Response] = lambda _: web.Response(status=204)
    inbox: asyncio.Queue[Received] = field(default_factory=asyncio.Queue)
    gate: asyncio.Event = field(default_factory=asyncio.Event)

    async def next(self) -> Received:
        async with asyncio.timeout(LIMIT_SECONDS):
            return await self.inbox.get()

    async def handle(self, request: web.Request) -> web.Response:
        assert request.transport is not None
        peer = request.transport.get_extra_info("peername")
        received = Received(dict(request.headers), await request.read(), request.path_qs, peer)
        self.inbox.put_nowait(received)
        await self.gate.wait()
        return self.answer(received)


@asynccontextmanager
async def receiving(tls: ssl.SSLContext | None = None, port: int = 0) -> AsyncIterator[Receiver]:
    receiver = Receiver()
    receiver.gate.set()
    application = web.Application()
    application.router.add_route("*", "/{anything:.*}", receiver.handle)
    runner = web.AppRunner(application, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    try:
        site = web.TCPSite(runner, "127.0.0.1", port, ssl_context=tls)
        await site.start()
        found = runner.addresses[0][1]
        receiver.url = f"{'http' if tls is None else 'https'}://127.0.0.1:{found}/hook"
        yield receiver
    finally:
        receiver.gate.set()
        await runner.cleanup()


Behaviour = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@asynccontextmanager
async def behaving(behave: Behaviour) -> AsyncIterator[str]:
    """A server that does this on each connection once the head of a request is there; its URL."""
    tasks: set[asyncio.Task[None]] = set()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        tasks.add(task)
        try:
            await reader.readuntil(b"\r\n\r\n")
            with suppress(ConnectionError):
                await behave(reader, writer)
        except (asyncio.IncompleteReadError, asyncio.CancelledError):
            pass  # the other side left, or the test is over
        finally:
            writer.transport.abort()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    try:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/hook?key=hunter2"
    finally:
        server.close()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def says(octets: bytes) -> Behaviour:
    """Writes this, and closes."""

    async def behave(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(octets)
        await writer.drain()
        writer.close()

    return behave


def says_for_ever(head: bytes, again: bytes) -> Behaviour:
    """Writes the one, and then the other without an end."""

    async def behave(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(head)
        while True:
            writer.write(again)
            await writer.drain()

    return behave


async def hangs(reader: asyncio.StreamReader, _: asyncio.StreamWriter) -> None:
    """Reads, and never answers."""
    while await reader.read(65536):
        pass


@dataclass(frozen=True, slots=True)
class Identity:
    """A certificate of its own making for 127.0.0.1, both sides of it."""

    server: ssl.SSLContext
    client: ssl.SSLContext

    @classmethod
    def make(cls, folder: Path) -> Self:
        key = ec.generate_private_key(ec.SECP256R1())
        name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "127.0.0.1")])
        now = dates.datetime.now(dates.UTC)
        certificate = (
            x509.CertificateBuilder()
            .subject_name(name)
            .issuer_name(name)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - dates.timedelta(days=1))
            .not_valid_after(now + dates.timedelta(days=1))
            .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))]), critical=False)
            .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
            .sign(key, hashes.SHA256())
        )
        file = folder / "receiver.pem"
        file.write_bytes(
            key.private_bytes(
                serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
            )
            + certificate.public_bytes(serialization.Encoding.PEM)
        )
        server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        server.load_cert_chain(file)
        return cls(server, ssl.create_default_context(cafile=str(file)))
