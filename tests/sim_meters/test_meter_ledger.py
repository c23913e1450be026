"""The ledger: one record, one line; torn at the end it is mended, damaged anywhere else it is refused."""

from __future__ import annotations

import errno
import os
from dataclasses import replace
from datetime import timedelta, timezone
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis.strategies import (
    binary,
    booleans,
    builds,
    datetimes,
    dictionaries,
    integers,
    just,
    none,
    one_of,
    sampled_from,
    text,
)

from cosem_objects.errors import SettingError
from cosem_objects.security_setup import KeyId
from cosem_objects.sts_token import Token, TokenClass
from cosem_objects.token_gateway import DeliveryMethod, TokenStatus
from sim_meters.account import AccountUnit
from sim_meters.ledger import (
    FileLedger,
    Ledger,
    LedgerError,
    read_ledger,
)
from sim_meters.meter import SimMeter
from sim_meters.meter_config import lab_config
from sim_meters.records import (
    CountersKept,
    EmergencyTaken,
    KeysTransferred,
    Record,
    Switched,
    Tampered,
    TokenEntry,
    as_kept,
    to_fields,
    token_digest,
)
from sim_meters.sts.results import TokenResult
from sim_meters.sts.tokens.clear_token import clear_token, encode
from sim_meters.sts.tokens.key_change import sections_of
from sim_meters.sts.tokens.token_table import (
    CLEAR_CREDIT,
    CLEAR_TAMPER,
    EXTENDED_SET,
    MAXIMUM_POWER_LIMIT,
    PHASE_UNBALANCE_LIMIT,
)
from tests.sim_meters.meter_client import Clock, client_of, credit
from tests.sim_meters.meter_tokens import a_key
from transports.channel import ChannelClosed

CONFIG = lab_config()
TOKENS = [credit(CONFIG, 100 + number, 6_000_000 + number) for number in range(4)]


def open_ledger(path: Path) -> FileLedger:
    return FileLedger(path, CONFIG.ledger_identity)


def a_history(path: Path) -> SimMeter:
    """A meter that has seen a bit of everything, the last a credit."""
    meter = SimMeter(CONFIG, open_ledger(path), clock=Clock())
    meter.key_in(TOKENS[0])
    meter.enter(b"no token")
    meter.order_switch(connect=False)
    meter.key_in(TOKENS[0])
    meter.counters.accept(17)
    meter.counters.take()
    meter.keep_counters()
    meter.key_in(TOKENS[1])
    return meter


def reopened(path: Path) -> SimMeter:
    return SimMeter(CONFIG, open_ledger(path), clock=Clock())


def test_a_restarted_meter_goes_on_where_it_was(tmp_path: Path) -> None:
    first = a_history(tmp_path / "ledger")
    first.close()
    again = reopened(tmp_path / "ledger")
    assert again.state == first.state
    assert again.shown == first.shown
    assert again.ledger.records == first.ledger.records
    assert again.counters.last_received == 17
    assert again.counters.next_own > first.counters.next_own
    assert again.key_in(TOKENS[1]) is TokenResult.USED_ERROR
    assert again.key_in(TOKENS[2]) is TokenResult.ACCEPT
    assert again.state.balance_units == 100 + 101 + 102
    again.close()


def test_the_file_belongs_to_its_owner_and_names_no_key(tmp_path: Path) -> None:
    path = tmp_path / "ledger"
    a_history(path).close()
    assert path.stat().st_mode & 0o777 == 0o600
    content = path.read_text(encoding="ascii").lower()
    assert CONFIG.decoder_key.octets.hex() not in content
    assert token_digest(TOKENS[0]) in content


def test_a_torn_last_record_was_never_written(tmp_path: Path) -> None:
    """At every byte of it: the meter is as before the token, and takes it again."""
    path = tmp_path / "ledger"
    a_history(path).close()
    whole = path.read_bytes()
    start = whole.rindex(b"\n", 0, -1) + 1
    for size in range(start, len(whole)):
        path.write_bytes(whole[:size])
        meter = reopened(path)
        assert meter.ledger.times_credited(TOKENS[1]) == 0
        assert meter.state.balance_units == 100
        assert meter.counters.last_received == 17
        assert path.read_bytes() == whole[:start]
        assert meter.key_in(TOKENS[1]) is TokenResult.ACCEPT
        assert meter.state.balance_units == 201
        meter.close()
    path.write_bytes(whole)
    meter = reopened(path)
    assert meter.ledger.times_credited(TOKENS[1]) == 1
    assert meter.key_in(TOKENS[1]) is TokenResult.USED_ERROR
    meter.close()


def test_zeros_at_the_end_are_a_write_that_lost_its_power(tmp_path: Path) -> None:
    path = tmp_path / "ledger"
    a_history(path).close()
    whole = path.read_bytes()
    for tail in (bytes(300), b'{"kind"' + bytes(50), bytes(100) + b'","sum":"0123456789abcdef"}\n'):
        path.write_bytes(whole + tail)
        meter = reopened(path)
        assert meter.state.balance_units == 201
        assert path.read_bytes() == whole
        meter.close()


def test_a_torn_header_makes_a_new_ledger(tmp_path: Path) -> None:
    path = tmp_path / "ledger"
    open_ledger(path).close()
    header = path.read_bytes()
    for size in range(len(header)):
        path.write_bytes(header[:size])
        open_ledger(path).close()
        assert path.read_bytes() == header


def test_damage_anywhere_else_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "ledger"
    a_history(path).close()
    whole = path.read_bytes()
    for place in range(0, len(whole) - 1, 3):
        damaged = bytearray(whole)
        damaged[place] ^= 0x04
        path.write_bytes(damaged)
        with pytest.raises((LedgerError, SettingError), match="ledger"):
            open_ledger(path)
        with pytest.raises(LedgerError, match="line"):
            read_ledger(path)
        assert path.read_bytes() == damaged, "a damaged ledger is evidence"


def test_the_last_record_too_is_refused_when_it_was_whole_and_changed(tmp_path: Path) -> None:
    """It was answered for: dropping it would let the token work twice."""
    path = tmp_path / "ledger"
    a_history(path).close()
    whole = path.read_bytes()
    path.write_bytes(whole.replace(b'"units":101', b'"units":109'))
    with pytest.raises(LedgerError, match="line 7"):
        open_ledger(path)


def test_lines_that_are_missing_doubled_or_moved_are_noticed(tmp_path: Path) -> None:
    path = tmp_path / "ledger"
    a_history(path).close()
    lines = path.read_bytes().splitlines(keepends=True)
    assert len(lines) == 7
    for broken in (
        lines[:2] + lines[3:],
        [*lines[:3], lines[2], *lines[3:]],
        [*lines[:2], lines[3], lines[2], *lines[4:]],
        [*lines, lines[-1]],
        lines[1:],
    ):
        path.write_bytes(b"".join(broken))
        with pytest.raises((LedgerError, SettingError)):
            open_ledger(path)


def test_a_good_line_of_an_unknown_kind_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "ledger"
    ledger = open_ledger(path)
    ledger._write({"kind": "weather"})
    ledger.close()
    with pytest.raises(LedgerError, match="line 2"):
        open_ledger(path)


@pytest.mark.parametrize(
    ("identity", "message"),
    [
        (lab_config(1).ledger_identity, "pan"),
        (replace(CONFIG, unit=AccountUnit.parse("ZAR")).ledger_identity, "unit"),
    ],
)
def test_the_ledger_of_another_meter_is_refused(tmp_path: Path, identity: dict[str, str], message: str) -> None:
    path = tmp_path / "ledger"
    a_history(path).close()
    with pytest.raises(SettingError, match=f"its {message} is"):
        FileLedger(path, identity)
    reopened(path).close()  # and the lock is free again


def test_two_processes_do_not_share_a_ledger(tmp_path: Path) -> None:
    first = open_ledger(tmp_path / "ledger")
    with pytest.raises(LedgerError, match="another process"):
        open_ledger(tmp_path / "ledger")
    first.close()
    open_ledger(tmp_path / "ledger").close()


def test_a_ledger_that_cannot_be_opened(tmp_path: Path) -> None:
    with pytest.raises(LedgerError, match="cannot be opened: No such file"):
        open_ledger(tmp_path / "nowhere" / "ledger")


def break_disk(monkeypatch: pytest.MonkeyPatch, how: str) -> None:
    """A disk that takes a part of a record, or none, or does not keep it."""
    write = os.write

    def short(file: int, octets: bytes) -> int:
        return write(file, octets[: len(octets) // 2])

    def fails(*_: object) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    if how == "fsync":
        monkeypatch.setattr("os.fsync", fails)
    else:
        monkeypatch.setattr("os.write", short if how == "short" else fails)


@pytest.mark.parametrize("how", ["short", "full", "fsync"])
async def test_a_meter_that_cannot_write_does_not_answer(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, how: str
) -> None:
    meter = a_history(tmp_path / "ledger")
    before = meter.state
    async with client_of(meter) as client:
        with monkeypatch.context() as patch:
            break_disk(patch, how)
            with pytest.raises(ChannelClosed):
                await client.enter(TOKENS[2])
    assert meter.state == before
    with pytest.raises(LedgerError, match="cannot be written"):
        meter.key_in(TOKENS[2])  # the disk is well again, but what is on it must be read first
    meter.close()
    assert "cannot be written" in caplog.text
    again = reopened(tmp_path / "ledger")
    assert again.state.balance_units == again.ledger.units_credited
    assert again.ledger.times_credited(TOKENS[2]) == (how == "fsync")
    again.close()


CLASS_2 = [
    clear_token(kind, {"rnd": 5, "tid": 7, kind.value.name: 0})
    for kind in (CLEAR_CREDIT, CLEAR_TAMPER, EXTENDED_SET, MAXIMUM_POWER_LIMIT, PHASE_UNBALANCE_LIMIT)
]
SECTIONS = [
    as_kept(section.upper)
    for key, with_sgc in ((a_key("short"), False), (a_key("short"), True), (a_key("long", ea=11), True))
    for section in sections_of(key, rollover=True, with_sgc=with_sgc)
]
RECORDS = one_of(
    builds(
        TokenEntry,
        time=datetimes(timezones=integers(-840, 840).map(lambda minutes: timezone(timedelta(minutes=minutes)))),
        delivery=sampled_from(DeliveryMethod),
        octets=binary(max_size=30),
        status=builds(TokenStatus, integers(0, 255), text("01", max_size=16)),
        result=one_of(none(), sampled_from(TokenResult)),
        tid=one_of(none(), integers(0, (1 << 24) - 1)),
        units=one_of(none(), integers()),
        collected=integers(0),
        repaid=integers(0),
        token_class=sampled_from(TokenClass),
        management=one_of(none(), sampled_from([*CLASS_2, *SECTIONS])),
        masked=just("…0001"),
        digest=text("0123456789abcdef", max_size=64),
        description=text(max_size=20),
        shown=booleans(),
    ),
    builds(Switched, booleans()),
    builds(EmergencyTaken, integers(1)),
    just(Tampered()),
    builds(CountersKept, integers(-1, 2**32), integers(1, 2**32), sampled_from(["", "0123456789abcdef"])),
    builds(KeysTransferred, dictionaries(sampled_from(KeyId), binary(min_size=16, max_size=16), min_size=1)),
)


@given(record=RECORDS)
def test_every_record_is_read_as_it_was_written(tmp_path_factory: pytest.TempPathFactory, record: Record) -> None:
    path = tmp_path_factory.mktemp("ledger") / "ledger"
    ledger = open_ledger(path)
    ledger.append(record)
    ledger.close()
    again = read_ledger(path)
    if isinstance(record, CountersKept):
        assert again.counters == again.counters_of(record.key_digest) == record
    elif isinstance(record, KeysTransferred):
        assert again.keys == record.keys
    else:
        (found,) = again.records
        assert found == record
        if isinstance(record, TokenEntry) and isinstance(found, TokenEntry):
            assert found.time.utcoffset() == record.time.utcoffset()


def test_no_token_in_a_repr() -> None:
    meter = SimMeter(CONFIG, clock=Clock())
    meter.key_in(TOKENS[0])
    assert TOKENS[0].digits[:-4] not in repr(meter.ledger.records)
    assert TOKENS[0].masked in repr(meter.ledger.records)


def test_a_ledger_in_memory_makes_the_same_meter_again() -> None:
    ledger = Ledger()
    first = SimMeter(CONFIG, ledger, clock=Clock())
    first.key_in(TOKENS[0])
    again = SimMeter(CONFIG, ledger, clock=Clock())
    assert again.state == first.state
    assert again.key_in(TOKENS[0]) is TokenResult.USED_ERROR
    assert ledger.times_credited(TOKENS[0]) == 1
    assert ledger.times_credited(Token(1)) == 0


def test_a_ledger_from_before_keys_and_debts_is_read(tmp_path: Path) -> None:
    """Its records have neither the key of their counters nor what was collected."""
    path = tmp_path / "ledger"
    ledger = open_ledger(path)
    ledger._write({"kind": "counters", "received": 41, "sent_limit": 1001})
    entry = to_fields(_booked())
    ledger._write({name: value for name, value in entry.items() if name != "collected"})
    ledger.close()
    old = read_ledger(path)
    assert old.counters_of("0123456789abcdef") == CountersKept(41, 1001)
    assert old.units_credited == 100


NEW_MEMBERS = ("collected", "repaid", "class", "management")


@pytest.mark.parametrize("missing", [("repaid", "class", "management"), NEW_MEMBERS])
def test_a_meter_goes_on_with_a_ledger_from_before_management_tokens(tmp_path: Path, missing: tuple[str, ...]) -> None:
    """Balance, TIDs, switch and what is shown are as they were; every kind of token is taken from there on."""
    path = tmp_path / "ledger"
    meter = SimMeter(CONFIG, Ledger(), clock=Clock())
    meter.key_in(TOKENS[0])
    meter.enter(b"no token")
    meter.key_in(TOKENS[0])
    meter.order_switch(connect=False)
    old = open_ledger(path)
    for record in meter.ledger.records:
        old._write({name: value for name, value in to_fields(record).items() if name not in missing})
    old.close()
    again = reopened(path)
    assert again.state == replace(meter.state, machine=meter.state.machine.powered_up())
    assert again.key_in(TOKENS[0]) is TokenResult.USED_ERROR
    assert again.key_in(TOKENS[1]) is TokenResult.ACCEPT
    new = a_key("new")
    for section in sections_of(new, rollover=False):
        assert again.key_in(encode(section, CONFIG.decoder_key)).section or again.state.machine.key == new
    again.close()
    last = reopened(path)
    assert last.state.machine.key == new
    last.close()


def _booked() -> TokenEntry:
    meter = SimMeter(CONFIG, clock=Clock())
    meter.key_in(TOKENS[0])
    (entry,) = meter.ledger.entries
    return entry
