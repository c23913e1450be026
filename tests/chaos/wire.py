"""A wire in front of each meter: it forwards octets, and remembers who was connected when, and which counters passed.

It sees what the meters' side would see: how many associations stand at a time on one link, however the service counts
them itself, and whether an invocation counter ever comes twice.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from cosem_objects.dlms import acse
from cosem_objects.dlms.apdu import ServiceError
from cosem_objects.errors import RemoteProtocolError
from tests.chaos.street import StreetMeter
from transports.wrapper import WrapperReceiver

_EXCEPTION_RESPONSE = 0xD8
_GLOBAL_CIPHERED = (0xC8, 0xC9, 0xCB)
"""glo-get-request, glo-set-request, glo-action-request (Green Book, xDLMS APDU tags)."""
_GENERAL_GLOBAL = 0xDB
_GLOBAL_INITIATE = 0x21


@dataclass
class WireLog:
    """What the wires saw, over all lives of the service."""

    open_now: Counter[str] = field(default_factory=Counter)
    most: Counter[str] = field(default_factory=Counter)
    """Connections at a time: by meter, and by link."""
    begun: dict[str, list[float]] = field(default_factory=dict)
    """When connections began, by link."""
    counters: dict[str, set[int]] = field(default_factory=dict)
    repeated: list[tuple[str, int]] = field(default_factory=list)
    """Invocation counters that came twice."""
    refused: Counter[str] = field(default_factory=Counter)
    """Answers of meters that a counter was used before."""
    garbled: int = 0

    most_at: dict[str, tuple[float, list[str]]] = field(default_factory=dict)
    """When that was first so, and the meters that were connected: the names of their wires, in their sequence."""
    connected: dict[str, list[str]] = field(default_factory=dict)

    def opened(self, names: Sequence[str], now: float) -> None:
        for name in names:
            self.open_now[name] += 1
            connected = self.connected.setdefault(name, [])
            connected.append(names[0])
            if self.open_now[name] > self.most[name]:
                self.most[name], self.most_at[name] = self.open_now[name], (now, list(connected))
            self.begun.setdefault(name, []).append(now)

    def closed(self, names: Sequence[str]) -> None:
        self.open_now.subtract(names)
        for name in names:
            self.connected[name].remove(names[0])

    def asked(self, meter: str, apdu: bytes) -> None:
        counter = counter_of(apdu)
        if counter is None:
            return
        used = self.counters.setdefault(meter, set())
        if counter in used:
            self.repeated.append((meter, counter))
        used.add(counter)

    def answered(self, meter: str, apdu: bytes) -> None:
        if apdu[:1] == bytes((_EXCEPTION_RESPONSE,)) and apdu[2:3] == bytes((ServiceError.INVOCATION_COUNTER_ERROR,)):
            self.refused[meter] += 1

    def as_json(self) -> dict[str, Any]:
        return {
            "most": dict(self.most),
            "most_at": self.most_at,
            "begun": self.begun,
            "counters_seen": {meter: len(used) for meter, used in self.counters.items()},
            "counters_repeated": self.repeated,
            "counters_refused": dict(self.refused),
            "garbled": self.garbled,
        }


def counter_of(apdu: bytes) -> int | None:
    """The invocation counter in front of a globally ciphered APDU; None in any other."""
    if apdu[:1] == bytes((acse.Aarq.TAG,)):
        try:
            aarq = acse.decode(apdu)
        except RemoteProtocolError:
            return None
        assert isinstance(aarq, acse.Aarq)
        return counter_of(aarq.user_information)
    if not apdu or apdu[0] not in (*_GLOBAL_CIPHERED, _GENERAL_GLOBAL, _GLOBAL_INITIATE):
        return None
    start = 1
    if apdu[0] == _GENERAL_GLOBAL:
        start += 1 + apdu[1]  # the system title
    start += 1 + (apdu[start] & 0x7F if apdu[start] & 0x80 else 0)  # the length
    return int.from_bytes(apdu[start + 1 : start + 5], "big")  # behind the security control octet


class Wire:
    """Listens in front of one meter."""

    def __init__(self, meter: StreetMeter, log: WireLog) -> None:
        self.meter = meter
        self.log = log
        self.names = (meter.id, meter.group.link) if meter.group.link else (meter.id,)
        self.reads_apdus = meter.group.scheme == "tcp"
        self.links: set[_Near] = set()
        self._server: asyncio.Server | None = None

    async def start(self) -> None:
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(lambda: _Near(self), "127.0.0.1", self.meter.wire_port)

    def close(self) -> None:
        if self._server is not None:
            self._server.close()
        for link in tuple(self.links):
            link.end()


class _Near(asyncio.Protocol):
    """The service's end of one connection."""

    def __init__(self, wire: Wire) -> None:
        self.wire = wire
        self._far: _Far | None = None
        self._early = bytearray()
        self._transport: asyncio.Transport | None = None
        self._counted = False
        self._reader = _Reader(wire.reads_apdus)
        self._connecting: asyncio.Task[None] | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self.wire.links.add(self)
        self._connecting = asyncio.get_running_loop().create_task(self._connect())

    async def _connect(self) -> None:
        loop = asyncio.get_running_loop()
        # What was closed before this connection began is known by now: both came in one look at the sockets.
        await asyncio.sleep(0)
        if self._transport is None:
            return
        self._counted = True
        self.wire.log.opened(self.wire.names, loop.time())
        far = _Far(self)
        try:
            await loop.create_connection(lambda: far, "127.0.0.1", self.wire.meter.port)
        except OSError:
            self.end()
            return
        self._far = far
        far.write(bytes(self._early))

    def data_received(self, data: bytes) -> None:
        for apdu in self._reader.read(data, self.wire.log):
            self.wire.log.asked(self.wire.meter.id, apdu)
        if self._far is None:
            self._early += data
        else:
            self._far.write(data)

    def write(self, data: bytes) -> None:
        if self._transport is not None:
            self._transport.write(data)

    def connection_lost(self, error: Exception | None) -> None:
        self._transport = None
        self.wire.links.discard(self)
        if self._counted:
            self._counted = False
            self.wire.log.closed(self.wire.names)
        if self._far is not None:
            self._far.end()

    def end(self) -> None:
        if self._transport is not None:
            self._transport.close()


class _Far(asyncio.Protocol):
    """The meter's end."""

    def __init__(self, near: _Near) -> None:
        self._near = near
        self._transport: asyncio.Transport | None = None
        self._reader = _Reader(near.wire.reads_apdus)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        if self._near._transport is None:
            transport.close()

    def data_received(self, data: bytes) -> None:
        wire = self._near.wire
        for apdu in self._reader.read(data, wire.log):
            wire.log.answered(wire.meter.id, apdu)
        self._near.write(data)

    def write(self, data: bytes) -> None:
        if self._transport is not None and data:
            self._transport.write(data)

    def connection_lost(self, error: Exception | None) -> None:
        self._transport = None
        self._near.end()

    def end(self) -> None:
        if self._transport is not None:
            self._transport.close()


class _Reader:
    """APDUs of one direction of a wrapper connection; nothing where frames are other than that."""

    def __init__(self, reads_apdus: bool) -> None:
        self._receiver = WrapperReceiver() if reads_apdus else None

    def read(self, data: bytes, log: WireLog) -> Iterator[bytes]:
        if self._receiver is None:
            return
        for _source, _destination, apdu in self._receiver.receive(data):
            yield apdu
        if self._receiver.failure is not None:
            self._receiver = None
            log.garbled += 1
