"""Tokens of a scenario: made under a meter's key, under a wrong one, or taken as they are."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from decimal import Decimal
from random import Random

from cosem_objects.errors import SettingError
from cosem_objects.sts_token import Token
from sim_meters.scenario.meters import MeterPlan
from sim_meters.scenario.step_tables import KeyChoice, TokenStep
from sim_meters.scenario.values import Number
from sim_meters.sts.amount import parse_amount, units_for
from sim_meters.sts.decoder_key import DecoderKey, derive_decoder_key
from sim_meters.sts.key_attributes import KeyAttributes
from sim_meters.sts.tokens import Commodity, DecodedToken, TokenKind, credit_fields, credit_kind, encode

_COMMODITIES = {"kwh": Commodity.ELECTRICITY, "m3": Commodity.WATER, "min": Commodity.TIME}


@dataclass(frozen=True, slots=True)
class MadeToken:
    """A token and, if it was made here, what it says."""

    token: Token
    words: str
    tid: int | None = None


def exact(number: Number) -> Decimal:
    """As it is written in the file: ``25.6`` is 25.6, not the nearest binary fraction. Raises ``SettingError``."""
    return parse_amount(number if isinstance(number, str) else format(Decimal(str(number)), "f"))


def check_token_step(step: TokenStep, meter: MeterPlan) -> None:
    """Raises ``SettingError``, ``TokenFormatError``."""
    if step.digits is not None:
        if step.model_fields_set & {"amount", "unit", "minutes_ago", "key"}:
            raise SettingError("expected digits or what a token is made of, not both")
        Token.parse(step.digits)
        return
    if step.amount is None:
        raise SettingError("expected amount or digits")
    _key(meter, step.key)
    _fields(step, meter, tid=0, rnd=0)


def make_token(step: TokenStep, meter: MeterPlan, now: datetime, last_tid: int | None, rng: Random) -> MadeToken:
    """``last_tid``: of the meter's token before, so that two within a minute do not share one. Raises
    ``SettingError``: the moment is beyond the base date's reach."""
    if step.digits is not None:
        return MadeToken(Token.parse(step.digits), "as given")
    base_date = meter.key.base_date
    issued = now.replace(tzinfo=None)
    if step.minutes_ago is None:
        tid = base_date.next_tid(issued, last_tid)
    else:
        tid = base_date.tid_at(issued - timedelta(minutes=step.minutes_ago))
    fields = _fields(step, meter, tid, rng.randrange(16))
    attributes, key = _key(meter, step.key)
    unit = step.unit or meter.unit.currency.name
    words = f"{fields.amount:f} {unit} for {attributes.pan.digits}, TID {tid} ({base_date.moment(tid):%Y-%m-%d %H:%M})"
    if step.key is not None:
        words += f", under SGC {attributes.sgc:06d}, TI {attributes.ti:02d}, KRN {attributes.krn}"
    return MadeToken(encode(fields, key), words, tid)


def _fields(step: TokenStep, meter: MeterPlan, tid: int, rnd: int) -> DecodedToken:
    assert step.amount is not None
    kind = _kind(step.unit, meter)
    units = units_for(exact(step.amount), kind.decimals)
    if units == 0:
        raise SettingError("amount: expected at least one token unit")
    return credit_fields(kind, units, tid, None if kind.is_currency else rnd)


def _kind(unit: str | None, meter: MeterPlan) -> TokenKind:
    if unit is None:
        return meter.unit.kind
    commodity = _COMMODITIES.get(unit.lower())
    if commodity is not None:
        return credit_kind(commodity, currency=False)
    if len(unit) == 3 and unit.isupper() and unit.isalpha():
        return credit_kind(Commodity.ELECTRICITY, currency=True)
    raise SettingError("unit: expected kWh, m3, min or a currency code of three capitals")


def _key(meter: MeterPlan, choice: KeyChoice | None) -> tuple[KeyAttributes, DecoderKey]:
    if choice is None:
        return meter.key, meter.decoder_key
    if meter.vending_key is None:
        raise SettingError(f"key: expected a vending key of meter {meter.name}; from a decoder key no other is derived")
    said = choice.model_dump(exclude_none=True)
    attributes = replace(meter.key, **{**said, **({"sgc": int(said["sgc"])} if "sgc" in said else {})})
    if attributes == meter.key:
        raise SettingError("key: expected attributes that are not the meter's own")
    return attributes, derive_decoder_key(meter.vending_key, attributes)
