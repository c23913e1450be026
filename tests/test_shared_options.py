"""``stsgate deliver`` and ``simmeters run`` call the same things by the same names, and take the same values for them.

Whoever starts a simulated meter can write the same options at the other end of the wire.
"""

from __future__ import annotations

import argparse
from argparse import ArgumentParser, Namespace
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from cosem_objects.dlms.apdu import NetworkAddress
from cosem_objects.dlms.settings import SecuritySettings
from cosem_objects.errors import SettingError
from cosem_objects.token_gateway import TokenEncoding
from gateway.cli.command_links import add_link_options
from gateway.cli.meter_options import add_meter_options, meter_from
from gateway.cli.parser import OneLineParser
from sim_meters.run_options import add_run_options, read_plan
from transports.endpoint import EndpointError

SHARED = {
    # option -> what counts when it is not given
    "--client-sap": "1",
    "--server-sap": "1",
    "--physical": None,
    "--address-bytes": "auto",
    "--hdlc-window": None,
    "--behind": None,
    "--security": "none",
    "--suite": "0",
    "--ciphering": None,
    "--protection": "both",
    "--password": None,
    "--password-file": None,
    "--ek": None,
    "--ek-file": None,
    "--ak": None,
    "--ak-file": None,
    "--system-title": None,
    "--token-encoding": None,
    "--tls-ca": None,
    "--tls-certificate": None,
    "--tls-key": None,
    "--tls-any-host": "False",
    "--tls-require-client": "False",
    "--mqtt-username": "",
    "--mqtt-password": None,
    "--mqtt-password-file": None,
    "--mqtt-protocol": "5",
    "--mqtt-payload": "wrapper",
    "--mqtt-topic-root": "dlms/v1",
    "--serial-echo": "False",
}
SHARED_WITH_ANOTHER_DEFAULT = {
    "--profile": "the simulated meters have a profile of their own",
    "--pan": "a meter has one; a head-end need not check it",
}
DELIVER_ONLY = {
    "--endpoint",
    "--meter-system-title",
    "--invocation-counter",
    "--serial",
    "--inbound-listen",
    "--inbound-login",
    "--inbound-wait",
}

EK, AK = "000102030405060708090A0B0C0D0E0F", "D0D1D2D3D4D5D6D7D8D9DADBDCDDDEDF"
KEYS = ["--ek", EK, "--ak", AK]


def deliver_parser() -> ArgumentParser:
    parser = OneLineParser()
    add_meter_options(parser)
    add_link_options(parser)
    return parser


def run_parser() -> ArgumentParser:
    parser = ArgumentParser(allow_abbrev=False)
    add_run_options(parser)
    return parser


def actions(parser: ArgumentParser) -> dict[str, argparse.Action]:
    return {option: action for action in parser._actions for option in action.option_strings if option.startswith("--")}


@dataclass(frozen=True)
class Meaning:
    """What one side understood."""

    client_sap: int
    server_sap: int
    physical: int | None
    address_bytes: object
    hdlc_window: int
    behind: NetworkAddress | None
    token_encoding: TokenEncoding
    security: SecuritySettings


def _of_deliver(options: Namespace) -> Meaning:
    meter = meter_from(options)
    return Meaning(
        meter.client_sap,
        meter.server_sap,
        meter.physical,
        meter.hdlc.address_bytes,
        meter.hdlc.window_max,
        meter.behind,
        meter.profile.token_encoding,
        _without_titles(meter.security),
    )


def _of_run(options: Namespace) -> Meaning:
    (group,) = read_plan(options, run_parser()).fleet.groups
    meter = group.config(0)
    return Meaning(
        meter.client_sap,
        meter.server_sap,
        meter.physical,
        group.hdlc.address_bytes,
        group.hdlc.window_max,
        meter.behind,
        meter.profile.token_encoding,
        _without_titles(meter.security),
    )


def _without_titles(settings: SecuritySettings) -> SecuritySettings:
    """Each side has a system title of its own."""
    fields = {name: getattr(settings, name) for name in ("mechanism", "ciphering", "protection")}
    return SecuritySettings(**fields, password=settings.password, ek=settings.ek, ak=settings.ak)


SIDES: dict[str, Any] = {
    "deliver": (deliver_parser, "--endpoint", _of_deliver),
    "run": (run_parser, "--listen", _of_run),
}


def understood(side: str, options: Sequence[str], wire: str) -> Meaning | None:
    """What one side makes of options; ``None`` if it refuses them as wrong usage."""
    make_parser, where, read = SIDES[side]
    try:
        return read(make_parser().parse_args([where, f"{wire}://127.0.0.1:4059", *options]))
    except SystemExit as end:
        assert end.code == 2, options  # noqa: PT017 - the code is what is looked at
        return None
    except (SettingError, EndpointError):
        return None


@pytest.mark.parametrize("option", [*SHARED, *SHARED_WITH_ANOTHER_DEFAULT])
def test_both_commands_have_the_option(option: str) -> None:
    assert option in actions(deliver_parser())
    assert option in actions(run_parser())


def test_no_option_of_deliver_is_missing_on_the_other_side() -> None:
    """What only one side can know stands in ``DELIVER_ONLY``."""
    only = set(actions(deliver_parser())) - set(actions(run_parser()))
    assert only == DELIVER_ONLY


def test_every_option_that_both_have_is_compared_here() -> None:
    both = set(actions(deliver_parser())) & set(actions(run_parser())) - {"--help"}
    assert both == set(SHARED) | set(SHARED_WITH_ANOTHER_DEFAULT)


@pytest.mark.parametrize(("option", "default"), SHARED.items())
def test_both_commands_have_the_same_default(option: str, default: str | None) -> None:
    defaults = [actions(parser)[option].default for parser in (deliver_parser(), run_parser())]
    assert [None if value is None else str(value) for value in defaults] == [default, default]


NUMBERS = ("0", "00", "1", "+1", " 1", "1 ", "1_0", "1.0", "0x1", "-1", "x", "", "１", "9" * 5000)

VALUES: list[tuple[str, list[str], list[str], str]] = [
    # the option | values | what goes with it | the wire
    ("--security", ["none", "lls", "hls-gmac", "hls-sha256", "gmac", "NONE", "hls", "", " none"], [], "tcp"),
    ("--security", ["none", "lls", "hls-gmac", "hls-sha256", "hls-ecdsa"], [*KEYS, "--password", "12345678"], "tcp"),
    ("--ciphering", ["none", "service-glo", "general-glo", "general-ded", "service-ded", "glo", "", "NONE"], [], "tcp"),
    ("--ciphering", ["none", "service-glo", "general-glo", "general-ded", "service-ded", "glo", ""], KEYS, "tcp"),
    ("--protection", ["auth", "enc", "both", "none", "AUTH", "", "authenticated"], KEYS, "tcp"),
    ("--suite", ["0", "1", "2", "3", *NUMBERS], KEYS, "tcp"),
    ("--address-bytes", ["auto", "1", "2", "4", "0", "3", "8", "AUTO", ""], [], "hdlc+tcp"),
    ("--address-bytes", ["auto", "1", "2", "4"], ["--physical", "17"], "hdlc+tcp"),
    ("--address-bytes", ["auto", "1", "2", "4"], ["--server-sap", "300"], "hdlc+tcp"),
    ("--token-encoding", [*TokenEncoding, "same", "hidden", "ascii", "ASCII20", ""], [], "tcp"),
    ("--ek", [EK, EK.lower(), EK[:-2], EK + "00", EK[:-1], EK[:-1] + "X", "", "0x" + EK], ["--ak", AK], "tcp"),
    ("--ak", [AK, AK.lower(), AK[:-2], AK + "00", AK[:-1], AK[:-1] + "X", "", "0x" + AK], ["--ek", EK], "tcp"),
    ("--ek", [EK, ""], [], "tcp"),
    ("--password", ["12345678", " with blanks ", "Schlüssel", ""], ["--security", "lls"], "tcp"),
    ("--system-title", ["53494D0000000009", "53494D00000000", "53494D000000000900", "SIM00009"], KEYS, "tcp"),
    # 16 is the public client: a head-end may be it, a meter's management client may not.
    ("--client-sap", ["1", "2", "15", "17", "127", "65536", *NUMBERS], [], "tcp"),
    ("--client-sap", ["127", "128", "65535"], [], "hdlc+tcp"),
    # 0 is "no station", and nobody listens there.
    ("--server-sap", ["1", "127", "65535", "65536", *NUMBERS[2:]], [], "tcp"),
    ("--server-sap", ["1", "127", "16383", "16384", "65535"], [], "hdlc+tcp"),
    ("--physical", ["1", "17", "127", "16383", "16384", *NUMBERS[2:]], [], "hdlc+tcp"),
    ("--physical", ["1", "17"], [], "tcp"),
    ("--hdlc-window", ["1", "2", "7", "8", *NUMBERS], [], "hdlc+tcp"),
    ("--hdlc-window", ["1", "7", "8"], [], "tcp"),
    ("--password", ["12345678", ""], [], "tcp"),
    ("--password", ["12345678", ""], KEYS, "tcp"),
    ("--behind", ["0:0102", "255:01", "256:01", "-1:01", "0:", ":01", "0", "", "0:1", "0:zz"], [], "tcp"),
    ("--behind", ["0:0102", "0:" + "ab" * 64, "0:" + "ab" * 65], [], "hdlc+tcp"),
    ("--behind", ["0x0:01", "0:01:02", " 0:01", "0: 01", "１:01"], [], "hdlc+tcp"),
]  # fmt: skip
ROWS = [(option, value, more, wire) for option, values, more, wire in VALUES for value in dict.fromkeys(values)]


@pytest.mark.parametrize(
    ("option", "value", "more", "wire"),
    ROWS,
    ids=[f"{option[2:]}-{value[:12]!a}-{'-'.join(more)[:9]}-{wire}" for option, value, more, wire in ROWS],
)
def test_both_commands_take_and_refuse_the_same_values(option: str, value: str, more: list[str], wire: str) -> None:
    """And what they take, they understand alike."""
    options = [*more, option, value]
    assert understood("deliver", options, wire) == understood("run", options, wire)


KNOWN: list[tuple[list[str], bool]] = [
    ([], True),
    (["--security", "lls", "--password", "12345678"], True),
    (["--security", "lls"], False),
    (["--password", "12345678"], True),
    ([*KEYS, "--password", "12345678"], True),
    (["--security", "hls-gmac", *KEYS], True),
    (["--security", "hls-gmac", "--ek", EK], False),
    (["--security", "hls-sha256", *KEYS], False),
    ([*KEYS, "--ciphering", "general-glo", "--protection", "auth"], True),
    ([*KEYS, "--suite", "1"], False),
    (["--token-encoding", "bcd10"], True),
    (["--behind", "0:0102"], True),
    (["--behind", "0102"], False),
    (["--hdlc-window", "7"], False),
    (["--security", "hls-sha256", "--password", "12345678"], True),
    (["--security", "hls-sha256", "--password", "12345678", *KEYS, "--ciphering", "general-ded"], True),
]


@pytest.mark.parametrize("side", SIDES)
@pytest.mark.parametrize(
    ("options", "is_taken"), KNOWN, ids=lambda value: " ".join(value)[:40] if isinstance(value, list) else None
)
def test_what_is_compared_is_really_taken_or_refused(side: str, options: list[str], is_taken: bool) -> None:
    """Two sides that refused everything would agree, too."""
    assert (understood(side, options, "tcp") is not None) == is_taken


FILES: list[tuple[str, bytes | None]] = [
    ("as it is", b"CONTENT"),
    ("with a line end", b"CONTENT\n"),
    ("with a line end of Windows", b"CONTENT\r\n"),
    ("with blanks around it", b"  CONTENT  \n"),
    ("with an empty line before it", b"\nCONTENT\n"),
    ("with a second line", b"CONTENT\nCONTENT\n"),
    ("in UTF-8", "CONTENTé\n".encode()),
    ("in Latin-1", "CONTENTé\n".encode("latin-1")),
    ("with a byte order mark", b"\xef\xbb\xbfCONTENT\n"),
    ("empty", b""),
    ("missing", None),
]


@pytest.mark.parametrize("content", [row[1] for row in FILES], ids=[row[0] for row in FILES])
@pytest.mark.parametrize("name", ["password", "ek", "ak"])
def test_both_commands_read_a_secret_from_a_file_alike(tmp_path: Path, name: str, content: bytes | None) -> None:
    secrets = {"password": "a secret word", "ek": EK, "ak": AK}
    path = tmp_path / name
    if content is not None:
        path.write_bytes(content.replace(b"CONTENT", secrets[name].encode()))
    others = [option for other, secret in secrets.items() if other != name for option in (f"--{other}", secret)]
    options = ["--security", "lls", *others, f"--{name}-file", str(path)]
    assert understood("deliver", options, "tcp") == understood("run", options, "tcp")


@pytest.mark.parametrize("name", ["password", "ek", "ak"])
def test_a_file_with_a_line_end_holds_the_secret_itself(tmp_path: Path, name: str) -> None:
    secrets = {"password": "a secret word", "ek": EK, "ak": AK}
    written = ["--security", "lls", *(option for other in secrets for option in (f"--{other}", secrets[other]))]
    path = tmp_path / name
    path.write_text(secrets[name] + "\n", encoding="utf-8")
    place = written.index(f"--{name}")
    filed = [*written[:place], f"--{name}-file", str(path), *written[place + 2 :]]
    for side in SIDES:
        assert understood(side, filed, "tcp") == understood(side, written, "tcp") is not None


@pytest.mark.parametrize("side", SIDES)
@pytest.mark.parametrize(("name", "secret"), [("password", "12345678"), ("ek", EK), ("ak", AK)])
def test_a_secret_given_twice_is_refused(tmp_path: Path, side: str, name: str, secret: str) -> None:
    path = tmp_path / name
    path.write_text(secret)
    options = ["--security", "lls", "--password", "12345678", *KEYS]
    assert understood(side, options, "tcp") is not None
    assert understood(side, [*options, f"--{name}-file", str(path)], "tcp") is None


@pytest.mark.parametrize("side", SIDES)
def test_options_are_written_out(side: str) -> None:
    """An abbreviation of today is the misspelling of an option of tomorrow."""
    assert understood(side, ["--client-sap", "2"], "tcp") is not None
    assert understood(side, ["--client-s", "2"], "tcp") is None
