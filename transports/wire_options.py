"""The options of both commands that say how wires are used, and what they come to."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from pathlib import Path

from transports.endpoint import EndpointError
from transports.wire_settings import MqttPayload, MqttProtocol, MqttSettings, SerialSettings, TlsSettings, WireSettings

_PASSWORD_OCTETS_MAX = 4096


def add_wire_options(parser: ArgumentParser) -> None:
    tls = parser.add_argument_group("TLS, for tcps and mqtts (PEM files)")
    tls.add_argument("--tls-ca", metavar="FILE", help="certificates that are trusted (default: those of the system)")
    tls.add_argument("--tls-certificate", metavar="FILE", help="our own certificate and its chain")
    tls.add_argument("--tls-key", metavar="FILE", help="its private key, without a password")
    tls.add_argument(
        "--tls-any-host",
        action="store_true",
        help="take any certificate of a trusted CA, whatever host it names; for meters called by bare addresses",
    )
    tls.add_argument(
        "--tls-require-client",
        action="store_true",
        help="where we listen with TLS: who calls has to show a certificate of a CA in --tls-ca",
    )
    mqtt = parser.add_argument_group("the MQTT broker")
    mqtt.add_argument("--mqtt-username", default="", metavar="NAME", help="our name at the broker")
    password = mqtt.add_mutually_exclusive_group()
    password.add_argument("--mqtt-password", metavar="TEXT", help="our password at the broker")
    password.add_argument("--mqtt-password-file", metavar="PATH", help="the same, read from a file")
    mqtt.add_argument(
        "--mqtt-protocol",
        choices=tuple(MqttProtocol),
        default=MqttProtocol.MQTT_5.value,
        help="version of the protocol (default %(default)s)",
    )
    mqtt.add_argument(
        "--mqtt-payload",
        choices=tuple(MqttPayload),
        default=MqttPayload.WRAPPER.value,
        help="what messages hold: a wrapper message, or the HDLC frames of a transparent modem (default %(default)s)",
    )
    mqtt.add_argument(
        "--mqtt-topic-root", default="dlms/v1", metavar="TOPIC", help="before /SITE/METER (default %(default)s)"
    )
    serial = parser.add_argument_group("serial lines")
    serial.add_argument(
        "--serial-echo",
        action="store_true",
        help="the line gives back what we send (two-wire RS-485, optical heads): take it away again",
    )


def wire_settings_from(options: Namespace) -> WireSettings:
    """Raises ``EndpointError``."""
    if (options.tls_certificate is None) != (options.tls_key is None):
        raise EndpointError("tls-certificate and tls-key go together: give both, or neither")
    if options.tls_require_client and options.tls_ca is None:
        raise EndpointError("tls-require-client: expected --tls-ca with it, the CA of those certificates")
    return WireSettings(
        tls=TlsSettings(
            ca_file=options.tls_ca,
            certificate_file=options.tls_certificate,
            key_file=options.tls_key,
            check_host=not options.tls_any_host,
            require_client=options.tls_require_client,
        ),
        mqtt=MqttSettings(
            username=options.mqtt_username,
            password=_password(options),
            protocol=MqttProtocol(options.mqtt_protocol),
            payload=MqttPayload(options.mqtt_payload),
            topic_root=checked_topic_root(options.mqtt_topic_root),
        ),
        serial=SerialSettings(echo=options.serial_echo),
    )


def checked_topic_root(root: str) -> str:
    """Raises ``EndpointError``."""
    # "+" and "#" are wildcards, and NUL is forbidden in a topic (MQTT 5.0, 4.7).
    if not all(root.split("/")) or set(root) & set("+#\0") or len(root) > 200:
        raise EndpointError("mqtt-topic-root: expected levels with a / between them, such as dlms/v1, without + or #")
    return root


def _password(options: Namespace) -> str:
    if options.mqtt_password_file is None:
        return options.mqtt_password or ""
    try:
        return read_password(options.mqtt_password_file)
    except EndpointError as error:
        raise EndpointError(f"mqtt-password-file: {error}") from None


def read_password(name: str) -> str:
    """The first line of a file. Raises ``EndpointError``."""
    path = Path(name)
    try:
        with path.open(encoding="utf-8") as file:
            text = file.read(_PASSWORD_OCTETS_MAX + 1)
    except OSError as error:
        raise EndpointError(f"cannot read {path}: {error.strerror}") from None
    except UnicodeDecodeError:
        raise EndpointError(f"expected text in {path}") from None
    if len(text) > _PASSWORD_OCTETS_MAX:
        raise EndpointError(f"expected at most {_PASSWORD_OCTETS_MAX} characters in {path}")
    return text.partition("\n")[0].rstrip("\r")
