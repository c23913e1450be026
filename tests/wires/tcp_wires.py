"""tcp, tcps and hdlc+tcp: the meter listens behind a proxy that can be cut."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path

from cosem_objects.dlms.settings import SecuritySettings
from tests.certificates import lab_tls
from tests.gateway.test_delivery import HLS
from tests.transports.wires import listen_somewhere
from tests.wires.point import Watch
from tests.wires.proxy import Proxy
from tests.wires.stand import HDLC, Stand, Strike, Wire, pooled
from transports.endpoint import Endpoint
from transports.wire_settings import WireSettings

TURNS_TO_NOTICE = 5
"""Of the event loop: a reset connection is told to its other end in the next."""


class TcpStand(Stand):
    def __init__(self, watch: Watch, proxy: Proxy, security: SecuritySettings) -> None:
        super().__init__(watch, security)
        self.proxy = proxy
        self.carried = proxy.carried


@asynccontextmanager
async def tcp_stand(
    scheme: str, watch: Watch, _path: Path, *, security: SecuritySettings = HLS
) -> AsyncIterator[TcpStand]:
    async with Proxy() as proxy:
        stand = TcpStand(watch, proxy, security)
        stand.endpoint = Endpoint(scheme, "127.0.0.1", proxy.own_port)
        wires = WireSettings(tls=lab_tls())
        async with await listen_somewhere(scheme, stand.serve, hdlc=HDLC, wires=wires) as listener:
            proxy.port = Endpoint.parse(listener.url).port
            async with pooled(stand, wires):
                yield stand


async def cut(stand: TcpStand) -> None:
    stand.proxy.cut()


async def cut_and_noticed(stand: TcpStand) -> None:
    """Both ends have heard of it before anything else happens."""
    await stand.proxy.cut_and_wait()
    for _ in range(TURNS_TO_NOTICE):
        await asyncio.sleep(0)


async def cut_and_stay_away(stand: TcpStand) -> None:
    stand.proxy.cut()
    stand.proxy.away = 2


async def fall_silent(stand: TcpStand) -> None:
    stand.proxy.fall_silent()


async def hold_back(stand: TcpStand) -> None:
    stand.proxy.hold("up", "down")


async def release(stand: TcpStand) -> None:
    stand.proxy.release()


TCP_WIRES: dict[str, Wire] = {scheme: partial(tcp_stand, scheme) for scheme in ("tcp", "tcps", "hdlc+tcp")}
TCP_STRIKES = (
    Strike("cut", cut),
    Strike("cut, and noticed", cut_and_noticed),
    Strike("cut, and away for two calls", cut_and_stay_away),
    Strike("silent", fall_silent),
    Strike("late, when we have given up", hold_back, release, loses=False),
    Strike("late, when we are about to enter again", hold_back, release, heals_before_enter=True, loses=False),
)
