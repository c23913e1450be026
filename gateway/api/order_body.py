"""The body of an order: parsed, checked, and in the form in which two bodies are compared. Pure.

Two bodies are the same if they mean the same order: ``25.60`` and ``"25.6"``, blanks in a token, a kind that is said or
left to the token's class, a time in another zone.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from datetime import datetime
from typing import Annotated, Any

from pydantic import AfterValidator, Discriminator, Field, Tag, WithJsonSchema

from cosem_objects.errors import TokenFormatError
from cosem_objects.sts_token import Token
from gateway.api.fields import NO_TOKENS_IN_IDS, AmountValue, Body, Moment, OrderId
from gateway.meter_body import METER_ID, SUPPLY_GROUP, TWO_DIGITS
from gateway.orders import (
    TOKENS_MAX,
    Amount,
    Order,
    OrderedToken,
    OrderKind,
    OrderRefused,
    Priority,
    kind_of,
)

_UNITS = {"kwh": "kWh", "m3": "m3", "min": "min"}
_CURRENCY = re.compile(r"[A-Za-z]{3}")
_encode = json.JSONEncoder(separators=(",", ":"), sort_keys=True).encode


def _unit(text: str) -> str:
    known = _UNITS.get(text.lower())
    if known is None and not _CURRENCY.fullmatch(text):
        raise ValueError("kWh, m3, min or an ISO currency code of three letters is expected")
    return known or text.upper()


def _token(text: str) -> str:
    """Its digits. The words of ``TokenFormatError`` hold none of them."""
    try:
        return Token.parse(text).digits
    except TokenFormatError as error:
        raise ValueError(str(error)) from None


Digits = Annotated[
    str,
    Field(max_length=40),
    AfterValidator(_token),
    WithJsonSchema({"type": "string", "pattern": r"^[0-9]{4}([ -]?[0-9]{4}){4}$", "maxLength": 40}),
]
Unit = Annotated[
    str,
    AfterValidator(_unit),
    WithJsonSchema({"type": "string", "pattern": "^([kK][wW][hH]|[mM]3|[A-Za-z]{3})$"}),
]


class AmountBody(Body):
    """What tokens are worth."""

    value: AmountValue
    unit: Unit = Field(description="kWh, m3, min or an ISO currency code")

    def amount(self) -> Amount:
        return Amount(self.value, self.unit)


class TokenBody(Body):
    """One token, and what is said of it alone."""

    token: Digits = Field(description="20 digits; blanks and hyphens do not count", repr=False)
    kind: OrderKind | None = Field(default=None, description="what it is for; default the order's, else by its class")
    amount: AmountBody | None = Field(default=None, description="of a credit token")


def _form(given: object) -> str:
    return "as_object" if isinstance(given, dict | TokenBody) else "as_text"


GivenToken = Annotated[Annotated[Digits, Tag("as_text")] | Annotated[TokenBody, Tag("as_object")], Discriminator(_form)]


class KeyBody(Body):
    """What the caller says of a vending key; never key material."""

    sgc: str | None = Field(default=None, pattern=SUPPLY_GROUP, description="supply group code")
    krn: int | None = Field(default=None, ge=1, le=9, description="key revision number")
    ti: str | None = Field(default=None, pattern=TWO_DIGITS, description="tariff index")
    kt: int | None = Field(default=None, ge=0, le=3, description="key type")
    ken: int | None = Field(default=None, ge=0, le=255, description="key expiry number")
    ea: str | None = Field(default=None, pattern=TWO_DIGITS, description="encryption algorithm, 07 or 11")
    base_date: int | None = Field(default=None, ge=1993, le=2035, description="1993, 2014 or 2035")


class OrderBody(Body):
    """Deliver these tokens, in this sequence, to this meter."""

    id: OrderId = Field(description="made by the caller, for ever the name of this one order")
    meter: str = Field(pattern=METER_ID, description="its id in the registry")
    tokens: tuple[GivenToken, ...] = Field(min_length=1, max_length=TOKENS_MAX, repr=False)
    kind: OrderKind | None = Field(default=None, description="of tokens that do not say their own")
    amount: AmountBody | None = Field(default=None, description="of the order's only credit token")
    priority: Priority = Priority.CREDIT
    key: KeyBody | None = Field(default=None, description="the key that the tokens are under")
    new_key: KeyBody | None = Field(default=None, description="what class 116 must show after a key-change set")
    not_before: Moment | None = None
    expires_at: Moment | None = Field(default=None, description="nothing is sent any more from then on")

    def order(self) -> Order:
        """Raises ``OrderRefused``."""
        order = Order(
            id=self.id,
            meter=self.meter,
            tokens=self._ordered_tokens(),
            priority=self.priority,
            key=_said(self.key),
            new_key=_said(self.new_key),
            not_before=self.not_before,
            expires_at=self.expires_at,
        )
        order.check()
        bare_id = self.id.replace("-", "")
        if len(bare_id) >= 20 and any(ordered.token.digits in bare_id for ordered in order.tokens):
            raise OrderRefused("id", NO_TOKENS_IN_IDS)
        return order

    def _ordered_tokens(self) -> tuple[OrderedToken, ...]:
        ordered = [self._ordered(number, given) for number, given in enumerate(self.tokens)]
        if self.amount is not None:
            credits_ = [number for number, one in enumerate(ordered) if one.kind is OrderKind.CREDIT]
            if len(credits_) != 1:
                raise OrderRefused("amount", "it belongs to exactly one credit token; else each token says its own")
            [number] = credits_
            if ordered[number].amount is not None:
                raise OrderRefused("amount", f"tokens[{number}] has an amount of its own")
            ordered[number] = OrderedToken(ordered[number].token, OrderKind.CREDIT, _amount("amount", self.amount))
        return tuple(ordered)

    def _ordered(self, number: int, given: str | TokenBody) -> OrderedToken:
        one = None if isinstance(given, str) else given
        token = Token(int(given if isinstance(given, str) else given.token))
        kind = (one and one.kind) or self.kind or kind_of(token)
        if kind is None:
            raise OrderRefused(f"tokens[{number}]", f"token {token.masked}: class 3 is reserved, no meter takes it")
        if one is None or one.amount is None:
            return OrderedToken(token, kind)
        if kind is not OrderKind.CREDIT:
            raise OrderRefused(f"tokens[{number}].amount", f"a {kind} token has none")
        return OrderedToken(token, kind, _amount(f"tokens[{number}].amount", one.amount))


def canonical(order: Order) -> bytes:
    """The octets that stand for what was ordered. They hold the tokens: to be hashed, and never kept."""
    said: dict[str, Any] = {
        "id": order.id,
        "meter": order.meter,
        "tokens": [
            [one.token.digits, one.kind, one.amount and [f"{one.amount.value.normalize():f}", one.amount.unit]]
            for one in order.tokens
        ],
        "priority": order.priority,
    }
    if order.key or order.new_key:
        said["key"], said["new_key"] = order.key, order.new_key
    if order.not_before or order.expires_at:
        said["times"] = [order.not_before and order.not_before.isoformat()]
        said["times"].append(order.expires_at and order.expires_at.isoformat())
    return _encode(said).encode()


def _amount(field: str, body: AmountBody) -> Amount:
    if body.value < 0 and body.unit in _UNITS.values():
        raise OrderRefused(field, "only an amount of money can be negative")
    return body.amount()


def _said(key: KeyBody | None) -> Mapping[str, Any] | None:
    return None if key is None else key.model_dump(exclude_none=True) or None


def is_over(order: Order, now: datetime) -> bool:
    """Whether its time was over before it began."""
    return order.expires_at is not None and order.expires_at <= now
