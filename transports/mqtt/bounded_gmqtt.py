"""gmqtt's connection, held to what its own does not keep: limits, and an end that is always heard of.

Left to itself, gmqtt stops reading in silence at bytes that are no packet, gathers whatever length a broker announces,
waits without end for a broker that takes nothing to take the rest, lets a broker turn the keep-alive off, and searches
all its subscriptions for each answer. It connects anew in a client of its own; here a client connects once.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Callable, Sequence
from typing import Any

import gmqtt
from gmqtt.mqtt.connection import MQTTConnection
from gmqtt.mqtt.protocol import MQTTProtocol

from transports.mqtt.message import PACKET_SIZE_MAX
from transports.stream import CLOSE_TIMEOUT_SECONDS

_UNSENT_BYTES_MAX = 1 << 24
"""More than this is never kept for a broker that does not read: the connection is then cut. A thousand requests, which
may be under way, have a tenth of it."""


class OnceClient(gmqtt.Client):  # type: ignore[misc]
    """Made for one connection; ``on_gone`` is told when its socket is closed, whoever closed it."""

    def __init__(self, on_gone: Callable[[], None], *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self._on_gone = on_gone

    async def _create_connection(
        self, host: str, port: int, ssl: ssl.SSLContext | bool, clean_session: bool, keepalive: int
    ) -> MQTTConnection:
        handler = self._package_handler
        transport, protocol = await asyncio.get_running_loop().create_connection(
            lambda: _Protocol(
                self._on_gone, connection_state=self._connection_state, id_generator=handler.id_generator
            ),
            host,
            port,
            ssl=ssl or None,
        )
        return _Connection(transport, protocol, clean_session, keepalive, package_handler=handler, logger=self._logger)

    def subscribe(self, subscriptions: Sequence[gmqtt.Subscription]) -> int:
        """Gives the packet's number. What was subscribed to is not kept: nothing is ever subscribed to again."""
        number: int = self._connection.subscribe(subscriptions)
        return number


class Forgetful:
    """gmqtt's store of what it would send again after a reconnection: it only tells the id of what was just sent."""

    is_empty = True

    def __init__(self) -> None:
        self.last_id = 0

    def push_message(self, mid: int, _raw: bytes) -> None:
        self.last_id = mid

    def remove_message_by_mid(self, _mid: int) -> None:
        """Nothing is kept."""

    def get_all(self) -> list[tuple[int, bytes]]:
        return []

    def clear(self) -> None:
        """Nothing is kept."""

    async def wait_empty(self) -> None:
        """It always is."""


class Gathering:
    """In the place of gmqtt's transport: what is written in one turn of the loop leaves in one piece, such as
    acknowledgements with what comes next. Else each is a system call here and at the broker."""

    def __init__(self, transport: asyncio.Transport) -> None:
        self._transport = transport
        self._loop = asyncio.get_running_loop()
        self._out: list[bytes] = []
        self.is_closing = transport.is_closing
        self.abort = transport.abort

    def write(self, data: bytes) -> None:
        if not self._out:
            self._loop.call_soon(self._flush)
        self._out.append(data)

    def close(self) -> None:
        self._flush()
        self._transport.close()

    def _flush(self) -> None:
        out, self._out = self._out, []
        if out and not self._transport.is_closing():
            self._transport.write(b"".join(out))
            if self._transport.get_write_buffer_size() > _UNSENT_BYTES_MAX:
                self.abort()


class _Connection(MQTTConnection):  # type: ignore[misc]
    def __init__(self, transport: asyncio.Transport, protocol: _Protocol, *args: Any, **options: Any) -> None:
        super().__init__(transport, protocol, *args, **options)
        self._own_keepalive: int = self._keepalive

    async def close(self) -> None:
        """Within a second, whether the broker takes what was written or not."""
        timer = asyncio.get_running_loop().call_later(CLOSE_TIMEOUT_SECONDS, self._transport.abort)
        try:
            await super().close()
        finally:
            timer.cancel()

    @property
    def keepalive(self) -> int:
        seconds: int = self._keepalive
        return seconds

    @keepalive.setter
    def keepalive(self, seconds: int) -> None:
        """What the broker wants; to ask more often than it wants is always allowed (MQTT 5.0, 3.1.2.10)."""
        MQTTConnection.keepalive.fset(self, min(seconds or self._own_keepalive, self._own_keepalive))


class _Protocol(MQTTProtocol):  # type: ignore[misc]
    def __init__(self, on_gone: Callable[[], None], **options: Any) -> None:
        super().__init__(**options)
        self._on_gone = on_gone

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super(MQTTProtocol, self).connection_made(transport)  # which does not read yet: there is nobody to be told

    def set_connection(self, connection: _Connection) -> None:
        super().set_connection(connection)
        self._read_loop_future = asyncio.ensure_future(self._read_loop())

    def connection_lost(self, error: Exception | None) -> None:
        if self._connection is None:
            super(MQTTProtocol, self).connection_lost(error)
        else:
            super().connection_lost(error)
        self._on_gone()

    async def _read_loop(self) -> None:
        await super()._read_loop()
        self._transport.abort()  # the broker has ended it, or its bytes are no packets

    def _read_packet(self, octets: bytes) -> int:
        """How many of them are done with; -1 for what cannot go on."""
        done: int = super()._read_packet(octets)
        return -1 if done >= 0 and _announced(octets[done + 1 : done + 5]) > PACKET_SIZE_MAX else done


def _announced(length: bytes) -> int:
    """The remaining length of a packet, as far as it has come (MQTT 5.0, 1.5.5: seven bits in each octet)."""
    announced = 0
    for place, octet in enumerate(length):
        announced |= (octet & 0x7F) << 7 * place
        if octet < 0x80:
            break
    return announced
