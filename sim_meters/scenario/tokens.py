"""Tokens of a scenario: made under a key that a meter has, had or is about to get, or taken as they are."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from random import Random

from cosem_objects.errors import SettingError
from cosem_objects.sts_token import Token, TokenClass
from sim_meters.account import AccountUnit
from sim_meters.issuing import CREDIT, OTHER_KINDS, IssuerKey, asked_values, completed, credit_values
from sim_meters.scenario.meters import MeterPlan
from sim_meters.scenario.step_tables import KEY_CHANGE, KeyTable, TokenStep
from sim_meters.scenario.values import Number
from sim_meters.sts.tid import BaseDate
from sim_meters.sts.tokens.amount import parse_amount
from sim_meters.sts.tokens.clear_token import encode
from sim_meters.sts.tokens.credit_units import kind_in, parse_unit
from sim_meters.sts.tokens.token_kind import Commodity, TokenKind
from sim_meters.sts.tokens.token_table import credit_kind

_MADE_OF = {
    CREDIT: {"amount", "unit", "commodity", "minutes_ago", "key", "key_of"},
    KEY_CHANGE: {"new_key", "rollover", "with_sgc", "key", "key_of"},
}
"""What a token can be made of, by its kind."""
_OTHERS_MADE_OF = {"fields", "minutes_ago", "key", "key_of"}
_SAID_OF_ALL = {"do", "name", "meter", "token", "kind"}

NamedKeys = Mapping[str, tuple[str, IssuerKey]]
"""By the name of a key-change set: the meter that it is for, and the key that it brings."""


@dataclass(frozen=True, slots=True)
class MadeToken:
    """A token and, if it was made here, what it says."""

    token: Token
    words: str


@dataclass(frozen=True, slots=True, repr=False)
class Made:
    """What came of a step."""

    tokens: Mapping[str, MadeToken]
    words: str
    tid: tuple[BaseDate, int] | None = None
    new_key: IssuerKey | None = None
    """That which the set brings."""


def exact(number: Number) -> Decimal:
    """As it is written in the file: ``25.6`` is 25.6, not the nearest binary fraction. Raises ``SettingError``."""
    return parse_amount(number if isinstance(number, str) else format(Decimal(str(number)), "f"))


def check_token_step(step: TokenStep, meter: MeterPlan, keys: NamedKeys) -> Made:
    """What it would make, if it were made at TID 0. Raises ``SettingError``, ``TokenFormatError``."""
    said = step.model_fields_set - _SAID_OF_ALL
    if step.digits is not None:
        if said != {"digits"} or "kind" in step.model_fields_set:
            raise SettingError("expected digits or what a token is made of, not both")
    elif step.kind == CREDIT and step.amount is None:
        raise SettingError("expected amount or digits")
    elif step.kind == KEY_CHANGE and step.new_key is None:
        raise SettingError("new_key: is missing; expected what is other in the key that the set brings")
    else:
        extra = said - _MADE_OF.get(step.kind, _OTHERS_MADE_OF)
        if extra:
            raise SettingError(f"{min(extra)}: a token of kind {step.kind} is not made of it")
    return _made(step, meter, keys, 0, 0)


def make_tokens(
    step: TokenStep,
    meter: MeterPlan,
    keys: NamedKeys,
    *,
    now: datetime,
    last_tids: Mapping[BaseDate, int],
    rng: Random,
) -> Made:
    """``last_tids``: of the meter's token before, by base date, so that two within a minute do not share one. Raises
    ``SettingError``: the moment is beyond the base date's reach."""
    if step.digits is not None or step.kind == KEY_CHANGE or not _has_tid(step):
        return _made(step, meter, keys, 0, 0)
    base_date = _key(step, meter, keys).base_date
    issued = now.replace(tzinfo=None)
    try:
        if step.minutes_ago is None:
            tid = base_date.next_tid(issued, last_tids.get(base_date))
        else:
            tid = base_date.tid_at(issued - timedelta(minutes=step.minutes_ago))
    except SettingError as error:
        raise SettingError(f"{error}: let the clock start within ([clock], start), or take another base date") from None
    return _made(step, meter, keys, tid, rng.randrange(16))


def _has_tid(step: TokenStep) -> bool:
    return step.kind == CREDIT or OTHER_KINDS[step.kind].has_tid


def _made(step: TokenStep, meter: MeterPlan, keys: NamedKeys, tid: int, rnd: int) -> Made:
    if step.digits is not None:
        one = MadeToken(Token.parse(step.digits), "as given")
        return Made({step.token: one}, f"token {step.token} {one.token.masked}: {one.words}")
    key = _key(step, meter, keys)
    if step.kind == KEY_CHANGE:
        return _made_set(step, key)
    if step.kind == CREDIT:
        assert step.amount is not None
        kind = _credit_kind(step, meter.unit)
        values = credit_values(kind, exact(step.amount))
    else:
        kind = OTHER_KINDS[step.kind]
        values = asked_values(kind, {name: str(value) for name, value in step.fields.items()})
    clear = completed(kind, values, tid, rnd)
    if kind.token_class is TokenClass.NON_METER_SPECIFIC_MANAGEMENT:
        token, words = encode(clear), f"{clear.words}, for every meter"
        return Made({step.token: MadeToken(token, words)}, f"token {step.token} {token.masked}: {words}")
    what = clear.words
    if step.kind == CREDIT:
        unit = step.unit or meter.unit.currency.name if kind.is_currency else kind.unit
        what = f"{clear.amount:f} {unit}"
    moment = key.base_date.moment(tid)
    words = f"{what} for {key.attributes.pan.digits}, TID {tid} ({moment:%Y-%m-%d %H:%M})"
    words += _under(step, key)
    token = encode(clear, key.decoder_key)
    return Made(
        {step.token: MadeToken(token, words)}, f"token {step.token} {token.masked}: {words}", (key.base_date, tid)
    )


def _made_set(step: TokenStep, key: IssuerKey) -> Made:
    assert step.new_key is not None
    new = key.other(step.new_key.texts)
    tokens = key.set_to(new, rollover=step.rollover, with_sgc=step.with_sgc)
    sections = {
        f"{step.token}.{number}": MadeToken(token, f"section {number} of {len(tokens)}")
        for number, token in enumerate(tokens, 1)
    }
    words = f"key-change set {step.token} of {len(tokens)} for {key.attributes.pan.digits}, to {new.words}"
    return Made(sections, words + _under(step, key), new_key=new)


def _under(step: TokenStep, key: IssuerKey) -> str:
    is_first = step.key is None and step.key_of is None
    return "" if is_first else f", under {key.words}"


def _credit_kind(step: TokenStep, own: AccountUnit) -> TokenKind:
    """The token type that a unit and a commodity mean for this meter."""
    if step.unit is not None:
        return kind_in(parse_unit(step.unit), step.commodity, own.commodity)
    commodity = own.commodity if step.commodity is None else Commodity(step.commodity)
    return credit_kind(commodity, currency=own.kind.is_currency)


def _key(step: TokenStep, meter: MeterPlan, keys: NamedKeys) -> IssuerKey:
    if step.key_of is None:
        return meter.key if step.key is None else _other_key(step.key, meter)
    if step.key is not None:
        raise SettingError("expected key or key_of, not both")
    if step.key_of not in keys:
        raise SettingError(f"key_of: there is no key-change set {step.key_of!r} yet")
    owner, key = keys[step.key_of]
    if owner != meter.name:
        raise SettingError(f"key_of: the set {step.key_of} is for meter {owner}")
    return key


def _other_key(table: KeyTable, meter: MeterPlan) -> IssuerKey:
    if meter.vending_key is None and table.vending_key is None:
        raise SettingError(f"key: expected a vending key of meter {meter.name}; from a decoder key no other is derived")
    key = meter.key.other(table.texts)
    if key.decoder_key == meter.key.decoder_key:
        raise SettingError("key: expected attributes that are not the meter's own")
    return key
