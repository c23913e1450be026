"""The listener for meters that call in; how to think about it stands in ``inbound``."""

from __future__ import annotations

import asyncio
import logging
import socket
from collections import Counter
from collections.abc import Coroutine
from contextlib import suppress
from typing import Any

from transports.calling_in.called_in import NO_EVENTS, CalledInMeters, InboundEvents, InboundSettings
from transports.calling_in.connection import CalledInLink, CalledInStream
from transports.calling_in.first_words import Caller, FirstReader, KeepAliveFilter
from transports.channel import ChannelError, ChannelGarbled, Listener, NotSentError
from transports.endpoint import CALL_IN_SCHEMES, Endpoint, EndpointError
from transports.log_limit import LogLimit
from transports.tcp import TcpStream, bind, reason_of, set_keep_alive
from transports.tls import HANDSHAKE_TIMEOUT_SECONDS, server_context

logger = logging.getLogger(__name__)

_NO_DESCRIPTORS_SECONDS = 1.0
"""How long nobody is accepted after the system refused a socket (no descriptors, no memory)."""
_LOOK_SECONDS = 1.0
"""How often it is looked whether a connection is idle, at most."""


class InboundListener(Listener):
    """Made by ``listen_inbound``."""

    def __init__(self, settings: InboundSettings, events: InboundEvents, meters: CalledInMeters) -> None:
        self.url = ""
        self.meters = meters
        self.counts: Counter[str] = Counter()
        """What became of those who called, since the start: ``identified``, ``replaced``, and why others were closed:
        ``limit``, ``tls``, ``silent``, ``garbled``, ``certificate``, ``left``."""
        self.settings = settings
        self.events = events
        self.unidentified = 0
        """How many are connected and have not said who they are."""
        self._is_tls = False
        self._calls: set[_Call] = set()
        self._by_address: Counter[str] = Counter()
        self._tasks: set[asyncio.Task[None]] = set()
        self._sockets: list[socket.socket] = []
        self._log = LogLimit(logger)

    async def start(self, endpoint: Endpoint) -> None:
        """Begin to listen. Raises ``EndpointError``."""
        if endpoint.scheme not in CALL_IN_SCHEMES:
            raise EndpointError(f"meters call in by {' or '.join(CALL_IN_SCHEMES)}, not by {endpoint.scheme}")
        self._is_tls = endpoint.scheme == "tcps"
        if self._is_tls:
            server_context(self.settings.tls)
        self._sockets = await bind(endpoint)
        port = self._sockets[0].getsockname()[1]
        self.url = str(Endpoint(endpoint.scheme, endpoint.host, port))
        for listening in self._sockets:
            self._spawn(self._accept(listening))

    async def close(self) -> None:
        """Stop listening, and close all connections."""
        for task in tuple(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        for listening in self._sockets:
            listening.close()
        await asyncio.gather(*(call.close() for call in tuple(self._calls)))

    def count(self, what: str) -> None:
        self.counts[what] += 1
        self.events.on_caller(what)

    def drop(self, call: _Call, why: str, reason: str) -> None:
        """Close a connection that will not do. One line in the log for it, but not one for each of a flood."""
        self.count(why)
        self._log.log(logging.WARNING, "a caller from %s is closed: %s", call.stream.name, reason)
        call.stream.hang_up()

    def left(self, error: ChannelError) -> None:
        """It hung up before it said who it is: port scans, health checks of others, radios that broke down."""
        self.count("left")
        logger.debug("%s", error)

    def forget(self, call: _Call) -> None:
        """The connection has ended."""
        self._calls.discard(call)
        self._left(call.address)
        if call.link is None:
            self.unidentified -= 1
        elif self.meters.remove(call.link):
            logger.info("a meter that called in is gone: %s", call.link.ended, extra={"link": str(call.link)})

    def identified(self, call: _Call, link: CalledInLink) -> None:
        """It is known who calls."""
        self.unidentified -= 1
        self.count("identified")
        replaced = self.meters.add(link)
        logger.info("a meter called in from %s", link.name, extra={"link": str(link)})
        if replaced is not None:
            self.count("replaced")
            replaced.cut("the meter called in anew; this connection was the old one")
        self.events.on_called_in(link.title)

    # Before anything is said.

    async def _accept(self, listening: socket.socket) -> None:
        loop = asyncio.get_running_loop()
        while True:
            try:
                taken, address = await loop.sock_accept(listening)
            except OSError as error:
                self._log.log(logging.ERROR, "no caller can be accepted: %s", error.strerror or error)
                await asyncio.sleep(_NO_DESCRIPTORS_SECONDS)
                continue
            self._welcome(taken, address[0])
            # asyncio gives the next one that waits without a turn of the loop: a flood would keep all else waiting.
            await asyncio.sleep(0)

    def _welcome(self, taken: socket.socket, address: str) -> None:
        refusal = self._refusal(address)
        if refusal:
            self.count("limit")
            self._log.log(logging.WARNING, "a caller from %s is refused: %s", address, refusal)
            taken.close()
            return
        self.unidentified += 1
        self._by_address[address] += 1
        self._spawn(self._begin(taken, address))

    def _refusal(self, address: str) -> str:
        settings = self.settings
        if len(self.meters) + self.unidentified >= settings.connections_max:
            return f"there are {settings.connections_max} connections"
        if self.unidentified >= settings.unidentified_max:
            return f"there are {settings.unidentified_max} callers who have not said who they are"
        if self._by_address[address] >= settings.per_address_max:
            return f"there are {settings.per_address_max} connections from there"
        return ""

    async def _begin(self, taken: socket.socket, address: str) -> None:
        try:
            stream = await self._stream(taken, address)
        except (OSError, EndpointError) as error:
            self.count("tls" if self._is_tls else "left")
            self._log.log(logging.WARNING, "a caller from %s is closed: %s", address, reason_of(error))
            self.unidentified -= 1
            self._left(address)
            return
        call = _Call(self, stream, address)
        self._calls.add(call)
        call.listen()

    async def _stream(self, taken: socket.socket, address: str) -> TcpStream:
        """Raises ``EndpointError`` when our files cannot be used, ``OSError`` for a handshake that failed."""
        try:
            set_keep_alive(taken, self.settings.tcp_keep_alive_seconds)
            tls = server_context(self.settings.tls) if self._is_tls else None
        except BaseException:
            taken.close()
            raise
        stream = TcpStream(address, _named_by_its_address)
        # Not what it returns: with TLS, uvloop gives the protocol below ours.
        await asyncio.get_running_loop().connect_accepted_socket(
            lambda: stream,
            taken,
            ssl=tls,
            ssl_handshake_timeout=None if tls is None else HANDSHAKE_TIMEOUT_SECONDS,
        )
        return stream

    def _left(self, address: str) -> None:
        self._by_address[address] -= 1
        if not self._by_address[address]:
            del self._by_address[address]

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


class _Call:
    """One connection, from its begin to its end."""

    def __init__(self, listener: InboundListener, stream: TcpStream, address: str) -> None:
        self.stream = stream
        self.address = address
        self.link: CalledInLink | None = None
        """Once it is known who calls."""
        self._listener = listener
        self._reader = FirstReader(listener.settings.words)
        self._is_dropped = False
        self._loop = asyncio.get_running_loop()
        self._timer = self._loop.call_later(listener.settings.identify_seconds, self._was_silent)

    def listen(self) -> None:
        self.stream.start(self._on_bytes, self._on_closed)

    async def close(self) -> None:
        if self.link is None:
            await self.stream.close()
        else:
            await self.link.close()

    def _on_bytes(self, data: bytes) -> None:
        if self._is_dropped:
            return
        try:
            caller = self._reader.receive(data)
            if caller is not None:
                self._check_certificate(caller.title)
                self._turn_roles(caller)
        except ChannelGarbled as error:
            self._drop("garbled", str(error))
        except _WrongCertificate as error:
            self._drop("certificate", str(error))

    def _check_certificate(self, title: bytes) -> None:
        settings = self._listener.settings
        if not settings.certificate_names_meter:
            return
        name = self.stream.peer_common_name
        if name.upper() != title.hex().upper() and settings.words.names.get(name) != title:
            raise _WrongCertificate(f"it claims to be {title.hex().upper()}, its certificate is for {name!r}")

    def _turn_roles(self, caller: Caller) -> None:
        """From now on we ask, and the meter answers. Raises ``ChannelGarbled``."""
        settings, events = self._listener.settings, self._listener.events
        self._timer.cancel()
        words, on_wrapper = settings.words, not settings.words.speaks_hdlc
        if caller.answer:
            with suppress(NotSentError):  # it has just hung up, which we shall hear
                self.stream.write(caller.answer)
        stream = CalledInStream(
            *(self.stream, caller.rest),
            keep_alives=KeepAliveFilter(words.keep_alive) if words.keep_alive and on_wrapper else None,
            keep_alive_answer=settings.keep_alive_answer,
            on_ended=self._ended,
        )
        hdlc = None if on_wrapper else settings.hdlc
        link = CalledInLink(caller.title, stream, hdlc, lambda _source, apdu: events.on_push(caller.title, apdu))
        if link.ended is not None:
            raise ChannelGarbled(str(link.ended))
        self.link = link
        self._listener.identified(self, link)
        self._timer = self._loop.call_later(settings.idle_seconds, self._look_whether_idle)

    def _look_whether_idle(self) -> None:
        link, idle_seconds = self.link, self._listener.settings.idle_seconds
        assert link is not None
        left_seconds = link.heard_at + idle_seconds - self._loop.time()
        if link.leases == 0 and left_seconds <= 0:
            link.cut(f"nothing came for {idle_seconds:g} s")
            return
        self._timer = self._loop.call_later(max(left_seconds, _LOOK_SECONDS), self._look_whether_idle)

    def _was_silent(self) -> None:
        self._drop("silent", f"it did not say who it is within {self._listener.settings.identify_seconds:g} s")

    def _drop(self, why: str, reason: str) -> None:
        self._is_dropped = True
        self._listener.drop(self, why, reason)

    def _on_closed(self, error: ChannelError) -> None:
        """The end, before it was known who calls."""
        if not self._is_dropped:
            self._listener.left(error)
        self._ended()

    def _ended(self) -> None:
        self._timer.cancel()
        self._listener.forget(self)


class _WrongCertificate(Exception):
    """Somebody claims to be another meter than the one whose certificate it shows."""


def _named_by_its_address(_stream: TcpStream) -> None:
    """Nothing more is to be done when the connection is made."""


async def listen_inbound(
    endpoint: Endpoint,
    settings: InboundSettings,
    events: InboundEvents = NO_EVENTS,
    meters: CalledInMeters | None = None,
) -> InboundListener:
    """Let meters call in at ``tcp://host:port`` or ``tcps://host:port``; ``meters`` holds those that have. Raises
    ``EndpointError`` if it cannot listen there, or its TLS files cannot be used."""
    listener = InboundListener(settings, events, CalledInMeters() if meters is None else meters)
    await listener.start(endpoint)
    return listener
