"""How the meters of ``simmeters run`` are secured: the security of the management client, and the master key."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace

from cosem_objects.dlms.settings import TITLE_SIZE, SecuritySettings
from cosem_objects.errors import SettingError
from cosem_objects.security_setup import KEY_SIZE
from sim_meters.lab import LAB_MASTER_KEY, LAB_SYSTEM_TITLE
from sim_meters.option_values import secret


def add_security_options(parser: ArgumentParser) -> None:
    security = parser.add_argument_group("security of the management client")
    add = security.add_argument
    add("--security", metavar="NAME", default="none", help="none (default), lls, hls-gmac or hls-sha256")
    add("--suite", metavar="N", default="0", help="security suite, 0 (default)")
    add(
        "--ciphering",
        metavar="FORM",
        help="none, or service- or general-, -glo or -ded; when not given, as the client asks",
    )
    add("--protection", metavar="NAME", default="both", help="auth, enc or both (default)")
    for name, value, meaning in (
        ("password", "TEXT", "LLS password, or the secret of hls-sha256"),
        ("ek", "HEX", "global unicast encryption key, 32 hex digits"),
        ("ak", "HEX", "authentication key, 32 hex digits"),
        ("master-key", "HEX", "under which new keys are transferred, 32 hex digits; default the lab master key"),
    ):
        add(f"--{name}", metavar=value, help=meaning)
        add(f"--{name}-file", metavar="PATH", help="the same from a file, so that it is not on the line")
    add("--system-title", metavar="HEX", help="of the first meter, 16 digits")


def read_security(options: Namespace) -> SecuritySettings:
    """Of the first meter. Raises ``SettingError``, as do all functions here."""
    try:
        title = LAB_SYSTEM_TITLE if options.system_title is None else bytes.fromhex(options.system_title)
    except ValueError:
        title = b""
    if len(title) != TITLE_SIZE:
        raise SettingError(f"--system-title: expected {2 * TITLE_SIZE} hex digits; got {options.system_title!r}")
    return SecuritySettings.parse(
        {
            "mechanism": options.security,
            "suite": options.suite,
            "ciphering": options.ciphering,
            "protection": options.protection,
            "password": secret(options, "password"),
            "ek": secret(options, "ek"),
            "ak": secret(options, "ak"),
            "meter_system_title": title.hex(),
        }
    )


def read_master_key(options: Namespace) -> bytes:
    """The key encrypting key; everybody knows it, unless one was given."""
    text = secret(options, "master_key")
    if text is None:
        return LAB_MASTER_KEY
    try:
        key = bytes.fromhex(text)
    except ValueError:
        key = b""
    if len(key) != KEY_SIZE:
        raise SettingError(f"--master-key: expected {2 * KEY_SIZE} hex digits")  # not repeated: it is a key
    return key
