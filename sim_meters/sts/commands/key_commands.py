"""``simmeters sts key`` and ``verify-vectors``."""

from __future__ import annotations

import json
from argparse import Namespace
from pathlib import Path

from cosem_objects.errors import SettingError
from sim_meters.notices import LAB
from sim_meters.sts.ciphers.algorithms import algorithm_of
from sim_meters.sts.commands.command_parser import Commands, add_command
from sim_meters.sts.commands.key_options import read_attributes, read_vending_key
from sim_meters.sts.commands.shown import Shown, key_word, show
from sim_meters.sts.keys.decoder_key import derive_decoder_key, dkga04_message
from sim_meters.sts.keys.key_attributes import KeyAttributes
from sim_meters.sts.keys.key_check import RULES_OF_ONE_SOURCE, key_check_value
from sim_meters.sts.vectors.verification import read_vector_file, verify


def add_key(commands: Commands) -> None:
    """``key``."""
    add_command(commands, "key", "derive a decoder key and print it").set_defaults(func=derive_key)


def add_verify_vectors(commands: Commands) -> None:
    """``verify-vectors``."""
    parser = add_command(commands, "verify-vectors", "check every key and token of a vector file", with_key=False)
    parser.add_argument("file", metavar="FILE", help="a file in the format of tests/vectors/sts_vectors.json")
    parser.set_defaults(func=verify_vectors)


def derive_key(options: Namespace) -> int:
    """Print the decoder key that the options give, and what it is made of."""
    vending_key = read_vending_key(options)
    if vending_key is None:
        raise SettingError("key: expected a vending key, to derive the decoder key from it")
    attributes = read_attributes(options)
    decoder_key = derive_decoder_key(vending_key, attributes)
    shown: Shown = {
        "decoder_key": decoder_key.octets.hex(),
        "check_value": key_check_value(decoder_key.octets),
        "vending_key_check_value": key_check_value(vending_key.octets),
        "ea": f"{attributes.ea:02d}",
        "dkga": f"{attributes.dkga:02d}",
        "pan": attributes.pan.digits,
        "sgc": f"{attributes.sgc:06d}",
        "ti": f"{attributes.ti:02d}",
        "krn": attributes.krn,
        "kt": int(attributes.kt),
        "base_date": int(attributes.base_date),
        **_derived_from(attributes),
    }
    bits = 8 * len(decoder_key.octets)
    words = {
        **shown,
        "check_value": f"{shown['check_value']} ({RULES_OF_ONE_SOURCE})",
        "ea": f"{shown['ea']} ({algorithm_of(attributes.ea).name}, a key of {bits} bits)",
        "kt": f"{shown['kt']} ({attributes.kt.name.lower()})",
    }
    show(options, shown, {key_word(name): value for name, value in words.items()})
    return 0


def _derived_from(attributes: KeyAttributes) -> Shown:
    """The blocks that go into key generation beside the vending key: nothing secret."""
    if attributes.dkga == 2:
        return {"pan_block": attributes.pan.block.hex()}
    before, after = dkga04_message(attributes)
    return {"data_block": (before + attributes.pan.digits.encode("ascii") + after).hex()}


def verify_vectors(options: Namespace) -> int:
    """Check a vector file; 1 if anything in it failed."""
    report = verify(read_vector_file(Path(options.file)))
    failed = len(report.mismatches)
    if options.json:
        mismatches = [{"id": one.name, "differences": one.differences} for one in report.mismatches]
        counts = {"passed": report.passed, "failed": failed, "not_compared": report.not_compared}
        print(json.dumps({"lab": LAB, **counts, "mismatches": mismatches}, indent=2))
        return 1 if failed else 0
    print(LAB)
    for one in report.mismatches:
        print(f"FAILED {one.name}: {'; '.join(one.differences)}")
    if report.not_compared:
        print(f"fields that nothing was compared with: {', '.join(report.not_compared)}")
    print(f"{report.passed} passed, {failed} failed")
    return 1 if failed else 0
