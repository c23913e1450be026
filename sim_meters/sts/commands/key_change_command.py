"""``simmeters sts encode key-change``: the set of two, three or four tokens that brings a meter a new key.

The usual key options say the meter's present key, those that begin with ``--new-`` what the set changes; what is not
said stays as it is.
"""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from collections.abc import Sequence

from cosem_objects.sts_token import Token
from sim_meters.sts.commands.command_parser import Commands, add_command
from sim_meters.sts.commands.key_change_plan import ATTRIBUTES, KeyChangePlan, option_of, read_plan
from sim_meters.sts.commands.shown import Shown, fields_json, grouped, key_word, show
from sim_meters.sts.commands.token_picture import field_words, open_fields
from sim_meters.sts.keys.key_check import key_check_value
from sim_meters.sts.keys.key_expiry import KEN_NEVER
from sim_meters.sts.tid import BaseDate
from sim_meters.sts.tokens.clear_token import ClearToken, encode
from sim_meters.sts.tokens.key_change import NUMBER_OF_SECTION, MeterKey, sections_of
from sim_meters.sts.tokens.token_table import KEY_CHANGE


def add_key_change(kinds: Commands) -> None:
    """``encode key-change``."""
    parser = add_command(kinds, KEY_CHANGE, "make a key-change set of 2, 3 or 4 tokens and print it")
    new = parser.add_argument_group("the new key; what is not said stays as it is")
    new.add_argument("--new-vending-key", metavar="HEX", help="8 or 20 bytes; default: the present vending key")
    new.add_argument("--new-vending-key-file", metavar="PATH", help="the same from a file")
    new.add_argument("--new-decoder-key", metavar="HEX", help="the new key itself; 8 bytes for EA07, 16 for EA11")
    new.add_argument("--new-decoder-key-file", metavar="PATH", help="the same from a file")
    for name, (metavar, words) in ATTRIBUTES.items():
        new.add_argument(option_of(name), metavar=metavar, help=f"the new {words}")
    new.add_argument("--new-ken", metavar="N", help=f"its key expiry number, 0 to 255; default {KEN_NEVER}: never")
    _add_form_options(parser)


def _add_form_options(parser: ArgumentParser) -> None:
    form = parser.add_argument_group("the set")
    form.add_argument(
        "--rollover",
        choices=("auto", "yes", "no"),
        default="auto",
        help="RO, with which the meter forgets its TIDs; auto (default): yes if the new base date is a later one",
    )
    form.add_argument(
        "--sections",
        choices=("auto", "2", "3", "4"),
        default="auto",
        help="auto (default): 4 for a key of 128 bits (EA11); for one of 64 bits 3 if the supply group code changes, "
        "which a set of 2 does not carry, and else 2",
    )
    form.add_argument(
        "--issued-at", metavar="ISO", help="date and time of issue, UTC; default now. A key expired by then is refused"
    )
    parser.add_argument("--show-key", action="store_true", help="print the new key, and its parts in the tokens, too")
    parser.set_defaults(func=encode_key_change)


def encode_key_change(options: Namespace) -> int:
    """Make a set and print its tokens whole: that is what the command is for."""
    plan = read_plan(options)
    clear = sections_of(plan.new, rollover=plan.rollover, with_sgc=plan.sections > 2)
    tokens = [encode(section, plan.present.decoder_key) for section in clear]
    new: Shown = _attributes(plan.new, plan.new_base_date, with_sgc=plan.knows_sgc)
    if options.show_key:
        new["decoder_key"] = plan.new.decoder_key.octets.hex()
    json_object: Shown = {
        "tokens": [token.digits for token in tokens],
        "sections": [_section_json(section, plan.new_base_date, options) for section in clear],
        "rollover": plan.rollover,
        "new_key": new,
        "deliver_options": list(plan.deliver_options),
    }
    show(options, json_object, _lines(plan, clear, tokens, new, options))
    return 0


def _lines(
    plan: KeyChangePlan, clear: Sequence[ClearToken], tokens: Sequence[Token], new: Shown, options: Namespace
) -> Shown:
    lines: Shown = {}
    for section, token in zip(clear, tokens, strict=True):
        number = NUMBER_OF_SECTION[section.kind]
        fields = section.kind.layout if options.show_key else open_fields(section)
        words = ", ".join(f"{field.label} {field_words(section, field, plan.new_base_date)}" for field in fields)
        lines[f"token {number} of {len(tokens)}"] = [grouped(token.digits), words]
    lines["new key"] = ", ".join(f"{key_word(name)} {value}" for name, value in new.items())
    lines["rollover"] = "RO = 1: the meter forgets its TIDs" if plan.rollover else "RO = 0: the meter keeps its TIDs"
    lines["enter"] = _notes(plan)
    lines["deliver"] = " ".join(("stsgate deliver --kind key_change", *plan.deliver_options, "--token-file FILE ..."))
    return lines


def _notes(plan: KeyChangePlan) -> list[str]:
    """How to enter the set, and what may surprise."""
    notes = ["all of the tokens, in any order, within the meter's time-out (some minutes)"]
    if plan.sections == 2 and plan.new.sgc != plan.present.sgc:
        notes.append("a set of 2 does not carry the supply group code: the meter shows its old one, or none")
    if plan.new_base_date > plan.present_base_date and not plan.rollover:
        notes.append("without RO the meter finds tokens of the later base date too old")
    if plan.new.decoder_key.ea != plan.present.decoder_key.ea:
        notes.append("the meter must take sets of 4 under EA07 (simmeters run --sts-setting kct_supported=4)")
    if not plan.deliver_options:
        notes.append('class 116 shows no change: a delivery needs a profile with key_change_proof = "status"')
    return notes


def _section_json(section: ClearToken, base_date: BaseDate, options: Namespace) -> Shown:
    kind = section.kind
    fields = kind.layout if options.show_key else open_fields(section)
    numbers: Shown = {"section": NUMBER_OF_SECTION[kind], "class": int(kind.token_class), "subclass": kind.subclass}
    return {**numbers, "kind": kind.name, "fields": fields_json(section, fields, base_date)}


def _attributes(key: MeterKey, base_date: BaseDate, *, with_sgc: bool) -> Shown:
    shown: Shown = {"sgc": f"{key.sgc:06d}"} if with_sgc else {}
    return {
        **shown,
        "ti": f"{key.ti:02d}",
        "krn": key.krn,
        "kt": int(key.kt),
        "ken": key.ken,
        "ea": f"{key.decoder_key.ea:02d}",
        "base_date": int(base_date),
        "key_check_value": key_check_value(key.decoder_key.octets),
    }
