"""Meters behind a concentrator, on real sockets: tokens arrive, and a wrong address is said clearly."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as some

from cosem_objects.dlms.apdu import NetworkAddress, PrefixedResponse
from cosem_objects.dlms.security import InvocationCounters
from cosem_objects.dlms.settings import SecuritySettings
from cosem_objects.errors import RemoteProtocolError
from gateway.forwarding import ForwardingChannel, NotForwarded
from gateway.session import open_session
from sim_meters.faults import Fault
from tests.gateway.test_delivery import (
    ACCEPTED,
    GENERAL,
    HLS,
    IMPATIENT,
    LLS,
    NONE,
    ONE,
    SHORT_HDLC,
    TWO,
    WIRES,
    deliver,
    faulty,
    meter_at,
    secured,
)
from transports.channel import Address, ApduChannel
from transports.hdlc.connection import HdlcSettings

HERE = NetworkAddress(0, bytes.fromhex("0102"))
SECURITIES = {"none": NONE, "lls": LLS, "service-glo": HLS, "general-glo": GENERAL}
QUICK: dict[str, Any] = {"profile": IMPATIENT, "hdlc": SHORT_HDLC}


@pytest.mark.parametrize("wire", WIRES)
@pytest.mark.parametrize("security", SECURITIES.values(), ids=SECURITIES)
async def test_a_token_reaches_the_meter_behind_a_concentrator(wire: str, security: SecuritySettings) -> None:
    async with meter_at(secured(security, behind=HERE), wire=wire) as place:
        assert (await deliver(place, ONE, TWO, behind=HERE)).words == [ACCEPTED, ACCEPTED]
        assert place.times_credited(ONE) == 1


@pytest.mark.parametrize("size", [1, 2, 64])
async def test_addresses_of_every_length(size: int) -> None:
    address = NetworkAddress(255, bytes(range(size)))
    async with meter_at(secured(HLS, behind=address)) as place:
        assert (await deliver(place, ONE, behind=address)).words == [ACCEPTED]


async def test_in_hdlc_segments_the_prefix_is_sent_once() -> None:
    """The prefix belongs to the APDU, and not to the frames in which it travels."""
    address = NetworkAddress(7, bytes(range(48)))
    async with meter_at(secured(HLS, behind=address), wire="hdlc+tcp") as place:
        small = HdlcSettings(info_max=32, window_max=3, response_timeout_seconds=SHORT_HDLC.response_timeout_seconds)
        assert (await deliver(place, ONE, behind=address, hdlc=small)).words == [ACCEPTED]


@pytest.mark.parametrize("fault", [Fault.HANG_UP_AFTER_ENTER, Fault.DROP_ANSWER_AFTER_ENTER])
@pytest.mark.parametrize("wire", WIRES)
async def test_a_lost_answer_behind_a_concentrator_is_read_back(fault: Fault, wire: str) -> None:
    async with meter_at(secured(HLS, behind=HERE), wire=wire, behaviour=faulty(fault)) as place:
        assert (await deliver(place, ONE, behind=HERE, **QUICK)).words == [ACCEPTED]


WRONG = {
    # where the meter is | whom we ask | what must be said
    "another network": (HERE, NetworkAddress(1, HERE.physical), "reaches no meter behind 1:0102: check --behind"),
    "another address": (HERE, NetworkAddress(0, b"\1\3"), "reaches no meter behind 0:0103: check --behind"),
    "a longer address": (HERE, NetworkAddress(0, b"\1\2\0"), "reaches no meter behind 0:010200: check --behind"),
    "no concentrator": (None, HERE, "reaches no meter behind 0:0102: check --behind"),
    "no prefix": (HERE, None, "needs --behind"),
}


@pytest.mark.parametrize("wire", WIRES)
@pytest.mark.parametrize("security", [NONE, HLS], ids=["none", "hls-gmac"])
@pytest.mark.parametrize("name", WRONG)
async def test_whoever_does_not_reach_the_meter_sends_nothing_and_says_why(
    name: str, security: SecuritySettings, wire: str
) -> None:
    behind, asked, named = WRONG[name]
    async with meter_at(secured(security, behind=behind), wire=wire) as place:
        notes = await deliver(place, ONE, behind=asked, **QUICK)
        assert place.meter.entered == []
    (judged,) = notes.judged
    assert notes.words[0].startswith(("unreached (", "held (config)"))
    assert notes.words[0].endswith("credited no")
    assert named in judged.verdict.detail


async def test_an_answer_of_another_meter_is_nobodys() -> None:
    async with meter_at(secured(NONE, behind=HERE)) as place:
        serve = place.meter.serve

        async def exchanged(channel: ApduChannel) -> None:
            await serve(_Renamed(channel))

        place.meter.serve = exchanged  # type: ignore[method-assign]
        with pytest.raises(RemoteProtocolError, match=r"an APDU from 9:0102; 0:0102 was asked"):
            await open_session(place.knows(behind=HERE), InvocationCounters())


class _Renamed(ApduChannel):
    """What a concentrator would do that mixes up its networks."""

    def __init__(self, inner: ApduChannel) -> None:
        self.address = inner.address
        self._inner = inner

    async def open(self, timeout_seconds: float) -> None:
        await self._inner.open(timeout_seconds)

    async def send(self, apdu: bytes) -> None:
        await self._inner.send(apdu[:1] + b"\x09" + apdu[2:])

    async def receive(self, timeout_seconds: float | None) -> bytes:
        return await self._inner.receive(timeout_seconds)

    async def close(self) -> None:
        await self._inner.close()

    def hang_up(self) -> None:
        self._inner.hang_up()


# What anybody at the endpoint may say.


class Saying(ApduChannel):
    """A concentrator that says one thing."""

    def __init__(self, octets: bytes) -> None:
        self.address = Address(1, 1, None)
        self._octets = octets

    async def open(self, timeout_seconds: float) -> None: ...

    async def send(self, apdu: bytes) -> None: ...

    async def receive(self, timeout_seconds: float | None) -> bytes:
        return self._octets

    async def close(self) -> None: ...

    def hang_up(self) -> None: ...


async def heard(octets: bytes) -> bytes:
    return await ForwardingChannel(Saying(octets), HERE).receive(1)


def run(octets: bytes) -> bytes:
    """Nothing waits here, so that no event loop is needed."""
    try:
        heard(octets).send(None)
    except StopIteration as end:
        result: bytes = end.value
        return result
    raise AssertionError("it waited")


PREFIXED = PrefixedResponse(HERE.network_id, HERE.physical, b"\xc4\x01\xc1\x00\x00").encode()


def test_the_prefix_of_the_meter_is_taken_off() -> None:
    """Green Book, gateway protocol: E7, network id, length of the address, address; then the APDU."""
    assert bytes.fromhex("E700020102C401C10000") == PREFIXED
    assert run(PREFIXED) == bytes.fromhex("C401C10000")


def test_an_exception_response_without_a_prefix_is_the_concentrators_own() -> None:
    with pytest.raises(NotForwarded, match=r"service-not-allowed.*reaches no meter behind 0:0102: check --behind"):
        run(bytes.fromhex("D80101"))


@given(some.one_of(some.binary(max_size=40), some.integers(0, len(PREFIXED)).map(lambda end: PREFIXED[:end])))
def test_whatever_is_said_is_an_apdu_of_the_meter_or_refused(octets: bytes) -> None:
    try:
        apdu = run(octets)
    except RemoteProtocolError:
        return
    assert octets.startswith(PREFIXED[:5])
    assert apdu == octets[5:]


@given(some.data())
def test_one_changed_octet_in_the_prefix_makes_it_another_meters(data: some.DataObject) -> None:
    place = data.draw(some.integers(0, 4))
    other = data.draw(some.integers(0, 255).filter(lambda octet: octet != PREFIXED[place]))
    with pytest.raises(RemoteProtocolError):
        run(PREFIXED[:place] + bytes((other,)) + PREFIXED[place + 1 :])
