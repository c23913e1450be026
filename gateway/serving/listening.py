"""The sockets that the API listens on: taken before anything starts, so that a port in use stops nothing midway."""

from __future__ import annotations

import asyncio
import errno
import socket
import ssl
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress

from aiohttp import web

from gateway.api.runner import ApiRunner

_CLOSE_SECONDS = 5.0
"""How long requests that are under way may still take when the API is closed."""
_NOT_ON_THIS_MACHINE = (errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT)
"""A name may mean an IPv6 address where there is no IPv6."""


async def bind(host: str, port: int) -> list[socket.socket]:
    """One for each address of the host; nobody can connect yet. Port 0: one, on any port. Raises ``OSError``."""
    loop = asyncio.get_running_loop()
    found = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    addresses = list(dict.fromkeys((family, address) for family, _, _, _, address in found))
    taken: list[socket.socket] = []
    refusal: OSError | None = None
    for family, address in addresses:
        try:
            taken.append(_bound(family, address))
        except OSError as error:
            refusal = error
            if error.errno not in _NOT_ON_THIS_MACHINE:
                _close(taken)
                raise
        if taken and not port:
            break
    if not taken:
        raise refusal or OSError(errno.EADDRNOTAVAIL, "no such address")
    return taken


@asynccontextmanager
async def listening(
    app: web.Application, sockets: Sequence[socket.socket], tls: ssl.SSLContext | None
) -> AsyncIterator[None]:
    """Serves the API on these sockets until it is left."""
    runner = ApiRunner(app)
    await runner.setup()
    try:
        for taken in sockets:
            await web.SockSite(runner, taken, ssl_context=tls).start()
        yield
    finally:
        with suppress(TimeoutError):
            async with asyncio.timeout(_CLOSE_SECONDS):
                await runner.cleanup()


def _bound(family: int, address: tuple[str | int, ...] | tuple[int, bytes]) -> socket.socket:
    taken = socket.socket(family, socket.SOCK_STREAM)
    try:
        taken.setblocking(False)
        taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            taken.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)  # the IPv4 address has a socket of its own
        taken.bind(address)
    except OSError:
        taken.close()
        raise
    return taken


def _close(sockets: list[socket.socket]) -> None:
    for taken in sockets:
        taken.close()
