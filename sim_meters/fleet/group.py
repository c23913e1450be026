"""A group: meters of one make, with their places on the wires and what counts up from one to the next. Pure.

Nothing is kept for a single meter: address, name, keys and configuration are worked out from its number, counted
from 0, whenever somebody wants them. So a group of a hundred thousand is as small as a group of one.

Behind one *place* - a listening socket, a line, a name at a broker - stand ``share`` meters. Those on HDLC are told
apart by their physical addresses, the others by their server SAPs (wrapper ports).
"""

from __future__ import annotations

import hashlib
import hmac
import re
from dataclasses import dataclass, replace

from cosem_objects.dlms.settings import SecuritySettings
from cosem_objects.errors import SettingError
from sim_meters.fault_order import FaultOrder
from sim_meters.fleet.places import place_plus
from sim_meters.meter_config import MeterConfig, device_name, title_plus
from sim_meters.sts.keys.decoder_key import VendingKey, derive_decoder_key
from sim_meters.sts.keys.identity import MeterPan
from transports.channel import Address
from transports.endpoint import Endpoint
from transports.hdlc.connection import HDLC_DEFAULTS, HdlcSettings
from transports.wire_settings import WIRE_DEFAULTS, MqttPayload, WireSettings

SERVER_SAP_MAX = 0xFFFF
PHYSICAL_MAX = 0x3FFF
_SHORT_NUMBER = re.compile(r"\d{1,8}", re.ASCII)
EVERYBODY_IN_ONE_OCTET = 0x7F
"""IEC 62056-46: in addresses of two octets, the physical address of all stations."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class MeterGroup:
    """Each is only equal to itself. Raises ``SettingError`` for what cannot be counted up so far."""

    name: str
    count: int
    first: MeterConfig
    """The first meter, from which the others count up."""
    profile_name: str = ""
    """The name of its model among the shipped profiles; empty if it is not one of those."""
    endpoint: Endpoint
    """The first place; or, if they call in, whom all of them call."""
    calls_in: bool = False
    login: str = ""
    """The line that a meter says first which calls in, with ``{title}``, ``{name}`` and ``{serial}`` for its own;
    empty: it sends a notification instead."""
    share: int = 1
    """How many meters stand behind each place; the last one may have fewer."""
    hdlc: HdlcSettings = HDLC_DEFAULTS
    wires: WireSettings = WIRE_DEFAULTS
    faults: tuple[FaultOrder, ...] = ()
    vending_key: VendingKey | None = None
    """Makes the decoder key of each; ``None``: all have that of the first."""
    secrets_seed: str | None = None
    """Makes the DLMS keys and the password of each: lab secrets, which everybody can make who knows the seed.
    ``None``: all have those of the first."""

    def __post_init__(self) -> None:
        if self.share > 1 and self.calls_in:
            raise SettingError("share: expected 1 with call_in; each meter opens a connection of its own")
        if self.share > 1 and self.speaks_hdlc and self.first.physical is None:
            raise SettingError("physical: expected one; it tells the meters apart that share an HDLC line")
        if self.first.physical is not None and not self.speaks_hdlc:
            raise SettingError(f"physical: expected none with {self.endpoint.scheme}; only HDLC has physical addresses")
        highest_sap, highest_physical = self._addresses(self._slots - 1)
        if highest_sap > SERVER_SAP_MAX:
            raise SettingError(f"server_sap: expected at most {SERVER_SAP_MAX} for the last; got {highest_sap}")
        if highest_physical is not None and highest_physical > PHYSICAL_MAX:
            raise SettingError(f"physical: expected at most {PHYSICAL_MAX} for the last; got {highest_physical}")
        try:
            self.endpoint_of(self.places - 1)
        except SettingError as error:
            raise SettingError(f"listen: {error}") from None
        self.config(self.count - 1)
        if self.speaks_hdlc:
            self._check_hdlc_addresses()

    @property
    def speaks_hdlc(self) -> bool:
        """Whether HDLC frames are on its wires."""
        told = self.endpoint.speaks_hdlc
        return self.wires.mqtt.payload is MqttPayload.HDLC if told is None else told

    @property
    def places(self) -> int:
        """How many listeners it takes."""
        return -(-self.count // self.share)

    def place_of(self, number: int) -> int:
        return number // self.share

    def endpoint_of(self, place: int) -> Endpoint:
        """Where the meters of a place listen, or whom they call. Raises ``SettingError``: there are not so many."""
        return self.endpoint if self.calls_in else place_plus(self.endpoint, place)

    def name_of(self, number: int) -> str:
        """Of a meter: it does not depend on how many there are."""
        return f"{self.name}-{number + 1}"

    def pan_of(self, number: int) -> MeterPan:
        return self.first.pan.plus(number)

    def title_of(self, number: int) -> bytes:
        return title_plus(self.first.security.meter_system_title, number)

    def number_of(self, text: str) -> int | None:
        """The meter of this name, serial or PAN; ``None``: it is not of this group."""
        begin = self.first.pan.serial
        for digits, first in ((text.removeprefix(f"{self.name}-"), 1), (text[-9:-1], begin), (text[-10:-2], begin)):
            number = int(digits) - first if _SHORT_NUMBER.fullmatch(digits) else -1
            if 0 <= number < self.count and text in self.names_of(number):
                return number
        return None

    def login_of(self, number: int) -> str:
        """What a meter that calls in says first; empty: a notification."""
        name, serial, _ = self.names_of(number)
        title = self.title_of(number).hex().upper()
        return self.login.replace("{title}", title).replace("{name}", name).replace("{serial}", serial)

    def names_of(self, number: int) -> tuple[str, str, str]:
        """All that a meter may be called: its name in the fleet, its COSEM logical device name, its PAN."""
        pan = self.pan_of(number)
        return self.name_of(number), device_name(pan), pan.digits

    def number_at(self, place: int, address: Address) -> int | None:
        """Whom a place knows by an address; ``None``: nobody."""
        if self.share == 1:
            sap, physical = self._addresses(place)
            # A meter alone on its wire need not have a physical address: then it takes any.
            return place if address.server_sap == sap and physical in (None, address.physical) else None
        if self.speaks_hdlc:
            slot = -1 if address.physical is None else address.physical - (self.first.physical or 0)
        else:
            slot = address.server_sap - self.first.server_sap
        number = place * self.share + slot
        if not 0 <= slot < self.share or number >= self.count:
            return None
        return number if address.server_sap == self._addresses(slot)[0] else None

    def config(self, number: int) -> MeterConfig:
        """The whole meter, with its keys made for it. Raises ``SettingError`` if counting up comes to an end."""
        first = self.first
        key = replace(first.key, pan=self.pan_of(number))
        server_sap, physical = self._addresses(number if self.share == 1 else number % self.share)
        return replace(
            first,
            key=key,
            decoder_key=first.decoder_key if self.vending_key is None else derive_decoder_key(self.vending_key, key),
            server_sap=server_sap,
            physical=physical,
            behind=None if first.behind is None else first.behind.plus(number),
            security=self._security(number),
        )

    @property
    def _slots(self) -> int:
        return self.count if self.share == 1 else min(self.count, self.share)

    def _addresses(self, slot: int) -> tuple[int, int | None]:
        """Server SAP and physical address. Where each meter has a place of its own, ``slot`` is its number."""
        first = self.first
        if first.physical is not None:
            return first.server_sap, first.physical + slot
        return first.server_sap + (slot if self.share > 1 else 0), None

    def _check_hdlc_addresses(self) -> None:
        for slot in {0, self._slots - 1, EVERYBODY_IN_ONE_OCTET - (self.first.physical or 0)}:
            if not 0 <= slot < self._slots:
                continue
            try:
                address = self.hdlc.server_address(*self._addresses(slot))
            except ValueError as error:
                raise SettingError(f"server_sap and physical: {error}") from None
            if address.is_everybody and self._slots > 1:
                raise SettingError(
                    f"physical: expected none of the meters at {address.physical}, which in {address.size} octets "
                    "is the address of all stations"
                )

    def _security(self, number: int) -> SecuritySettings:
        security = replace(self.first.security, meter_system_title=self.title_of(number))
        if self.secrets_seed is None:
            return security
        name = self.name_of(number)
        return replace(
            security,
            password=self._made("password", name).hex()[:16].encode() if security.password else b"",
            ek=self._made("ek", name) if security.ek else b"",
            ak=self._made("ak", name) if security.ak else b"",
        )

    def _made(self, sort: str, name: str) -> bytes:
        """16 octets of which everybody knows how they were made."""
        assert self.secrets_seed is not None
        return hmac.digest(self.secrets_seed.encode(), f"LAB {sort} {name}".encode(), hashlib.sha256)[:16]
