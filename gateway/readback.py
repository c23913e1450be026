"""What a meter says about itself: its Token gateway, identity, account and switch.

What a meter does not have is None here, never an error; only the Token gateway must be there.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal
from typing import TypeVar

from cosem_objects import disconnect_control, payment, token_gateway
from cosem_objects.axdr import Data
from cosem_objects.dlms.apdu import DataAccessResult
from cosem_objects.errors import RemoteProtocolError, RemoteRefusal
from cosem_objects.names import spell
from cosem_objects.obis import ObisCode
from cosem_objects.payment import AccountAttribute, Currency, StsAttribute
from cosem_objects.profile import MeterProfile, TokenReadback
from cosem_objects.token_gateway import Attribute, TokenStatus
from gateway.session import DATA_CLASS_ID, Session
from gateway.verdict import Reading

_STABLE_READS_MAX = 4
_TEMPORARY = (DataAccessResult.HARDWARE_FAULT, DataAccessResult.TEMPORARY_FAILURE)
_ABSENT = (
    DataAccessResult.OBJECT_UNDEFINED,
    DataAccessResult.OBJECT_CLASS_INCONSISTENT,
    DataAccessResult.OBJECT_UNAVAILABLE,
)

T = TypeVar("T")


class GatewayUnreadable(RemoteRefusal):
    """The Token gateway is not there, or not for us; ``is_temporary`` if the meter asks for patience."""

    def __init__(self, message: str, *, is_temporary: bool) -> None:
        super().__init__(message)
        self.is_temporary = is_temporary


async def read_gateway(session: Session, profile: MeterProfile) -> Reading:
    """Attributes 2, 3, 5 and 6 as one: read again as long as 2 or 3 change in between.

    Raises ``GatewayUnreadable`` when the meter refuses what a verdict needs, else as ``Session.get``.
    """
    token, time = await _read_token(session, profile), await _read_time(session, profile)
    for _ in range(_STABLE_READS_MAX):
        method = await _get(session, profile, Attribute.TOKEN_DELIVERY_METHOD)
        status = await _get(session, profile, Attribute.TOKEN_STATUS)
        if not isinstance(status, Data):
            raise _unreadable(profile, "attribute 6 (token_status)", status)
        token_after, time_after = await _read_token(session, profile), await _read_time(session, profile)
        if (token, time) == (token_after, time_after):
            method_code = _understood(method, lambda data: data.integer)
            return Reading(token, time, method_code, _status(profile, status))
        token, time = token_after, time_after
    raise RemoteProtocolError("the Token gateway changes faster than it can be read")


def _status(profile: MeterProfile, data: Data) -> TokenStatus:
    try:
        return TokenStatus.from_data(data)
    except RemoteProtocolError as error:
        message = (
            f"attribute 6 of {profile.gateway_obis} is no token_status ({error}): check the profile's gateway_obis"
        )
        raise GatewayUnreadable(message, is_temporary=False) from error


async def _read_token(session: Session, profile: MeterProfile) -> bytes | None:
    token = await _get(session, profile, Attribute.TOKEN)
    if isinstance(token, Data):
        # Digits as a visible-string are as good as an octet-string of the same characters.
        return token.text.encode() if isinstance(token.value, str) else _understood(token, lambda data: data.octets)
    if profile.token_readback is TokenReadback.HIDDEN:
        return None
    raise _unreadable(profile, "attribute 2 (token)", token)


async def _read_time(session: Session, profile: MeterProfile) -> bytes | None:
    return _understood(await _get(session, profile, Attribute.TOKEN_TIME), lambda data: data.octets)


async def _get(session: Session, profile: MeterProfile, attribute: Attribute) -> Data | int:
    return await session.get(token_gateway.CLASS_ID, profile.gateway_obis, attribute)


def _unreadable(profile: MeterProfile, what: str, result: int) -> GatewayUnreadable:
    words = spell(DataAccessResult, result)
    advice = (
        "try again later"
        if result in _TEMPORARY
        else "check gateway_obis and token_readback of the profile, client SAP"
    )
    message = f"the Token gateway {profile.gateway_obis} cannot be read: {what} is answered with {words}; {advice}"
    return GatewayUnreadable(message, is_temporary=result in _TEMPORARY)


def _understood(result: Data | int, meaning: Callable[[Data], T]) -> T | None:
    """What a readable attribute means; None where it is not there or of another type."""
    if not isinstance(result, Data):
        return None
    try:
        return meaning(result)
    except RemoteProtocolError:
        return None


@dataclass(frozen=True, slots=True)
class AccountReading:
    """The account's balance and what it is in. ``currency`` is None where there is no account."""

    currency: Currency | None = None
    balance_raw: int | None = None

    @property
    def balance(self) -> Decimal | None:
        if self.currency is None or self.balance_raw is None:
            return None
        return self.currency.amount(self.balance_raw)


NO_ACCOUNT = AccountReading()


async def read_account(session: Session, profile: MeterProfile) -> AccountReading:
    """Currency and available credit, if the meter has an account."""
    if profile.account_obis is None:
        return NO_ACCOUNT
    currency = _understood(await _account(session, profile.account_obis, AccountAttribute.CURRENCY), Currency.from_data)
    if currency is None:
        return NO_ACCOUNT
    if profile.currency_name and not currency.name:
        currency = Currency(profile.currency_name, currency.scale, currency.unit)
    return await read_balance(session, profile, currency)


async def read_balance(session: Session, profile: MeterProfile, currency: Currency | None) -> AccountReading:
    """The available credit now, in a currency that was read before."""
    if profile.account_obis is None or currency is None:
        return NO_ACCOUNT
    available = await _account(session, profile.account_obis, AccountAttribute.AVAILABLE_CREDIT)
    return AccountReading(currency, _understood(available, lambda data: data.integer))


async def _account(session: Session, obis: ObisCode, attribute: AccountAttribute) -> Data | int:
    return await session.get(payment.ACCOUNT_CLASS_ID, obis, attribute)


async def read_control_state(session: Session, profile: MeterProfile) -> int | None:
    """Whether the load switch is connected (1), disconnected (0) or ready (2)."""
    obis = profile.disconnect_control_obis
    if obis is None:
        return None
    attribute = disconnect_control.Attribute.CONTROL_STATE
    return _understood(await session.get(disconnect_control.CLASS_ID, obis, attribute), lambda data: data.integer)


async def read_serial(session: Session, profile: MeterProfile) -> str | None:
    """The device name, 0-0:42.0.0.255."""
    if profile.device_name_obis is None:
        return None
    return _identity(await session.get(DATA_CLASS_ID, profile.device_name_obis, 2), lambda data: data.text)


async def read_pan(session: Session, profile: MeterProfile) -> str | None:
    """The MeterPAN, from class 116."""
    if profile.sts_obis is None:
        return None
    data = await session.get(payment.STS_CLASS_ID, profile.sts_obis, StsAttribute.METER_PAN)
    return _identity(data, payment.meter_pan_from_data)


def _identity(result: Data | int, meaning: Callable[[Data], str]) -> str | None:
    """None only where the meter has no such object. A meter that does not say who it is has not been recognised."""
    if isinstance(result, Data):
        try:
            return meaning(result)
        except RemoteProtocolError as error:
            raise GatewayUnreadable(f"the meter's identity cannot be checked: {error}", is_temporary=False) from error
    if result in _ABSENT:
        return None
    words = spell(DataAccessResult, result)
    raise GatewayUnreadable(f"the meter's identity cannot be checked: {words}", is_temporary=result in _TEMPORARY)
