"""New keys for simulated meters on real sockets: what is said of the meter's keys is true, and none is ever lost.

Every outcome in this file is compared with the keys that the meter holds, in ``told``.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

import pytest

from cosem_objects.dlms.apdu import ExceptionResponse, ServiceError, StateError
from cosem_objects.dlms.security import COUNTER_MAX, InvocationCounters
from cosem_objects.dlms.settings import Ciphering, Protection, SecuritySettings
from cosem_objects.errors import LocalProtocolError, SettingError
from cosem_objects.security_setup import KeyId
from gateway.key_transfer import KeyChange, KeysHeld, KeyTransfer, NewKeys, prove_keys, transfer_keys
from gateway.meters import Meter
from gateway.session import connect, open_session
from sim_meters.lab import LAB_MASTER_KEY
from sim_meters.ledger import Ledger, LedgerError
from sim_meters.meter_config import MeterConfig
from sim_meters.meter_keys import MeterKeys
from sim_meters.records import CountersKept
from tests.gateway.test_delivery import GENERAL, HLS, IMPATIENT, KEYS, NONE, SHORT_HDLC, WIRES, WatchedMeter, secured
from tests.gateway.test_delivery import Place as WatchedPlace
from tests.transports.wires import listen_somewhere
from transports.channel import ApduChannel, Link

NEW_EK, NEW_AK, OTHER_MASTER = (bytes([octet]) * 16 for octet in (0xE1, 0xA1, 0x31))
BOTH = NewKeys(NEW_EK, NEW_AK)
WITHOUT_HLS = SecuritySettings.parse({**KEYS, "mechanism": "none"})
AUTHENTICATED_ONLY = replace(HLS, protection=Protection.AUTHENTICATED)
QUICK = replace(IMPATIENT, doubt_rounds_max=2)

# The meter's side.


class WatchedKeys(MeterKeys):
    """Lets a test step in right before and right after a transfer is written down."""

    before: Callable[[], object] = staticmethod(lambda: None)
    after: Callable[[], object] = staticmethod(lambda: None)

    def transfer(self, keys: Mapping[KeyId, bytes]) -> None:
        self.before()
        super().transfer(keys)
        self.after()


class KeyedMeter(WatchedMeter):
    keys: WatchedKeys

    def __init__(self, config: MeterConfig, ledger: Ledger | None = None, **made: Any) -> None:
        super().__init__(config, ledger, **made)
        self.keys = WatchedKeys(config.security, config.master_key, self.ledger)


class Place(WatchedPlace):
    """An address where a keyed meter listens; a test decides what becomes of each APDU."""

    def __init__(self, meter: KeyedMeter) -> None:
        super().__init__(meter)
        self.heard = 0
        """APDUs that arrived, in all conversations."""
        self.on_heard: Callable[[int], object] = lambda _number: None
        self.loses_answer = False
        self.lies = False

    async def serve(self, channel: ApduChannel) -> None:
        await self.meter.serve(Wire(self, channel))  # type: ignore[arg-type]

    @property
    def keys(self) -> WatchedKeys:
        assert isinstance(self.meter, KeyedMeter)
        return self.meter.keys

    def restart(self) -> None:
        self.meters.append(KeyedMeter(self.meter.config, self.meter.ledger))


class Wire:
    """A meter's channel on which answers get lost, or are another's."""

    def __init__(self, place: Place, inner: ApduChannel) -> None:
        self._place = place
        self._inner = inner

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)

    async def receive(self, timeout_seconds: float | None) -> bytes:
        while True:
            apdu = await self._inner.receive(timeout_seconds)
            self._place.heard += 1
            self._place.on_heard(self._place.heard)
            if not self._place.lies:
                return apdu
            said = ExceptionResponse(StateError.SERVICE_NOT_ALLOWED, ServiceError.DECIPHERING_ERROR)
            await self._inner.send(said.encode())

    async def send(self, apdu: bytes) -> None:
        if self._place.loses_answer:
            self._place.loses_answer = False
        else:
            await self._inner.send(apdu)


@asynccontextmanager
async def meter_at(security: SecuritySettings = HLS, *, wire: str = "tcp") -> AsyncIterator[Place]:
    place = Place(KeyedMeter(secured(security)))
    async with await listen_somewhere(wire, place.serve, accept=place.meter.config.is_for_us) as listener:
        place.url = listener.url
        yield place
    for meter in place.meters:
        meter.close()


# The head-end's side.


class HeadEnd:
    """What it has written down, and one change of keys."""

    def __init__(self, place: Place, new_keys: NewKeys = BOTH, **known: Any) -> None:
        known = {"profile": QUICK, "hdlc": SHORT_HDLC, **known}
        self.place = place
        self.meter: Meter = place.knows(**known)
        self.pending: list[NewKeys] = []
        self.links: list[Link] = []
        self.change = KeyChange.begin(self.meter, new_keys, InvocationCounters(), self._connect)

    async def commit(self, new_keys: NewKeys) -> None:
        self.pending.append(new_keys)

    async def transfer(self, master_key: bytes = LAB_MASTER_KEY) -> KeyTransfer:
        session = await open_session(self.meter, self.change.counters, self._connect)
        async with session:
            return told(self, await transfer_keys(session, self.change, master_key, self.commit))

    async def prove(self) -> KeyTransfer:
        return told(self, await prove_keys(self.change))

    async def _connect(self, meter: Meter) -> Link:
        self.links.append(await connect(meter))
        return self.links[-1]


def told(head_end: HeadEnd, transfer: KeyTransfer) -> KeyTransfer:
    """What was said, held against the truth."""
    old, new = head_end.change.meter.security, head_end.change.new_meter.security
    present = head_end.place.keys.security
    true = {KeysHeld.OLD: (old.ek, old.ak), KeysHeld.NEW: (new.ek, new.ak)}
    assert (present.ek, present.ak) in true.values()
    if transfer.held is not KeysHeld.UNKNOWN:
        assert (present.ek, present.ak) == true[transfer.held]
    for key in (NEW_EK, NEW_AK, old.ek, old.ak):
        assert key.hex() not in transfer.detail.lower()
    return transfer


@pytest.mark.parametrize("wire", WIRES)
@pytest.mark.parametrize(
    "security",
    [HLS, GENERAL, AUTHENTICATED_ONLY],
    ids=["hls-gmac", "general-glo", "authenticated only"],
)
async def test_a_meter_takes_new_keys_and_the_proof_is_an_association(wire: str, security: SecuritySettings) -> None:
    async with meter_at(security, wire=wire) as place:
        head_end = HeadEnd(place)
        result = await head_end.transfer()
        assert head_end.change.new_counters.next_own == place.meter.counters.last_received + 1 < 20
    assert result.held is KeysHeld.NEW
    assert result.detail == "the meter answered success (0); the meter opened an association under the new keys"
    assert head_end.pending == [BOTH]


async def test_without_a_challenge_nothing_would_be_proven() -> None:
    """The beginning of an association under the old keys, recorded before, could be played back as their proof."""
    async with meter_at(WITHOUT_HLS) as place:
        with pytest.raises(SettingError, match="high level security"):
            await HeadEnd(place).transfer()


@pytest.mark.parametrize(("keys", "fresh"), [(NewKeys(ek=NEW_EK), True), (NewKeys(ak=NEW_AK), False)])
async def test_one_key_alone(keys: NewKeys, fresh: bool) -> None:
    async with meter_at() as place:
        head_end = HeadEnd(place, keys)
        assert (await head_end.transfer()).held is KeysHeld.NEW
        assert (head_end.change.counters is head_end.change.new_counters) is not fresh
        assert head_end.change.new_counters.next_own == place.meter.counters.last_received + 1


@pytest.mark.parametrize("wire", WIRES)
async def test_the_new_keys_are_written_down_before_the_first_byte_leaves(wire: str) -> None:
    """While they are, another conversation goes from its beginning to its end: what had left before is there then."""
    async with meter_at(wire=wire) as place:
        head_end = HeadEnd(place)
        held: list[int] = []

        async def commit(new_keys: NewKeys) -> None:
            before = place.heard
            await _ask_as_public_client(place)
            held.append(place.heard - before)
            assert place.keys.security.ek == HLS.ek
            head_end.pending.append(new_keys)

        heard_at_transfer: list[list[NewKeys]] = []
        place.keys.before = lambda: heard_at_transfer.append(list(head_end.pending))
        head_end.commit = commit  # type: ignore[method-assign]
        assert (await head_end.transfer()).held is KeysHeld.NEW
    assert held == [2], "an AARQ and a release, and nothing of ours"
    assert heard_at_transfer == [[BOTH]]


async def _ask_as_public_client(place: Place) -> None:
    public = place.knows(client_sap=16, security=NONE)
    async with await open_session(public, InvocationCounters()) as session:
        await session.release()


async def test_keys_that_cannot_be_written_down_stay_here() -> None:
    async def disk_full(_new_keys: NewKeys) -> None:
        raise OSError("no space left")

    async with meter_at() as place:
        head_end = HeadEnd(place)
        session = await open_session(head_end.meter, head_end.change.counters)
        heard = place.heard
        async with session:
            with pytest.raises(OSError, match="no space left"):
                await transfer_keys(session, head_end.change, LAB_MASTER_KEY, disk_full)
        assert place.keys.security.ek == HLS.ek
        await _ask_as_public_client(place)
        assert place.heard == heard + 2


# What can go wrong on the way.


def _dies() -> None:
    raise LedgerError("the power is cut")


def _hangs_up_before(place: Place) -> None:
    place.keys.before = _dies


def _hangs_up_after(place: Place) -> None:
    place.keys.after = _dies


def _is_restarted_before(place: Place) -> None:
    def cut() -> None:
        place.restart()
        _dies()

    place.keys.before = cut


def _is_restarted_after(place: Place) -> None:
    def cut() -> None:
        place.restart()
        _dies()

    place.keys.after = cut


def _loses_the_answer(place: Place) -> None:
    def lose() -> None:
        place.loses_answer = True

    place.keys.after = lose


@pytest.mark.parametrize("wire", WIRES)
@pytest.mark.parametrize(
    ("fault", "held"),
    [
        (_hangs_up_before, KeysHeld.OLD),
        (_is_restarted_before, KeysHeld.OLD),
        (_hangs_up_after, KeysHeld.NEW),
        (_is_restarted_after, KeysHeld.NEW),
        (_loses_the_answer, KeysHeld.NEW),
    ],
)
async def test_without_an_answer_the_truth_is_proven(fault: Callable[[Place], None], held: KeysHeld, wire: str) -> None:
    async with meter_at(wire=wire) as place:
        fault(place)
        result = await HeadEnd(place).transfer()
    assert result.held is held
    assert result.detail.startswith("no answer to the transfer: ")


async def test_a_refusal_ends_with_the_old_keys_and_says_why() -> None:
    async with meter_at() as place:
        head_end = HeadEnd(place)
        result = await head_end.transfer(OTHER_MASTER)
        assert result.held is KeysHeld.OLD
        assert result.detail.startswith("the meter answered other-reason (250), often a wrong master key; ")
        assert head_end.change.new_counters.next_own == 1, "nothing was said under the new key"
        assert (await HeadEnd(place).prove()).held is KeysHeld.OLD


async def test_a_meter_that_says_yes_and_keeps_the_old_keys_is_found_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(MeterKeys, "transfer", lambda _self, _keys: None)
    async with meter_at() as place:
        result = await HeadEnd(place).transfer()
    assert result.held is KeysHeld.OLD
    assert result.detail.startswith("the meter answered success (0); ")


@pytest.mark.parametrize("moment", ["before", "after"])
async def test_what_anybody_can_say_proves_nothing(moment: str) -> None:
    """From the transfer on somebody else answers everything with: I cannot decipher this."""
    async with meter_at() as place:

        def lie() -> None:
            place.lies = True
            _dies()

        setattr(place.keys, moment, lie)
        head_end = HeadEnd(place)
        result = await head_end.transfer()
        assert result.held is KeysHeld.UNKNOWN
        assert "keep both; under the new keys: " in result.detail
        assert "under the old keys: " in result.detail
        place.lies = False
        assert (await head_end.prove()).held is (KeysHeld.OLD if moment == "before" else KeysHeld.NEW)


async def test_a_meter_that_cannot_be_reached_is_proven_later() -> None:
    place = Place(KeyedMeter(secured(HLS)))
    async with await listen_somewhere("tcp", place.serve) as listener:
        place.url = listener.url
        head_end = HeadEnd(place)
        session = await open_session(head_end.meter, head_end.change.counters)
        closing: list[asyncio.Task[None]] = []
        place.keys.after = lambda: closing.append(asyncio.ensure_future(listener.close()))
        result = told(head_end, await transfer_keys(session, head_end.change, LAB_MASTER_KEY, head_end.commit))
        await asyncio.gather(*closing)
    assert result.held is KeysHeld.UNKNOWN
    place.keys.after = lambda: None
    async with await listen_somewhere("tcp", place.serve) as listener:
        place.url = listener.url
        meter = replace(head_end.meter, endpoint=place.knows().endpoint)
        later = await prove_keys(replace(head_end.change, meter=meter))
    assert later.held is KeysHeld.NEW


async def test_another_meter_with_the_same_old_keys_proves_nothing() -> None:
    """The keys of a whole fleet, and an address that was given to another meter meanwhile."""
    async with meter_at() as place:
        other = replace(place.meter.config.security, meter_system_title=b"SIM\0\0\0\0\2")

        def exchange() -> None:
            ledger = Ledger()
            ledger.append(CountersKept(received=-1, sent_limit=50_000))  # so that its counters give it not away
            place.meters.append(KeyedMeter(replace(place.meter.config, security=other), ledger))
            _dies()

        place.keys.after = exchange
        head_end = HeadEnd(place, security=replace(HLS, meter_system_title=b""))
        assert (await head_end.transfer()).held is KeysHeld.UNKNOWN


async def test_a_transfer_that_comes_late_is_refused_as_a_replay() -> None:
    """It waits somewhere on the way until the old keys are proven; then it must not count any more."""
    async with meter_at() as place:
        head_end, on_its_way = HeadEnd(place), []
        session = await open_session(head_end.meter, head_end.change.counters)

        async def delayed(apdu: bytes) -> None:
            on_its_way.append(apdu)

        session._channel.send = delayed  # type: ignore[method-assign]
        result = told(head_end, await transfer_keys(session, head_end.change, LAB_MASTER_KEY, head_end.commit))
        assert result.held is KeysHeld.OLD
        async with await open_session(head_end.meter, head_end.change.counters) as later:
            await later._channel.send(on_its_way[0])
            answer = await later._channel.receive(5)
        assert answer[:3] == bytes.fromhex("D80106")
        assert place.keys.security.ek == HLS.ek


async def test_wherever_the_head_end_stops_both_keys_are_there_and_the_truth_is_found() -> None:
    """It is stopped when the n-th APDU has arrived, the meter answering all the same."""
    outcomes = []
    for stop_at in range(3, 20):
        async with meter_at() as place:
            head_end = HeadEnd(place)
            task = asyncio.create_task(head_end.transfer())
            place.on_heard = lambda number: task.cancel() if number == stop_at else None  # noqa: B023
            try:
                outcomes.append((await task).held.value)
            except asyncio.CancelledError:
                outcomes.append("stopped")
            place.on_heard = lambda _number: None
            if place.keys.security.ek == NEW_EK:
                assert head_end.pending == [BOTH]
            assert (await head_end.prove()).held is not KeysHeld.UNKNOWN
    assert outcomes[0] == "stopped"
    assert outcomes[-1] == "new"
    assert outcomes == sorted(outcomes, reverse=True)


async def test_a_counter_that_is_used_up_leaves_it_unknown() -> None:
    async with meter_at() as place:
        head_end = HeadEnd(place)
        last = InvocationCounters(COUNTER_MAX - 2)
        head_end.change = KeyChange(head_end.meter, BOTH, last, InvocationCounters())
        assert (await head_end.transfer()).held is KeysHeld.UNKNOWN
        assert head_end.pending == [BOTH]


# What is refused before anything is sent.


@pytest.mark.parametrize(
    ("security", "keys", "message"),
    [
        (replace(HLS, ciphering=Ciphering.NONE), BOTH, "a ciphered and authenticated association"),
        (replace(HLS, protection=Protection.ENCRYPTED), BOTH, "a ciphered and authenticated association"),
        (HLS, NewKeys(HLS.ek, HLS.ak), "the meter's present ones"),
        (HLS, NewKeys(ak=HLS.ak), "the meter's present ones"),
    ],
)
def test_a_change_that_could_not_be_proven_is_refused(security: SecuritySettings, keys: NewKeys, message: str) -> None:
    place = Place(KeyedMeter(secured(HLS)))
    place.url = "tcp://127.0.0.1:1"
    with pytest.raises(SettingError, match=message):
        HeadEnd(place, keys, security=security)


def test_counters_are_not_shared_between_two_encryption_keys() -> None:
    place = Place(KeyedMeter(secured(HLS)))
    place.url = "tcp://127.0.0.1:1"
    counters = InvocationCounters()
    with pytest.raises(SettingError, match="counters of their own"):
        KeyChange(place.knows(), BOTH, counters, counters)
    with pytest.raises(SettingError, match="counters of their own"):
        KeyChange(place.knows(), NewKeys(ak=NEW_AK), counters, InvocationCounters())


@pytest.mark.parametrize(
    ("keys", "message"), [({}, "at least one"), ({"ek": bytes(15)}, "new-ek"), ({"ak": bytes(32)}, "new-ak")]
)
def test_no_keys(keys: dict[str, bytes], message: str) -> None:
    with pytest.raises(SettingError, match=message):
        NewKeys(**keys)


def test_keys_are_not_shown() -> None:
    shown = repr(BOTH)
    assert shown == "<NewKeys global_unicast_encryption_key, authentication_key>"


async def test_a_master_key_of_a_wrong_size_is_refused_before_anything_is_written_down() -> None:
    async with meter_at() as place:
        head_end = HeadEnd(place)
        with pytest.raises(LocalProtocolError, match="key wrap"):
            await head_end.transfer(bytes(8))
    assert head_end.pending == []
