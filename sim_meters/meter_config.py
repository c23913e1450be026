"""What one simulated meter is before anything happens to it: identity, keys, unit, and how it is reached."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

from cosem_objects.association_ln import PUBLIC_CLIENT_SAP
from cosem_objects.disconnect_control import ControlState
from cosem_objects.dlms.apdu import NetworkAddress
from cosem_objects.dlms.settings import SecuritySettings
from cosem_objects.errors import SettingError
from cosem_objects.obis import ObisCode
from cosem_objects.profile import MeterProfile
from cosem_objects.security_setup import KEY_SIZE
from cosem_objects.token_gateway import DataValueMap
from sim_meters.account import AccountUnit
from sim_meters.debt import DebtRecovery
from sim_meters.emergency import EmergencyCredit
from sim_meters.lab import LAB_MASTER_KEY, LAB_PAN, LAB_SGC, LAB_SYSTEM_TITLE, LAB_VENDING_KEYS
from sim_meters.sts.keys.decoder_key import DecoderKey, VendingKey, derive_decoder_key
from sim_meters.sts.keys.identity import MeterPan
from sim_meters.sts.keys.key_attributes import KeyAttributes
from sim_meters.sts.keys.key_expiry import KEN_NEVER
from sim_meters.sts.keys.key_type_rules import is_for_carriers
from sim_meters.sts.machine.machine_settings import MachineSettings
from sim_meters.sts.machine.token_machine import CARRIERS, TokenMachine
from sim_meters.sts.tokens.key_change import MeterKey
from sim_meters.sts.tokens.token_kind import Commodity
from sim_meters.sts.tokens.token_table import MANAGEMENT_KINDS, POWER_KINDS
from transports.channel import Address

STATUS_DELAY_SECONDS_MAX = 86_400

SIM_PROFILE = MeterProfile(
    name="sim", data_value_map=DataValueMap.ONEHOT16, token_log_obis=ObisCode.parse("1-0:99.15.0.255")
)
"""What ``config/meter_profiles/sim.toml`` says; a test compares them."""

CONTROL_MODES = {
    0: ControlState.CONNECTED,
    1: ControlState.READY_FOR_RECONNECTION,
    2: ControlState.CONNECTED,
    3: ControlState.READY_FOR_RECONNECTION,
    4: ControlState.CONNECTED,
    5: ControlState.CONNECTED,
    6: ControlState.CONNECTED,
}
"""Control mode of the load switch -> where it goes when credit allows it (IEC 62056-6-2, class 70).

In modes 1 and 3 a customer has to press a button; in 2 and 4 a remote order connects, in 5 and 6 the meter itself
may. Mode 0 never disconnects.
"""


class PushTo(StrEnum):
    """Who hears of a token without asking."""

    NOBODY = "nobody"
    CLIENT = "client"
    """The management client that associated last, on its open conversation."""
    WIRE = "wire"
    """Whoever is told by ``SimMeter.on_push``: a broker, a connection that the meter opened."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MeterConfig:
    """One meter. Raises ``SettingError`` for what does not go together."""

    key: KeyAttributes
    decoder_key: DecoderKey
    manufactured: datetime | None = None
    """In the time scale of the TIDs; tokens from before are too old. ``None``: at the base date."""
    unit: AccountUnit = field(default_factory=AccountUnit.kwh)
    profile: MeterProfile = SIM_PROFILE
    ken: int = KEN_NEVER
    """Key expiry number of the key that it leaves the factory with."""
    sts_settings: MachineSettings = field(default_factory=MachineSettings)
    emergency: EmergencyCredit | None = None
    """An advance that the customer may take; ``None``: there is none, and no Credit object for it."""
    debt: DebtRecovery | None = None
    """What the customer owes, and how every token pays a part of it back; ``None``: nothing, and no Charge object."""

    security: SecuritySettings = field(default_factory=SecuritySettings)
    """Of the management client, with the keys as the meter left the factory; ``meter_system_title`` is its own."""
    master_key: bytes = field(default=LAB_MASTER_KEY, repr=False)
    """Under which other keys are transferred, until it is itself replaced."""
    answers_as_asked: bool = True
    """In the form of ciphering in which it was asked, instead of always in its own."""
    client_sap: int = 1
    """The management client."""
    server_sap: int = 1
    physical: int | None = None
    behind: NetworkAddress | None = None
    """The concentrator in front of the meter knows it by this address; None = there is none."""

    status_delay_seconds: float = 0.0
    """How long a token entered by a client shows *received* (8) before it is worked on."""
    control_mode: int = 6
    associations_max: int | None = None
    """So many management associations may be open at once; the next one is refused as busy. ``None``: any number."""
    push_to: PushTo = PushTo.NOBODY
    """Where the meter sends the message of Push setup by itself, when a token was executed or rejected."""

    def __post_init__(self) -> None:
        if self.client_sap == PUBLIC_CLIENT_SAP or not 1 <= self.client_sap <= 127:
            raise SettingError(f"client-sap: expected 1 to 127, but not 16, the public client; got {self.client_sap}")
        if not 1 <= self.server_sap <= 0xFFFF:
            raise SettingError(f"server-sap: expected 1 to 65535; got {self.server_sap}")
        if self.control_mode not in CONTROL_MODES:
            raise SettingError(f"control mode: expected 0 to {max(CONTROL_MODES)}; got {self.control_mode}")
        if not 0 <= self.status_delay_seconds <= STATUS_DELAY_SECONDS_MAX:
            raise SettingError(f"status delay: expected 0 to {STATUS_DELAY_SECONDS_MAX} s")
        if self.associations_max is not None and self.associations_max < 1:
            raise SettingError(f"associations_max: expected 1 or more; got {self.associations_max}")
        if self.security.needs_titles and not self.security.meter_system_title:
            raise SettingError("system-title: expected one; a meter with keys needs it")
        if len(self.master_key) != KEY_SIZE:
            raise SettingError(f"master key: expected {KEY_SIZE} octets; got {len(self.master_key)}")
        if not is_for_carriers(self.key.kt, CARRIERS):
            raise SettingError(f"kt: expected 0 to 2; a common key (KT {self.key.kt:d}) is for magnetic cards alone")
        if self.debt is not None:
            self._check_debt(self.debt)
        if self.emergency is not None:
            self._check_emergency(self.emergency)

    def _check_debt(self, debt: DebtRecovery) -> None:
        if self.profile.account_obis is None:
            raise SettingError("debt: expected a profile with an account; a Charge belongs to one")
        if -self.unit.raw(-debt.owed_units) >= 1 << 31:
            raise SettingError(f"debt: {self.unit.words(debt.owed_units)} cannot be shown in 32 bits")

    def _check_emergency(self, emergency: EmergencyCredit) -> None:
        if self.profile.account_obis is None:
            raise SettingError("emergency credit: expected a profile with an account; a Credit belongs to one")
        if -self.unit.raw(-emergency.preset_units) >= 1 << 31:  # rounded up, as what is owed is shown
            raise SettingError(
                f"emergency credit: {self.unit.words(emergency.preset_units)} cannot be shown in 32 bits"
            )

    @property
    def pan(self) -> MeterPan:
        return self.key.pan

    @property
    def device_name(self) -> str:
        return device_name(self.pan)

    @property
    def ledger_identity(self) -> dict[str, str]:
        """Whose ledger a file is, and what its units count."""
        unit, commodity = self.unit.currency.name, self.unit.commodity
        sold = "" if commodity is Commodity.ELECTRICITY else f"{commodity.value} "  # as in ledgers from before others
        return {"pan": self.pan.digits, "unit": f"{sold}{unit}"}

    @property
    def _meter_key(self) -> MeterKey:
        key = self.key
        return MeterKey(decoder_key=self.decoder_key, kt=key.kt, krn=key.krn, ti=key.ti, sgc=key.sgc, ken=self.ken)

    def new_machine(self) -> TokenMachine:
        """The STS machine as it left the factory."""
        base_date = self.key.base_date
        manufactured = self.manufactured or base_date.moment(0)
        kinds = {self.unit.kind} | MANAGEMENT_KINDS
        if self.unit.commodity is Commodity.ELECTRICITY:
            kinds |= POWER_KINDS
        return TokenMachine.new(
            self._meter_key,
            frozenset(kinds),
            base_date.tid_at(manufactured),
            manufacturer_code=int(self.pan.manufacturer_code),
            settings=self.sts_settings,
        )

    def is_for_us(self, address: Address) -> bool:
        """Whether an address on the wire is this meter's. A meter alone on its wire need not have a physical one: then
        it takes any, as clients differ in what they put there."""
        return address.server_sap == self.server_sap and self.physical in (None, address.physical)


def device_name(pan: MeterPan) -> str:
    """The COSEM logical device name: three letters of the manufacturer and up to 13 more (IEC 62056-6-2)."""
    return f"SIM{pan.drn}"


def lab_config(count: int = 0) -> MeterConfig:
    """The lab meter, or the ``count``-th after it; ``dataclasses.replace`` makes others of it."""
    key = KeyAttributes.parse(MeterPan.parse(LAB_PAN).plus(count).digits, LAB_SGC)
    return MeterConfig(
        key=key,
        decoder_key=derive_decoder_key(VendingKey.parse(LAB_VENDING_KEYS[key.dkga], key.dkga), key),
        security=SecuritySettings(meter_system_title=title_plus(LAB_SYSTEM_TITLE, count)),
    )


def title_plus(title: bytes, count: int) -> bytes:
    """The ``count``-th system title after this one: three letters stay, five octets count up."""
    number = int.from_bytes(title[3:], "big") + count
    if number >> 40:
        raise SettingError(f"system-title: there is no {count}-th title after {title.hex()}")
    return title[:3] + number.to_bytes(5, "big")
