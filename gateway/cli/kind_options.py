"""What the tokens of ``deliver`` and ``push`` are for, and what class 116 must show after a key-change set."""

from __future__ import annotations

import argparse
from collections.abc import Sequence

from cosem_objects.errors import SettingError
from cosem_objects.profile import MeterProfile
from cosem_objects.sts_token import Token, TokenClass
from gateway.cli.parser import whole_number
from gateway.cli.token_options import check_tokens
from gateway.key_change import SECTIONS_MIN, KeyChange, new_key_of
from gateway.orders import SECTIONS_MAX, OrderKind

_NEW_KEY = {
    "new_krn": (1, 9, "N", "key revision number"),
    "new_ti": (0, 99, "NN", "tariff index"),
    "new_sgc": (1, 999_999, "DIGITS", "supply group code"),
    "new_kt": (0, 3, "N", "key type"),
    "new_ken": (0, 255, "N", "key expiry number"),
    "new_ea": (0, 99, "NN", "encryption algorithm, 07 or 11"),
}
"""By option: the values that it may have, and its name for people."""


def add_kind_options(parser: argparse.ArgumentParser, what: argparse._ArgumentGroup) -> None:
    """``--kind`` goes to the group that says what is delivered."""
    what.add_argument(
        "--kind",
        choices=[kind.value for kind in OrderKind],
        help="what the tokens are for (default: as their class says); key_change: those of class 2 are the sections of "
        f"one set, {SECTIONS_MIN} to {SECTIONS_MAX}, those of class 0 behind them credits under the new key",
    )
    new_key = parser.add_argument_group(
        "what class 116 must show after a key change",
        "With --kind key_change. Say what changes: it proves the change.",
    )
    for name, (low, high, metavar, words) in _NEW_KEY.items():
        option = f"--{name.replace('_', '-')}"
        text = f"the new {words}"
        if name == "new_sgc":
            text += "; sets of two sections do not carry it, and a meter that shows 0 does not say it"
        new_key.add_argument(option, type=whole_number(low, high), metavar=metavar, help=text)


def key_change_from(
    args: argparse.Namespace, tokens: Sequence[Token], profile: MeterProfile
) -> tuple[KeyChange | None, list[Token]]:
    """The key-change set, if the tokens begin with one, and the tokens behind it. Raises ``SettingError``."""
    sections, behind = split(args, tokens)
    if not sections:
        return None, behind
    key_change = KeyChange(tuple(sections), new_key_of(new_key_body(args)))
    key_change.check(profile)
    return key_change, behind


def split(args: argparse.Namespace, tokens: Sequence[Token]) -> tuple[list[Token], list[Token]]:
    """The sections of a key-change set, with ``--kind key_change`` alone, and the other tokens. Raises
    ``SettingError``."""
    if args.kind != OrderKind.KEY_CHANGE:
        for name in _NEW_KEY:
            if getattr(args, name) is not None:
                raise SettingError(f"{name.replace('_', '-')}: it goes with --kind key_change")
        for token in tokens:
            check_tokens("", [token], args.kind)
        return [], list(tokens)
    sections = [token for token in tokens if token.token_class is TokenClass.METER_SPECIFIC_MANAGEMENT]
    behind = list(tokens[len(sections) :])
    if not sections:
        check_tokens("", tokens, OrderKind.KEY_CHANGE)
    if list(tokens[: len(sections)]) != sections:
        raise SettingError("key_change: the sections (class 2) come first, and behind them credits under the new key")
    if not SECTIONS_MIN <= len(sections) <= SECTIONS_MAX:
        raise SettingError(
            f"key_change: a set has {SECTIONS_MIN} to {SECTIONS_MAX} sections, {len(sections)} were given"
        )
    for token in behind:
        check_tokens("", [token], OrderKind.CREDIT)
    return sections, behind


def new_key_body(args: argparse.Namespace) -> dict[str, int | str]:
    """What was said of the new key, as a member of ``POST /v1/orders``."""
    said = {name.removeprefix("new_"): getattr(args, name) for name in _NEW_KEY}
    widths = {"sgc": 6, "ti": 2, "ea": 2}
    return {
        name: f"{value:0{widths[name]}d}" if name in widths else value
        for name, value in said.items()
        if value is not None
    }
