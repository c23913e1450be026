"""What can be known to be wrong with the settings for meters that call in."""

from __future__ import annotations

from collections.abc import Iterator

from cosem_objects.errors import SettingError
from gateway.settings.inbound import inbound_settings
from gateway.settings.sections import InboundSection
from transports.endpoint import EndpointError
from transports.tls import server_context


def inbound_contradictions(inbound: InboundSection) -> Iterator[tuple[str, str]]:
    """Settings that cannot be meant together."""
    on_tls = inbound.listen.startswith("tcps:")
    if bool(inbound.certificate_file) != bool(inbound.key_file):
        missing = "key_file" if inbound.certificate_file else "certificate_file"
        yield f"inbound.{missing}", "expected a file: certificate_file and key_file go together"
    elif on_tls and not inbound.certificate_file:
        yield "inbound.certificate_file", "expected a file: who listens with tcps shows a certificate"
    if inbound.require_client and not (on_tls and inbound.ca_file):
        yield "inbound.require_client", "expected listen with tcps://, and ca_file to check callers' certificates"
    if inbound.ca_file and not inbound.require_client:
        yield "inbound.ca_file", "expected require_client with it: else callers show no certificate"
    if inbound.certificate_names_meter and not inbound.require_client:
        yield "inbound.certificate_names_meter", "expected require_client with it"
    if inbound.keep_alive_answer and (not inbound.keep_alive or inbound.framing == "hdlc"):
        yield "inbound.keep_alive_answer", "expected keep_alive with it, and framing wrapper"
    if inbound.wports_file and inbound.framing == "hdlc":
        yield "inbound.wports_file", "expected framing wrapper: HDLC has no wPorts"
    if inbound.listen and not (inbound.identify_by_message or inbound.login_pattern or inbound.wports_file):
        yield "inbound.listen", "expected a way to tell who calls: identify_by_message, login_pattern or wports_file"


def inbound_obstacles(inbound: InboundSection) -> Iterator[tuple[str, str]]:
    """Files that cannot be used."""
    try:
        settings = inbound_settings(inbound)
    except SettingError as error:
        names_it = inbound.names_file and str(error).startswith(inbound.names_file)
        yield f"inbound.{'names_file' if names_it else 'wports_file'}", str(error)
        return
    if inbound.listen.startswith("tcps:") and inbound.certificate_file and inbound.key_file:
        try:
            server_context(settings.tls)
        except EndpointError as error:
            yield "inbound.certificate_file", str(error)
