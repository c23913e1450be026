"""A meter as the head-end knows it: where it is, who it must be, how it wants to be spoken to. Pure."""

from __future__ import annotations

from dataclasses import dataclass, field

from cosem_objects.dlms.apdu import NetworkAddress
from cosem_objects.dlms.settings import SecuritySettings
from cosem_objects.errors import SettingError
from cosem_objects.profile import MeterProfile
from transports.endpoint import Endpoint
from transports.hdlc.connection import HdlcSettings

HDLC_CLIENT_SAP_MAX = 0x7F
DEFAULT_CLIENT_SYSTEM_TITLE = "5354534741544501"
"""``STSGATE`` and 01: used when a client title is needed and none was given."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Meter:
    """One entry of the registry. Empty identity fields are not checked."""

    endpoint: Endpoint
    profile: MeterProfile = field(default_factory=MeterProfile)
    security: SecuritySettings = field(default_factory=SecuritySettings)
    client_sap: int = 1
    server_sap: int = 1
    physical: int | None = None
    behind: NetworkAddress | None = None
    """What names the meter to the concentrator at the endpoint; None = the meter itself is there."""
    hdlc: HdlcSettings = field(default_factory=HdlcSettings)
    invocation_counter: int | None = None
    """The first counter that we use; None = ask the meter as public client."""
    serial: str = ""
    """The device name that must answer, from 0-0:42.0.0.255."""
    pan: str = ""
    """The MeterPAN that must answer, from class 116."""

    def check(self) -> None:
        """All that can be known to be wrong before anything is opened. Raises ``SettingError``."""
        if self.security.meter_system_title and not self.security.needs_titles:
            raise SettingError(
                "meter-system-title: a meter says its title only with keys or hls-sha256; check --serial or --pan"
            )
        if self.endpoint.speaks_hdlc or (self.endpoint.speaks_hdlc is None and self.physical is not None):
            self._check_hdlc_address()
        elif self.physical is not None:
            raise SettingError(f"physical: {self.endpoint.scheme} has no physical addresses, HDLC has")

    def _check_hdlc_address(self) -> None:
        try:
            self.hdlc.server_address(self.server_sap, self.physical)
        except ValueError as error:
            raise SettingError(f"HDLC address (server-sap, physical): {error}") from None
        if self.client_sap > HDLC_CLIENT_SAP_MAX:
            raise SettingError(f"client-sap {self.client_sap}: HDLC has room for 1 to {HDLC_CLIENT_SAP_MAX}")

    @property
    def answer_timeout_seconds(self) -> float:
        """How long one answer may take, with all repetitions of the data link."""
        once = self.profile.response_timeout_seconds
        if self.endpoint.speaks_hdlc:
            return self.hdlc.response_timeout_seconds * (self.hdlc.retries + 1) + once
        return once
