"""What a broken answer looks like to who receives it: the octets themselves."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from itertools import pairwise

import pytest

from cosem_objects.dlms.ciphered import CipheredApdu
from cosem_objects.dlms.security import ReplayedCounterError
from sim_meters.fault_order import FaultOrder
from sim_meters.faults import Fault
from sim_meters.wire_faults import WireFaults
from tests.scenarios.virtual_clock import run_in_virtual_time
from tests.sim_meters.lab_house import SECURITIES, House, house, secured
from tests.sim_meters.meter_client import CLIENT_TITLE, Client, associate
from tests.sim_meters.test_meter_push import BALANCE
from transports.hdlc.frame import UA, Frame, HdlcAddress
from transports.hdlc.receiver import FrameReceiver
from transports.memory_stream import stream_pair
from transports.wrapper import wrap

FRAME = Frame(HdlcAddress.client(1), HdlcAddress.server(1, 17), UA, bytes(range(20))).encode()
MESSAGE = wrap(1, 1, bytes(range(20)))


async def client_in(one: House) -> Client:
    security = one.meter.config.security
    own = replace(security, client_system_title=bytes.fromhex(CLIENT_TITLE)) if security.ek else security
    return await associate((await one.connect()).channel(1, 1), own)


async def ask(client: Client) -> bytes:
    await client.channel.send(client.association.request(BALANCE))
    octets = await client.channel.receive(10)
    client.association.receive(octets)
    return octets


def test_a_duplicate_is_the_same_answer_again() -> None:
    async def play() -> None:
        async with house("duplicate-answer:1@read") as one:
            client = await client_in(one)
            first = await ask(client)
            assert await client.channel.receive(10) == first
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(5):
                    await client.channel.receive(None)

    run_in_virtual_time(play())


@pytest.mark.parametrize(
    ("order", "steps"), [("counter-falls=2:1@read", [-1, 3]), ("counter-jumps=500:1@read", [501, 1])]
)
def test_a_wrong_counter_is_on_the_wire(order: str, steps: list[int]) -> None:
    async def play() -> None:
        async with house(config=secured(SECURITIES["hls-gmac"])) as one:
            client = await client_in(one)
            counters = [CipheredApdu.parse(await ask(client)).counter]
            one.meter.behaviour.order(FaultOrder.parse(order))
            for _ in steps:
                await client.channel.send(client.association.request(BALANCE))
                octets = await client.channel.receive(10)
                counters.append(CipheredApdu.parse(octets).counter)
                try:
                    client.association.receive(octets)
                except ReplayedCounterError:
                    client.association.give_up_reading()
            assert [after - before for before, after in pairwise(counters)] == steps

    run_in_virtual_time(play())


async def written(data: bytes, fault: Fault | None) -> list[bytes]:
    """What arrives of some bytes that are written under a fault, and of the same bytes behind them."""
    ours, theirs = stream_pair()
    faults, pieces = WireFaults(), list[bytes]()
    ours.start(pieces.append, lambda error: pieces.append(b"closed"))
    broken = faults.filter(theirs)
    with faults.breaking(fault):
        broken.write(data)
    for _ in range(3):
        await asyncio.sleep(0)
    if b"closed" not in pieces:
        broken.write(data)
    for _ in range(3):
        await asyncio.sleep(0)
    return pieces


def frames_in(pieces: list[bytes]) -> int:
    receiver = FrameReceiver()
    return sum(len(list(receiver.receive(piece))) for piece in pieces)


async def test_a_frame_with_a_wrong_check_sequence_is_no_frame_and_the_next_one_is() -> None:
    (broken, whole) = await written(FRAME, Fault.BAD_FCS)
    assert whole == FRAME
    assert [at for at, (one, other) in enumerate(zip(broken, FRAME, strict=True)) if one != other] == [len(FRAME) - 2]
    assert broken.count(0x7E) == FRAME.count(0x7E)
    assert frames_in([broken]) == 0
    assert frames_in([broken, whole]) == 1


async def test_half_a_frame_and_a_frame_twice() -> None:
    assert await written(FRAME, Fault.HALF_FRAME) == [FRAME[: len(FRAME) // 2], FRAME]
    twice = await written(FRAME, Fault.DUPLICATE_FRAME)
    assert b"".join(twice) == FRAME * 3
    assert await written(FRAME, None) == [FRAME, FRAME]


async def test_on_the_wrapper_the_version_is_wrong_and_half_a_message_is_the_end() -> None:
    (broken, whole) = await written(MESSAGE, Fault.BAD_FCS)
    assert (broken[:2], broken[2:], whole) == (b"\x00\x81", MESSAGE[2:], MESSAGE)
    assert await written(MESSAGE, Fault.HALF_FRAME) == [MESSAGE[: len(MESSAGE) // 2], b"closed"]
