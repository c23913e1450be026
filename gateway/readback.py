"""What a meter says about itself: its Token gateway, identity, account, switch and key.

What a meter does not have is None here, never an error; only the Token gateway must be there.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import TypeAlias, TypeVar

from cosem_objects import disconnect_control, payment, token_gateway
from cosem_objects.axdr import Data
from cosem_objects.disconnect_control import Attribute as ControlAttribute
from cosem_objects.dlms.apdu import AttributeDescriptor, DataAccessResult
from cosem_objects.errors import RemoteProtocolError, RemoteRefusal
from cosem_objects.names import spell
from cosem_objects.obis import ObisCode
from cosem_objects.payment import KEY_ATTRIBUTES, AccountAttribute, Currency, KeyAttributes, StsAttribute
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
    """The Token gateway, or what else a verdict needs, is not there or not for us; ``is_temporary`` if the meter asks
    for patience."""

    def __init__(self, message: str, *, is_temporary: bool) -> None:
        super().__init__(message)
        self.is_temporary = is_temporary


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


@dataclass(frozen=True, slots=True)
class MeterState:
    """What a meter shows at one moment: its Token gateway, the account's balance, the load switch."""

    gateway: Reading
    account: AccountReading
    control_state: int | None
    """0 disconnected, 1 connected, 2 ready for reconnection."""
    key: KeyAttributes | None = None
    """Class 116; None = it was not asked for."""
    kct_supported: int | None = None
    """Sections that the meter's key-change sets may have, by class 116; None = it does not say, or was not asked."""


@dataclass(frozen=True, slots=True)
class Identity:
    """Who a meter says it is. ``None`` = it has no such object, or was not asked."""

    serial: str | None = None
    """The device name, 0-0:42.0.0.255."""
    pan: str | None = None
    """The MeterPAN, from class 116."""


_Results: TypeAlias = Mapping[str, Data | int]
"""What was asked for, by the names that ``Readback`` gives it; what the model does not have is missing."""


class Readback:
    """What to ask meters of one model, made ready once."""

    def __init__(self, profile: MeterProfile) -> None:
        self._profile = profile
        self._gateway = {
            name: AttributeDescriptor(token_gateway.CLASS_ID, profile.gateway_obis, attribute)
            for name, attribute in _GATEWAY_ATTRIBUTES.items()
        }
        # Where a token shows its effect: told to the user, and with a hidden token perhaps its only proof.
        self._effect = _existing(
            currency=(payment.ACCOUNT_CLASS_ID, profile.account_obis, AccountAttribute.CURRENCY),
            credit=(payment.ACCOUNT_CLASS_ID, profile.account_obis, AccountAttribute.AVAILABLE_CREDIT),
            switch=(disconnect_control.CLASS_ID, profile.disconnect_control_obis, ControlAttribute.CONTROL_STATE),
        )
        self._state = {**self._gateway, **self._effect}
        key_places = {name: (payment.STS_CLASS_ID, profile.sts_obis, place) for name, place in KEY_ATTRIBUTES.items()}
        kct_place = (payment.STS_CLASS_ID, profile.sts_obis, StsAttribute.NO_OF_KCT_SUPPORTED)
        self._key = _existing(**key_places, kct_supported=kct_place)

    async def state(self, session: Session, *, key: bool = False) -> MeterState:
        """What the meter shows now; its ``key`` if wanted. Raises ``GatewayUnreadable`` when it refuses what a verdict
        needs; else as ``Session.get``."""
        return self._understand(await self._ask(session, self._wanted(key)), key)

    async def identity_and_state(
        self, session: Session, *, serial: bool = False, pan: bool = False, key: bool = False
    ) -> tuple[Identity, MeterState]:
        """All that a delivery asks a meter at first, in as few exchanges as it allows; ``serial``, ``pan`` and ``key``
        if wanted. Raises as ``state``, and ``GatewayUnreadable`` when the meter hides who it is."""
        name = _existing(serial=(DATA_CLASS_ID, self._profile.device_name_obis, 2)) if serial else {}
        number = _existing(pan=(payment.STS_CLASS_ID, self._profile.sts_obis, StsAttribute.METER_PAN)) if pan else {}
        results = await self._ask(session, {**self._wanted(key), **name, **number})
        identity = Identity(
            _identity(results.get("serial"), lambda data: data.text),
            _identity(results.get("pan"), payment.meter_pan_from_data),
        )
        return identity, self._understand(results, key)

    def _wanted(self, key: bool) -> Mapping[str, AttributeDescriptor]:
        return {**self._state, **self._key} if key else self._state

    async def _ask(self, session: Session, wanted: Mapping[str, AttributeDescriptor]) -> _Results:
        """The attributes of the Token gateway as of one moment: in one GET with list, or read again as long as 2 or 3
        change in between."""
        results = await _get(session, wanted)
        if session.list_size_max >= len(self._gateway):
            return results
        for _ in range(_STABLE_READS_MAX):
            again = await _get(session, {name: self._gateway[name] for name in _CHANGING})
            if all(again[name] == results[name] for name in _CHANGING):
                return results
            rest = {name: self._gateway[name] for name in self._gateway if name not in _CHANGING}
            results = {**results, **again, **await _get(session, rest)}
        raise RemoteProtocolError("the Token gateway changes faster than it can be read")

    def _understand(self, results: _Results, key: bool) -> MeterState:
        profile, status = self._profile, results["status"]
        if not isinstance(status, Data):
            raise _unreadable(profile, "attribute 6 (token_status)", status)
        reading = Reading(
            _token(profile, results["token"]),
            _understood(results["time"], _octets),
            _understood(results["method"], _integer),
            _status(profile, status),
        )
        return MeterState(
            reading,
            _account(profile, results),
            _understood(results.get("switch"), _integer),
            _key(profile, results) if key else None,
            _understood(results.get("kct_supported"), _integer) or None,
        )


_GATEWAY_ATTRIBUTES = {
    "token": Attribute.TOKEN,
    "time": Attribute.TOKEN_TIME,
    "method": Attribute.TOKEN_DELIVERY_METHOD,
    "status": Attribute.TOKEN_STATUS,
}
_CHANGING = ("token", "time")
"""What is different after another token."""


def _existing(**members: tuple[int, ObisCode | None, int]) -> dict[str, AttributeDescriptor]:
    """Those whose object the model has."""
    return {
        name: AttributeDescriptor(class_id, obis, attribute)
        for name, (class_id, obis, attribute) in members.items()
        if obis is not None
    }


async def _get(session: Session, wanted: Mapping[str, AttributeDescriptor]) -> _Results:
    return dict(zip(wanted, await session.get_many(tuple(wanted.values())), strict=True))


def _octets(data: Data) -> bytes:
    return data.octets


def _integer(data: Data) -> int:
    return data.integer


def _token(profile: MeterProfile, token: Data | int) -> bytes | None:
    if isinstance(token, Data):
        # Digits as a visible-string are as good as an octet-string of the same characters.
        return token.text.encode() if isinstance(token.value, str) else _understood(token, _octets)
    if profile.token_readback is TokenReadback.HIDDEN:
        return None
    raise _unreadable(profile, "attribute 2 (token)", token)


def _status(profile: MeterProfile, data: Data) -> TokenStatus:
    try:
        return TokenStatus.from_data(data)
    except RemoteProtocolError as error:
        message = (
            f"attribute 6 of {profile.gateway_obis} is no token_status ({error}): check the profile's gateway_obis"
        )
        raise GatewayUnreadable(message, is_temporary=False) from error


def _unreadable(profile: MeterProfile, what: str, result: int) -> GatewayUnreadable:
    words = spell(DataAccessResult, result)
    advice = (
        "try again later"
        if result in _TEMPORARY
        else "check gateway_obis and token_readback of the profile, client SAP"
    )
    message = f"the Token gateway {profile.gateway_obis} cannot be read: {what} is answered with {words}; {advice}"
    return GatewayUnreadable(message, is_temporary=result in _TEMPORARY)


def _understood(result: Data | int | None, meaning: Callable[[Data], T]) -> T | None:
    """What a readable attribute means; None where it is not there or of another type."""
    if not isinstance(result, Data):
        return None
    try:
        return meaning(result)
    except RemoteProtocolError:
        return None


def _account(profile: MeterProfile, results: _Results) -> AccountReading:
    """Currency and available credit, if the meter has an account."""
    currency = _understood(results.get("currency"), Currency.from_data)
    if currency is None:
        return NO_ACCOUNT
    if profile.currency_name and not currency.name:
        currency = Currency(profile.currency_name, currency.scale, currency.unit)
    return AccountReading(currency, _understood(results.get("credit"), _integer))


def _key(profile: MeterProfile, results: _Results) -> KeyAttributes:
    """Class 116. Raises ``GatewayUnreadable`` where the meter asks for patience: then it does not even say no."""
    for name, attribute in KEY_ATTRIBUTES.items():
        result = results.get(name)
        if isinstance(result, int) and result in _TEMPORARY:
            words = spell(DataAccessResult, result)
            message = f"attribute {attribute:d} of class 116 at {profile.sts_obis} is answered with {words}"
            raise GatewayUnreadable(f"{message}; try again later", is_temporary=True)
    return KeyAttributes(**{name: _understood(results.get(name), _integer) for name in KEY_ATTRIBUTES})


def _identity(result: Data | int | None, meaning: Callable[[Data], str]) -> str | None:
    """None only where the meter has no such object, or was not asked: one that does not say who it is has not been
    recognised."""
    if isinstance(result, Data):
        try:
            return meaning(result)
        except RemoteProtocolError as error:
            raise GatewayUnreadable(f"the meter's identity cannot be checked: {error}", is_temporary=False) from error
    if result is None or result in _ABSENT:
        return None
    words = spell(DataAccessResult, result)
    raise GatewayUnreadable(f"the meter's identity cannot be checked: {words}", is_temporary=result in _TEMPORARY)
