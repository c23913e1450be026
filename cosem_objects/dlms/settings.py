"""How an association is secured, in the words of both commands, of the API and of files. Pure."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from cosem_objects.dlms.acse import ApplicationContext, Mechanism
from cosem_objects.errors import SettingError

TITLE_SIZE = 8

AUTHENTICATED = 0x10
ENCRYPTED = 0x20


class Ciphering(StrEnum):
    """The form in which APDUs are ciphered."""

    NONE = "none"
    SERVICE_GLO = "service-glo"
    GENERAL_GLO = "general-glo"
    SERVICE_DED = "service-ded"
    GENERAL_DED = "general-ded"

    @property
    def is_dedicated(self) -> bool:
        """Under a key that the client makes for one association and sends with its AARQ."""
        return self in (Ciphering.SERVICE_DED, Ciphering.GENERAL_DED)

    @property
    def is_general(self) -> bool:
        """With a header that names the originator, instead of a tag for each service."""
        return self in (Ciphering.GENERAL_GLO, Ciphering.GENERAL_DED)

    @property
    def with_global_key(self) -> Ciphering:
        """The same form under the global key, as it is used until the association stands."""
        return {Ciphering.SERVICE_DED: Ciphering.SERVICE_GLO, Ciphering.GENERAL_DED: Ciphering.GENERAL_GLO}.get(
            self, self
        )


class Protection(StrEnum):
    """The strength of ciphering: authenticated, encrypted, or both.

    Encrypted alone has no tag: whoever is on the wire can change what is said, and push a counter up for good. It is
    here because meters with that policy exist.
    """

    AUTHENTICATED = "auth"
    ENCRYPTED = "enc"
    BOTH = "both"

    @property
    def bits(self) -> int:
        return _PROTECTION_BITS[self]


_PROTECTION_BITS = {
    Protection.AUTHENTICATED: AUTHENTICATED,
    Protection.ENCRYPTED: ENCRYPTED,
    Protection.BOTH: AUTHENTICATED | ENCRYPTED,
}


@dataclass(frozen=True, slots=True, repr=False)
class SecuritySettings:
    """How one association is secured. The same words in both commands, in the API and in meter files."""

    mechanism: Mechanism = Mechanism.NONE
    ciphering: Ciphering = Ciphering.NONE
    protection: Protection = Protection.BOTH
    password: bytes = b""
    ek: bytes = b""
    ak: bytes = b""
    client_system_title: bytes = b""
    meter_system_title: bytes = b""
    """Of the meter; empty on the client's side = not checked."""

    @classmethod
    def parse(cls, mapping: Mapping[str, Any]) -> SecuritySettings:
        """Read ``mechanism, suite, ciphering, protection, password, ek, ak, client_system_title,
        meter_system_title``; keys and titles in hex, all optional. Raises ``SettingError`` naming the setting.
        """
        for key in mapping:
            if key not in _SETTINGS:
                near = difflib.get_close_matches(str(key), _SETTINGS, 1)
                raise SettingError(
                    f"security setting {key!r} does not exist" + (f"; did you mean {near[0]}?" if near else "")
                )
        mechanism = _mechanism(mapping.get("mechanism") or "none")
        if (suite := mapping.get("suite") or 0) not in (0, "0"):
            shown = f" {suite}" if len(str(suite)) == 1 else ""  # anything longer may be a secret
            raise SettingError(f"suite{shown}: only suite 0 is supported so far")
        ek, ak = _hex(mapping, "ek", 16), _hex(mapping, "ak", 16)
        password = str(mapping.get("password") or "").encode("utf-8", "surrogateescape")
        settings = cls(
            mechanism=mechanism,
            ciphering=_ciphering(mapping.get("ciphering"), has_keys=bool(ek)),
            protection=_protection(mapping.get("protection") or "both"),
            password=password,
            ek=ek,
            ak=ak,
            client_system_title=_hex(mapping, "client_system_title", TITLE_SIZE),
            meter_system_title=_hex(mapping, "meter_system_title", TITLE_SIZE),
        )
        settings._check()
        return settings

    def _check(self) -> None:
        if self.mechanism in (Mechanism.LLS, Mechanism.HLS_SHA256) and not self.password:
            raise SettingError(f"security {_MECHANISM_NAMES[self.mechanism]}: a password is needed")
        if self.needs_keys and not (self.ek and self.ak):
            why = "security hls-gmac" if self.mechanism is Mechanism.HLS_GMAC else f"ciphering {self.ciphering}"
            raise SettingError(f"{why}: both keys are needed, the encryption key (ek) and the authentication key (ak)")

        if self.client_system_title and self.client_system_title == self.meter_system_title:
            raise SettingError("meter-system-title: the same as the client's; both would seal under the same nonces")

    @property
    def application_context(self) -> ApplicationContext:
        """Of both sides: an association ciphers, or it does not."""
        if self.ciphering is Ciphering.NONE:
            return ApplicationContext.LOGICAL_NAME
        return ApplicationContext.LOGICAL_NAME_CIPHERED

    @property
    def needs_keys(self) -> bool:
        return self.mechanism is Mechanism.HLS_GMAC or self.ciphering is not Ciphering.NONE

    @property
    def needs_titles(self) -> bool:
        """Whether both sides must know each other's system title."""
        return self.needs_keys or self.is_high_level

    @property
    def is_high_level(self) -> bool:
        """Whether both sides prove that they know the secret, in passes 3 and 4."""
        return self.mechanism in (Mechanism.HLS_GMAC, Mechanism.HLS_SHA256)

    def __repr__(self) -> str:  # passwords and keys never
        return f"<SecuritySettings {_MECHANISM_NAMES[self.mechanism]}, {self.ciphering.value}, {self.protection.value}>"


_SETTINGS = (
    *("mechanism", "suite", "ciphering", "protection", "password", "ek", "ak"),
    *("client_system_title", "meter_system_title"),
)
_OPTION_NAMES = {"client_system_title": "system-title"}
_MECHANISM_NAMES = {
    Mechanism.NONE: "none",
    Mechanism.LLS: "lls",
    Mechanism.HLS_GMAC: "hls-gmac",
    Mechanism.HLS_SHA256: "hls-sha256",
}
_MECHANISMS = {name: mechanism for mechanism, name in _MECHANISM_NAMES.items()}


def _mechanism(name: str) -> Mechanism:
    if name == "hls-ecdsa":
        raise SettingError(f"security {name}: not supported yet; expected one of {', '.join(_MECHANISMS)}")
    try:
        return _MECHANISMS[name]
    except (KeyError, TypeError):
        raise SettingError(
            f"security{_repeated(name, _MECHANISMS)}: expected one of {', '.join(_MECHANISMS)}"
        ) from None


def _repeated(word: object, known: Iterable[str]) -> str:
    """An unknown word, if it is a misspelt one: anything else may be a secret that was given to the wrong option."""
    return f" {word!r}" if difflib.get_close_matches(str(word), list(known), 1) else ""


def _ciphering(name: str | None, *, has_keys: bool) -> Ciphering:
    if not name:
        return Ciphering.SERVICE_GLO if has_keys else Ciphering.NONE
    try:
        return Ciphering(name)
    except ValueError:
        raise SettingError(f"ciphering{_repeated(name, Ciphering)}: expected one of {', '.join(Ciphering)}") from None


def _protection(name: str) -> Protection:
    try:
        return Protection(name)
    except ValueError:
        raise SettingError(
            f"protection{_repeated(name, Protection)}: expected one of {', '.join(Protection)}"
        ) from None


def _hex(mapping: Mapping[str, Any], name: str, size: int) -> bytes:
    text = mapping.get(name) or ""
    label = _OPTION_NAMES.get(name, name.replace("_", "-"))
    try:
        octets = bytes.fromhex(text)
    except (TypeError, ValueError):
        raise SettingError(f"{label}: expected {size * 2} hex digits") from None  # the text may be a key: not shown
    if octets and len(octets) != size:
        raise SettingError(f"{label}: expected {size * 2} hex digits ({size} octets), got {len(octets)} octets")
    return octets
