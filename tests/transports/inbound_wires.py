"""Meters that call in, for tests: each link that is opened is a meter of its own that calls."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Self

from tests.transports.wires import free_port
from transports.calling_in.called_in import NO_EVENTS, CalledInMeters, InboundEvents, InboundSettings
from transports.calling_in.first_words import FirstWords
from transports.calling_in.listener import InboundListener, listen_inbound
from transports.calling_in.meter import CallIn, CallingMeter, call_in, login_line
from transports.channel import Address, ApduChannel, Link, Listener, OnChannel
from transports.conversations import accept_all
from transports.endpoint import Endpoint, EndpointError
from transports.hdlc.connection import HDLC_DEFAULTS, HdlcSettings
from transports.stream import ByteStream, StreamFilter
from transports.wire_settings import WireSettings

LOGIN = re.compile("METER (?P<title>[0-9A-F]{16})|MODEM (?P<name>[a-z0-9-]+)")
SECONDS = 10.0


def nobody(_apdu: bytes) -> bytes | None:
    return None


def title_of(number: int) -> bytes:
    return b"LAB" + number.to_bytes(5, "big")


def inbound_endpoint(title: bytes) -> Endpoint:
    return Endpoint("inbound", system_title=title)


def login(title: bytes) -> bytes:
    return login_line(f"METER {title.hex().upper()}")


LOGIN_SETTINGS = InboundSettings(words=FirstWords(nobody, LOGIN))


async def listen_somewhere(
    settings: InboundSettings,
    events: InboundEvents = NO_EVENTS,
    *,
    scheme: str = "tcp",
    meters: CalledInMeters | None = None,
) -> InboundListener:
    while True:
        try:
            return await listen_inbound(Endpoint(scheme, "127.0.0.1", free_port()), settings, events, meters)
        except EndpointError as error:
            if "in use" not in str(error):
                raise


@dataclass
class CalledListener(Listener):
    """Looks like a meter's listener; its meters call in one by one."""

    head_end: InboundListener
    on_channel: OnChannel
    accept: Callable[[Address], bool]
    hdlc: HdlcSettings
    wires: WireSettings
    through: StreamFilter
    speaks_hdlc: bool
    meters: list[CallingMeter] = field(default_factory=list)
    url: str = "inbound:4C41420000000000"

    @classmethod
    async def start(
        cls,
        on_channel: OnChannel,
        *,
        accept: Callable[[Address], bool] = accept_all,
        hdlc: HdlcSettings = HDLC_DEFAULTS,
        wires: WireSettings | None = None,
        through: StreamFilter = lambda stream: stream,
        speaks_hdlc: bool = False,
        scheme: str = "tcp",
    ) -> Self:
        wires = wires or WireSettings()
        settings = replace(
            LOGIN_SETTINGS,
            words=replace(LOGIN_SETTINGS.words, speaks_hdlc=speaks_hdlc),
            tls=wires.tls,
            hdlc=hdlc,
        )
        listener = await listen_somewhere(settings, scheme=scheme)
        return cls(listener, on_channel, accept, hdlc, wires, through, speaks_hdlc)

    async def open_link(self) -> Link:
        """One more meter calls in; the link to it. Closing that hangs up."""
        title = title_of(len(self.meters))
        how = CallIn(first=lambda: login(title), speaks_hdlc=self.speaks_hdlc, retry_seconds_min=60)
        meter = call_in(
            *(Endpoint.parse(self.head_end.url), self.on_channel, how),
            accept=self.accept,
            hdlc=self.hdlc,
            wires=self.wires,
            through=self.through,
        )
        self.meters.append(meter)
        await self.head_end.meters.wait(title, SECONDS)
        return _WholeLink(self.head_end, title, self.hdlc)

    async def close(self) -> None:
        await asyncio.gather(*(meter.close() for meter in self.meters))
        await self.head_end.close()


class _WholeLink(Link):
    """A lease, and the connection with it."""

    def __init__(self, head_end: InboundListener, title: bytes, hdlc: HdlcSettings) -> None:
        self._shared = head_end.meters.shared_link(inbound_endpoint(title))
        self._lease = self._shared.lease(inbound_endpoint(title), hdlc, None)

    def channel(self, client_sap: int = 1, server_sap: int = 1, physical: int | None = None) -> ApduChannel:
        return self._lease.channel(client_sap, server_sap, physical)

    async def close(self) -> None:
        await self._lease.close()
        await self._shared.close()


class Ear:
    """What a raw caller hears of a head-end."""

    def __init__(self, stream: ByteStream) -> None:
        self.heard = bytearray()
        self.is_closed = asyncio.Event()
        self._news = asyncio.Event()
        stream.start(self._on_bytes, self._on_closed)

    def _on_bytes(self, data: bytes) -> None:
        self.heard += data
        self._news.set()

    def _on_closed(self, _error: Exception) -> None:
        self.is_closed.set()

    async def hear(self, expected: bytes) -> None:
        async with asyncio.timeout(SECONDS):
            while len(self.heard) < len(expected):
                self._news.clear()
                await self._news.wait()
        assert self.heard == expected
