"""The options that say which service, and who asks it. The API key is never on the command line."""

from __future__ import annotations

import argparse
import os
import re
import ssl
from collections.abc import Mapping
from pathlib import Path
from typing import NoReturn
from urllib.parse import urlsplit

from cosem_objects.errors import SettingError
from gateway.client.service_client import DEFAULT_TIMEOUT_SECONDS, ServiceAddress
from gateway.http_address import is_loopback
from gateway.serving.first_start import KEY_FILE
from gateway.shown import without_secrets

DEFAULT_SERVER = "http://127.0.0.1:8321"
BOOTSTRAP_KEY_FILE = KEY_FILE
"""In the data directory, where ``stsgate serve`` leaves the first key."""

_KEY = re.compile(r"[!-~]{8,500}", re.ASCII)
_SECONDS = re.compile(r"\d{1,6}(\.\d{1,3})?", re.ASCII)


def add_service_options(
    parser: argparse.ArgumentParser, timeout_help: str = "how long to wait for an answer (default 30)"
) -> None:
    group = parser.add_argument_group("which service")
    group.add_argument("--server", metavar="URL", help=f"default STSGATE_SERVER, else {DEFAULT_SERVER}")
    group.add_argument(
        "--api-key-file",
        metavar="PATH",
        help="the API key, in a file; else the one in --data-dir, STSGATE_API_KEY or STSGATE_API_KEY_FILE",
    )
    group.add_argument("--api-key", type=_never_here, help=argparse.SUPPRESS)
    group.add_argument(
        "--data-dir", metavar="DIR", help=f"the service's data directory, for its first key, {BOOTSTRAP_KEY_FILE}"
    )
    group.add_argument("--ca-file", metavar="PATH", help="certificates to trust for https, in place of the system's")
    group.add_argument(
        "--insecure", action="store_true", help="allow http to another machine: tokens and API key are readable there"
    )
    group.add_argument("--timeout", metavar="SECONDS", help=timeout_help)
    group.add_argument("--json", action="store_true", help="what the API answers; one object in each line of a list")


def _never_here(_key: str) -> NoReturn:
    """An option that is refused says more than one that is not known, and repeats nothing."""
    raise argparse.ArgumentTypeError("never on the command line, where others can read it; see --api-key-file")


def service_from(
    args: argparse.Namespace,
    timeout_seconds: float = DEFAULT_TIMEOUT_SECONDS,
    environment: Mapping[str, str] = os.environ,
) -> ServiceAddress:
    """The service that options and environment name. Raises ``SettingError``."""
    url = _url(args.server or environment.get("STSGATE_SERVER") or DEFAULT_SERVER, is_insecure=args.insecure)
    return ServiceAddress(
        url=url,
        api_key=_api_key(args, environment),
        tls=None if args.ca_file is None else _trust(args.ca_file, url),
        timeout_seconds=seconds_from(args.timeout, timeout_seconds),
    )


def seconds_from(text: str | None, default: float) -> float:
    """Raises ``SettingError``."""
    if text is None:
        return default
    if not _SECONDS.fullmatch(text) or not float(text):
        raise SettingError(f"timeout {text[:20]!r}: expected seconds, such as 30")
    return float(text)


def _url(text: str, *, is_insecure: bool) -> str:
    expected = f"expected an address such as {DEFAULT_SERVER}"
    try:
        parts = urlsplit(text)
        host, _ = parts.hostname, parts.port
    except ValueError:
        raise SettingError(f"server: {expected}") from None
    if "@" in parts.netloc:
        raise SettingError("server: no user and no password in an address; the API key comes from a file")
    if parts.scheme not in ("http", "https") or not host or not (text.isascii() and text.isprintable()):
        raise SettingError(f"server {without_secrets(text[:80])!r}: {expected}")
    if parts.query or parts.fragment or " " in text:
        raise SettingError(f"server: {expected}, with nothing behind it")
    if parts.scheme == "http" and not (is_insecure or is_loopback(host)):
        raise SettingError(
            f"server: http to {host} would show tokens and the API key on the way; use https, or --insecure"
        )
    return text.rstrip("/")


def _trust(path: str, url: str) -> ssl.SSLContext:
    if not url.startswith("https:"):
        raise SettingError("ca-file: it goes with an https address")
    try:
        return ssl.create_default_context(cafile=path)
    except OSError as error:  # an SSLError is one, too
        raise SettingError(f"ca-file: {path} cannot be read ({error.strerror or 'no certificates in it'})") from None


def _api_key(args: argparse.Namespace, environment: Mapping[str, str]) -> str:
    if args.api_key_file is not None:
        return _key_in("api-key-file", Path(args.api_key_file))
    if args.data_dir is not None:
        return _key_in("data-dir", Path(args.data_dir) / BOOTSTRAP_KEY_FILE)
    if key := environment.get("STSGATE_API_KEY"):
        return _checked("STSGATE_API_KEY", key)
    if path := environment.get("STSGATE_API_KEY_FILE"):
        return _key_in("STSGATE_API_KEY_FILE", Path(path))
    raise SettingError(
        "an API key is needed: --api-key-file PATH, --data-dir DIR (the service's own, on this machine), "
        "STSGATE_API_KEY or STSGATE_API_KEY_FILE"
    )


def _key_in(name: str, path: Path) -> str:
    try:
        with path.open(encoding="utf-8") as file:
            text = file.read(1000)
    except (OSError, UnicodeDecodeError) as error:
        why = error.strerror if isinstance(error, OSError) else "no text"
        raise SettingError(f"{name}: {path} cannot be read ({why})") from None
    return _checked(f"{name}: {path}", text)


def _checked(name: str, text: str) -> str:
    key = text.strip()
    if not _KEY.fullmatch(key):
        raise SettingError(f"{name}: expected one API key, 8 to 500 visible characters, and nothing else")
    return key
