"""How meters may call in, from settings."""

from __future__ import annotations

from cosem_objects.errors import SettingError
from gateway.calling_in.identify import sender_of
from gateway.calling_in.tables import read_names, read_wports
from gateway.calling_in.texts import login_pattern
from gateway.settings.sections import InboundSection
from transports.calling_in.called_in import InboundSettings
from transports.calling_in.first_words import FirstWords
from transports.wire_settings import TlsSettings


def inbound_settings(section: InboundSection) -> InboundSettings:
    """Raises ``SettingError`` for a table that cannot be read."""
    try:
        login = login_pattern(section.login_pattern) if section.login_pattern else None
    except ValueError as error:
        raise SettingError(f"login_pattern: {error}") from None
    return InboundSettings(
        words=FirstWords(
            identify=sender_of if section.identify_by_message else _nobody,
            login=login,
            login_answer=section.login_answer.encode("ascii"),
            names=read_names(section.names_file) if section.names_file else {},
            wports=read_wports(section.wports_file) if section.wports_file else {},
            speaks_hdlc=section.framing == "hdlc",
            keep_alive=section.keep_alive.encode("ascii"),
        ),
        tls=TlsSettings(
            ca_file=section.ca_file or None,
            certificate_file=section.certificate_file or None,
            key_file=section.key_file or None,
            require_client=section.require_client,
        ),
        certificate_names_meter=section.certificate_names_meter,
        keep_alive_answer=section.keep_alive_answer.encode("ascii"),
        tcp_keep_alive_seconds=section.tcp_keep_alive_seconds,
        idle_seconds=section.idle_seconds,
        identify_seconds=section.identify_seconds,
        unidentified_max=section.unidentified_max,
        connections_max=section.connections_max,
        per_address_max=section.per_address_max,
    )


def _nobody(_apdu: bytes) -> bytes | None:
    return None
