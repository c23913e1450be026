"""Tokens, and what meters showed of them, as they stand in the file: sealed, each under the name of its place."""

from __future__ import annotations

import json
from typing import Any

from cosem_objects.payment import Currency, CurrencyUnit
from cosem_objects.sts_token import Token
from cosem_objects.token_gateway import TokenStatus
from gateway.readback import NO_ACCOUNT, AccountReading
from gateway.store.sqlite.database import VaultLike
from gateway.store.sqlite.events import to_json
from gateway.verdict import Reading

_TOKEN_OCTETS = 9


def token_digest(vault: VaultLike, token: Token) -> bytes:
    """To find a token again without being able to read it."""
    return vault.digest("token", token.number.to_bytes(_TOKEN_OCTETS))


def seal_token(vault: VaultLike, token: Token, order_id: str, position: int) -> bytes:
    return vault.seal(token.number.to_bytes(_TOKEN_OCTETS), f"token:{order_id}:{position}")


def open_token(vault: VaultLike, sealed: bytes, order_id: str, position: int) -> Token:
    return Token(int.from_bytes(vault.open(sealed, f"token:{order_id}:{position}")))


def seal_before(vault: VaultLike, reading: Reading, account: AccountReading, order_id: str, position: int) -> bytes:
    """What the meter showed before a try. Its attribute 2 is a whole token, somebody's."""
    status, currency = reading.status, account.currency
    values = [
        None if reading.token is None else reading.token.hex(),
        None if reading.time is None else reading.time.hex(),
        reading.method,
        None if status is None else [status.code, status.data_value],
        None if currency is None else [currency.name, currency.scale, currency.unit.value],
        account.balance_raw,
    ]
    return vault.seal(to_json(values).encode(), f"before:{order_id}:{position}")


def open_before(
    vault: VaultLike, sealed: bytes | None, order_id: str, position: int
) -> tuple[Reading | None, AccountReading]:
    if sealed is None:
        return None, NO_ACCOUNT
    token, time, method, status, currency, balance = json.loads(vault.open(sealed, f"before:{order_id}:{position}"))
    reading = Reading(_octets(token), _octets(time), method, None if status is None else TokenStatus(*status))
    return reading, AccountReading(None if currency is None else _currency(*currency), balance)


def seal_secrets(vault: VaultLike, secrets: dict[str, str], meter_id: str) -> bytes:
    return vault.seal(json.dumps(secrets).encode(), f"meter:{meter_id}")


def open_secrets(vault: VaultLike, sealed: bytes, meter_id: str) -> dict[str, str]:
    opened: dict[str, Any] = json.loads(vault.open(sealed, f"meter:{meter_id}"))
    return opened


def _octets(text: str | None) -> bytes | None:
    return None if text is None else bytes.fromhex(text)


def _currency(name: str, scale: int, unit: int) -> Currency:
    return Currency(name, scale, CurrencyUnit(unit))
