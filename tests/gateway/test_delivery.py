"""``Delivery`` against simulated meters on real sockets: what it says of a token, and what the meter's ledger says.

Every ``credited: yes`` and ``credited: no`` in this file is compared with that ledger, in ``deliver``.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal
from itertools import count
from typing import Any

import pytest

from cosem_objects import axdr, disconnect_control
from cosem_objects.association_ln import PUBLIC_CLIENT_SAP
from cosem_objects.axdr import Data
from cosem_objects.disconnect_control import ControlState
from cosem_objects.dlms.apdu import ActionResult, DataAccessResult, ExceptionResponse, ServiceError, StateError
from cosem_objects.dlms.security import COUNTER_MAX, InvocationCounters
from cosem_objects.dlms.settings import Protection, SecuritySettings
from cosem_objects.obis import ObisCode
from cosem_objects.payment import Currency, CurrencyUnit
from cosem_objects.profile import HiddenTokenProof, MeterProfile, TokenReadback
from cosem_objects.sts_token import Token, TokenClass
from cosem_objects.token_gateway import DataValueMap, TokenEncoding, TokenStatus, onehot16
from gateway.delivery import Delivery
from gateway.events import DoubtArisen, Event, Judged, Reached, SendStarted, StatusRead
from gateway.meters import Meter
from gateway.orders import Amount
from gateway.session import open_session
from gateway.verdict import Credited
from sim_meters.account import AccountUnit
from sim_meters.asked import Asked, InterfaceClass
from sim_meters.behaviour import Behaviour
from sim_meters.clock import VirtualClock
from sim_meters.fault_order import FaultOrder
from sim_meters.faults import Fault
from sim_meters.ledger import CountersKept, Ledger, LedgerError
from sim_meters.meter import SimMeter
from sim_meters.meter_config import SIM_PROFILE, MeterConfig, lab_config
from sim_meters.sts.results import TokenResult
from sim_meters.sts.tokens.clear_token import encode_credit
from tests.transports.wires import SmallPieces, free_port, listen_somewhere, mute
from transports.channel import ApduChannel
from transports.endpoint import Endpoint
from transports.hdlc.connection import HdlcSettings
from transports.stream import ByteStream

SERIAL, PAN = lab_config().device_name, lab_config().pan.digits
KEYS = {
    "mechanism": "hls-gmac",
    "ek": "000102030405060708090A0B0C0D0E0F",
    "ak": "D0D1D2D3D4D5D6D7D8D9DADBDCDDDEDF",
    "client_system_title": "5354534741544501",
    "meter_system_title": "53494D0000000001",
}
NONE, LLS, HLS = (
    SecuritySettings.parse(settings) for settings in ({}, {"mechanism": "lls", "password": "12345678"}, KEYS)
)
GENERAL, UNCIPHERED = (SecuritySettings.parse({**KEYS, "ciphering": form}) for form in ("general-glo", "none"))
WIRES = ("tcp", "hdlc+tcp")
SECURITIES = {"none": NONE, "lls": LLS, "hls-gmac": HLS, "general-glo": GENERAL, "hls-gmac in clear": UNCIPHERED}

QUICK = replace(SIM_PROFILE, poll_first_seconds=0.01)
"""The head-end's profile of the simulated meters; waits are short."""
BLIND = replace(QUICK, data_value_map=DataValueMap.RAW)
"""For a meter whose bits nobody can read: "used" is never proven."""
IMPATIENT = replace(QUICK, response_timeout_seconds=0.5)
SHORT_HDLC = HdlcSettings(response_timeout_seconds=0.5, retries=0)

ACCEPTED = "accepted, credited yes"
USED_AFTER_DOUBT = "accepted, credited yes, used-after-doubt"
OTHER_OBIS = ObisCode.parse("0-0:19.41.0.255")

# The meter's side.


class WatchedMeter(SimMeter):
    """Notes what reaches it, and lets a test do something right after a token was entered."""

    def __init__(self, config: MeterConfig, ledger: Ledger | None = None, **made: Any) -> None:
        super().__init__(config, ledger, **made)
        self.entered: list[bytes] = []
        self.callers: list[int] = []
        """The client SAP of every conversation."""
        self.right_after_enter: Callable[[], object] = lambda: None

    def enter(self, octets: bytes) -> ActionResult:
        self.entered.append(octets)
        result = super().enter(octets)
        self.right_after_enter()
        return result

    def association(self, client_sap: int) -> Any:
        self.callers.append(client_sap)
        return super().association(client_sap)


class Place:
    """An address where a meter listens. The meter can be exchanged while somebody speaks to it."""

    url = ""

    def __init__(self, meter: WatchedMeter) -> None:
        self.meters = [meter]
        """All that ever stood here; the last one is the present one."""

    @property
    def meter(self) -> WatchedMeter:
        return self.meters[-1]

    async def serve(self, channel: ApduChannel) -> None:
        await self.meter.serve(channel)

    def times_credited(self, token: Token) -> int:
        return sum(meter.ledger.times_credited(token) for meter in self.meters)

    def knows(self, **changes: Any) -> Meter:
        """The meter as a head-end knows it that has everything right."""
        config = self.meter.config
        meter = Meter(endpoint=Endpoint.parse(self.url), profile=QUICK, security=config.security)
        return replace(meter, **changes)


@asynccontextmanager
async def meter_at(config: MeterConfig | None = None, *, wire: str = "tcp", **made: Any) -> AsyncIterator[Place]:
    """A meter on a real socket. An error in its handlers fails the test."""
    place = Place(WatchedMeter(config or lab_config(), made.pop("ledger", None), **made))
    failures: list[dict[str, Any]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: failures.append(context))
    async with await listen_somewhere(wire, place.serve, accept=place.meter.config.is_for_us) as listener:
        place.url = listener.url
        yield place
    for meter in place.meters:
        meter.close()
    assert not failures


def secured(security: SecuritySettings, **changes: Any) -> MeterConfig:
    """The lab meter under a security; it keeps the system title that it was made with."""
    title = lab_config().security.meter_system_title
    return replace(lab_config(), security=replace(security, meter_system_title=title), **changes)


def faulty(fault: Fault, count: int | None = 1) -> Behaviour:
    return Behaviour([FaultOrder(fault, count)])


def credit(config: MeterConfig, units: int = 256, tid: int = 6_000_000) -> Token:
    kind = config.unit.kind
    return encode_credit(config.decoder_key, kind, units, tid, None if kind.is_currency else 5)


def octets(token: Token, encoding: TokenEncoding = TokenEncoding.ASCII20) -> bytes:
    return encoding.to_octets(token)


ONE, TWO, THREE = (credit(lab_config(), 256 + number, 6_000_000 + number) for number in range(3))
OTHER_KEY = credit(lab_config(1))
"""A token under the key of another meter."""
MONEY = credit(replace(lab_config(), unit=AccountUnit.money("ZAR")), 500_000)
OLD = credit(lab_config(), tid=1)
CLASS_1 = Token.from_block(TokenClass.NON_METER_SPECIFIC_MANAGEMENT, 0x0123456789)

# The head-end's side.

Step = Callable[[Any], Awaitable[None]]


class Notes(list[Event]):
    """The ``record`` of a delivery: keeps each event, and lets a test step in while it happens."""

    def __init__(self, steps: Mapping[type, Step]) -> None:
        super().__init__()
        self._steps = steps

    async def record(self, event: Event) -> None:
        self.append(event)
        if type(event) in self._steps:
            await self._steps[type(event)](event)

    @property
    def kinds(self) -> list[type]:
        return [type(event) for event in self]

    @property
    def judged(self) -> list[Judged]:
        return [event for event in self if isinstance(event, Judged)]

    @property
    def words(self) -> list[str]:
        return [words(judged) for judged in self.judged]

    @property
    def sends(self) -> int:
        return self.kinds.count(SendStarted)


def words(judged: Judged) -> str:
    """The verdict in one line: ``rejected (used), credited unknown, already-in-meter``."""
    verdict = judged.verdict
    parts = [f"{verdict.outcome} ({verdict.reason})" if verdict.reason else f"{verdict.outcome}"]
    parts += [f"credited {verdict.credited}", *([verdict.evidence] if verdict.evidence else [])]
    return ", ".join(parts)


async def deliver(
    place: Place,
    *tokens: Token,
    amount: Amount | None = None,
    after_doubt: bool = False,
    steps: Mapping[type, Step] | None = None,
    **known: Any,
) -> Notes:
    """Deliver, and hold what is said against the ledger."""
    notes = Notes(steps or {})
    delivery = Delivery(place.knows(**known), notes.record, amount=amount, after_doubt=after_doubt)
    result = await delivery.run(tokens)
    assert result == notes.judged
    told = [judged.token for judged in result]
    # After a doubt about several, the one that the meter shows is told first.
    assert told == list(tokens) or (after_doubt and Counter(told) == Counter(tokens))
    for judged in result:
        times, said = place.times_credited(judged.token), judged.verdict.credited
        assert said is Credited.UNKNOWN or times == (said is Credited.YES), (words(judged), times)
        assert times <= 1, judged
    return notes


async def ask_as_public_client(place: Place) -> None:
    """A conversation of another client from its beginning to its end: whatever was under way before it has arrived."""
    public = place.knows(client_sap=PUBLIC_CLIENT_SAP, security=NONE)
    async with await open_session(public, InvocationCounters()) as session:
        await session.get(1, ObisCode.parse("0-0:42.0.0.255"), 2)


# A token and its credit.


@pytest.mark.parametrize("wire", WIRES)
@pytest.mark.parametrize("security", SECURITIES.values(), ids=SECURITIES)
async def test_a_credit_is_booked_and_told_with_balance_and_switch(wire: str, security: SecuritySettings) -> None:
    async with meter_at(secured(security), wire=wire) as place:
        notes = await deliver(place, ONE, amount=Amount(Decimal("25.6"), "kWh"))
        assert place.meter.entered == [octets(ONE)]
    assert notes.kinds == [Reached, SendStarted, Judged]
    (judged,) = notes.judged
    assert words(judged) == ACCEPTED
    assert judged.status is not None
    assert judged.status.code == 3
    assert (judged.before.balance, judged.after.balance) == (Decimal(0), Decimal("25.6"))
    assert judged.control_state == ControlState.CONNECTED


async def test_an_account_in_money_is_read_to_the_cent() -> None:
    config = replace(lab_config(), unit=AccountUnit.money("ZAR"))
    async with meter_at(config) as place:
        (judged,) = (await deliver(place, credit(config, 5_012_000), amount=Amount(Decimal("50.12"), "ZAR"))).judged
    assert words(judged) == ACCEPTED
    assert judged.after.currency == Currency("ZAR", -2, CurrencyUnit.MONETARY)
    assert judged.after.balance == Decimal("50.12")


@pytest.mark.parametrize("wire", WIRES)
async def test_the_intent_is_written_before_a_byte_of_the_token_leaves(wire: str) -> None:
    """While the intent is written, another client asks the meter something: whatever had left before is there then."""
    async with meter_at(wire=wire) as place:
        seen: list[list[bytes]] = []

        async def ask_the_meter(_intent: SendStarted) -> None:
            await ask_as_public_client(place)
            seen.append(list(place.meter.entered))

        notes = await deliver(place, ONE, steps={SendStarted: ask_the_meter})
        assert seen == [[]]
        assert place.meter.entered == [octets(ONE)]
    (intent,) = [event for event in notes if isinstance(event, SendStarted)]
    assert (intent.token, intent.tries) == (ONE, 1)


async def test_an_intent_that_cannot_be_written_keeps_the_token_here() -> None:
    async def disk_full(_intent: SendStarted) -> None:
        raise OSError("no space left")

    async with meter_at() as place:
        with pytest.raises(OSError, match="no space left"):
            await deliver(place, ONE, steps={SendStarted: disk_full})
        assert place.meter.entered == []


async def test_a_delivery_that_is_cancelled_lets_the_meter_go() -> None:
    """The intent stands in the record without a verdict: that is a token in doubt."""
    async with meter_at(replace(lab_config(), status_delay_seconds=600)) as place:
        pending = asyncio.Event()

        async def note(_status: StatusRead) -> None:
            pending.set()

        gone = asyncio.Event()
        serve = place.serve

        async def watched(channel: ApduChannel) -> None:
            try:
                await serve(channel)
            finally:
                gone.set()

        async with await listen_somewhere("tcp", watched) as listener:
            place.url = listener.url
            notes = Notes({StatusRead: note})
            task = asyncio.create_task(Delivery(place.knows(), notes.record).run([ONE]))
            await asyncio.wait_for(pending.wait(), 20)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            await asyncio.wait_for(gone.wait(), 20)
    assert notes.kinds[:2] == [Reached, SendStarted]
    assert not notes.judged


# What a meter says no to.

REJECTIONS = [
    ("a token for another meter", OTHER_KEY, QUICK, 5, "rejected (crc), credited no"),
    ("the same, but the bits cannot be read", OTHER_KEY, BLIND, 5, "rejected (authentication), credited no"),
    ("money on a meter that counts kWh", MONEY, QUICK, 7, "rejected (function), credited no"),
    ("the same, but the bits cannot be read", MONEY, BLIND, 7, "rejected (execution), credited no"),
    ("a token from before the meter was made", OLD, QUICK, 6, "rejected (old), credited unknown"),
    ("the same, but the bits cannot be read", OLD, BLIND, 6, "rejected (validation), credited unknown"),
    ("a test token with a wrong CRC", CLASS_1, QUICK, 5, "rejected (crc), credited no"),
]


@pytest.mark.parametrize(
    ("token", "profile", "status", "verdict"), [row[1:] for row in REJECTIONS], ids=[row[0] for row in REJECTIONS]
)
async def test_a_refused_token_is_told_with_the_meters_reason(
    token: Token, profile: MeterProfile, status: int, verdict: str
) -> None:
    made = datetime(2020, 1, 1)  # in the time scale of the TIDs
    async with meter_at(replace(lab_config(), manufactured=made)) as place:
        notes = await deliver(place, token, profile=profile)
        assert place.meter.entered == [octets(token)]
    assert notes.words == [verdict]
    (judged,) = notes.judged
    assert judged.status is not None
    assert judged.status.code == status
    assert judged.before.balance == 0


@pytest.mark.parametrize(
    ("profile", "verdict"),
    [(QUICK, "rejected (used), credited unknown"), (BLIND, "rejected (validation), credited unknown")],
    ids=["the bits say so", "the bits cannot be read"],
)
async def test_a_token_that_a_customer_used_long_ago_is_no_ground_for_a_refund(
    profile: MeterProfile, verdict: str
) -> None:
    async with meter_at() as place:
        assert [place.meter.key_in(token) for token in (ONE, TWO)] == [TokenResult.ACCEPT] * 2
        assert (await deliver(place, ONE, profile=profile)).words == [verdict]


@pytest.mark.parametrize("wire", WIRES)
async def test_a_token_that_stands_in_the_meter_is_not_sent_again(wire: str) -> None:
    async with meter_at(wire=wire) as place:
        await deliver(place, ONE)
        notes = await deliver(place, ONE)
        assert place.meter.entered == [octets(ONE)]
    assert notes.words == ["rejected (used), credited unknown, already-in-meter"]
    assert notes.kinds == [Reached, Judged]
    assert notes.judged[0].status == TokenStatus(3, onehot16(None))  # the status is about somebody else's try


async def test_a_test_token_that_stands_in_the_meter_is_sent_again() -> None:
    """Class 1 has no TID: it may be entered as often as one likes."""
    async with meter_at() as place:
        for _ in range(2):
            assert (await deliver(place, CLASS_1)).words == ["rejected (crc), credited no"]
        assert place.meter.entered == [octets(CLASS_1)] * 2


async def test_what_stood_there_before_is_no_answer_to_what_is_sent_now() -> None:
    """The same class 1 token is shown already when ours gets lost: only a change since then is about ours."""
    async with meter_at() as place:
        await deliver(place, CLASS_1)
        place.meter.behaviour = faulty(Fault.HANG_UP_BEFORE_ENTER)
        notes = await deliver(place, CLASS_1)
        assert place.meter.entered == [octets(CLASS_1)] * 2
    assert notes.sends == 2
    assert notes.words == ["held (crc), credited unknown"]


# Amounts and accounts.


def account(name: str, scale: int, unit: CurrencyUnit) -> AccountUnit:
    return replace(AccountUnit.kwh(), currency=Currency(name, scale, unit))


KWH, ZAR = AccountUnit.kwh(), AccountUnit.money("ZAR")
WH = account("Wh", 2, CurrencyUnit.CONSUMPTION)
NAMELESS = account("", -1, CurrencyUnit.CONSUMPTION)


def account_name(value: object) -> str | None:
    return (value.currency.name or "nameless") if isinstance(value, AccountUnit) else None


MISFITS = [
    ("ZAR", KWH, {}),
    ("m3", KWH, {}),
    ("min", KWH, {}),
    ("kWh", ZAR, {}),
    ("USD", ZAR, {}),
    ("kWh", WH, {}),
    ("kWh", WH, {"unit_aliases": {"Wh": "MWh"}}),
    ("ZAR", NAMELESS, {}),
    ("m3", NAMELESS, {"currency_name": "kWh"}),
]


@pytest.mark.parametrize(("unit", "in_meter", "changes"), MISFITS, ids=account_name)
async def test_an_amount_in_another_unit_than_the_account_is_held(
    unit: str, in_meter: AccountUnit, changes: dict[str, Any]
) -> None:
    async with meter_at(replace(lab_config(), unit=in_meter)) as place:
        amount = Amount(Decimal("25.6"), unit)
        notes = await deliver(place, ONE, amount=amount, profile=replace(QUICK, **changes))
        assert place.meter.entered == []
    assert notes.words == ["held (currency), credited no"]
    assert f"the amount is in {unit}" in notes.judged[0].verdict.detail


FITS = [
    ("kWh", KWH, {}),
    ("kwh", KWH, {}),
    ("kWh", WH, {"unit_aliases": {"Wh": "kWh"}}),
    ("kWh", NAMELESS, {}),
    ("kWh", NAMELESS, {"currency_name": "kWh"}),
    ("ZAR", ZAR, {}),
]


@pytest.mark.parametrize(("unit", "in_meter", "changes"), FITS, ids=account_name)
async def test_an_amount_in_the_accounts_unit_is_sent(
    unit: str, in_meter: AccountUnit, changes: dict[str, Any]
) -> None:
    config = replace(lab_config(), unit=in_meter)
    async with meter_at(config) as place:
        amount, profile = Amount(Decimal("25.6"), unit), replace(QUICK, **changes)
        assert (await deliver(place, credit(config, 2_560_000), amount=amount, profile=profile)).words == [ACCEPTED]


@pytest.mark.parametrize(
    "missing",
    [("account_obis",), ("sts_obis",), ("disconnect_control_obis",), ("account_obis", "sts_obis", "device_name_obis")],
    ids=" and ".join,
)
@pytest.mark.parametrize("is_known", [False, True], ids=["the head-end does not know", "the head-end knows"])
async def test_what_a_meter_does_not_have_is_no_hindrance(missing: tuple[str, ...], is_known: bool) -> None:
    poor = dict.fromkeys(missing)
    async with meter_at(replace(lab_config(), profile=replace(SIM_PROFILE, **poor))) as place:
        profile = replace(QUICK, **poor) if is_known else QUICK
        notes = await deliver(place, ONE, profile=profile, amount=Amount(Decimal("25.6"), "kWh"))
    (judged,) = notes.judged
    assert words(judged) == ACCEPTED
    assert (judged.after.balance is None) == ("account_obis" in missing)
    assert (judged.control_state is None) == ("disconnect_control_obis" in missing)


# The right meter.

OTHER_TITLE = replace(HLS, meter_system_title=bytes.fromhex("53494D00000000FF"))
STRANGERS = [
    ("another device name", NONE, {"serial": "SIM07000000000"}),
    ("another MeterPAN", NONE, {"pan": lab_config(1).pan.digits}),
    ("another system title", HLS, {"security": OTHER_TITLE}),
]
UNNAMED = [
    ("device name", {"serial": SERIAL, "profile": replace(QUICK, device_name_obis=OTHER_OBIS)}),
    ("MeterPAN", {"pan": PAN, "profile": replace(QUICK, sts_obis=OTHER_OBIS)}),
    ("MeterPAN", {"pan": PAN, "profile": replace(QUICK, sts_obis=None)}),
]


@pytest.mark.parametrize(
    ("security", "known"), [row[1:] for row in STRANGERS], ids=[f"it has {row[0]}" for row in STRANGERS]
)
async def test_another_meter_at_the_address_gets_no_token(security: SecuritySettings, known: dict[str, Any]) -> None:
    async with meter_at(secured(security)) as place:
        assert (await deliver(place, ONE, **known)).words == ["unreached (wrong-meter), credited no"]
        after_doubt = await deliver(place, ONE, after_doubt=True, **known)
        assert after_doubt.words == ["held (wrong-meter), credited unknown"]
        assert place.meter.entered == []


@pytest.mark.parametrize(("missing", "known"), UNNAMED)
async def test_what_a_meter_does_not_have_cannot_be_checked_and_that_is_said(
    missing: str, known: dict[str, Any]
) -> None:
    async with meter_at() as place:
        notes = await deliver(place, ONE, **known)
    assert notes.words == [ACCEPTED]
    assert [event.unchecked for event in notes if isinstance(event, Reached)] == [(missing,)]


@pytest.mark.parametrize(
    ("obis", "known"),
    [(SIM_PROFILE.device_name_obis, {"serial": SERIAL}), (SIM_PROFILE.sts_obis, {"pan": PAN})],
    ids=["device name", "MeterPAN"],
)
@pytest.mark.parametrize(
    ("refusal", "verdict"),
    [
        (DataAccessResult.TEMPORARY_FAILURE, "unreached (busy), credited no"),
        (DataAccessResult.READ_WRITE_DENIED, "held (config), credited no"),
    ],
    ids=["not now", "not to us"],
)
async def test_a_meter_that_does_not_say_its_name_gets_no_token(
    obis: ObisCode, known: dict[str, Any], refusal: DataAccessResult, verdict: str
) -> None:
    async with meter_at() as place:
        row = place.meter._objects[obis]
        readers = dict.fromkeys(row.readers, lambda _asked: refusal)
        place.meter._objects[obis] = replace(row, readers=readers)
        assert (await deliver(place, ONE, **known)).words == [verdict]
        assert place.meter.entered == []


async def test_the_right_meter_by_name_pan_and_title_gets_its_token() -> None:
    async with meter_at(secured(HLS)) as place:
        assert (await deliver(place, ONE, serial=SERIAL, pan=PAN)).words == [ACCEPTED]


async def test_another_meter_that_answers_after_the_doubt_leaves_it_to_a_person() -> None:
    """The address was given to another meter just then: what it shows says nothing about our token."""
    async with meter_at(behaviour=faulty(Fault.HANG_UP_AFTER_ENTER)) as place:

        async def move_in(_doubt: DoubtArisen) -> None:
            place.meters.append(WatchedMeter(lab_config(1)))

        notes = await deliver(place, ONE, pan=PAN, steps={DoubtArisen: move_in})
        assert place.meter.entered == []
    assert notes.words == ["held (wrong-meter), credited unknown"]


# What only a person can mend.

HELD = [
    ("no Token gateway there", NONE, {"profile": replace(QUICK, gateway_obis=OTHER_OBIS)}, "0-0:19.41.0.255"),
    (
        "another class there",
        NONE,
        {"profile": replace(QUICK, gateway_obis=SIM_PROFILE.account_obis, account_obis=None)},
        "object-class-inconsistent",
    ),
    ("a wrong password", LLS, {"security": replace(LLS, password=b"1234")}, "check password"),
    ("a wrong encryption key", HLS, {"security": replace(HLS, ek=bytes(16))}, "check password or keys"),
    ("a wrong authentication key", HLS, {"security": replace(HLS, ak=bytes(16))}, "check password or keys"),
    ("a client that it does not know", NONE, {"client_sap": 2}, "check client SAP"),
    ("the public client", NONE, {"client_sap": 16}, "read-write-denied"),
    ("no mechanism for lls", LLS, {"security": NONE}, "wants a security mechanism"),
    ("lls for none", NONE, {"security": LLS}, "wants another security mechanism"),
    ("no mechanism for hls-gmac", HLS, {"security": NONE}, "wants ciphering, or none"),
    ("lls for hls-gmac", HLS, {"security": LLS}, "wants ciphering, or none"),
    ("hls-gmac for none", NONE, {"security": HLS}, "wants ciphering, or none"),
    ("no counter for the public client", HLS, {"profile": replace(QUICK, counter_obis=OTHER_OBIS)}, "give it as a"),
    (
        "weaker ciphering",
        HLS,
        {"security": replace(HLS, protection=Protection.AUTHENTICATED)},
        "check password or keys",
    ),
    (
        "a wrong key for the challenge alone",
        UNCIPHERED,
        {"security": replace(UNCIPHERED, ak=bytes(16))},
        "check the password or keys",
    ),
    ("another title of ours", HLS, {"security": replace(HLS, client_system_title=bytes(8))}, "own system title"),
]


@pytest.mark.parametrize("wire", WIRES)
@pytest.mark.parametrize(("security", "known", "advice"), [row[1:] for row in HELD], ids=[row[0] for row in HELD])
async def test_a_wrong_setting_is_held_with_advice(
    wire: str, security: SecuritySettings, known: dict[str, Any], advice: str
) -> None:
    async with meter_at(secured(security), wire=wire) as place:
        notes = await deliver(place, ONE, **known)
        assert place.meter.entered == []
    assert notes.words == ["held (config), credited no"]
    assert advice in notes.judged[0].verdict.detail
    assert SendStarted not in notes.kinds


# What another time may mend.


async def test_a_meter_that_is_busy_is_tried_another_time() -> None:
    async with meter_at(behaviour=faulty(Fault.REFUSE_ASSOCIATION)) as place:
        assert (await deliver(place, ONE)).words == ["unreached (busy), credited no"]
        assert place.meter.entered == []
        assert (await deliver(place, ONE)).words == [ACCEPTED]


async def test_a_meter_that_works_on_another_token_is_busy() -> None:
    clock = Clock()
    async with meter_at(replace(lab_config(), status_delay_seconds=60), clock=clock) as place:
        place.meter.enter(octets(TWO))
        notes = await deliver(place, ONE)
        assert notes.words == ["in_doubt (busy), credited unknown"]
        assert place.times_credited(ONE) == 0


async def test_the_status_of_another_token_is_not_told_as_ours() -> None:
    async with meter_at(replace(lab_config(), status_delay_seconds=60), clock=Clock()) as place:
        place.meter.enter(octets(TWO))
        (busy,) = (await deliver(place, ONE)).judged
        assert busy.status is None, f"{words(busy)}: {busy.status}"


async def test_nobody_at_the_address_is_offline() -> None:
    place = Place(WatchedMeter(lab_config()))
    for wire in WIRES:
        place.url = f"{wire}://127.0.0.1:{free_port()}"
        assert (await deliver(place, ONE)).words == ["unreached (offline), credited no"]
        assert (await deliver(place, ONE, after_doubt=True)).words == ["in_doubt (offline), credited unknown"]


@asynccontextmanager
async def nonsense_at(wire: str, said: bytes | None) -> AsyncIterator[Place]:
    """Somebody who accepts connections and is no meter. ``None``: hangs up at the first byte."""

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1)
        if said is not None:
            writer.write(said)
            await reader.read()
        writer.close()

    place = Place(WatchedMeter(lab_config()))
    port = free_port()
    async with await asyncio.start_server(talk, "127.0.0.1", port):
        place.url = f"{wire}://127.0.0.1:{port}"
        yield place


NONSENSE = [
    ("nothing", "tcp", b"", "no-answer"),
    ("nothing", "hdlc+tcp", b"", "no-answer"),
    ("hangs up", "tcp", None, "hung-up"),
    ("hangs up", "hdlc+tcp", None, "hung-up"),
    ("HTTP", "tcp", b"HTTP/1.1 400 Bad Request\r\n\r\n", "garbled"),
    ("HTTP", "hdlc+tcp", b"HTTP/1.1 400 Bad Request\r\n\r\n", "no-answer"),
    ("an APDU that is none", "tcp", bytes.fromhex("0001 0001 0001 0002 FFFF"), "protocol"),
]


@pytest.mark.parametrize(
    ("wire", "said", "reason"), [row[1:] for row in NONSENSE], ids=[f"{row[0]}, {row[1]}" for row in NONSENSE]
)
async def test_who_is_no_meter_is_unreached(wire: str, said: bytes | None, reason: str) -> None:
    async with nonsense_at(wire, said) as place:
        notes = await deliver(place, ONE, profile=IMPATIENT, hdlc=SHORT_HDLC)
    assert notes.words == [f"unreached ({reason}), credited no"]


@pytest.mark.parametrize("wire", WIRES)
async def test_a_meter_that_takes_the_call_and_is_silent_gives_no_answer(wire: str) -> None:
    place = Place(WatchedMeter(lab_config()))
    async with await listen_somewhere(wire, mute) as listener:
        place.url = listener.url
        notes = await deliver(place, ONE, profile=IMPATIENT, hdlc=SHORT_HDLC)
    assert notes.words == ["unreached (no-answer), credited no"]


# The answer is lost.


async def check_lost_answer(security: SecuritySettings, wire: str, fault: Fault, sends: int, **known: Any) -> None:
    async with meter_at(secured(security), wire=wire, behaviour=faulty(fault)) as place:
        notes = await deliver(place, ONE, **known)
        assert place.meter.entered == [octets(ONE)]
        assert place.meter.callers[-2:] == [1, 1]
    assert notes.kinds == [Reached, SendStarted, DoubtArisen, Reached, *[SendStarted] * (sends - 1), Judged]
    (judged,) = notes.judged
    assert words(judged) == ACCEPTED
    assert (judged.before.balance, judged.after.balance) == (Decimal(0), Decimal("25.6"))


@pytest.mark.parametrize("wire", WIRES)
@pytest.mark.parametrize("security", SECURITIES.values(), ids=SECURITIES)
@pytest.mark.parametrize(("fault", "sends"), [(Fault.HANG_UP_AFTER_ENTER, 1), (Fault.HANG_UP_BEFORE_ENTER, 2)])
async def test_a_lost_answer_is_settled_by_reading(
    wire: str, security: SecuritySettings, fault: Fault, sends: int
) -> None:
    """A booked token is never sent again; one that did not arrive is."""
    await check_lost_answer(security, wire, fault, sends)


@pytest.mark.parametrize("wire", WIRES)
@pytest.mark.parametrize("security", [NONE, HLS], ids=["none", "hls-gmac"])
async def test_an_answer_that_never_comes_is_settled_by_reading(wire: str, security: SecuritySettings) -> None:
    known = {"profile": IMPATIENT, "hdlc": SHORT_HDLC}
    await check_lost_answer(security, wire, Fault.DROP_ANSWER_AFTER_ENTER, 1, **known)


async def test_a_line_that_broke_before_the_first_byte_left_leaves_no_doubt() -> None:
    channels: list[ApduChannel] = []
    place = Place(WatchedMeter(lab_config()))

    async def noted(channel: ApduChannel) -> None:
        channels.append(channel)
        await place.serve(channel)

    async def break_the_line(_intent: SendStarted) -> None:
        channels[0].hang_up()
        await ask_as_public_client(place)  # until that is answered, everybody knows that the line is broken

    async with await listen_somewhere("tcp", noted) as listener:
        place.url = listener.url
        notes = await deliver(place, ONE, steps={SendStarted: break_the_line})
    assert notes.sends == 1
    assert notes.words == ["unreached (offline), credited no"]
    assert place.meter.entered == []


async def test_a_try_that_did_not_leave_does_not_stand_between_a_doubt_and_what_it_shows() -> None:
    """The earlier process's try arrives late, just as ours breaks off: how often it tried is still not known."""
    channels: list[ApduChannel] = []
    place = Place(WatchedMeter(lab_config()))

    async def noted(channel: ApduChannel) -> None:
        channels.append(channel)
        await place.serve(channel)

    async def break_the_line(_intent: SendStarted) -> None:
        channels[0].hang_up()
        await ask_as_public_client(place)
        place.meter.enter(octets(OTHER_KEY))

    async with await listen_somewhere("tcp", noted) as listener:
        place.url = listener.url
        notes = await deliver(place, OTHER_KEY, after_doubt=True, steps={SendStarted: break_the_line})
    place.meter.close()
    assert place.meter.entered == [octets(OTHER_KEY)]
    assert notes.words == ["rejected (crc), credited unknown"]


class LosesOneAnswer(SmallPieces):
    """The meter's end of a line: what it says next gets lost, once ``armed``."""

    armed = False

    def write(self, data: bytes) -> None:
        if self.armed:
            self.armed = False
        else:
            super().write(data)


@pytest.mark.parametrize(
    ("token", "verdict"),
    [(ONE, ACCEPTED), (OTHER_KEY, "rejected (crc), credited unknown")],
    ids=["a credit", "a wrong key"],
)
async def test_a_refusal_behind_a_repeated_frame_is_no_ground_for_a_refund(token: Token, verdict: str) -> None:
    """HDLC repeats a frame by itself. A meter that takes it twice answers the second time for the first."""
    place = Place(WatchedMeter(lab_config()))
    ends: list[LosesOneAnswer] = []

    def through(stream: ByteStream) -> ByteStream:
        ends.append(LosesOneAnswer(stream))
        return ends[-1]

    def lose_the_answer() -> None:
        ends[-1].armed = True

    place.meter.right_after_enter = lose_the_answer
    async with await listen_somewhere("hdlc+tcp", place.serve, through=through) as listener:
        place.url = listener.url
        notes = await deliver(place, token, hdlc=HdlcSettings(response_timeout_seconds=0.3))
    assert place.meter.entered == [octets(token)]
    assert notes.kinds == [Reached, SendStarted, Judged]
    assert notes.words == [verdict]


async def test_a_refused_token_whose_answer_was_lost_is_refused_all_the_same() -> None:
    async with meter_at(behaviour=faulty(Fault.HANG_UP_AFTER_ENTER)) as place:
        notes = await deliver(place, OTHER_KEY)
        assert place.meter.entered == [octets(OTHER_KEY)]
    assert notes.words == ["rejected (crc), credited no"]


async def test_a_meter_that_always_hangs_up_after_booking_is_believed_when_it_shows_the_token() -> None:
    async with meter_at(behaviour=faulty(Fault.HANG_UP_AFTER_ENTER, None)) as place:
        notes = await deliver(place, ONE, TWO)
        assert place.meter.entered == [octets(ONE), octets(TWO)]
    assert notes.words == [ACCEPTED, ACCEPTED]


async def test_doubt_ends_after_as_many_associations_as_the_profile_allows() -> None:
    async with meter_at(behaviour=faulty(Fault.HANG_UP_BEFORE_ENTER, None)) as place:
        notes = await deliver(place, ONE, profile=replace(QUICK, doubt_rounds_max=2))
        assert place.meter.entered == []
        assert place.meter.callers == [1, 1, 1]
    assert notes.words == ["in_doubt (hung-up), credited unknown"]
    assert notes.kinds == [*[Reached, SendStarted, DoubtArisen] * 2, Reached, SendStarted, Judged]


async def test_a_meter_that_does_not_come_back_leaves_doubt_and_the_next_run_settles_it() -> None:
    meter = WatchedMeter(lab_config(), behaviour=faulty(Fault.HANG_UP_AFTER_ENTER))
    place = Place(meter)
    async with await listen_somewhere("tcp", place.serve) as listener:
        place.url = listener.url

        async def pull_the_plug(_doubt: DoubtArisen) -> None:
            await listener.close()

        notes = await deliver(place, ONE, steps={DoubtArisen: pull_the_plug})
    assert notes.words == ["in_doubt (offline), credited unknown"]
    async with await listen_somewhere("tcp", place.serve) as listener:
        place.url = listener.url
        assert (await deliver(place, ONE, after_doubt=True)).words == [ACCEPTED]
    assert meter.entered == [octets(ONE)]


async def test_a_meter_that_was_restarted_in_the_middle_is_asked_what_it_remembers() -> None:
    async with meter_at(secured(HLS), behaviour=faulty(Fault.HANG_UP_AFTER_ENTER)) as place:

        async def restart(_doubt: DoubtArisen) -> None:
            place.meters = [WatchedMeter(place.meter.config, place.meter.ledger)]

        notes = await deliver(place, ONE, steps={DoubtArisen: restart})
        assert place.meter.entered == []
    assert notes.words == [ACCEPTED]


async def test_a_meter_that_lost_power_before_it_worked_on_the_token_gets_it_again() -> None:
    slow = replace(lab_config(), status_delay_seconds=60)
    async with meter_at(slow, clock=Clock(), behaviour=faulty(Fault.HANG_UP_AFTER_ENTER)) as place:

        async def restart(_doubt: DoubtArisen) -> None:
            place.meter.close()
            place.meters = [WatchedMeter(lab_config(), place.meter.ledger)]

        notes = await deliver(place, ONE, steps={DoubtArisen: restart})
        assert place.meter.entered == [octets(ONE)]
    assert notes.sends == 2
    assert notes.words == [ACCEPTED]


@pytest.mark.parametrize(
    ("profile", "verdict"),
    [(QUICK, USED_AFTER_DOUBT), (BLIND, "held (validation), credited unknown")],
    ids=["the bits say used", "the bits cannot be read"],
)
async def test_a_meter_that_goes_on_showing_the_token_before_is_asked_by_entering_again(
    profile: MeterProfile, verdict: str
) -> None:
    async with meter_at(behaviour=faulty(Fault.STALE_STATUS)) as place:
        notes = await deliver(place, ONE, profile=replace(profile, poll_timeout_seconds=0.02))
        assert place.meter.entered == [octets(ONE)] * 2
        assert place.times_credited(ONE) == 1
    assert StatusRead in notes.kinds
    assert notes.words == [verdict]


# The customer.


@pytest.mark.parametrize(
    ("profile", "verdict"),
    [(QUICK, USED_AFTER_DOUBT), (BLIND, "held (validation), credited unknown")],
    ids=["the bits say used", "the bits cannot be read"],
)
async def test_a_token_keyed_in_before_ours_was_read_back_hides_it(profile: MeterProfile, verdict: str) -> None:
    async with meter_at() as place:
        meter = place.meter

        def key_in_once() -> None:
            meter.right_after_enter = lambda: None
            assert meter.key_in(TWO) is TokenResult.ACCEPT

        meter.right_after_enter = key_in_once
        notes = await deliver(place, ONE, profile=profile)
        assert meter.entered == [octets(ONE)] * 2
        assert place.times_credited(ONE) == 1
    assert notes.words == [verdict]


async def test_the_balance_before_is_that_of_before_the_first_try() -> None:
    """Ours is booked and its answer lost; before the head-end is back, the customer keys in another one."""
    async with meter_at(behaviour=faulty(Fault.HANG_UP_AFTER_ENTER)) as place:

        async def key_in_another(_doubt: DoubtArisen) -> None:
            assert place.meter.key_in(TWO) is TokenResult.ACCEPT

        (judged,) = (await deliver(place, ONE, steps={DoubtArisen: key_in_another})).judged
    assert words(judged) == USED_AFTER_DOUBT
    assert (judged.before.balance, judged.after.balance) == (Decimal(0), Decimal("51.3"))


async def test_a_customer_who_keys_in_our_token_first_leaves_no_ground_for_a_refund() -> None:
    """Between our reading and our entering; the value is on the meter, but not by us."""
    async with meter_at() as place:

        async def key_it_in(_intent: SendStarted) -> None:
            assert place.meter.key_in(ONE) is TokenResult.ACCEPT

        notes = await deliver(place, ONE, steps={SendStarted: key_it_in})
        assert place.times_credited(ONE) == 1
    assert notes.words == ["rejected (used), credited unknown"]


# A meter takes its time.


class Clock(VirtualClock):
    """A meter's clock that stands still until it is moved."""

    def __init__(self) -> None:
        super().__init__(datetime(2026, 11, 21, 12, tzinfo=UTC))

    async def move(self, _event: object) -> None:
        self.advance(5)


@pytest.mark.parametrize(
    ("token", "verdict"), [(ONE, ACCEPTED), (OTHER_KEY, "rejected (crc), credited no")], ids=["a credit", "a wrong key"]
)
@pytest.mark.parametrize("wire", WIRES)
async def test_a_pending_status_is_read_until_it_is_final(wire: str, token: Token, verdict: str) -> None:
    clock = Clock()
    async with meter_at(replace(lab_config(), status_delay_seconds=15), wire=wire, clock=clock) as place:
        notes = await deliver(place, token, steps={StatusRead: clock.move})
        assert place.meter.entered == [octets(token)]
        assert place.meter.callers == [1]
    assert notes.kinds == [Reached, SendStarted, *[StatusRead] * 3, Judged]
    assert notes.words == [verdict]


async def test_a_status_that_stays_pending_leaves_doubt_and_is_never_taken_for_a_success() -> None:
    async with meter_at(replace(lab_config(), status_delay_seconds=600), clock=Clock()) as place:
        profile = replace(QUICK, poll_timeout_seconds=0.05, doubt_rounds_max=1)
        notes = await deliver(place, ONE, profile=profile)
        assert place.meter.entered == [octets(ONE)]
        assert place.meter.callers == [1, 1]  # a new association may know more
    assert notes.words == ["in_doubt (pending), credited unknown"]
    assert notes.judged[0].status is not None
    assert notes.judged[0].status.code == 8
    assert notes.kinds.count(DoubtArisen) == 1


async def test_a_pending_token_is_found_again_after_a_lost_answer() -> None:
    clock = Clock()
    config = replace(lab_config(), status_delay_seconds=15)
    async with meter_at(config, clock=clock, behaviour=faulty(Fault.HANG_UP_AFTER_ENTER)) as place:
        notes = await deliver(place, ONE, steps={StatusRead: clock.move})
        assert place.meter.entered == [octets(ONE)]
    assert notes.words == [ACCEPTED]


# Several tokens.


async def test_a_line_that_breaks_between_two_tokens_is_opened_anew() -> None:
    place = Place(WatchedMeter(lab_config()))
    channels: list[ApduChannel] = []

    async def noted(channel: ApduChannel) -> None:
        channels.append(channel)
        await place.serve(channel)

    async def break_the_line(_event: Event) -> None:
        channels[0].hang_up()

    async with await listen_somewhere("tcp", noted) as listener:
        place.url = listener.url
        notes = await deliver(place, ONE, TWO, steps={Judged: break_the_line})
    place.meter.close()
    assert notes.words == [ACCEPTED, ACCEPTED]
    assert place.meter.entered == [octets(ONE), octets(TWO)]


async def test_tokens_go_in_their_order_over_one_association_and_a_refused_one_stops_nothing() -> None:
    async with meter_at(secured(HLS)) as place:
        notes = await deliver(place, TWO, OTHER_KEY, ONE)
        assert place.meter.entered == [octets(TWO), octets(OTHER_KEY), octets(ONE)]
        assert place.meter.callers == [PUBLIC_CLIENT_SAP, 1]
    assert notes.words == [ACCEPTED, "rejected (crc), credited no", ACCEPTED]
    balances = [(judged.before.balance, judged.after.balance) for judged in notes.judged]
    assert balances == [
        (Decimal(0), Decimal("25.7")),
        (Decimal("25.7"), Decimal("25.7")),
        (Decimal("25.7"), Decimal("51.3")),
    ]


NOT_TRIED = "unreached (not-tried), credited no"
STOPPING = [
    ("doubt", [FaultOrder(Fault.HANG_UP_BEFORE_ENTER)], {}, "in_doubt (hung-up), credited unknown"),
    ("a busy meter", [FaultOrder(Fault.REFUSE_ASSOCIATION, 1)], {}, "unreached (busy), credited no"),
    ("a wrong setting", [], {"client_sap": 2}, "held (config), credited no"),
]


@pytest.mark.parametrize(("faults", "known", "first"), [row[1:] for row in STOPPING], ids=[row[0] for row in STOPPING])
async def test_what_is_not_settled_stops_the_rest(faults: list[FaultOrder], known: dict[str, Any], first: str) -> None:
    """The Token gateway shows the last token only: the next one would destroy the evidence."""
    async with meter_at(behaviour=Behaviour(faults)) as place:
        notes = await deliver(place, ONE, TWO, THREE, **known)
        assert place.meter.entered == []
    assert notes.words == [first, NOT_TRIED, NOT_TRIED]


async def test_doubt_about_the_second_token_leaves_the_first_accepted_and_the_third_unsent() -> None:
    async with meter_at() as place:

        async def fail_from_now_on(_judged: Judged) -> None:
            place.meter.behaviour = faulty(Fault.HANG_UP_BEFORE_ENTER, None)

        notes = await deliver(place, ONE, TWO, THREE, steps={Judged: fail_from_now_on})
        assert place.meter.entered == [octets(ONE)]
    assert notes.words == [ACCEPTED, "in_doubt (hung-up), credited unknown", NOT_TRIED]


async def test_tokens_behind_a_doubt_are_in_doubt_themselves_if_they_were_tried_before() -> None:
    async with meter_at(behaviour=faulty(Fault.HANG_UP_BEFORE_ENTER, None)) as place:
        notes = await deliver(place, ONE, TWO, after_doubt=True)
    assert notes.words == ["in_doubt (hung-up), credited unknown", "in_doubt (not-tried), credited unknown"]


# After a doubt.


async def test_after_a_doubt_a_token_that_stands_there_executed_is_accepted_without_another_enter() -> None:
    async with meter_at() as place:
        place.meter.enter(octets(ONE))
        notes = await deliver(place, ONE, after_doubt=True)
        assert place.meter.entered == [octets(ONE)]
    assert notes.words == [ACCEPTED]
    assert SendStarted not in notes.kinds


async def test_after_a_doubt_about_two_tokens_the_one_that_the_meter_shows_is_settled_first() -> None:
    async with meter_at() as place:
        place.meter.enter(octets(ONE))
        place.meter.enter(octets(TWO))
        notes = await deliver(place, ONE, TWO, after_doubt=True)
    # Had ONE been entered first, the only proof for TWO would be gone.
    assert [judged.token for judged in notes.judged] == [TWO, ONE]
    assert notes.words == [ACCEPTED, USED_AFTER_DOUBT]


async def test_after_a_doubt_nobody_knows_the_balance_from_before_the_earlier_try() -> None:
    async with meter_at() as place:
        place.meter.enter(octets(ONE))
        (judged,) = (await deliver(place, ONE, after_doubt=True)).judged
    assert judged.after.balance == Decimal("25.6")
    assert judged.before.balance is None


def _key_in_ours(meter: WatchedMeter) -> None:
    meter.key_in(ONE)


def _enter_ours_and_key_in_another(meter: WatchedMeter) -> None:
    meter.enter(octets(ONE))
    meter.key_in(TWO)


AFTER_DOUBT: list[tuple[str, Callable[[WatchedMeter], object], dict[str, Any], int, str]] = [
    ("it never arrived", lambda _meter: None, {}, 1, ACCEPTED),
    ("it arrived and was refused", lambda meter: meter.enter(octets(OTHER_KEY)), {}, 1, ACCEPTED),
    ("another one was keyed in since", _enter_ours_and_key_in_another, {}, 2, USED_AFTER_DOUBT),
    (
        "another one was keyed in since, and the bits cannot be read",
        _enter_ours_and_key_in_another,
        {"profile": BLIND},
        2,
        "held (validation), credited unknown",
    ),
    ("the customer keyed it in", _key_in_ours, {}, 1, USED_AFTER_DOUBT),
    (
        "it never arrived, and the account is in another unit",
        lambda _meter: None,
        {"amount": Amount(Decimal(5), "ZAR")},
        0,
        "held (currency), credited unknown",
    ),
    (
        "it stands there, and the account is in another unit",
        lambda meter: meter.enter(octets(ONE)),
        {"amount": Amount(Decimal(5), "ZAR")},
        1,
        ACCEPTED,
    ),
]


@pytest.mark.parametrize(
    ("earlier", "known", "enters", "verdict"), [row[1:] for row in AFTER_DOUBT], ids=[row[0] for row in AFTER_DOUBT]
)
async def test_after_a_doubt_the_meter_is_read_first(
    earlier: Callable[[WatchedMeter], object], known: dict[str, Any], enters: int, verdict: str
) -> None:
    async with meter_at() as place:
        earlier(place.meter)
        notes = await deliver(place, ONE, after_doubt=True, **known)
        assert place.meter.entered.count(octets(ONE)) == enters
    assert notes.words == [verdict]


async def test_after_a_doubt_a_refusal_that_stands_there_is_the_answer() -> None:
    """Whether it was credited by a try before that is not known: there may have been more than one."""
    async with meter_at() as place:
        place.meter.enter(octets(OTHER_KEY))
        notes = await deliver(place, OTHER_KEY, after_doubt=True)
        assert place.meter.entered == [octets(OTHER_KEY)]
    assert notes.words == ["rejected (crc), credited unknown"]


async def test_after_a_doubt_a_token_that_is_still_pending_is_polled() -> None:
    clock = Clock()
    async with meter_at(replace(lab_config(), status_delay_seconds=15), clock=clock) as place:
        place.meter.enter(octets(ONE))
        notes = await deliver(place, ONE, after_doubt=True, steps={StatusRead: clock.move})
        assert place.meter.entered == [octets(ONE)]
    assert notes.kinds == [Reached, *[StatusRead] * 3, Judged]
    assert notes.words == [ACCEPTED]


# Invocation counters.


def remembering(received: int) -> Ledger:
    """The ledger of a meter that has seen this counter of ours."""
    ledger = Ledger()
    ledger.append(CountersKept(received=received, sent_limit=1))
    return ledger


async def test_without_a_setting_the_counter_is_asked_for_as_public_client() -> None:
    async with meter_at(secured(HLS), ledger=remembering(5000)) as place:
        assert (await deliver(place, ONE)).words == [ACCEPTED]
        assert place.meter.callers == [PUBLIC_CLIENT_SAP, 1]
        assert place.meter.counters.last_received > 5000


async def test_a_counter_that_is_behind_jumps_forward_once() -> None:
    async with meter_at(secured(HLS), ledger=remembering(5000)) as place:
        assert (await deliver(place, ONE, invocation_counter=1)).words == [ACCEPTED]
        assert place.meter.callers == [1, 1]


async def test_a_jump_beyond_the_profiles_limit_is_not_followed() -> None:
    async with meter_at(secured(HLS), ledger=remembering(5000)) as place:
        profile = replace(QUICK, counter_jump_max=4000)
        notes = await deliver(place, ONE, invocation_counter=1, profile=profile)
        assert place.meter.callers == [1]
        assert place.meter.counters.last_received == 5000
    assert notes.words == ["unreached (refused), credited no"]


async def test_a_counter_that_is_ahead_stays_ahead() -> None:
    async with meter_at(secured(HLS), ledger=remembering(10)) as place:
        assert (await deliver(place, ONE, invocation_counter=5000)).words == [ACCEPTED]
        assert place.meter.counters.last_received > 5000


@pytest.mark.parametrize(
    ("claims", "calls"), [([3], 1), ([5000], 1), ([6000, 7000], 2)], ids=["behind ours", "ours", "ahead, and again"]
)
async def test_a_liar_about_the_counter_moves_it_once_and_never_back(claims: list[int], calls: int) -> None:
    """The exception-response is not authenticated: anybody on the line can say it."""
    heard: list[bytes] = []

    async def lie(channel: ApduChannel) -> None:
        while True:
            heard.append(await channel.receive(None))
            claim = claims[min(len(heard), len(claims)) - 1]
            error = ExceptionResponse(StateError.SERVICE_NOT_ALLOWED, ServiceError.INVOCATION_COUNTER_ERROR, claim)
            await channel.send(error.encode())

    place = Place(WatchedMeter(secured(HLS)))
    async with await listen_somewhere("tcp", lie) as listener:
        place.url = listener.url
        notes = await deliver(place, ONE, invocation_counter=5000)
    assert notes.words == ["unreached (refused), credited no"]
    assert len(heard) == calls


async def test_a_counter_near_its_end_is_not_believed_without_a_proof() -> None:
    """Whoever answers in the meter's place could make us use the key up."""
    async with meter_at(secured(HLS), ledger=remembering(0x8000_0000)) as place:
        notes = await deliver(place, ONE)
        assert notes.words == ["held (config), credited no"]
        assert "without a proof" in notes.judged[0].verdict.detail
        assert (await deliver(place, ONE, invocation_counter=0x8000_0001)).words == [ACCEPTED]


async def test_wherever_our_counter_ends_what_is_said_is_true() -> None:
    """The last counter is used up somewhere between the first word and the good-bye."""
    async with meter_at(secured(HLS)) as place:
        await deliver(place, ONE, invocation_counter=1)
        needed = place.meter.counters.last_received + 1  # the good-bye moves nothing in the meter
    told = []
    for left in range(needed + 1):
        async with meter_at(secured(HLS)) as place:
            told += (await deliver(place, ONE, invocation_counter=COUNTER_MAX + 1 - left)).words
    nothing_sent, in_doubt = "held (config), credited no", "in_doubt (config), credited unknown"
    assert list(dict.fromkeys(told)) == [nothing_sent, in_doubt, ACCEPTED]
    assert told == sorted(told, key=[nothing_sent, in_doubt, ACCEPTED].index)
    # The good-bye comes after the verdict: it stands without it.
    assert told[-2:] == [ACCEPTED] * 2


def _lose_memory(place: Place) -> Step:
    async def lose(_event: object) -> None:
        place.meters.append(WatchedMeter(place.meter.config))

    return lose


async def test_a_meter_whose_own_counter_fell_is_not_believed_about_a_doubt() -> None:
    """It has forgotten the token, too: entering it again would credit it twice."""
    async with meter_at(secured(HLS), behaviour=faulty(Fault.HANG_UP_AFTER_ENTER)) as place:
        notes = await deliver(place, ONE, steps={DoubtArisen: _lose_memory(place)})
        assert place.times_credited(ONE) == 1
    (judged,) = notes.judged
    assert judged.verdict.reason == "counter-reset"
    assert judged.verdict.credited is Credited.UNKNOWN
    assert "reset, or replaced" in judged.verdict.detail


async def test_a_meter_whose_own_counter_fell_is_held_before_anything_is_sent() -> None:
    async with meter_at(secured(HLS)) as place:
        _dies_when_its_switch_is_read(place.meter, time=3)  # when the second token begins
        notes = await deliver(place, ONE, TWO, steps={Judged: _lose_memory(place)})
        assert place.meter.entered == []
    assert notes.words == [ACCEPTED, "held (counter-reset), credited no"]


async def test_a_meter_that_dies_while_the_effect_is_read_is_read_again() -> None:
    async with meter_at() as place:
        _dies_when_its_switch_is_read(place.meter, time=2)
        notes = await deliver(place, ONE, TWO)
        assert place.meter.entered == [octets(ONE), octets(TWO)]
    assert notes.words == [ACCEPTED, ACCEPTED]
    assert [judged.control_state for judged in notes.judged] == [1, 1]


def _dies_when_its_switch_is_read(meter: SimMeter, time: int) -> None:
    reads = count(1)

    def die(_asked: Asked) -> Data:
        if next(reads) == time:
            raise LedgerError("the power is cut")
        return axdr.enum(1)

    obis = SIM_PROFILE.disconnect_control_obis
    assert obis is not None
    readers = {disconnect_control.Attribute.CONTROL_STATE: die}
    meter._objects[obis] = InterfaceClass(disconnect_control.CLASS_ID, 0, readers, {})


# How tokens are written.


@pytest.mark.parametrize("encoding", TokenEncoding)
@pytest.mark.parametrize("wire", WIRES)
async def test_a_token_is_written_as_the_meter_wants_it(wire: str, encoding: TokenEncoding) -> None:
    async with meter_at(
        replace(lab_config(), profile=replace(SIM_PROFILE, token_encoding=encoding)), wire=wire
    ) as place:
        assert (await deliver(place, ONE, profile=replace(QUICK, token_encoding=encoding))).words == [ACCEPTED]
        assert place.meter.entered == [octets(ONE, encoding)]


@pytest.mark.parametrize(
    ("ours", "theirs"), [(ours, theirs) for ours in TokenEncoding for theirs in TokenEncoding if ours is not theirs]
)
async def test_a_token_in_another_coding_is_no_token_for_the_meter(ours: TokenEncoding, theirs: TokenEncoding) -> None:
    async with meter_at(replace(lab_config(), profile=replace(SIM_PROFILE, token_encoding=theirs))) as place:
        notes = await deliver(place, ONE, profile=replace(QUICK, token_encoding=ours))
    assert notes.words == ["rejected (format), credited no"]
    assert notes.judged[0].status is not None
    assert notes.judged[0].status.code == 4


@pytest.mark.parametrize("shown", [TokenReadback.BCD10, TokenReadback.DIGITS20, TokenReadback.BINARY9])
async def test_a_meter_may_show_a_token_in_another_coding_than_it_takes(shown: TokenReadback) -> None:
    async with meter_at(replace(lab_config(), profile=replace(SIM_PROFILE, token_readback=shown))) as place:
        profile = replace(QUICK, token_readback=shown)
        assert (await deliver(place, ONE, profile=profile)).words == [ACCEPTED]
        assert (await deliver(place, ONE, profile=profile)).words == [
            "rejected (used), credited unknown, already-in-meter"
        ]


@pytest.mark.parametrize("proof", HiddenTokenProof)
async def test_a_meter_that_hides_the_token_is_believed_by_another_proof(proof: HiddenTokenProof) -> None:
    hidden = {"token_readback": TokenReadback.HIDDEN, "hidden_token_proof": proof}
    async with meter_at(replace(lab_config(), profile=replace(SIM_PROFILE, **hidden))) as place:
        assert (await deliver(place, ONE, profile=replace(QUICK, **hidden))).words == [ACCEPTED]
        place.meter.behaviour = faulty(Fault.HANG_UP_AFTER_ENTER)
        assert (await deliver(place, TWO, profile=replace(QUICK, **hidden))).words == [ACCEPTED]
        assert place.meter.entered == [octets(ONE), octets(TWO)]


async def test_a_hidden_refusal_is_no_proof_where_only_the_balance_is() -> None:
    hidden = {"token_readback": TokenReadback.HIDDEN, "hidden_token_proof": HiddenTokenProof.BALANCE}
    async with meter_at(replace(lab_config(), profile=replace(SIM_PROFILE, **hidden))) as place:
        profile = replace(QUICK, **hidden, doubt_rounds_max=1, poll_timeout_seconds=0.02)
        (judged,) = (await deliver(place, OTHER_KEY, profile=profile)).judged
    assert judged.verdict.credited is Credited.UNKNOWN


async def test_the_meters_own_status_codes_are_understood() -> None:
    async with meter_at(replace(lab_config(), profile=replace(SIM_PROFILE, status_map={10: 3, 11: 5}))) as place:
        notes = await deliver(place, ONE, OTHER_KEY, profile=replace(QUICK, status_map={10: 3, 11: 5}))
    assert notes.words == [ACCEPTED, "rejected (crc), credited no"]
    assert [judged.status.code for judged in notes.judged if judged.status] == [10, 11]


async def test_a_status_code_that_nobody_knows_is_never_a_success() -> None:
    async with meter_at(replace(lab_config(), profile=replace(SIM_PROFILE, status_map={10: 3}))) as place:
        profile = replace(QUICK, poll_timeout_seconds=0.02, doubt_rounds_max=1)
        notes = await deliver(place, ONE, profile=profile)
    assert notes.words == ["in_doubt (pending), credited unknown"]


async def test_a_meter_that_calls_dlms_local_is_understood_by_its_profile() -> None:
    local = {"remote_delivery_methods": (1,)}
    async with meter_at(replace(lab_config(), profile=replace(SIM_PROFILE, **local))) as place:
        assert (await deliver(place, ONE, profile=replace(QUICK, **local))).words == [ACCEPTED]
