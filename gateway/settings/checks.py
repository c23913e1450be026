"""What can be known to be wrong with settings before anything is started. Each check gives (key, what was expected)."""

from __future__ import annotations

import os
import ssl
from collections.abc import Iterator, Mapping
from pathlib import Path
from tempfile import TemporaryFile

from cosem_objects.errors import SettingError
from gateway.http_address import is_loopback, split_http_address
from gateway.key_source import KeySource
from gateway.profiles import PROFILES, load_profile
from gateway.serving.first_start import KEY_FORM_WORDS, KEY_VARIABLE, is_bootstrap_key
from gateway.settings.inbound_checks import inbound_contradictions, inbound_obstacles
from gateway.settings.sections import Settings
from gateway.vault import VaultError

Finding = tuple[str, str]


def contradictions(settings: Settings) -> Iterator[Finding]:
    """Settings that cannot be meant together."""
    service, delivery, webhooks = settings.service, settings.delivery, settings.webhooks
    host, _ = split_http_address(service.http)
    if not (is_loopback(host) or service.tls_certificate or service.insecure):
        yield "service.http", f"{host} can be reached from outside: expected tls_certificate and tls_key, or insecure"
    if bool(service.tls_certificate) != bool(service.tls_key):
        missing = "tls_key" if service.tls_certificate else "tls_certificate"
        yield f"service.{missing}", "expected a file: tls_certificate and tls_key go together"
    if bool(settings.tls.certificate_file) != bool(settings.tls.key_file):
        missing = "key_file" if settings.tls.certificate_file else "certificate_file"
        yield f"tls.{missing}", "expected a file: certificate_file and key_file go together"
    yield from inbound_contradictions(settings.inbound)
    if settings.database.url:
        kind = "PostgreSQL is not supported yet" if settings.database.url.startswith("postgres") else "unknown database"
        yield "database.url", f"{kind}; leave it empty for SQLite in data_dir"
    for key, first, longest in (
        ("delivery.longest_wait_seconds", delivery.first_wait_seconds, delivery.longest_wait_seconds),
        ("delivery.doubt_longest_wait_seconds", delivery.doubt_first_wait_seconds, delivery.doubt_longest_wait_seconds),
        ("webhooks.longest_wait_seconds", webhooks.first_wait_seconds, webhooks.longest_wait_seconds),
    ):
        if longest < first:
            yield key, f"expected at least the first wait, {first:g}"


def obstacles(settings: Settings, environment: Mapping[str, str]) -> Iterator[Finding]:
    """What on this machine stands in the way."""
    yield from _data_dir(Path(settings.service.data_dir))
    yield from _key_file(settings, environment)
    chosen = environment.get(KEY_VARIABLE)
    if chosen and not is_bootstrap_key(chosen):
        yield KEY_VARIABLE, f"expected {KEY_FORM_WORDS}"
    yield from _tls(settings)
    yield from _wires(settings)
    yield from inbound_obstacles(settings.inbound)
    for path in sorted(PROFILES.glob("*.toml")):
        try:
            load_profile(str(path))
        except SettingError as error:
            yield f"{PROFILES.name}/{path.name}", str(error)


def _data_dir(data_dir: Path) -> Iterator[Finding]:
    key, nearest = "service.data_dir", data_dir.absolute()
    try:
        while not nearest.exists():
            nearest = nearest.parent
    except OSError as error:
        yield key, f"{data_dir} cannot be looked at ({error.strerror})"
        return
    if not nearest.is_dir():
        yield key, f"expected a directory; {nearest} is a file"
    elif (reason := _why_not_writable(nearest)) is not None:
        what = "is not writable" if nearest == data_dir.absolute() else f"cannot be made: {nearest} is not writable"
        yield key, f"{data_dir} {what} ({reason})"


def _why_not_writable(directory: Path) -> str | None:
    """Found out by doing it: rights alone do not tell of read-only file systems, or of full ones."""
    try:
        TemporaryFile(dir=directory).close()
    except OSError as error:
        return error.strerror or "unknown"
    return None


def key_source(settings: Settings, environment: Mapping[str, str]) -> KeySource:
    """Where the key-encryption key is, or will be made."""
    service = settings.service
    return KeySource.of(Path(service.data_dir), environment, Path(service.key_file) if service.key_file else None)


def _key_file(settings: Settings, environment: Mapping[str, str]) -> Iterator[Finding]:
    """That there is none yet is right before the first start only, which the store knows."""
    try:
        key_source(settings, environment).find()
    except VaultError as error:
        yield "service.key_file", str(error)
    except OSError as error:
        yield "service.key_file", f"cannot be read ({error.strerror})"


def _tls(settings: Settings) -> Iterator[Finding]:
    service = settings.service
    named = {"service.tls_certificate": service.tls_certificate, "service.tls_key": service.tls_key}
    unreadable = [(key, path) for key, path in named.items() if path and not _is_readable(Path(path))]
    for key, path in unreadable:
        yield key, f"{path} cannot be read by this user"
    if unreadable or not all(named.values()):
        return
    try:
        tls_context(settings)
    except ssl.SSLError as error:
        reason = (error.reason or "").replace("_", " ").lower()
        what = "do not belong together" if "mismatch" in reason else f"expected PEM files without a password ({reason})"
        yield "service.tls_key", f"{service.tls_certificate} and {service.tls_key}: {what}"


def _wires(settings: Settings) -> Iterator[Finding]:
    tls = settings.tls
    named = {
        "tls.ca_file": tls.ca_file,
        "tls.certificate_file": tls.certificate_file,
        "tls.key_file": tls.key_file,
        "mqtt.password_file": settings.mqtt.password_file,
    }
    for key, path in named.items():
        if path and not _is_readable(Path(path)):
            yield key, f"{path} cannot be read by this user"


def _is_readable(path: Path) -> bool:
    return path.is_file() and os.access(path, os.R_OK)


def tls_context(settings: Settings) -> ssl.SSLContext:
    """For the API's server. Raises ``ssl.SSLError``, ``OSError``."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    # A password is never asked for: nobody sits at the terminal of a service.
    context.load_cert_chain(settings.service.tls_certificate, settings.service.tls_key, password="")
    return context
