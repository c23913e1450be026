"""How wires are used, beyond what a URL says: TLS, the MQTT broker, serial lines. Pure; files are only named here."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum

from transports.serial.simulated_line import PERFECT_LINE, SimulatedLine


@dataclass(frozen=True, slots=True)
class TlsSettings:
    """Who we are, and whom we trust, on ``tcps`` and ``mqtts``; PEM files."""

    ca_file: str | None = None
    """Certificates that we trust; ``None``: those of the system."""
    certificate_file: str | None = None
    """Our certificate and its chain; ``None``: we show none. Goes with ``key_file``."""
    key_file: str | None = None
    check_host: bool = True
    """The certificate has to be the called host's. Off only where meters are called by addresses that no certificate
    names; then any certificate of a trusted CA will do."""
    require_client: bool = False
    """Listening: who calls has to show a certificate of a trusted CA."""


class MqttProtocol(StrEnum):
    MQTT_5 = "5"
    MQTT_3 = "3.1.1"


class MqttPayload(StrEnum):
    WRAPPER = "wrapper"
    """One wrapper message in each MQTT message (the recommended layout)."""
    HDLC = "hdlc"
    """HDLC frames, of a transparent modem."""


@dataclass(frozen=True, slots=True)
class MqttSettings:
    """How we speak to a broker."""

    username: str = ""
    password: str = field(default="", repr=False)
    protocol: MqttProtocol = MqttProtocol.MQTT_5
    payload: MqttPayload = MqttPayload.WRAPPER
    topic_root: str = "dlms/v1"
    client_id: str = ""
    """Empty: a meter's side takes the meter's name, a head-end makes one up."""
    keep_alive_seconds: int = 30
    reply_timeout_seconds: float = 30.0
    """After this a request is dead: its message expiry, or its deadline in the topic."""


@dataclass(frozen=True, slots=True)
class SerialSettings:
    """What a serial line is like."""

    echo: bool = False
    """The line gives back what we send (two-wire RS-485, optical heads): it is taken away again."""
    line: SimulatedLine = PERFECT_LINE
    """Listening on a pseudo-terminal: what the line does to octets."""


@dataclass(frozen=True, slots=True)
class WireSettings:
    """One set for all links of a process."""

    tls: TlsSettings = field(default_factory=TlsSettings)
    mqtt: MqttSettings = field(default_factory=MqttSettings)
    serial: SerialSettings = field(default_factory=SerialSettings)


WIRE_DEFAULTS = WireSettings()
