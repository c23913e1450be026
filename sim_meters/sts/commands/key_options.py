"""The options that say which key a meter has; the same for every ``simmeters`` command that needs one.

A key is given as it is (``--decoder-key``), or as a vending key together with the inputs of key generation.
"""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from dataclasses import dataclass, field
from pathlib import Path

from cosem_objects.errors import SettingError
from sim_meters.sts.ciphers.algorithms import ALGORITHMS, algorithm_of
from sim_meters.sts.keys.decoder_key import DecoderKey, VendingKey, derive_decoder_key
from sim_meters.sts.keys.key_attributes import KeyAttributes, parse_digits
from sim_meters.sts.tid import BaseDate

KEY_OPTIONS = ("vending_key", "vending_key_file", "decoder_key", "decoder_key_file")
"""Of these exactly one says the key."""
_LENGTHS = " or ".join(f"{one.key_bytes} bytes for EA{one.ea:02d}" for one in ALGORITHMS.values())


def add_key_options(parser: ArgumentParser) -> None:
    """Add the options; what they were given is read by the functions below."""
    key = parser.add_argument_group("STS key (lab keys only)")
    key.add_argument("--vending-key", metavar="HEX", help="8 bytes for DKGA02, 20 bytes for DKGA04")
    key.add_argument("--vending-key-file", metavar="PATH", help="the same from a file, so that it is not on the line")
    key.add_argument("--decoder-key", metavar="HEX", help=f"the meter's key itself: {_LENGTHS}")
    key.add_argument("--decoder-key-file", metavar="PATH", help="the same from a file")
    key.add_argument("--pan", metavar="DIGITS", help="MeterPAN, 18 digits; needed with a vending key")
    key.add_argument("--sgc", metavar="DIGITS", help="supply group code, 6 digits; needed with a vending key")
    key.add_argument("--ti", metavar="NN", default="01", help="tariff index, default 01")
    key.add_argument("--krn", metavar="N", default="1", help="key revision number, default 1")
    key.add_argument("--kt", metavar="N", default="2", help="key type, default 2 (unique)")
    key.add_argument("--base-date", metavar="YEAR", default="2014", help="1993, 2014 (default) or 2035")
    key.add_argument("--dkga", metavar="NN", default="04", help="key generation algorithm, 02 or 04 (default)")
    key.add_argument(
        "--ea", metavar="NN", default="07", help="encryption algorithm, 07 (STA, default) or 11 (MISTY1; with DKGA04)"
    )


def read_base_date(options: Namespace) -> BaseDate:
    """The base date. Raises ``SettingError``, as do all functions here."""
    return BaseDate.parse(options.base_date)


def read_attributes(options: Namespace) -> KeyAttributes:
    """The inputs of key generation beside the vending key."""
    for name in ("pan", "sgc"):
        if getattr(options, name) is None:
            raise SettingError(f"{name}: is needed with a vending key, give --{name}")
    return KeyAttributes.parse(
        options.pan,
        options.sgc,
        ti=options.ti,
        krn=options.krn,
        kt=options.kt,
        base_date=options.base_date,
        ea=options.ea,
        dkga=options.dkga,
    )


def read_vending_key(options: Namespace) -> VendingKey | None:
    """The vending key; ``None`` if the options give a decoder key instead."""
    given = _given_key(options)
    if not given.is_vending_key:
        return None
    return VendingKey.parse(given.text, read_attributes(options).dkga)


def read_decoder_key(options: Namespace) -> DecoderKey:
    """The key of the meter that the options describe."""
    vending_key = read_vending_key(options)
    if vending_key is not None:
        return derive_decoder_key(vending_key, read_attributes(options))
    ea = parse_digits("ea", options.ea)
    algorithm_of(ea)
    return DecoderKey.parse(_given_key(options).text, ea)


def has_key(options: Namespace) -> bool:
    """Whether any key was given, for commands that can do without."""
    return any(getattr(options, name) is not None for name in KEY_OPTIONS)


@dataclass(frozen=True, slots=True)
class _GivenKey:
    is_vending_key: bool
    text: str = field(repr=False)


def _given_key(options: Namespace) -> _GivenKey:
    given = [name for name in KEY_OPTIONS if getattr(options, name) is not None]
    if len(given) != 1:
        wanted = "--vending-key, --decoder-key, or one of them with -file"
        raise SettingError(f"key: expected exactly one of {wanted}; got {len(given)}")
    name = given[0]
    text: str = getattr(options, name)
    if name.endswith("_file"):
        text = _first_line(f"--{name.replace('_', '-')}", text)
    return _GivenKey(name.startswith("vending"), text)


def _first_line(option: str, path: str) -> str:
    shown = path if path.isprintable() else ascii(path)
    try:
        return Path(path).read_text(encoding="ascii").strip()
    except OSError as error:
        raise SettingError(f"{option}: cannot read {shown}: {error.strerror}") from None
    except UnicodeDecodeError:
        raise SettingError(f"{option}: expected hex digits in {shown}") from None
    except ValueError:
        raise SettingError(f"{option}: expected the path of a file; got {shown}") from None
