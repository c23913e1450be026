"""MQTT messages that are repeated, retained, late, out of order, or expired: none of them enters a token twice."""

from __future__ import annotations

import asyncio
import subprocess
import time
from functools import partial
from pathlib import Path

import pytest

from gateway.verdict import Credited, Outcome
from tests.gateway.test_delivery import NONE, ONE
from tests.mosquitto import PLAIN
from tests.wires.breakage import all_at_once, troubles
from tests.wires.head_end import PATIENCE_SECONDS, look_again, settle
from tests.wires.mqtt_wires import HDLC_SETTINGS, OLD_SETTINGS, SETTINGS, MqttStand, mqtt_stand
from tests.wires.packets import RETAIN, Gate, HeldBack, as_another, deadline_of, twice, with_flag
from tests.wires.point import Watch
from transports.mqtt.meter import Drop
from transports.wire_settings import MqttSettings

LAYOUTS = {"mqtt": SETTINGS, "mqtt 3.1.1": OLD_SETTINGS, "mqtt with HDLC": HDLC_SETTINGS}
PASSAGES = ("near up", "near down", "far up", "far down")
"""Head-end to broker, broker to head-end, meter to broker, broker to meter."""
PLAIN_ENTER = 2
"""Without security: AARQ, GET, then ``enter``."""
HLS_MESSAGES = 9
LATER = (1, 2, 3, 4)
"""In the middle of the next association; the fourth message is its ``enter``."""
SHORT_LIVED = MqttSettings(reply_timeout_seconds=0.05)


@pytest.mark.parametrize("passage", PASSAGES)
@pytest.mark.parametrize("layout", LAYOUTS)
async def test_every_message_twice_credits_once(layout: str, passage: str, tmp_path: Path) -> None:
    watch, gate = Watch(), Gate(twice)
    wire = partial(mqtt_stand, LAYOUTS[layout], PLAIN, security=NONE, passages={passage: gate})
    async with wire(watch, tmp_path / "case") as stand:
        settled = await settle(stand, ONE)
        await look_again(stand)
    watch.is_struck = gate.passed > 0
    assert troubles(settled, stand, watch) == []
    assert [judged.verdict.outcome for judged in settled.verdicts] == [Outcome.ACCEPTED]
    assert stand.meter.enters == 1


@pytest.mark.parametrize("passage", ["near up", "far down"])
async def test_a_retained_request_is_not_executed(passage: str, tmp_path: Path) -> None:
    """A copy of ``enter`` with correlation data of its own, in the middle of the association."""

    def retained(number: int, packet: bytes) -> bytes:
        if number == PLAIN_ENTER:
            copied.append(packet)
        elif number == PLAIN_ENTER + 1:
            return with_flag(as_another(copied[0]), RETAIN) + packet
        return packet

    copied: list[bytes] = []
    watch = Watch()
    passages = {passage: Gate(retained)}
    async with mqtt_stand(SETTINGS, PLAIN, watch, tmp_path / "case", security=NONE, passages=passages) as stand:
        settled = await settle(stand, ONE)
        await look_again(stand)
    watch.is_struck = bool(copied)
    assert troubles(settled, stand, watch) == []
    assert stand.meter.enters == 1
    assert stand.dropped[Drop.RETAINED] == 1


async def test_an_old_answer_is_taken_for_no_new_one(tmp_path: Path) -> None:
    """The answer to ``enter`` is lost. When the meter is read again, what it said before comes first: it would say that
    the token never arrived."""

    def replayed(number: int, packet: bytes) -> bytes:
        answers.append(packet)
        if number == PLAIN_ENTER:
            return b""
        return (as_another(answers[PLAIN_ENTER - 1]) if number == PLAIN_ENTER + 2 else b"") + packet

    answers: list[bytes] = []
    watch = Watch()
    wire = partial(mqtt_stand, SETTINGS, PLAIN, security=NONE, passages={"near down": Gate(replayed)})
    async with wire(watch, tmp_path / "case") as stand:
        settled = await settle(stand, ONE)
        await look_again(stand)
    watch.is_struck = len(answers) > PLAIN_ENTER + 2
    assert troubles(settled, stand, watch) == []
    assert stand.meter.enters == 1


@pytest.mark.parametrize("passage", ["near up", "near down", "far down"])
async def test_messages_that_come_in_another_order_cost_no_money_and_no_truth(passage: str, tmp_path: Path) -> None:
    """A request, or an answer, comes in the middle of the association that follows, behind or before its message."""

    async def attempt(case: tuple[int, int, bool], folder: Path) -> list[str]:
        number, later, behind = case
        watch, held = Watch(), HeldBack(number, later, behind=behind)
        async with mqtt_stand(SETTINGS, PLAIN, watch, folder, passages={passage: Gate(held)}) as stand:
            settled = await settle(stand, ONE)
            await look_again(stand)
        watch.is_struck = held.is_over
        return troubles(settled, stand, watch)

    cases = [
        (f"message {number} with the {later}. after it", (number, later, (number + later) % 2 == 0))
        for number in range(HLS_MESSAGES - 1)
        for later in LATER
    ]
    assert await all_at_once(cases, attempt, tmp_path) == []


async def test_a_request_that_expired_on_its_way_is_not_executed(tmp_path: Path) -> None:
    """It stood still between broker and meter until after its time."""

    def hold_enter(number: int, packet: bytes) -> bytes:
        if number != PLAIN_ENTER:
            return packet
        held.set_result(packet)
        return b""

    held: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()
    watch = Watch()
    passages = {"far down": Gate(hold_enter)}
    async with mqtt_stand(SHORT_LIVED, PLAIN, watch, tmp_path / "case", security=NONE, passages=passages) as stand:
        settling = asyncio.create_task(settle(stand, ONE))
        packet = await held
        deadline = deadline_of(packet)
        settled = await settling
        await asyncio.sleep(max(0.0, deadline + 0.01 - time.time()))
        stand.far.say("down", packet)
        await look_again(stand)
    watch.is_struck = True
    assert troubles(settled, stand, watch) == []
    assert stand.meter.enters == 1
    assert stand.dropped[Drop.EXPIRED] == 1


async def test_a_meter_that_is_known_to_be_offline_is_asked_nothing_until_it_is_back(tmp_path: Path) -> None:
    asked, watch = Gate(lambda _number, packet: packet), Watch()
    async with mqtt_stand(SETTINGS, PLAIN, watch, tmp_path / "case", passages={"near up": asked}) as stand:
        stand.far.away = 1_000_000
        stand.far.cut()
        await _until_offline(stand)
        first = await settle(stand, ONE, tries_max=1)
        assert (first.last.verdict.outcome, first.last.verdict.credited) == (Outcome.UNREACHED, Credited.NO)
        assert "is offline" in first.last.verdict.detail
        assert asked.passed == 0
        stand.far.away = 0
        settled = await settle(stand, ONE)
    watch.is_struck = True
    assert troubles(settled, stand, watch) == []
    assert stand.meter.enters == 1


async def _until_offline(stand: MqttStand) -> None:
    """The broker has published the meter's last will."""
    ear = await asyncio.create_subprocess_exec(
        *("mosquitto_sub", "-p", str(stand.broker.port), "-t", "dlms/v1/site/meter/state"), stdout=subprocess.PIPE
    )
    assert ear.stdout is not None
    async with asyncio.timeout(PATIENCE_SECONDS):
        while b'"online":false' not in await ear.stdout.readline():
            pass
    ear.kill()
    await ear.communicate()
