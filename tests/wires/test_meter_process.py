"""The meter is a process of its own, which is killed and started again: its ledger on the disk is the truth."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from cosem_objects.sts_token import Token
from sim_meters.ledger import read_ledger
from tests.gateway.test_delivery import KEYS
from tests.mosquitto import Mosquitto
from tests.wires.breakage import break_at_all
from tests.wires.mqtt_wires import SETTINGS, running
from tests.wires.point import ENTER, NAMES, STEPS, Moment, Point, Watch
from tests.wires.serial_wires import BAUD
from tests.wires.stand import Stand, Strike, Wire, pooled
from transports.endpoint import Endpoint
from transports.wire_settings import WireSettings

START_SECONDS = 30.0
POINTS = tuple(
    Point(step, moment)
    for step in range(NAMES.index("AARQ"), len(STEPS) - 1)
    for moment in (Moment.BEFORE, Moment.SENT, Moment.AFTER)
)


class ProcessStand(Stand):
    """The same meter as that of the other stands, but one that remembers its tokens: on the disk."""

    def __init__(self, watch: Watch, listen: Endpoint, state: Path) -> None:
        super().__init__(watch)
        self._listen = listen
        self._state = state
        self._process: asyncio.subprocess.Process | None = None

    def times_credited(self, token: Token) -> int:
        return read_ledger(self._state / f"{self.meter.config.device_name}.ledger").times_credited(token)

    async def start(self) -> None:
        security = ("--security", "hls-gmac", "--ek", KEYS["ek"], "--ak", KEYS["ak"])
        address = ("--physical", str(self.physical)) if self._listen.speaks_hdlc else ()
        self._process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "sim_meters", "run", "--listen", str(self._listen)),
            *("--state-dir", str(self._state), "--system-title", KEYS["meter_system_title"], *security, *address),
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.DEVNULL,
        )
        assert self._process.stdout is not None
        async with asyncio.timeout(START_SECONDS):
            while not (await self._process.stdout.readline()).startswith(b"listening"):
                assert self._process.returncode is None, "the meter did not start"

    async def kill(self) -> None:
        assert self._process is not None
        self._process.kill()
        await self._process.communicate()


@asynccontextmanager
async def process_stand(stand: ProcessStand, wires: WireSettings) -> AsyncIterator[ProcessStand]:
    await stand.start()
    try:
        async with pooled(stand, wires):
            yield stand
    finally:
        await stand.kill()


@asynccontextmanager
async def serial_process(watch: Watch, path: Path) -> AsyncIterator[ProcessStand]:
    line = str(path.with_suffix(".line"))
    stand = ProcessStand(watch, Endpoint("pty", path=line), path)
    stand.endpoint = Endpoint("serial", path=line, baud=BAUD)
    async with process_stand(stand, WireSettings()):
        yield stand


@asynccontextmanager
async def mqtt_process(watch: Watch, path: Path) -> AsyncIterator[ProcessStand]:
    async with running(Mosquitto(path.with_suffix(".broker"))) as broker:
        stand = ProcessStand(watch, Endpoint("mqtt", "127.0.0.1", broker.port, "site/meter"), path)
        stand.endpoint = Endpoint("mqtt", "127.0.0.1", broker.port, "site/meter")
        async with process_stand(stand, WireSettings(mqtt=SETTINGS)):
            yield stand


async def kill_and_start(stand: ProcessStand) -> None:
    await stand.kill()
    await stand.start()


WIRES: dict[str, Wire] = {"serial": serial_process, "mqtt": mqtt_process}
KILLED = Strike("meter killed and started", kill_and_start)


@pytest.mark.parametrize("name", WIRES)
async def test_a_meter_that_is_killed_over_a_token_has_it_once(name: str, tmp_path: Path) -> None:
    assert await break_at_all(WIRES[name], KILLED, (Point(ENTER, Moment.SENT),), tmp_path) == []


@pytest.mark.soak
@pytest.mark.parametrize("name", WIRES)
async def test_a_meter_that_is_killed_at_any_step_has_its_token_once(name: str, tmp_path: Path) -> None:
    assert await break_at_all(WIRES[name], KILLED, POINTS, tmp_path) == []
