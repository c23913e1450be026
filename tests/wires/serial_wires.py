"""serial: the meter is on a pseudo-terminal, whose plug can be pulled."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from random import Random

from cosem_objects.dlms.settings import SecuritySettings
from tests.gateway.test_delivery import HLS
from tests.wires.point import Watch
from tests.wires.stand import HDLC, Stand, Strike, Wire, pooled
from tests.wires.tap import Tap
from transports.channel import Listener
from transports.endpoint import Endpoint
from transports.registry import listen
from transports.serial.simulated_line import PERFECT_LINE, SimulatedLine
from transports.wire_settings import SerialSettings, WireSettings

BAUD = 921_600
"""Time-outs follow from it; the line itself is as fast as this machine."""


def noise_of(line: SimulatedLine, chance: Random) -> bytes:
    """What the meter hears between the head-end's frames."""
    return chance.randbytes(chance.randint(1, line.noise_octets_max)) if chance.random() < line.noise else b""


class SerialStand(Stand):
    def __init__(self, watch: Watch, path: Path, line: SimulatedLine, security: SecuritySettings) -> None:
        super().__init__(watch, security)
        self.endpoint = Endpoint("serial", path=str(path), baud=BAUD)
        self.tap = Tap()
        self.tap.noise = partial(noise_of, line, Random(line.seed))
        self.carried = self.tap.carried
        self.wires = WireSettings(serial=SerialSettings(echo=line.echo, line=line))
        self._line: Listener | None = None
        self._unplugging: asyncio.Task[None] | None = None

    async def plug_in(self) -> None:
        """The line is there, with the meter on it."""
        if self._unplugging is not None:
            await self._unplugging
        place = Endpoint("pty", path=self.endpoint.path)
        options = {"hdlc": HDLC, "wires": self.wires, "through": self.tap.filter}
        self._line = await listen(place, self.serve, **options)  # type: ignore[arg-type]

    def unplug(self) -> None:
        """The line goes away, and its device file with it. Nobody waits for that: who unplugs may be the meter."""
        self.tap.pull_the_plug()
        if self._line is not None:
            self._unplugging = asyncio.create_task(self._line.close())
            self._line = None

    async def close(self) -> None:
        self.unplug()
        if self._unplugging is not None:
            await self._unplugging


@asynccontextmanager
async def serial_stand(
    line: SimulatedLine, watch: Watch, path: Path, *, security: SecuritySettings = HLS
) -> AsyncIterator[SerialStand]:
    stand = SerialStand(watch, path.with_suffix(".line"), line, security)
    await stand.plug_in()
    try:
        async with pooled(stand, stand.wires):
            yield stand
    finally:
        await stand.close()


async def pull_the_plug(stand: SerialStand) -> None:
    """Another line stands at the same path at once."""
    stand.tap.pull_the_plug()


async def take_away(stand: SerialStand) -> None:
    stand.unplug()


async def bring_back(stand: SerialStand) -> None:
    await stand.plug_in()


async def fall_silent(stand: SerialStand) -> None:
    stand.tap.is_silent = True


async def speak_again(stand: SerialStand) -> None:
    stand.tap.is_silent = False


SERIAL_WIRES: dict[str, Wire] = {
    "serial": partial(serial_stand, PERFECT_LINE),
    "serial with echo": partial(serial_stand, SimulatedLine(echo=True)),
}
SERIAL_STRIKES = (
    Strike("unplugged and plugged in", pull_the_plug),
    Strike("unplugged for three calls", take_away, bring_back, errors_before_heal=3),
    Strike("silent", fall_silent, speak_again),
)
