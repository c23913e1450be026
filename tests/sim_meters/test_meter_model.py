"""A whole meter against a plain model: any tokens in any order by any way, key changes, time and power failures."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import assume, settings
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)
from hypothesis.strategies import DataObject, booleans, data, integers, one_of, permutations, sampled_from

from cosem_objects import axdr
from cosem_objects.dlms.apdu import ActionResult
from cosem_objects.sts_token import Token
from sim_meters.account import AccountUnit
from sim_meters.debt import DebtRecovery
from sim_meters.emergency import EmergencyCredit
from sim_meters.ledger import read_ledger
from sim_meters.meter_config import lab_config
from sim_meters.records import EmergencyTaken
from sim_meters.sts.keys.decoder_key import DecoderKey
from sim_meters.sts.keys.key_attributes import KeyType
from sim_meters.sts.machine.machine_settings import MachineSettings
from sim_meters.sts.results import TokenResult
from sim_meters.sts.tokens.clear_token import ClearToken, DecodeFailure, decode, encode, encode_credit
from sim_meters.sts.tokens.key_change import NUMBER_OF_SECTION, MeterKey, sections_of
from sim_meters.sts.tokens.token_kind import Commodity
from sim_meters.sts.tokens.token_table import CLEAR_CREDIT, CLEAR_TAMPER, EXTENDED_SET, MAXIMUM_POWER_LIMIT, credit_kind
from tests.sim_meters.meter_client import Clock
from tests.sim_meters.meter_tokens import (
    ACCOUNT,
    CREDIT,
    EMERGENCY,
    GATEWAY,
    STS,
    SWITCH,
    a_key,
    attribute,
    display_token,
    on_file,
    raw_managing,
    reopened,
)
from tests.sim_meters.plain_meter import Key, PlainMeter, Said, Section

KWH, ZAR = AccountUnit.kwh(-4), AccountUnit.money("ZAR", -5)
RAW_PER_UNIT = {KWH: 1000, ZAR: 1}
AMOUNTS = {KWH: (1, 100, 777, 16_383, 1_818_524), ZAR: (1, -1, 16_383, -9999, 1_782_042_624)}
"""Such as a token carries exactly; the last one fits into the account once."""
FACTORY = lab_config().new_machine().key
STRANGE = a_key("of another meter")
KEYS = [
    FACTORY,
    a_key("second", krn=2),
    a_key("long", ea=11, krn=3, ti=99, sgc=999_999),
    a_key("default", kt=KeyType.DEFAULT, krn=4),
    a_key("soon over", krn=5, ken=80),
    a_key("common", kt=KeyType.COMMON, krn=6),
    a_key("of a factory", kt=KeyType.INITIALISATION, krn=7),
    a_key("long too", ea=11, krn=8, sgc=4097, ken=200),
]
STATUS = {
    **dict.fromkeys(("ACCEPT", *(f"{name}_KEY_CHANGE_SECTION" for name in ("FIRST", "SECOND", "THIRD", "FOURTH"))), 3),
    **dict.fromkeys(("CRC_ERROR", "MFR_CODE_ERROR"), 5),
    **dict.fromkeys(("OLD_ERROR", "USED_ERROR", "KEY_EXPIRED_ERROR", "DDTK_ERROR"), 6),
    **dict.fromkeys(("OVERFLOW_ERROR", "KEY_TYPE_ERROR", "RANGE_ERROR", "FUNCTION_ERROR"), 7),
    "no token": 4,
}
BITS = {
    "CRC_ERROR": 0,
    "MFR_CODE_ERROR": 1,
    "OLD_ERROR": 2,
    "USED_ERROR": 3,
    "KEY_EXPIRED_ERROR": 4,
    "DDTK_ERROR": 5,
    "OVERFLOW_ERROR": 6,
    "KEY_TYPE_ERROR": 7,
    "RANGE_ERROR": 9,
    "FUNCTION_ERROR": 10,
    "FIRST_KEY_CHANGE_SECTION": 11,
    "SECOND_KEY_CHANGE_SECTION": 12,
    "THIRD_KEY_CHANGE_SECTION": 13,
    "FOURTH_KEY_CHANGE_SECTION": 14,
}
MANAGEMENT = {
    "clear-credit": (CLEAR_CREDIT, "clear", (0, 4, 0xFFFF, 1, 9)),
    "clear-tamper": (CLEAR_TAMPER, "untamper", (0,)),
    "power-limit": (MAXIMUM_POWER_LIMIT, "limit", (0, 2000, 16_383)),
    "extended-set": (EXTENDED_SET, "control", (0, 123, 1023, 5 << 10)),
}
HUNDREDTH = timedelta(milliseconds=10)
TIDS = one_of(integers(0, 12), integers(5_000_000, 5_000_004), integers(6_000_000, 6_000_004))
"""So few that many are used; those of the last group are beyond the KEN of one key."""
KEY_NUMBERS = integers(0, len(KEYS) - 1)
WAYS = sampled_from(["keypad", "remote"])


def plain(key: MeterKey) -> Key:
    return Key(key.decoder_key.octets, int(key.kt), key.krn, key.ti, key.sgc, key.ken)


def said_by(section: ClearToken, present: bytes) -> Said:
    number = NUMBER_OF_SECTION[section.kind]
    names = {1: ("krn", "ro", "three_kct", "kt", "ken_high"), 2: ("ti", "ken_low")}
    if number in names:
        rest, word = tuple(section[name] for name in names[number]), section["key_word"].to_bytes(4, "big")
    else:
        rest, word = (section.upper & ((1 << 44) - 1),), b""
    return Said("section", present, section=Section(number, rest, word))


class Life(RuleBasedStateMachine):
    """One meter and its model, told the same."""

    @initialize(
        money=booleans(),
        owed=sampled_from([0, 150]),
        part=sampled_from([1, 2500, 10_000]),
        advance=sampled_from([0, 50]),
        delay=sampled_from([0, 0, 30]),
        supported=sampled_from([0, 2, 4, 4]),
    )
    def begin(self, money: bool, owed: int, part: int, advance: int, delay: int, supported: int) -> None:
        unit = ZAR if money else KWH
        self.directory = TemporaryDirectory()
        self.path = Path(self.directory.name) / "ledger"
        self.clock, self.unit, self.delay = Clock(), unit, delay
        config = replace(
            lab_config(),
            unit=unit,
            debt=DebtRecovery(owed, part) if owed else None,
            emergency=EmergencyCredit(advance) if advance else None,
            status_delay_seconds=float(delay),
            sts_settings=MachineSettings(tid_depth=5, kct_supported=supported),
        )
        self.meter = on_file(config, self.path, self.clock)
        own = unit.kind.subclass
        self.plain = PlainMeter(plain(FACTORY), own, owed, part, advance, RAW_PER_UNIT[unit], supported, 5)
        self.made: list[tuple[Token, Said]] = []
        self.pending: tuple[bytes, Said, datetime] | None = None
        self.shown: tuple[bytes, str] | None = None
        self.last_time: datetime | None = None
        self.credited: Counter[Token] = Counter()

    def teardown(self) -> None:
        if hasattr(self, "meter"):
            self._check_the_ledger()
            self.meter.close()
            self.directory.cleanup()

    # Tokens.

    @rule(data=data(), tid=TIDS, way=WAYS)
    def credit(self, data: DataObject, tid: int, way: str) -> None:
        units = data.draw(sampled_from(AMOUNTS[self.unit]))
        rnd = None if self.unit.kind.is_currency else 5
        token = encode_credit(self._key, self.unit.kind, units, tid, rnd)
        self._enter(token, Said("credit", self._key.octets, tid, units), way)

    @rule(command=sampled_from(sorted(MANAGEMENT)), tid=TIDS, way=WAYS, data=data())
    def manage(self, command: str, tid: int, way: str, data: DataObject) -> None:
        kind, what, values = MANAGEMENT[command]
        value = data.draw(sampled_from(values))
        self._enter(raw_managing(self._key, kind, value, tid), Said(what, self._key.octets, tid, value), way)

    @rule(tid=TIDS, way=WAYS, key=sampled_from(["present", "strange"]))
    def foreign(self, tid: int, way: str, key: str) -> None:
        """Water in an electricity meter; or another meter's credit."""
        kind = credit_kind(Commodity.WATER, currency=False) if key == "present" else self.unit.kind
        under = self._key if key == "present" else STRANGE.decoder_key
        token = encode_credit(under, kind, 10, tid, None if kind.is_currency else 5)
        self._enter(token, Said("foreign", under.octets, tid), way)

    @rule(tid=TIDS)
    def three_wrong_at_the_keypad(self, tid: int) -> None:
        for _ in range(3):
            self.foreign(tid=tid, way="keypad", key="strange")

    @rule(way=WAYS, code=sampled_from([0, 0, 77]))
    def test(self, way: str, code: int) -> None:
        self._enter(display_token("krn", "tamper", code=code), Said("foreign test" if code else "test"), way)

    @rule(data=data(), way=WAYS)
    @precondition(lambda self: self.made)
    def again(self, data: DataObject, way: str) -> None:
        self._enter(*data.draw(sampled_from(self.made)), way)

    @rule(octets=sampled_from([b"", b"1" * 19, b"9" * 20]))
    def no_token(self, octets: bytes) -> None:
        self._catch_up()
        if self._is_received(octets, Said("no token")):
            self._note(octets, Said("no token"), "no token", self._time_of_entry())

    @rule(new=KEY_NUMBERS, rollover=booleans(), with_sgc=booleans(), number=integers(0, 3), way=WAYS)
    def one_section(self, new: int, rollover: bool, with_sgc: bool, number: int, way: str) -> None:
        sections = sections_of(KEYS[new], rollover=rollover, with_sgc=with_sgc)
        self._enter_section(sections[number % len(sections)], way)

    @rule(new=KEY_NUMBERS, rollover=booleans(), with_sgc=booleans(), order=permutations(range(4)))
    def whole_set(self, new: int, rollover: bool, with_sgc: bool, order: Sequence[int]) -> None:
        sections = sections_of(KEYS[new], rollover=rollover, with_sgc=with_sgc)
        present = self._key
        for number in order:
            if number < len(sections):
                token = encode(sections[number], present)
                self._enter(token, said_by(sections[number], present.octets), "remote")
                if self.delay:
                    self.wait(self.delay)

    # Everything else.

    @rule(seconds=sampled_from([0.004, 5, 11, 21, 31, 601]))
    def wait(self, seconds: float) -> None:
        self.clock.move(seconds)

    @rule()
    def power_failure(self) -> None:
        before, records = self.meter.state, list(self.meter.ledger.records)
        self.meter = reopened(self.meter)
        assert self.meter.ledger.records == records
        assert self.meter.state == replace(before, machine=before.machine.powered_up())
        self.pending = None
        self.plain.lose_power()

    @rule()
    def advance(self) -> None:
        self._catch_up()
        self.meter.catch_up()
        assert self.meter.take_emergency_credit() == self.plain.take_advance()

    @rule()
    def open_cover(self) -> None:
        self.meter.open_cover()
        self.plain.is_tampered = True

    @rule(connect=booleans())
    def order_switch(self, connect: bool) -> None:
        self.meter.order_switch(connect=connect)
        self.plain.is_held_open = not connect

    # What a client sees.

    @invariant()
    @precondition(lambda self: hasattr(self, "meter"))
    def all_that_is_shown_is_so(self) -> None:
        self._catch_up()
        self._check_the_account()
        self._check_the_key()
        self._check_the_gateway()

    def _check_the_account(self) -> None:
        plain, raw = self.plain, RAW_PER_UNIT[self.unit]
        assert self._number(111, ACCOUNT, 5) == plain.balance * raw
        assert self._number(111, ACCOUNT, 6) == plain.advance_owed * raw
        assert self._number(111, ACCOUNT, 8) == plain.debt * raw
        assert self._number(112, CREDIT, 2) == (plain.balance - plain.advance_owed) * raw
        if plain.advance:
            assert self._number(112, EMERGENCY, 2) == plain.advance_owed * raw
        if plain.owed_at_first:
            assert self._number(113, "0-0:19.20.0.255", 2) == plain.collected * raw
        assert attribute(self.meter, 70, SWITCH, 2).boolean == plain.is_closed
        assert self.meter.state.power_limit_watts == plain.limit
        assert self.meter.state.control_values == plain.controls

    def _check_the_key(self) -> None:
        key = self.plain.key
        expected = [11 if len(key.octets) == 16 else 7, key.sgc, key.ti, key.krn, key.kt, key.ken, self.plain.supported]
        assert [self._number(116, STS, number) for number in range(5, 12)] == expected
        assert self._key.octets == key.octets

    def _check_the_gateway(self) -> None:
        status = attribute(self.meter, 115, GATEWAY, 6).structure(2)
        octets = attribute(self.meter, 115, GATEWAY, 2).octets
        if self.pending is not None:
            assert (octets, status[0].integer) == (self.pending[0], 8)
        elif self.shown is not None:
            result = self.shown[1]
            assert (octets, status[0].integer) == (self.shown[0], STATUS[result])
            bits = "".join("1" if BITS.get(result) == number else "0" for number in range(16))
            assert status[1] == axdr.bit_string(bits)

    def _check_the_ledger(self) -> None:
        entries = self.meter.ledger.entries
        assert read_ledger(self.path).records == self.meter.ledger.records
        for token, times in self.credited.items():
            assert self.meter.ledger.times_credited(token) == times
        accepted = [entry for entry in entries if entry.result is TokenResult.ACCEPT]
        advances = sum(record.units for record in self.meter.ledger.records if isinstance(record, EmergencyTaken))
        moved = sum((entry.units or 0) - entry.collected - entry.repaid for entry in accepted)
        assert self.plain.balance == self.meter.ledger.units_credited == moved + advances
        assert self.plain.collected == sum(entry.collected for entry in accepted)

    # How both are told.

    @property
    def _key(self) -> DecoderKey:
        return self.meter.state.machine.key.decoder_key

    def _number(self, class_id: int, obis: str, number: int) -> int:
        return attribute(self.meter, class_id, obis, number).integer

    def _enter_section(self, section: ClearToken, way: str) -> None:
        self._enter(encode(section, self._key), said_by(section, self._key.octets), way)

    def _enter(self, token: Token, said: Said, way: str) -> None:
        self._catch_up()
        self.meter.catch_up()
        if said.key is not None and said.key != self.plain.key.octets:
            # One in 65536 fits by chance, and then means something.
            opened = decode(token, self._key)
            assume(isinstance(opened, DecodeFailure) and opened.result is TokenResult.CRC_ERROR)
        self.made.append((token, said))
        octets = token.digits.encode()
        if way == "remote":
            if self._is_received(octets, said):
                time = self._time_of_entry()
                self._note(octets, said, self.plain.work_on(said, time, is_keypad=False), time, token)
            return
        if self.plain.keypad_is_locked(said, self.clock.now()):
            expected = "LOCKOUT"
        elif self.pending is not None:
            expected = "NOT_READY"
        else:
            time = self._time_of_entry()
            expected = self.plain.work_on(said, time, is_keypad=True)
            self._note(octets, said, expected, time, token)
        assert self.meter.key_in(token).name == expected

    def _is_received(self, octets: bytes, said: Said) -> bool:
        """Enter it over the wire; whether it is worked on at once."""
        result = self.meter.enter(octets)
        if self.pending is not None:
            assert result == ActionResult.TEMPORARY_FAILURE
            return False
        assert result == ActionResult.SUCCESS
        if self.delay:
            self.pending = octets, said, self._time_of_entry()
            self.due = self.clock.now() + timedelta(seconds=self.delay)
        return not self.delay

    def _catch_up(self) -> None:
        if self.pending is not None and self.clock.now() >= self.due:
            (octets, said, time), self.pending = self.pending, None
            result = "no token" if said.what == "no token" else self.plain.work_on(said, time, is_keypad=False)
            self._note(octets, said, result, time, None if result == "no token" else Token.parse(octets.decode()))

    def _note(self, octets: bytes, said: Said, result: str, time: datetime, token: Token | None = None) -> None:
        self.shown, self.last_time = (octets, result), time
        if said.what == "credit" and result == "ACCEPT" and token is not None:
            self.credited[token] += 1
            assert self.credited[token] == 1, "credited twice"

    def _time_of_entry(self) -> datetime:
        now = self.clock.now()
        now -= timedelta(microseconds=now.microsecond % 10_000)
        return now if self.last_time is None else max(now, self.last_time + HUNDREDTH)


def check_lives(count: int, steps: int) -> None:
    run_state_machine_as_test(Life, settings=settings(max_examples=count, stateful_step_count=steps))


def test_a_meter_is_as_its_model_says() -> None:
    check_lives(80, 40)


@pytest.mark.soak
def test_many_meters_are_as_their_models_say() -> None:
    check_lives(3000, 60)
