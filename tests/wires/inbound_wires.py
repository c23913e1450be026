"""inbound: the meter calls in, through a proxy; its connection can be cut, replaced by its own next one, or taken by a
stranger."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path

from tests.transports.inbound_wires import LOGIN_SETTINGS, inbound_endpoint, listen_somewhere, login
from tests.wires.point import Watch
from tests.wires.proxy import Proxy
from tests.wires.stand import HDLC, Stand, Strike, Wire, pooled
from transports.calling_in.called_in import InboundEvents
from transports.calling_in.listener import InboundListener
from transports.calling_in.meter import CallIn, CallingMeter, call_in
from transports.endpoint import Endpoint

SECONDS = 10.0


class InboundStand(Stand):
    def __init__(self, watch: Watch, proxy: Proxy, listener: InboundListener, *, speaks_hdlc: bool) -> None:
        super().__init__(watch)
        self.speaks_hdlc = speaks_hdlc
        self.proxy = proxy
        self.carried = proxy.carried
        self.listener = listener
        self.called_in = asyncio.Event()
        """Somebody said that he is the meter."""
        listener.events = InboundEvents(on_called_in=lambda _title: self.called_in.set())
        self.title = self.meter.config.security.meter_system_title
        self.endpoint = inbound_endpoint(self.title)
        self.strangers: list[asyncio.StreamWriter] = []
        how = CallIn(
            first=partial(login, self.title), speaks_hdlc=speaks_hdlc, retry_seconds_min=0.01, retry_seconds_max=0.02
        )
        proxy.port = Endpoint.parse(listener.url).port
        place = Endpoint("tcp", "127.0.0.1", proxy.own_port)
        self.caller: CallingMeter = call_in(place, self.serve, how, hdlc=HDLC)

    async def close(self) -> None:
        for stranger in self.strangers:
            stranger.transport.abort()
        await self.caller.close()


@asynccontextmanager
async def inbound_stand(speaks_hdlc: bool, watch: Watch, _path: Path) -> AsyncIterator[InboundStand]:
    words = replace(LOGIN_SETTINGS.words, speaks_hdlc=speaks_hdlc)
    listener = await listen_somewhere(replace(LOGIN_SETTINGS, words=words, hdlc=HDLC))
    async with listener, Proxy() as proxy:
        stand = InboundStand(watch, proxy, listener, speaks_hdlc=speaks_hdlc)
        try:
            await listener.meters.wait(stand.title, SECONDS)
            async with pooled(stand, called_in=listener.meters.shared_link):
                yield stand
        finally:
            await stand.close()


async def cut(stand: InboundStand) -> None:
    stand.proxy.cut()


async def call_anew(stand: InboundStand) -> None:
    """The meter's modem begins anew; the end of its old connection is told to nobody."""
    stand.proxy.fall_silent()
    stand.caller.hang_up()


async def let_a_stranger_in(stand: InboundStand) -> None:
    """Somebody says that he is the meter, and then nothing more. The meter, cut off by that, calls again."""
    port = Endpoint.parse(stand.listener.url).port
    _, writer = await asyncio.open_connection("127.0.0.1", port)
    stand.strangers.append(writer)
    stand.called_in.clear()
    writer.write(login(stand.title))
    await stand.called_in.wait()


async def fall_silent(stand: InboundStand) -> None:
    stand.proxy.fall_silent()


async def call_after_silence(stand: InboundStand) -> None:
    stand.proxy.cut()


INBOUND_WIRES: dict[str, Wire] = {
    "inbound": partial(inbound_stand, False),
    "inbound with HDLC": partial(inbound_stand, True),
}
INBOUND_STRIKES = (
    Strike("cut", cut),
    Strike("replaced by the meter's next one", call_anew),
    Strike("taken by a stranger", let_a_stranger_in),
    Strike("silent until we give up twice", fall_silent, call_after_silence, errors_before_heal=2),
)
