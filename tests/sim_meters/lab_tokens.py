"""Tokens and machines for the tests of the token machine."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Any

from cosem_objects.sts_token import Token
from sim_meters.sts.keys.decoder_key import DecoderKey
from sim_meters.sts.keys.key_attributes import KeyType
from sim_meters.sts.machine.machine_settings import MachineSettings
from sim_meters.sts.machine.token_machine import Execution, TokenMachine
from sim_meters.sts.results import TokenResult
from sim_meters.sts.tokens.clear_token import ClearToken, clear_token, encode, encode_credit
from sim_meters.sts.tokens.key_change import MeterKey, key_change_set
from sim_meters.sts.tokens.token_kind import Commodity, TokenKind
from sim_meters.sts.tokens.token_table import (
    CLEAR_CREDIT,
    CLEAR_TAMPER,
    EXTENDED_SET,
    MAXIMUM_POWER_LIMIT,
    PHASE_UNBALANCE_LIMIT,
    credit_kind,
)

NOON = datetime(2026, 11, 21, 12)
MADE = 1000
KWH = credit_kind(Commodity.ELECTRICITY, currency=False)
WATER = credit_kind(Commodity.WATER, currency=False)
MONEY = credit_kind(Commodity.ELECTRICITY, currency=True)
MANAGEMENT = (MAXIMUM_POWER_LIMIT, CLEAR_CREDIT, CLEAR_TAMPER, PHASE_UNBALANCE_LIMIT, EXTENDED_SET)


def decoder_key(number: int, ea: int = 7) -> DecoderKey:
    """A key that differs from those of other numbers in each of its words."""
    return DecoderKey(bytes((octet * 37 + number * 11 + 5) % 256 for octet in range(16 if ea == 11 else 8)), ea)


def meter_key(number: int = 0, ea: int = 7, **attributes: Any) -> MeterKey:
    given = {"kt": KeyType.UNIQUE, "krn": 1 + number % 9, "ti": number % 100, "sgc": 100_000 + number, **attributes}
    return MeterKey(decoder_key=decoder_key(number, ea), **given)


KEY = meter_key()
OTHER_KEY = meter_key(99)


def machine(
    kinds: Iterable[TokenKind] = (KWH, *MANAGEMENT),
    key: MeterKey = KEY,
    consumed: Iterable[int] = (),
    manufacturer_code: int = 0,
    **settings: Any,
) -> TokenMachine:
    chosen = MachineSettings(**settings)
    made = TokenMachine.new(key, frozenset(kinds), MADE, manufacturer_code=manufacturer_code, settings=chosen)
    for tid in consumed:
        made = made.with_tid(tid)
    return made


def credit(tid: int, kind: TokenKind = KWH, key: MeterKey = KEY, units: int = 256) -> Token:
    return encode_credit(key.decoder_key, kind, units, tid, None if kind.is_currency else 5)


def management(tid: int, kind: TokenKind, raw: int = 0, key: MeterKey = KEY) -> Token:
    return encode(clear_token(kind, {"rnd": 5, "tid": tid, kind.value.name: raw}), key.decoder_key)


def key_change(
    new: MeterKey, old: MeterKey = KEY, *, rollover: bool = False, with_sgc: bool = True
) -> tuple[Token, ...]:
    return key_change_set(old.decoder_key, new, rollover=rollover, with_sgc=with_sgc)


def fits(_: ClearToken) -> bool:
    return True


def does_not_fit(_: ClearToken) -> bool:
    return False


def entered(
    meter: TokenMachine, token: Token, now: datetime = NOON, *, has_room: bool = True, is_keypad: bool = False
) -> tuple[Execution, TokenMachine]:
    """What comes of a token, and the machine after a meter has booked it."""
    execution = meter.execute(token, now, fits if has_room else does_not_fit, is_keypad=is_keypad)
    after = meter
    if execution.section is not None:
        after = after.with_section(execution.section, now, execution.result, execution.numbers)
    elif execution.result is TokenResult.ACCEPT and execution.token is not None and execution.token.tid is not None:
        after = after.with_tid(execution.token.tid)
    return execution, after.with_entry(execution.result, token.token_class, now, is_keypad=is_keypad)


def all_entered(
    meter: TokenMachine, tokens: Iterable[Token], start: datetime = NOON, pause: timedelta = timedelta(seconds=1)
) -> tuple[list[TokenResult], TokenMachine]:
    """The results of tokens that are entered one after the other, and the machine in the end."""
    results: list[TokenResult] = []
    for place, token in enumerate(tokens):
        execution, meter = entered(meter, token, start + place * pause)
        results.append(execution.result)
    return results, meter
