"""What one meter model does differently. A profile is a file in ``config/meter_profiles``; this is its meaning.

Everything that the standards leave open, or that real meters do their own way, is a named field here with the
default that most meters want; each field is read in one place of the code.
"""

from __future__ import annotations

import difflib
import tomllib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from enum import StrEnum
from functools import reduce
from operator import or_
from reprlib import repr as shown
from typing import Any

from cosem_objects import payment, token_gateway
from cosem_objects.dlms.apdu import Conformance
from cosem_objects.dlms.conformance import CLIENT_OFFERED
from cosem_objects.errors import SettingError
from cosem_objects.obis import ObisCode
from cosem_objects.token_gateway import DataValueMap, DeliveryMethod, StatusCode, TokenEncoding


class TokenReadback(StrEnum):
    """How attribute 2 of the Token gateway shows the token."""

    SAME = "same"
    """As it was sent."""
    ASCII20 = "ascii20"
    BCD10 = "bcd10"
    DIGITS20 = "digits20"
    BINARY9 = "binary9"
    HIDDEN = "hidden"
    """Not at all, for security: then ``hidden_token_proof`` says what stands in for it."""


class HiddenTokenProof(StrEnum):
    """Where attribute 2 is hidden: what shows that the status is about our token."""

    TIME = "time"
    """Attribute 3 changed since the read before our send."""
    BALANCE = "balance"
    """Attribute 3 changed, and the account's available credit rose; proves acceptance only."""


class KeyChangeProof(StrEnum):
    """What shows that a key-change set took effect."""

    CLASS_116 = "class_116"
    """Attributes 5 to 10 of class 116 show the new key."""
    STATUS = "status"
    """Every section was executed, one after the other in one association, and no answer was lost. For meters without
    class 116: what happened after a doubt cannot be told."""


def _obis(key: str, value: Any) -> ObisCode:
    if not isinstance(value, str):
        raise SettingError(f"profile field {key}: expected an OBIS code as text, got {shown(value)}")
    try:
        return ObisCode.parse(value)
    except SettingError as error:
        raise SettingError(f"profile field {key}: {error}") from None


def _optional_obis(key: str, value: Any) -> ObisCode | None:
    return None if value == "" else _obis(key, value)


def _text(key: str, value: Any) -> str:
    if not isinstance(value, str):
        raise SettingError(f"profile field {key}: expected text, got {shown(value)}")
    return value


def _boolean(key: str, value: Any) -> bool:
    if not isinstance(value, bool):
        raise SettingError(f"profile field {key}: expected true or false, got {shown(value)}")
    return value


def _whole(low: int, high: int) -> Callable[[str, Any], int]:
    def read(key: str, value: Any) -> int:
        if not isinstance(value, int) or isinstance(value, bool) or not low <= value <= high:
            raise SettingError(f"profile field {key}: expected a whole number from {low} to {high}, got {shown(value)}")
        return value

    return read


def _seconds(low: float, high: float) -> Callable[[str, Any], float]:
    def read(key: str, value: Any) -> float:
        # The comparison is written so that NaN, which TOML knows, is refused too.
        if not isinstance(value, int | float) or isinstance(value, bool) or not low <= value <= high:
            raise SettingError(f"profile field {key}: expected seconds from {low:g} to {high:g}, got {shown(value)}")
        return float(value)

    return read


def _choice(kind: type[StrEnum]) -> Callable[[str, Any], StrEnum]:
    def read(key: str, value: Any) -> StrEnum:
        try:
            return kind(value)
        except ValueError:
            expected = ", ".join(kind)
            raise SettingError(f"profile field {key}: expected one of {expected}; got {shown(value)}") from None

    return read


def _status_map(key: str, value: Any) -> Mapping[int, int]:
    try:
        mapping = {int(code): StatusCode(standard).value for code, standard in value.items()}
        if any(type(standard) is not int for standard in value.values()) or min(mapping, default=0) < 0:
            raise ValueError("whole numbers only")
    except (AttributeError, TypeError, ValueError):
        raise SettingError(
            f"profile field {key}: expected a table of the meter's codes to codes 0..8, got {shown(value)}"
        ) from None
    return mapping


def _unit_aliases(key: str, value: Any) -> Mapping[str, str]:
    if not isinstance(value, Mapping) or not all(isinstance(unit, str) for unit in (*value, *value.values())):
        raise SettingError(f"profile field {key}: expected a table of unit names, got {shown(value)}")
    return dict(value)


def _delivery_methods(key: str, value: Any) -> tuple[int, ...]:
    if (
        not isinstance(value, list)
        or not value
        or not all(type(method) is int and 0 <= method <= 2 for method in value)
    ):
        raise SettingError(
            f"profile field {key}: expected a list of 0 (remote), 1 (local), 2 (manual), got {shown(value)}"
        )
    return tuple(map(int, value))


def _sign(key: str, value: Any) -> int:
    if type(value) is not int or value not in (1, -1):
        raise SettingError(f"profile field {key}: expected 1 or -1, got {shown(value)}")
    return int(value)


def _conformance(key: str, value: Any) -> Conformance:
    names = {(bit.name or "").lower().replace("_", "-"): bit for bit in CLIENT_OFFERED}
    if not isinstance(value, list) or not value:
        raise SettingError(f"profile field {key}: expected a list of services, got {shown(value)}")
    for name in value:
        if not isinstance(name, str) or name not in names:
            raise SettingError(f"profile field {key}: expected services of {', '.join(names)}; got {shown(name)}")
    return reduce(or_, (names[name] for name in value))


def _setting(default: Any, reader: Callable[[str, Any], Any]) -> Any:
    """A field with the function that reads it from a file."""
    if isinstance(default, dict):
        return field(default_factory=lambda: default, metadata={"reader": reader})
    return field(default=default, metadata={"reader": reader})


@dataclass(frozen=True, slots=True, kw_only=True)
class MeterProfile:
    """One meter model. Objects set to ``None`` (written ``""`` in a file) do not exist in it."""

    name: str = _setting("default", _text)

    gateway_obis: ObisCode = _setting(token_gateway.DEFAULT_OBIS, _obis)
    account_obis: ObisCode | None = _setting(payment.DEFAULT_ACCOUNT_OBIS, _optional_obis)
    sts_obis: ObisCode | None = _setting(payment.DEFAULT_STS_OBIS, _optional_obis)
    disconnect_control_obis: ObisCode | None = _setting(ObisCode.parse("0-0:96.3.10.255"), _optional_obis)
    device_name_obis: ObisCode | None = _setting(ObisCode.parse("0-0:42.0.0.255"), _optional_obis)
    counter_obis: ObisCode = _setting(ObisCode.parse("0-0:43.1.0.255"), _obis)
    association_obis: ObisCode = _setting(ObisCode.parse("0-0:40.0.0.255"), _obis)
    """Where HLS passes 3 and 4 go."""
    token_log_obis: ObisCode | None = _setting(None, _optional_obis)
    """Profile generic (class 7) with a row for each token; the standard names none, so most models have none here."""

    token_encoding: TokenEncoding = _setting(TokenEncoding.ASCII20, _choice(TokenEncoding))
    token_readback: TokenReadback = _setting(TokenReadback.SAME, _choice(TokenReadback))
    hidden_token_proof: HiddenTokenProof = _setting(HiddenTokenProof.TIME, _choice(HiddenTokenProof))
    key_change_proof: KeyChangeProof = _setting(KeyChangeProof.CLASS_116, _choice(KeyChangeProof))
    remote_delivery_methods: tuple[int, ...] = _setting((int(DeliveryMethod.REMOTE),), _delivery_methods)
    """Values of attribute 5 under which the meter shows what came over DLMS; some say local (1) for it."""
    status_map: Mapping[int, int] = _setting({}, _status_map)
    """The meter's own status codes -> the standard's."""
    data_value_map: DataValueMap = _setting(DataValueMap.RAW, _choice(DataValueMap))

    currency_name: str = _setting("", _text)
    """The account's currency or unit, for meters that leave its name empty."""
    unit_aliases: Mapping[str, str] = _setting({}, _unit_aliases)
    """The account's unit name -> the caller's: ``{"Wh": "kWh"}``."""
    deviation_sign: int = _setting(1, _sign)
    """-1 for meters whose clock deviation has the opposite sign."""

    key_change_timeout_seconds: float = _setting(600.0, _seconds(0, 86_400))
    """So long after its last section the meter forgets a key-change set that is not complete."""

    poll_first_seconds: float = _setting(1.0, _seconds(0.01, 3600))
    """Wait before the first repeated read of a pending status; doubles each time."""
    poll_timeout_seconds: float = _setting(60.0, _seconds(0, 86_400))
    """How long a status may stay pending before the outcome counts as in doubt."""
    inactivity_seconds: float = _setting(120.0, _seconds(1, 86_400))
    """The meter's inactivity time-out: polls come at least twice within it."""
    response_timeout_seconds: float = _setting(10.0, _seconds(0.1, 600))
    doubt_rounds_max: int = _setting(3, _whole(1, 100))
    """New associations tried to read back a token whose fate is in doubt."""
    wait_between_associations_seconds: float = _setting(0.0, _seconds(0, 3600))
    pdu_size_max: int = _setting(0xFFFF, _whole(64, 0xFFFF))
    counter_jump_max: int = _setting(1 << 24, _whole(0, 0xFFFF_FFFF))
    """The largest jump of an invocation counter that an unauthenticated answer may cause."""
    counter_read_max: int = _setting(0x7FFF_FFFF, _whole(0, 0xFFFF_FFFE))
    """The highest counter that the public client, without proof, is believed: a forged one would use the key up."""
    use_rlrq: bool = _setting(True, _boolean)
    use_get_list: bool = _setting(True, _boolean)
    """Ask for several attributes in one GET, where the meter agrees to multiple references."""
    conformance: Conformance = _setting(CLIENT_OFFERED, _conformance)
    """The services offered to the meter, by their names in the standard; for meters that stumble over unknown bits."""
    restart_dedicated_counter: bool = _setting(False, _boolean)
    """Begin at invocation counter 0 under each dedicated key, instead of going on from the global key's."""
    dedicated_key_in_hls: bool = _setting(False, _boolean)
    """Send HLS pass 3 under the dedicated key already."""
    hdlc_info_max: int = _setting(128, _whole(32, 2030))
    hdlc_window_max: int = _setting(1, _whole(1, 7))
    """HDLC frames offered in a row before an acknowledgement; the meter may agree to fewer."""

    @classmethod
    def parse(cls, mapping: Mapping[str, Any]) -> MeterProfile:
        """Read a profile file's content. Raises ``SettingError`` naming the field and what was expected."""
        readers = {known.name: known.metadata["reader"] for known in fields(cls)}
        for key in mapping:
            if key not in readers:
                near = difflib.get_close_matches(key, readers, 1)
                hint = f"; did you mean {near[0]}?" if near else ""
                raise SettingError(f"profile field {shown(key)} does not exist{hint}")
        return cls(**{key: readers[key](key, value) for key, value in mapping.items()})

    @classmethod
    def parse_toml(cls, text: str, file: str) -> MeterProfile:
        """Read the text of a profile file, whose name is the model's if it names none. Raises ``SettingError``."""
        try:
            return cls.parse({"name": file.rpartition("/")[2].removesuffix(".toml"), **tomllib.loads(text)})
        except tomllib.TOMLDecodeError as error:
            raise SettingError(f"profile {file} is no valid TOML: {error!s:.200}") from None
        except SettingError:
            raise
        except (ValueError, RecursionError):  # TOML has no limit for the length of a number or the depth of a table
            raise SettingError(f"profile {file}: a number or a nesting in it is too large") from None

    def readback_octets_match(self, octets: bytes, sent: bytes) -> bool:
        """Whether attribute 2 shows the token whose octets we sent. Never for ``hidden``."""
        if self.token_readback is TokenReadback.HIDDEN:
            return False
        if self.token_readback is TokenReadback.SAME:
            return octets == sent
        token = self.token_encoding.from_octets(sent)
        return octets == TokenEncoding(self.token_readback.value).to_octets(token)

    def status_code(self, code: int) -> StatusCode | None:
        """The standard's code for the meter's own; None when nobody knows it."""
        try:
            return StatusCode(self.status_map.get(code, code))
        except ValueError:
            return None
