"""Hints: only what is authentic and new wakes a meter's orders, at once, and nothing else ever happens by them."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cosem_objects import axdr
from cosem_objects.dlms.apdu import AttributeDescriptor, DataNotification, EventNotification, GetRequest
from cosem_objects.dlms.ciphered import CipheredApdu
from cosem_objects.dlms.security import Cipher
from cosem_objects.dlms.settings import AUTHENTICATED, ENCRYPTED, Ciphering
from cosem_objects.obis import ObisCode
from gateway.calling_in.identify import sender_of
from gateway.hints import HintOutcome, HintRules, PushHints, Sender
from gateway.meter_body import MeterBody
from gateway.store.sqlite.store import SqliteStore
from gateway.store.store import StoreBroken, StoreError
from tests.gateway.stores import open_vault

EK, AK = bytes(range(16)), bytes(range(0xD0, 0xE0))
TITLE, OTHER_TITLE = bytes.fromhex("53494D0000000001"), bytes.fromhex("53494D0000000002")
KEYS = {"mechanism": "hls-gmac", "ek": EK.hex(), "ak": AK.hex(), "meter_system_title": TITLE.hex()}
CALLED_IN = Sender(f"inbound:{TITLE.hex().upper()}", TITLE)
ON_MQTT = Sender("mqtt://broker:1883/site/m1")
BOTH = AUTHENTICATED | ENCRYPTED
VALUES = axdr.structure(axdr.octet_string(b"12345678901234567890"), axdr.unsigned(3))
EVENT = EventNotification(AttributeDescriptor(115, ObisCode.parse("0-0:19.40.0.255"), 6), axdr.unsigned(3)).encode()
O = HintOutcome  # noqa: E741 - as the tables of this file say it


def plain(number: int = 1, date_time: bytes = b"") -> bytes:
    return DataNotification(number, date_time, VALUES).encode()


def sealed(
    counter: int,
    apdu: bytes = b"",
    *,
    form: Ciphering = Ciphering.GENERAL_GLO,
    title: bytes = TITLE,
    named: bytes | None = None,
    control: int = BOTH,
    ek: bytes = EK,
) -> bytes:
    apdu = apdu or plain(counter)
    text = Cipher(ek, AK).seal(control, title, counter, apdu)
    return CipheredApdu(form, apdu[0], title if named is None else named, control, counter, text).encode()


def now() -> datetime:
    return datetime.now(UTC)


@dataclass
class Registry:
    """A real store with meters, and what was woken."""

    store: SqliteStore
    hints: PushHints
    outcomes: list[HintOutcome] = field(default_factory=list)

    async def know(self, meter: str, endpoint: str, **security: Any) -> None:
        body = MeterBody.model_validate({"endpoint": endpoint, "profile": "sim", "security": security})
        await self.store.meters.put(body.record(meter), who="test")

    async def hear(self, apdu: bytes | None, sender: Sender = CALLED_IN) -> HintOutcome:
        return await self.hints.look_at(sender, apdu)

    async def was_seen(self, meter: str = "m1") -> bool:
        record = await self.store.meters.get(meter)
        assert record is not None
        return record.last_seen_at is not None


@asynccontextmanager
async def registry(folder: Path, *, endpoint: str = CALLED_IN.endpoint, keys: bool = True, **rules: Any) -> Any:
    store = await SqliteStore.open(folder, open_vault(), now)
    rules = {"push_interval_seconds": 1e-6, "presence_interval_seconds": 1e-6, **rules}
    outcomes: list[HintOutcome] = []
    place = Registry(store, PushHints(store.meters, HintRules(**rules), on_outcome=outcomes.append), outcomes)
    try:
        await place.know("m1", endpoint, **(KEYS if keys else {}))
        yield place
    finally:
        await store.close()


@pytest.fixture
async def known(tmp_path: Path) -> AsyncIterator[Registry]:
    async with registry(tmp_path) as place:
        yield place


FORGED = [
    ("another key", sealed(9, ek=bytes(16)), O.FORGED),
    ("a bit turned", sealed(9)[:-1] + bytes([sealed(9)[-1] ^ 1]), O.FORGED),
    ("no tag at all", sealed(9, control=ENCRYPTED), O.FORGED),
    ("a dedicated key that nobody agreed", sealed(9, form=Ciphering.GENERAL_DED), O.FORGED),
    ("another meter's name and nonce", sealed(9, title=OTHER_TITLE), O.UNKNOWN),
    ("in clear", plain(), O.PLAIN),
    ("in clear, an event", EVENT, O.PLAIN),
    (
        "no notification inside",
        sealed(2, GetRequest(AttributeDescriptor(1, ObisCode(bytes(6)), 2)).encode()),
        O.GARBLED,
    ),
    ("no notification", b"\xc4\x01\xc1\x00\x11\x03", O.GARBLED),
    ("half of one", sealed(9)[:20], O.GARBLED),
    ("nothing", b"", O.GARBLED),
    ("general-ciphering", b"\xdd" + bytes(30), O.GARBLED),
]


@pytest.mark.parametrize(("apdu", "outcome"), [row[1:] for row in FORGED], ids=[row[0] for row in FORGED])
async def test_what_is_not_authentic_wakes_nobody_and_locks_nobody_out(
    known: Registry, apdu: bytes, outcome: HintOutcome
) -> None:
    assert await known.hear(apdu) is outcome
    assert not await known.was_seen()
    assert await known.hear(sealed(3)) is O.WOKEN  # a forged counter of 9 moved nothing
    assert await known.was_seen()


@pytest.mark.parametrize(
    "apdu",
    [
        sealed(7),
        sealed(7, EVENT),
        sealed(7, named=b""),
        sealed(7, EVENT, form=Ciphering.SERVICE_GLO),
        sealed(7, control=BOTH),
    ],
)
async def test_an_authentic_push_wakes_and_a_repeated_or_older_one_does_not(known: Registry, apdu: bytes) -> None:
    assert await known.hear(apdu) is O.WOKEN
    assert await known.hear(apdu) is O.REPLAYED
    assert await known.hear(sealed(6)) is O.REPLAYED
    assert await known.hear(sealed(8)) is O.WOKEN


async def test_a_push_in_clear_wakes_where_there_are_no_keys_and_once(tmp_path: Path) -> None:
    async with registry(tmp_path, keys=False) as place:
        for apdu in (plain(1), plain(2), plain(2, bytes(12)), EVENT):
            assert await place.hear(apdu) is O.WOKEN
            assert await place.hear(apdu) is O.REPEATED
        assert await place.hear(sealed(5)) is O.FORGED


async def test_who_wants_it_believes_pushes_in_clear(tmp_path: Path) -> None:
    async with registry(tmp_path, believe_plain=True) as place:
        assert await place.hear(plain()) is O.WOKEN
        assert await place.hear(sealed(2)) is O.WOKEN


async def test_without_a_tag_nothing_is_believed_even_of_a_meter_that_never_makes_one(known: Registry) -> None:
    await known.know("m1", CALLED_IN.endpoint, **KEYS, protection="enc")
    assert await known.hear(sealed(9, control=ENCRYPTED)) is O.FORGED
    assert await known.hear(sealed(3)) is O.WOKEN


async def test_a_meter_is_found_by_its_title_its_endpoint_or_its_place_on_a_broker(tmp_path: Path) -> None:
    async with registry(tmp_path, endpoint="tcp://meter:4059") as place:
        await place.know("m2", ON_MQTT.endpoint.upper().replace("MQTT://", "mqtt://").replace("SITE/M1", "site/m1"))
        assert await place.hear(sealed(1)) is O.WOKEN  # it only calls to push; we call it at its own address
        assert await place.hear(plain(), ON_MQTT) is O.WOKEN
        assert await place.was_seen("m2")
        assert await place.hear(plain(), Sender("mqtt://broker:1883/site/m2")) is O.UNKNOWN
        assert await place.hear(None, Sender("inbound:" + "0" * 16, bytes(8))) is O.UNKNOWN


async def test_of_several_meters_behind_one_connection_the_one_that_pushed_is_woken(tmp_path: Path) -> None:
    async with registry(tmp_path) as place:
        other = {**KEYS, "ek": bytes(16).hex(), "meter_system_title": OTHER_TITLE.hex()}
        await place.know("m2", CALLED_IN.endpoint, **other)
        apdu = sealed(1, title=OTHER_TITLE, ek=bytes(16))
        assert await place.hear(apdu, Sender(CALLED_IN.endpoint, sender_of(apdu) or b"")) is O.WOKEN
        assert (await place.was_seen("m1"), await place.was_seen("m2")) == (False, True)
        assert await place.hear(None) is O.WOKEN
        assert await place.was_seen("m1")


async def test_a_new_key_begins_its_counters_anew(known: Registry) -> None:
    assert await known.hear(sealed(100)) is O.WOKEN
    await known.know("m1", CALLED_IN.endpoint, **{**KEYS, "ek": bytes(16).hex()})
    assert await known.hear(sealed(101)) is O.FORGED
    assert await known.hear(sealed(1, ek=bytes(16))) is O.WOKEN


async def test_a_meter_is_woken_only_so_often_and_the_last_hint_is_not_forgotten(tmp_path: Path) -> None:
    async with registry(tmp_path, push_interval_seconds=0.05) as place:
        running = asyncio.create_task(place.hints.run())
        for counter in range(1, 6):
            place.hints.pushed(CALLED_IN, sealed(counter))
        async with asyncio.timeout(20):
            while place.outcomes.count(O.WOKEN) < 2:  # noqa: ASYNC110 - a list rings no bell
                await asyncio.sleep(0.001)
        # They are looked at side by side, so that one may overtake another, which then is a replay.
        assert (place.outcomes[-1], len(place.outcomes)) == (O.WOKEN, 6)
        assert set(place.outcomes[:-1]) <= {O.WOKEN, O.DELAYED, O.REPLAYED}
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)


async def test_a_flood_of_one_sender_is_let_go_and_others_are_heard(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with registry(tmp_path) as place:
        for _ in range(10_000):
            place.hints.pushed(Sender("inbound:0000000000000000", bytes(8)), plain())
        place.hints.pushed(CALLED_IN, sealed(1))
        running = asyncio.create_task(place.hints.run())
        async with asyncio.timeout(20):
            while O.WOKEN not in place.outcomes:  # noqa: ASYNC110 - a list rings no bell
                await asyncio.sleep(0.001)
        assert place.outcomes.count(O.DROPPED) == 9_980
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
        refused = [record for record in caplog.records if record.levelno == logging.WARNING]
        assert 0 < len(refused) <= 20
        assert "12345678901234567890" not in caplog.text


async def test_a_flood_of_titles_over_one_connection_is_let_go_and_others_are_heard(known: Registry) -> None:
    """Whoever makes pushes may write a new title into each."""
    for number in range(2_000):
        known.hints.pushed(Sender("inbound:0000000000000000", number.to_bytes(8, "big")), plain())
    assert known.outcomes == [O.DROPPED] * 1_500
    assert await known.hear(sealed(1)) is O.WOKEN
    running = asyncio.create_task(known.hints.run())
    known.hints.pushed(CALLED_IN, sealed(2))
    async with asyncio.timeout(20):
        while O.WOKEN not in known.outcomes:  # noqa: ASYNC110 - a list rings no bell
            await asyncio.sleep(0.001)
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)


async def test_of_a_flood_of_new_names_no_more_are_remembered_than_there_is_room_for(
    known: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gateway.hints._METERS_MAX", 100)
    for number in range(1_000):
        known.hints.present(Sender(f"inbound:{number:016X}", number.to_bytes(8, "big")))
    assert known.outcomes == [O.DROPPED] * 900


async def test_a_push_that_breaks_our_reader_costs_a_hint_and_not_the_service(
    known: Registry, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def break_down(apdu: bytes) -> None:
        raise RecursionError(apdu.hex())

    running = asyncio.create_task(known.hints.run())
    with monkeypatch.context() as patched:
        patched.setattr("gateway.hints.is_ciphered", break_down)
        known.hints.pushed(CALLED_IN, plain())
        async with asyncio.timeout(20):
            while O.DROPPED not in known.outcomes:  # noqa: ASYNC110 - a list rings no bell
                await asyncio.sleep(0.001)
    assert "a hint is let go, it could not be judged: RecursionError" in caplog.text
    assert plain().hex() not in caplog.text
    known.hints.pushed(CALLED_IN, sealed(1))
    async with asyncio.timeout(20):
        while O.WOKEN not in known.outcomes:  # noqa: ASYNC110 - a list rings no bell
            await asyncio.sleep(0.001)
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)


async def test_more_hints_than_can_wait_are_dropped_and_counted(known: Registry) -> None:
    for number in range(10_050):
        known.hints.present(Sender(f"mqtt://broker:1883/site/{number}"))
    assert known.outcomes == [O.DROPPED] * 50


async def test_a_store_that_fails_costs_a_hint_and_not_the_service(
    known: Registry, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async def fail(_meter: str) -> int:
        raise StoreError("no space left")

    async def break_down(_meter: str) -> int:
        raise StoreBroken("the file is damaged")

    running = asyncio.create_task(known.hints.run())
    with monkeypatch.context() as patched:
        patched.setattr(known.store.meters, "seen", fail)
        known.hints.pushed(CALLED_IN, sealed(1))
        async with asyncio.timeout(20):
            while O.DROPPED not in known.outcomes:  # noqa: ASYNC110 - a list rings no bell
                await asyncio.sleep(0.001)
    assert "a hint is let go, the store fails: no space left" in caplog.text
    assert not running.done()
    monkeypatch.setattr(known.store.meters, "seen", break_down)
    known.hints.pushed(CALLED_IN, sealed(2))
    with pytest.raises(ExceptionGroup) as raised:
        await running
    assert raised.group_contains(StoreBroken)


# Who says it.


@pytest.mark.parametrize(
    ("apdu", "title"),
    [
        (sealed(1), TITLE),
        (sealed(1, form=Ciphering.GENERAL_DED), TITLE),
        (sealed(1, named=b""), None),
        (sealed(1, named=b"short"), None),
        (sealed(1, EVENT, form=Ciphering.SERVICE_GLO), None),
        (bytes.fromhex("DD 02 0001 08") + TITLE + b"whatever follows", TITLE),
        (DataNotification(1, b"", axdr.structure(axdr.octet_string(TITLE), VALUES)).encode(), TITLE),
        (DataNotification(1, b"", axdr.octet_string(TITLE)).encode(), TITLE),
        (DataNotification(1, b"", axdr.structure(axdr.unsigned(1), axdr.octet_string(TITLE))).encode(), None),
        (plain(), None),
        (EVENT, None),
        (b"", None),
        (b"\xdb\xff", None),
        (b"\x0f\x00", None),
    ],
)
def test_a_first_message_says_whose_it_is_or_not(apdu: bytes, title: bytes | None) -> None:
    assert sender_of(apdu) == title


@given(st.one_of(st.binary(max_size=80), st.binary(max_size=60).map(lambda rest: b"\xdb\x08" + TITLE + rest)))
def test_whatever_is_said_first_names_somebody_or_nobody(apdu: bytes) -> None:
    title = sender_of(apdu)
    assert title is None or len(title) == 8
