"""Random lives of a meter: the token machine against a model that knows nothing of ciphers."""

from __future__ import annotations

from datetime import datetime, timedelta
from random import Random

import pytest
from hypothesis import settings
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)
from hypothesis.strategies import booleans, integers, sampled_from

from cosem_objects.sts_token import Token
from sim_meters.sts.keys.key_attributes import KeyType
from sim_meters.sts.machine.token_machine import TokenMachine
from sim_meters.sts.results import TokenResult
from sim_meters.sts.tokens.clear_token import ClearToken, DecodeFailure, clear_token, decode, encode
from sim_meters.sts.tokens.key_change import MeterKey, sections_of
from sim_meters.sts.tokens.token_table import CLEAR_CREDIT, CLEAR_TAMPER, TEST_2
from tests.sim_meters.lab_tokens import KWH, MADE, NOON, machine, meter_key
from tests.sim_meters.machine_model import DEPTH, MANUFACTURER_CODE, ROOM, Issued, Model, Section

TIDS = integers(MADE - 3, MADE + 12) | integers(1, 12) | sampled_from([0x10000, 0x10001, 0x20000])
KEY_NUMBERS = integers(0, 3)
KT_KEN = sampled_from(
    [(KeyType.UNIQUE, 255)] * 3
    + [(KeyType.UNIQUE, 0), (KeyType.UNIQUE, 1), (KeyType.DEFAULT, 255), (KeyType.INITIALISATION, 255)]
)
SEEDS = integers(0, 999)

Booked = int | tuple[ClearToken, datetime, TokenResult, tuple[int, ...]]
"""What a ledger keeps of an accepted token: its TID, or the section of a key change, when, and with which result."""


def booked(machine: TokenMachine, entry: Booked) -> TokenMachine:
    return machine.with_tid(entry) if isinstance(entry, int) else machine.with_section(*entry)


class MeterLife(RuleBasedStateMachine):
    """Every rule enters tokens into the machine and the model, or lets time pass, or cuts the power."""

    @initialize(supported=sampled_from([0, 0, 2, 4]), ea=sampled_from([7, 7, 11]))
    def make(self, supported: int, ea: int) -> None:
        self.key = meter_key(0, ea, kt=KeyType.UNIQUE)
        self.supported = 0 if ea == 11 else supported
        self.meter = self.new_machine()
        self.model = Model(self.key, self.supported, NOON)
        self.balance = 0
        self.ledger: list[Booked] = []
        self.issued: list[Issued] = []
        self.sets: list[list[Issued]] = []
        self.credited: list[str] = []

    def new_machine(self) -> TokenMachine:
        return machine(
            (KWH, CLEAR_CREDIT, CLEAR_TAMPER),
            self.key,
            manufacturer_code=MANUFACTURER_CODE,
            kct_supported=self.supported,
            tid_depth=DEPTH,
        )

    # What is entered.

    @rule(tid=TIDS, units=integers(1, 16_000), is_keypad=booleans())
    def credit(self, tid: int, units: int, is_keypad: bool) -> None:
        clear = clear_token(KWH, {"rnd": 5, "tid": tid, "transfer_amount_units": units})
        self.issue(Issued(self.encrypted(clear), self.model.octets, tid, credit=units), is_keypad)

    @rule(tid=TIDS, is_credit=booleans(), is_keypad=booleans())
    def clear(self, tid: int, is_credit: bool, is_keypad: bool) -> None:
        kind = CLEAR_CREDIT if is_credit else CLEAR_TAMPER
        clear = clear_token(kind, {"rnd": 5, "tid": tid, kind.value.name: 0})
        self.issue(Issued(self.encrypted(clear), self.model.octets, tid, clears_credit=is_credit), is_keypad)

    @rule(number=KEY_NUMBERS, tid=TIDS)
    def credit_under_another_key(self, number: int, tid: int) -> None:
        key = meter_key(number, self.model.key.decoder_key.ea).decoder_key
        token = encode(clear_token(KWH, {"rnd": 5, "tid": tid, "transfer_amount_units": 7}), key)
        self.issue(Issued(token, key.octets, tid, credit=7), is_keypad=True)

    @rule(mfr_code=sampled_from([0, MANUFACTURER_CODE, 9]), is_keypad=booleans())
    def test(self, mfr_code: int, is_keypad: bool) -> None:
        token = encode(clear_token(TEST_2, {"mfr_code": mfr_code, "control": 1}))
        self.issue(Issued(token, mfr_code=mfr_code), is_keypad)

    @precondition(lambda self: self.issued)
    @rule(seed=SEEDS, is_keypad=booleans())
    def enter_again(self, seed: int, is_keypad: bool) -> None:
        self.enter(self.issued[seed % len(self.issued)], is_keypad)

    @rule(
        number=KEY_NUMBERS,
        size=sampled_from([2, 3, 4, 4]),
        rollover=booleans(),
        kt=sampled_from(KeyType),
    )
    def make_set(self, number: int, size: int, rollover: bool, kt: KeyType) -> None:
        new = meter_key(number, 11 if size == 4 else 7, kt=kt, sgc=900_000 + number * 4096)
        self.sets.append(self.set_under_the_present_key(new, size, rollover))

    @precondition(lambda self: self.sets)
    @rule(seed=SEEDS, place=integers(0, 3), is_keypad=booleans())
    def enter_one_section(self, seed: int, place: int, is_keypad: bool) -> None:
        chosen = self.sets[-1 - seed % len(self.sets)]
        self.enter(chosen[place % len(chosen)], is_keypad)

    @rule(
        number=KEY_NUMBERS, rollover=booleans(), order=SEEDS, with_sgc=booleans(), count=integers(2, 5), kt_ken=KT_KEN
    )
    def change_the_key(
        self, number: int, rollover: bool, order: int, with_sgc: bool, count: int, kt_ken: tuple[KeyType, int]
    ) -> None:
        """A set as this meter takes it, in any order, perhaps without its last sections."""
        is_long = self.model.supported == 4
        new = meter_key(number, 11 if is_long else 7, sgc=500_000 + number, kt=kt_ken[0], ken=kt_ken[1])
        size = 4 if is_long else 3 if with_sgc and self.model.supported > 2 else 2
        sections = self.set_under_the_present_key(new, size, rollover)
        self.sets.append(sections)
        for issued in Random(order).sample(sections, min(count, size)):
            self.enter(issued, is_keypad=False)

    def set_under_the_present_key(self, new: MeterKey, size: int, rollover: bool) -> list[Issued]:
        sections = sections_of(new, rollover=rollover, with_sgc=size == 3)
        return [
            Issued(self.encrypted(clear), self.model.octets, section=Section(number, size, new, rollover))
            for number, clear in enumerate(sections, 1)
        ]

    # What happens beside.

    @rule(seconds=sampled_from([1, 9, 10, 60, 599, 600, 1300]))
    def let_time_pass(self, seconds: int) -> None:
        self.model.now += timedelta(seconds=seconds)

    @precondition(lambda self: self.model.held_until or self.model.locked_until)
    @rule(seconds_early=sampled_from([0, 1]))
    def wait_for_what_ends_by_itself(self, seconds_early: int) -> None:
        ends = [end for end in (self.model.held_until, self.model.locked_until) if end and end > self.model.now]
        if ends:
            self.model.now = max(self.model.now, min(ends) - timedelta(seconds=seconds_early))

    @rule()
    def cut_the_power(self) -> None:
        """The meter begins anew, and books again what its ledger has."""
        restarted = self.new_machine()
        for entry in self.ledger:
            restarted = booked(restarted, entry)
        assert restarted == self.meter.powered_up()
        self.meter = restarted
        self.model.power_up()

    # Entering.

    def encrypted(self, clear: ClearToken) -> Token:
        return encode(clear, self.model.key.decoder_key)

    def issue(self, issued: Issued, is_keypad: bool) -> None:
        self.issued.append(issued)
        self.enter(issued, is_keypad)

    def enter(self, issued: Issued, is_keypad: bool) -> None:
        now, token = self.model.now, issued.token
        present = self.model.key.decoder_key
        if issued.key not in (b"", present.octets) and not isinstance(decode(token, present), DecodeFailure):
            return  # the CRC fits another key by chance, as it does once in 65,536 times
        expected = self.model.enter(issued, is_keypad=is_keypad)
        execution = self.meter.execute(
            token, now, lambda credit: self.balance + credit.units <= ROOM, is_keypad=is_keypad
        )
        assert execution.result is expected, execution.reason
        if execution.section is not None:
            self.book((execution.section, now, execution.result, execution.numbers))
        elif execution.result is TokenResult.ACCEPT and execution.token is not None and execution.token.tid is not None:
            self.book(execution.token.tid)
            self.change_balance(execution.token)
            self.credited.append(token.digits)
        self.meter = self.meter.with_entry(execution.result, token.token_class, now, is_keypad=is_keypad)

    def book(self, entry: Booked) -> None:
        self.ledger.append(entry)
        self.meter = booked(self.meter, entry)

    def change_balance(self, token: ClearToken) -> None:
        if token.kind is KWH:
            self.balance += token.units
        elif token.kind is CLEAR_CREDIT:
            self.balance = 0

    # What must always be so.

    @invariant()
    def no_token_works_twice(self) -> None:
        assert len(set(self.credited)) == len(self.credited)

    @invariant()
    def the_meter_is_as_the_model_has_it(self) -> None:
        assert self.meter.key == self.model.key
        assert self.balance == self.model.balance <= ROOM
        assert (self.meter.sections.numbers, self.meter.sections_until) == (
            tuple(sorted(self.model.held)),
            self.model.held_until,
        )
        assert self.meter.lock_out.failures == self.model.failures
        assert self.meter.lock_out.until == self.model.locked_until
        assert len(self.meter.tids.tids) <= DEPTH


def check_lives(count: int, steps: int) -> None:
    run_state_machine_as_test(MeterLife, settings=settings(max_examples=count, stateful_step_count=steps))


def test_a_machine_lives_as_its_model_says() -> None:
    check_lives(250, 50)


@pytest.mark.soak
def test_many_machines_live_as_their_models_say() -> None:
    check_lives(3000, 80)
