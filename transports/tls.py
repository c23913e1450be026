"""TLS contexts from files, and what a failed handshake means in words.

TLS 1.2 or newer. Files are read once and again when one of them changed; while a changed one cannot be read, the last
good set goes on. What is in a key file is never shown.
"""

from __future__ import annotations

import logging
import ssl
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from transports.endpoint import Endpoint, EndpointError
from transports.wire_settings import TlsSettings

logger = logging.getLogger(__name__)

HANDSHAKE_TIMEOUT_SECONDS = 10.0
"""guess: two trips and a signature, over a slow radio."""
_KEPT_MAX = 16
"""Sets of files remembered; a process uses one or two."""


@dataclass(frozen=True, slots=True)
class _Kept:
    stamps: tuple[tuple[int, int] | None, ...]
    context: ssl.SSLContext


_kept: dict[tuple[bool, TlsSettings], _Kept] = {}


def client_context(settings: TlsSettings) -> ssl.SSLContext:
    """For whoever calls. Raises ``EndpointError`` naming the file that cannot be used, and why."""
    return _context(settings, _new_client_context, is_server=False)


def context_to_call(endpoint: Endpoint, settings: TlsSettings) -> ssl.SSLContext | None:
    """``None`` for a scheme without TLS. Raises ``EndpointError`` like ``client_context``."""
    return client_context(settings) if endpoint.scheme in {"tcps", "mqtts"} else None


def server_context(settings: TlsSettings) -> ssl.SSLContext:
    """For whoever is called: needs a certificate and its key. Raises ``EndpointError`` like ``client_context``."""
    return _context(settings, _new_server_context, is_server=True)


def _context(
    settings: TlsSettings, new_context: Callable[[TlsSettings], ssl.SSLContext], *, is_server: bool
) -> ssl.SSLContext:
    key, stamps = (is_server, settings), _stamps(settings)
    kept = _kept.get(key)
    if kept is not None and kept.stamps == stamps:
        return kept.context
    try:
        context = new_context(settings)
    except EndpointError as error:
        if kept is None:
            raise
        # Certificates are renewed file by file: between two of them they do not fit.
        logger.warning("%s; the certificates read before are used on", error)
        context = kept.context
    if len(_kept) >= _KEPT_MAX:
        _kept.clear()
    _kept[key] = _Kept(stamps, context)
    return context


def _new_client_context(settings: TlsSettings) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    _load_trusted(context, settings)
    context.check_hostname = settings.check_host
    _load_own(context, settings)
    return context


def _new_server_context(settings: TlsSettings) -> ssl.SSLContext:
    if settings.certificate_file is None:
        raise EndpointError("who listens with TLS needs a certificate and its key")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    _load_own(context, settings)
    if settings.require_client:
        _load_trusted(context, settings)
        context.verify_mode = ssl.CERT_REQUIRED
    return context


def _load_trusted(context: ssl.SSLContext, settings: TlsSettings) -> None:
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    if settings.ca_file is None:
        context.load_default_certs()
        return
    _check_readable(settings.ca_file, "trusted certificates")
    try:
        context.load_verify_locations(settings.ca_file)
    except (ssl.SSLError, OSError):
        raise EndpointError(f"{settings.ca_file}: expected trusted certificates, as PEM") from None


def _load_own(context: ssl.SSLContext, settings: TlsSettings) -> None:
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    certificate, key = settings.certificate_file, settings.key_file
    if certificate is None and key is None:
        return
    if certificate is None or key is None:
        given = f"certificate {certificate}" if certificate is not None else f"key {key}"
        raise EndpointError(f"a TLS certificate and its key go together; only the {given} is given")
    _check_readable(certificate, "a certificate")
    _check_readable(key, "a key")
    try:
        # A password is never asked for: nobody sits at the terminal of a service.
        context.load_cert_chain(certificate, key, password="")
    except ssl.SSLError as error:
        if "mismatch" in (error.reason or "").lower():
            raise EndpointError(f"{certificate} and {key}: certificate and key do not belong together") from None
        raise EndpointError(f"{_unreadable(certificate, key)}, as PEM, not locked by a password") from None
    except OSError as error:
        raise EndpointError(f"{certificate} and {key}: cannot be read ({error.strerror or error})") from None


def _unreadable(certificate: str, key: str) -> str:
    """Which of the two it is; the library does not say."""
    try:
        ssl.create_default_context(cafile=certificate)
    except (ssl.SSLError, OSError):
        return f"{certificate}: expected a certificate"
    return f"{key}: expected the key of {certificate}"


def _check_readable(path: str, what: str) -> None:
    try:
        with Path(path).open("rb"):
            pass
    except OSError as error:
        raise EndpointError(f"{path}: expected a file with {what} ({error.strerror or error})") from None


def _stamps(settings: TlsSettings) -> tuple[tuple[int, int] | None, ...]:
    return tuple([_stamp(path) for path in (settings.ca_file, settings.certificate_file, settings.key_file)])


def _stamp(path: str | None) -> tuple[int, int] | None:
    if path is None:
        return None
    try:
        status = Path(path).stat()
    except OSError:
        return None
    return status.st_mtime_ns, status.st_ino


_EXPLAINED = {
    "WRONG_VERSION_NUMBER": "it does not speak TLS",
    "HTTP_REQUEST": "it does not speak TLS",
    "UNEXPECTED_MESSAGE": "it does not speak TLS as expected",
    "UNSUPPORTED_PROTOCOL": "it speaks no TLS newer than 1.1",
    "TLSV1_ALERT_PROTOCOL_VERSION": "it does not take TLS 1.2 or newer",
    "UNEXPECTED_EOF_WHILE_READING": "it closed the connection in the TLS handshake",
    "TLSV13_ALERT_CERTIFICATE_REQUIRED": "it wants a certificate of ours, and none is set",
    "SSLV3_ALERT_HANDSHAKE_FAILURE": "it refused the handshake: no common cipher, or it wants our certificate",
    "TLSV1_ALERT_UNKNOWN_CA": "it does not trust our certificate: its issuer is not known there",
    "SSLV3_ALERT_CERTIFICATE_EXPIRED": "our certificate has expired",
    "SSLV3_ALERT_BAD_CERTIFICATE": "it does not take our certificate",
    "SSLV3_ALERT_CERTIFICATE_UNKNOWN": "it does not take our certificate",
    "PEER_DID_NOT_RETURN_A_CERTIFICATE": "it showed no certificate",
    "NO_SHARED_CIPHER": "no common cipher",
}


def tls_reason(error: ssl.SSLError) -> str:
    """What a TLS error means, in words without the library's numbers."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"its certificate is not trusted: {error.verify_message.rstrip('.')}"
    reason = error.reason or ""
    return _EXPLAINED.get(reason) or f"TLS failed ({reason.replace('_', ' ').lower() or type(error).__name__})"
