"""TCP: byte streams over sockets, on both sides.

TCP_NODELAY needs no call of ours: asyncio and uvloop set it on every TCP socket
(asyncio since Python 3.6), and a test holds them to it.
"""

from __future__ import annotations

import asyncio
import os
import socket
import ssl
from collections.abc import Callable
from typing import cast

from transports.channel import Link, Listener, NotSentError
from transports.conversations import Conversations
from transports.endpoint import Endpoint, EndpointError
from transports.stream import CLOSE_TIMEOUT_SECONDS, ByteStream, OnBytes, OnClosed
from transports.tls import HANDSHAKE_TIMEOUT_SECONDS, tls_reason
from transports.transport_stream import TransportStream

_BACKLOG = 1024
"""Callers that wait to be accepted: after a restart all meters call at once."""
_KEEP_ALIVES_MAX = 3


class TcpStream(TransportStream[asyncio.Transport]):
    """One TCP connection."""

    def __init__(self, name: str = "the peer", on_made: Callable[[TcpStream], None] | None = None) -> None:
        super().__init__(name)
        self._on_made = on_made
        self._early = bytearray()
        self._closers: list[asyncio.Future[None]] = []

    # What asyncio calls.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # Not isinstance: uvloop's transports are none of asyncio's classes.
        self._transport = cast("asyncio.Transport", transport)
        if self._on_made is not None:
            self.name = _peer_name(transport)
            self._on_made(self)

    def data_received(self, data: bytes) -> None:
        if self._on_bytes is not None:
            self._on_bytes(data)
        else:
            # The connection stands some turns of the loop before the link above is made; a meter that speaks
            # first is not cut off. Bounded by those few turns.
            self._early += data

    def _words_of_loss(self, error: Exception | None) -> str:
        if error is None:
            return f"{self.name} closed the connection"
        return f"the connection to {self.name} broke: {reason_of(error)}"

    def _wake_closers(self) -> None:
        for closer in self._closers:
            if not closer.done():
                closer.set_result(None)

    @property
    def peer_common_name(self) -> str:
        """The common name in the certificate that the other side showed; empty where it showed none."""
        shown = self._transport.get_extra_info("peercert") if self._transport is not None else None
        subject = (shown or {}).get("subject", ())
        return next((value for part in subject for name, value in part if name == "commonName"), "")

    # What links call.

    def start(self, on_bytes: OnBytes, on_closed: OnClosed) -> None:
        self._on_bytes, self._on_closed = on_bytes, on_closed
        if self._early:
            early = bytes(self._early)
            self._early.clear()
            on_bytes(early)
        if self._lost is not None:
            self._on_bytes = self._on_closed = None
            on_closed(self._lost)

    async def close(self) -> None:
        transport = self._transport
        if transport is None or self._lost is not None:
            return
        self._closing = True
        if not transport.is_closing():
            transport.close()
        loop = asyncio.get_running_loop()
        closer = loop.create_future()
        self._closers.append(closer)
        # With nothing left to send the end comes in the loop's next turn, but for TLS, which says good-bye first.
        may_take_long = transport.get_write_buffer_size() > 0 or transport.get_extra_info("sslcontext") is not None
        timer = loop.call_later(CLOSE_TIMEOUT_SECONDS, transport.abort) if may_take_long else None
        try:
            await closer
        except asyncio.CancelledError:
            transport.abort()
            raise
        finally:
            if timer is not None:
                timer.cancel()


async def connect(endpoint: Endpoint, timeout_seconds: float, tls: ssl.SSLContext | None = None) -> TcpStream:
    """Call a meter, with TLS if there is a context. Raises ``NotSentError``: without a connection nothing can have
    left."""
    loop = asyncio.get_running_loop()
    try:
        async with asyncio.timeout(timeout_seconds):
            _, stream = await loop.create_connection(
                lambda: TcpStream(endpoint.authority), endpoint.host, endpoint.port, ssl=tls
            )
    except TimeoutError as error:
        # Ours has no errno; the system's own (ETIMEDOUT) has.
        reason = reason_of(error) if error.errno else f"no connection within {timeout_seconds:g} s"
        raise NotSentError(f"cannot connect to {endpoint.authority}: {reason}") from error
    except OSError as error:
        raise NotSentError(f"cannot connect to {endpoint.authority}: {reason_of(error)}") from error
    return stream


class TcpListener(Listener):
    """Accepts connections and makes a link of each."""

    def __init__(
        self,
        conversations: Conversations,
        make_link: Callable[[ByteStream], Link],
        tls: ssl.SSLContext | None = None,
    ) -> None:
        self.url = ""
        self._tls = tls
        self._conversations = conversations
        self._make_link = make_link
        self._links: dict[TcpStream, Link] = {}
        self._server: asyncio.Server | None = None

    async def start(self, endpoint: Endpoint) -> None:
        """Begin to listen. Raises ``EndpointError`` with the system's reason (address in use, no permission)."""
        loop = asyncio.get_running_loop()
        try:
            self._server = await loop.create_server(
                lambda: _Accepted(self._connected, self._disconnected),
                endpoint.host,
                endpoint.port,
                ssl=self._tls,
                ssl_handshake_timeout=HANDSHAKE_TIMEOUT_SECONDS if self._tls is not None else None,
            )
        except OSError as error:
            raise EndpointError(f"cannot listen on {endpoint.authority}: {reason_of(error)}") from error
        if not self._server.sockets:  # asyncio leaves an accept loop without sockets when descriptors run out
            raise EndpointError(f"cannot listen on {endpoint.authority}: no socket is left (see ulimit -n)")
        port = self._server.sockets[0].getsockname()[1]
        self.url = str(Endpoint(endpoint.scheme, endpoint.host, port))

    async def close(self) -> None:
        if self._server is not None:
            self._server.close()
        for link in tuple(self._links.values()):
            await link.close()
        await self._conversations.close()
        if self._server is not None:
            await self._server.wait_closed()

    def _connected(self, stream: TcpStream) -> None:
        self._links[stream] = self._make_link(stream)

    def _disconnected(self, stream: TcpStream) -> None:
        self._links.pop(stream, None)


async def bind(endpoint: Endpoint) -> list[socket.socket]:
    """Sockets that listen there, one for each address of the host; port 0 takes a free one. Raises ``EndpointError``
    with the system's reason."""
    loop = asyncio.get_running_loop()
    port = endpoint.port
    listening: list[socket.socket] = []
    try:
        found = await loop.getaddrinfo(endpoint.host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
        for family, address in dict.fromkeys((one[0], one[4][0]) for one in found):
            listening.append(_listening(family, str(address), port))
            port = listening[0].getsockname()[1]
    except OSError as error:
        for one in listening:
            one.close()
        raise EndpointError(f"cannot listen on {endpoint.authority}: {reason_of(error)}") from error
    return listening


def _listening(family: int, address: str, port: int) -> socket.socket:
    taken = socket.socket(family, socket.SOCK_STREAM)
    try:
        taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            taken.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        taken.setblocking(False)
        taken.bind((address, port))
        taken.listen(_BACKLOG)
    except OSError:
        taken.close()
        raise
    return taken


def set_keep_alive(connected: socket.socket, seconds: int) -> None:
    """Let the system ask a silent peer every ``seconds`` whether it is there, and give it up after three times without
    an answer; what is sent is given up after as long without an acknowledgement."""
    connected.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for name, value in (
        ("TCP_KEEPIDLE", seconds),
        ("TCP_KEEPINTVL", seconds),
        ("TCP_KEEPCNT", _KEEP_ALIVES_MAX),
        ("TCP_USER_TIMEOUT", seconds * _KEEP_ALIVES_MAX * 1000),
    ):
        if hasattr(socket, name):  # not every system has all of them
            connected.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), value)


class _Accepted(TcpStream):
    """A connection that came in; it tells its listener when it is gone."""

    def __init__(self, on_made: Callable[[TcpStream], None], on_lost: Callable[[TcpStream], None]) -> None:
        super().__init__(on_made=on_made)
        self._on_lost = on_lost

    def connection_lost(self, error: Exception | None) -> None:
        super().connection_lost(error)
        self._on_lost(self)


def _peer_name(transport: asyncio.BaseTransport) -> str:
    address = transport.get_extra_info("peername")
    if not isinstance(address, tuple) or len(address) < 2:
        return "the peer"  # gone before we could ask
    return Endpoint("tcp", str(address[0]), int(address[1])).authority


def reason_of(error: Exception) -> str:
    """The system's words, without the numbers and addresses that asyncio puts around them."""
    if isinstance(error, ssl.SSLError):
        return tls_reason(error)
    if isinstance(error, socket.gaierror):
        return error.strerror or str(error)
    if isinstance(error, OSError) and error.errno:
        return os.strerror(error.errno)
    if isinstance(error, ConnectionResetError):  # uvloop's own, in a TLS handshake, has neither number nor words
        return "it closed the connection"
    return str(error) or type(error).__name__
