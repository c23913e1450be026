"""One HDLC frame is lost, cut in half, or comes twice: without ciphering, nothing but the data link keeps a token from
being entered again."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import pytest

from tests.gateway.test_delivery import NONE, ONE
from tests.mosquitto import PLAIN
from tests.wires.breakage import all_at_once, troubles
from tests.wires.head_end import Settled, look_again, settle
from tests.wires.mqtt_wires import HDLC_SETTINGS, mqtt_stand
from tests.wires.packets import Gate
from tests.wires.point import Watch
from tests.wires.serial_wires import serial_stand
from tests.wires.stand import Stand, Wire
from tests.wires.tcp_wires import tcp_stand
from transports.serial.simulated_line import PERFECT_LINE

FRAMES = 7
"""Of a delivery without security, each way: SNRM, AARQ, reading, enter, reading back, RLRQ, DISC."""
ONE_FRAME_FATES = ("lost", "twice", "again", "half")
"""``again``: once more, together with the next one."""

STREAMS: dict[str, Wire] = {
    "hdlc+tcp": partial(tcp_stand, "hdlc+tcp", security=NONE),
    "serial": partial(serial_stand, PERFECT_LINE, security=NONE),
}


class OneFrame:
    """What happens to one frame, and to none else."""

    def __init__(self, number: int, fate: str) -> None:
        self.is_over = False
        self._number = number
        self._fate = fate
        self._frame = b""

    def __call__(self, number: int, frame: bytes) -> bytes:
        if number == self._number:
            self.is_over = True
            self._frame = frame
            return {"lost": b"", "twice": frame + frame, "again": frame, "half": frame[: len(frame) // 2]}[self._fate]
        return self._frame + frame if self._fate == "again" and number == self._number + 1 else frame


def cases(*fates: str) -> list[tuple[str, OneFrame]]:
    return [(f"frame {number} {fate}", OneFrame(number, fate)) for number in range(FRAMES) for fate in fates]


@pytest.mark.parametrize("direction", ["up", "down"])
@pytest.mark.parametrize("name", STREAMS)
async def test_one_bad_frame_on_a_stream_enters_no_token_twice(name: str, direction: str, tmp_path: Path) -> None:
    async def attempt(one: OneFrame, path: Path) -> list[str]:
        watch = Watch()

        def change(passed: str, number: int, data: bytes) -> bytes:
            return one(number, data) if passed == direction else data

        async with STREAMS[name](watch, path) as stand:
            stand.carried.change = change
            settled = await settle(stand, ONE)
            await look_again(stand)
        return wrong(settled, stand, watch, one)

    assert await all_at_once(cases(*ONE_FRAME_FATES), attempt, tmp_path) == []


@pytest.mark.parametrize("passage", ["near up", "near down", "far down"])
async def test_one_bad_message_with_a_frame_enters_no_token_twice(passage: str, tmp_path: Path) -> None:
    async def attempt(one: OneFrame, path: Path) -> list[str]:
        watch, passages = Watch(), {passage: Gate(one)}
        async with mqtt_stand(HDLC_SETTINGS, PLAIN, watch, path, security=NONE, passages=passages) as stand:
            settled = await settle(stand, ONE)
            await look_again(stand)
        return wrong(settled, stand, watch, one)

    assert await all_at_once(cases("lost", "twice", "again"), attempt, tmp_path) == []


def wrong(settled: Settled, stand: Stand, watch: Watch, one: OneFrame) -> list[str]:
    watch.is_struck = one.is_over
    enters = stand.meter.enters
    return troubles(settled, stand, watch) + ([] if enters == 1 else [f"entered {enters} times"])
