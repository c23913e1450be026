"""What a meter shows of itself at one moment: Token gateway, account, load switch and STS attributes.

Whoever can answer a GET can be looked at: a client's association, or a simulated meter directly.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import TypeAlias

from cosem_objects import disconnect_control, limiter, payment, token_gateway
from cosem_objects.axdr import Data
from cosem_objects.disconnect_control import ControlState
from cosem_objects.obis import ObisCode
from cosem_objects.payment import AccountAttribute, Currency, StsAttribute, meter_pan_from_data
from cosem_objects.profile import MeterProfile
from cosem_objects.token_gateway import DeliveryMethod, TokenStatus

Get: TypeAlias = Callable[[int, ObisCode, int], Awaitable[Data | int]]
"""The value of an attribute, or a data-access-result."""

_STS_NUMBERS = {
    "sgc": StsAttribute.SUPPLY_GROUP_CODE,
    "ti": StsAttribute.TARIFF_INDEX,
    "krn": StsAttribute.KEY_REVISION_NUMBER,
    "kt": StsAttribute.KEY_TYPE,
    "ken": StsAttribute.KEY_EXPIRY_NUMBER,
    "ea": StsAttribute.ENCRYPTION_ALGORITHM,
}


@dataclass(frozen=True, slots=True)
class Snapshot:
    """``None`` and empty: the meter does not show it, or nobody asked."""

    token: bytes | None = field(default=None, repr=False)
    """As octets: what attribute 2 of the Token gateway shows."""
    status: TokenStatus | None = None
    delivery: str | None = None
    display: str = ""
    """Attribute 4, the token's description, its lines joined by semicolons."""
    balance: Decimal | None = None
    unit: str | None = None
    switch: str | None = None
    power_limit: int | None = None
    sts: Mapping[str, int | str] = field(default_factory=dict)


async def take_snapshot(
    get: Get, profile: MeterProfile, *, with_switch: bool = False, with_sts: bool = False
) -> Snapshot:
    """Look at a meter. Raises what ``get`` raises, and ``RemoteProtocolError`` for values of the wrong type."""

    async def gateway(attribute: token_gateway.Attribute) -> Data | None:
        return _there(await get(token_gateway.CLASS_ID, profile.gateway_obis, attribute))

    token = await gateway(token_gateway.Attribute.TOKEN)
    status = await gateway(token_gateway.Attribute.TOKEN_STATUS)
    method = await gateway(token_gateway.Attribute.TOKEN_DELIVERY_METHOD)
    description = await gateway(token_gateway.Attribute.TOKEN_DESCRIPTION)
    balance, unit = await _account(get, profile)
    return Snapshot(
        token=None if token is None else token.octets,
        status=None if status is None else TokenStatus.from_data(status),
        delivery=None if method is None else _delivery(method.integer, profile),
        display="" if description is None else "; ".join(_text(line) for line in description.elements),
        balance=balance,
        unit=unit,
        switch=await _switch(get, profile) if with_switch else None,
        power_limit=await _power_limit(get) if with_switch else None,
        sts=await _sts(get, profile) if with_sts else {},
    )


def _there(found: Data | int) -> Data | None:
    return found if isinstance(found, Data) else None


def _delivery(number: int, profile: MeterProfile) -> str:
    if number in profile.remote_delivery_methods:
        return "remote"
    try:
        return DeliveryMethod(number).name.lower()
    except ValueError:
        return f"unknown ({number})"


def _text(line: Data) -> str:
    return line.octets.decode("utf-8", "replace")


async def _power_limit(get: Get) -> int | None:
    limit = _there(await get(limiter.CLASS_ID, limiter.DEFAULT_OBIS, limiter.Attribute.THRESHOLD_ACTIVE))
    return None if limit is None else limit.integer


async def _account(get: Get, profile: MeterProfile) -> tuple[Decimal | None, str | None]:
    obis = profile.account_obis
    if obis is None:
        return None, None
    currency = _there(await get(payment.ACCOUNT_CLASS_ID, obis, AccountAttribute.CURRENCY))
    credit = _there(await get(payment.ACCOUNT_CLASS_ID, obis, AccountAttribute.AVAILABLE_CREDIT))
    if currency is None or credit is None:
        return None, None
    account = Currency.from_data(currency)
    name = profile.currency_name or account.name
    return account.amount(credit.integer), profile.unit_aliases.get(name, name)


async def _switch(get: Get, profile: MeterProfile) -> str | None:
    obis = profile.disconnect_control_obis
    if obis is None:
        return None
    state = _there(await get(disconnect_control.CLASS_ID, obis, disconnect_control.Attribute.CONTROL_STATE))
    if state is None:
        return None
    try:
        return ControlState(state.integer).name.lower().replace("_", "-")
    except ValueError:
        return f"unknown ({state.integer})"


async def _sts(get: Get, profile: MeterProfile) -> dict[str, int | str]:
    obis = profile.sts_obis
    if obis is None:
        return {}
    shown: dict[str, int | str] = {}
    pan = _there(await get(payment.STS_CLASS_ID, obis, StsAttribute.METER_PAN))
    if pan is not None:
        shown["pan"] = meter_pan_from_data(pan)
    for name, attribute in _STS_NUMBERS.items():
        number = _there(await get(payment.STS_CLASS_ID, obis, attribute))
        if number is not None:
            shown[name] = number.integer
    return shown
