"""Tokens and what they are worth, as a command takes them. Nothing here repeats a token whole."""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Iterable, Sequence
from decimal import Decimal
from pathlib import Path

from cosem_objects.errors import SettingError, TokenFormatError
from cosem_objects.sts_token import Token
from gateway.orders import TOKENS_MAX, Amount, Order, OrderedToken, OrderKind, OrderRefused, kind_of

STANDARD_INPUT = "-"
_LINE_MAX = 200
_DIGITS = 20
_TOKEN = re.compile(rf"\d{{{_DIGITS}}}", re.ASCII)
_GROUP = re.compile(rf"\d{{1,{_DIGITS - 1}}}", re.ASCII)
_AMOUNT = re.compile(r"-?\d{1,15}(\.\d{1,9})?", re.ASCII)
_UNITS = {"kwh": "kWh", "m3": "m3", "min": "min"}


def tokens_from(args: argparse.Namespace) -> list[Token]:
    """Those on the command line, and those of a file behind them. Raises ``SettingError``, ``TokenFormatError``."""
    tokens: list[Token] = []
    texts = _joined(args.tokens)
    _check_sequence(args.meter, texts, args.token_file)
    if args.tokens.count(STANDARD_INPUT) + (args.token_file == STANDARD_INPUT) > 1:
        raise SettingError("token: standard input can be read once")
    for text in texts:
        tokens += tokens_in("token", text) if text == STANDARD_INPUT else [Token.parse(text)]
    if args.token_file is not None:
        tokens += tokens_in("token-file", args.token_file)
    if not 1 <= len(tokens) <= TOKENS_MAX:
        raise SettingError(f"token: expected 1 to {TOKENS_MAX} tokens, as arguments, in a --token-file, or - for input")
    return tokens


def _joined(texts: Sequence[str]) -> list[str]:
    """A token whose groups were not put in quotes is taken for the one that it is. Raises ``TokenFormatError``."""
    if len(texts) < 2 or not all(_GROUP.fullmatch(text) for text in texts):
        return list(texts)
    if len(digits := "".join(texts)) == _DIGITS:
        return [digits]
    if len(texts) % 5 == 0 and all(len(text) == 4 for text in texts):
        return ["".join(texts[start : start + 5]) for start in range(0, len(texts), 5)]
    raise TokenFormatError(
        f"token: {len(digits)} digits in {len(texts)} groups, expected {_DIGITS}; a token with blanks in it stands in "
        "quotes: 'NNNN NNNN NNNN NNNN NNNN'"
    )


def _check_sequence(meter: str, texts: Sequence[str], token_file: str | None) -> None:
    """A meter's id may have 20 digits, too: what is no token either way is not guessed at. Raises ``SettingError``."""
    if _is_token(meter) and token_file is None and not any(map(_is_token_or_input, texts)):
        raise SettingError("METER comes first, and then its tokens: stsgate push METER TOKEN")


def _is_token_or_input(text: str) -> bool:
    return text == STANDARD_INPUT or _is_token(text)


def _is_token(text: str) -> bool:
    return bool(_TOKEN.fullmatch(text.replace(" ", "").replace("-", "")))


def check_tokens(meter: str, tokens: Iterable[Token], kind: str | None) -> None:
    """What the service would refuse whatever its store says. Raises ``SettingError``."""
    meant = None if kind is None else OrderKind(kind)
    ordered = tuple(OrderedToken(token, meant or kind_of(token) or OrderKind.CREDIT) for token in tokens)
    try:
        Order(id="", meter=meter, tokens=ordered).check()
    except OrderRefused as error:
        raise SettingError(error.message) from None


def amount_from(value: str | None, unit: str | None, count: int) -> Amount | None:
    """Raises ``SettingError``."""
    if value is None and unit is None:
        return None
    if value is None or unit is None:
        raise SettingError("amount and unit go together: --amount 25.6 --unit kWh")
    if count > 1:
        raise SettingError("amount: it can be given for one token only")
    number = Decimal(value) if _AMOUNT.fullmatch(value) else Decimal(0)
    if not number:
        point = ", with a point, not a comma" if "," in value else ", not 0"
        raise SettingError(f"amount {value[:20]!r}: expected a number like 25.6{point}")
    known = _UNITS.get(unit.casefold())
    if known is None and not (len(unit) == 3 and unit.isascii() and unit.isalpha()):
        raise SettingError(f"unit {unit[:20]!r}: expected kWh, m3, min or an ISO currency code of three letters")
    if known and number < 0:
        raise SettingError(f"amount {value!r}: only an amount of money can be negative")
    return Amount(number, known or unit.upper())


def tokens_in(name: str, path: str, most: int = TOKENS_MAX) -> list[Token]:
    """The tokens of a file, or of standard input (``-``); blank lines are left out. Raises ``SettingError``,
    ``TokenFormatError``."""
    tokens = []
    for number, line in enumerate(_lines(name, path, most), 1):
        try:
            tokens += [Token.parse(line)] if line.strip() else []
        except TokenFormatError as error:
            raise TokenFormatError(f"{name}: line {number}: {error}") from None
    return tokens


def _lines(name: str, path: str, most: int) -> list[str]:
    size_max = _LINE_MAX * most
    try:
        if path == STANDARD_INPUT:
            if sys.stdin is None:
                raise SettingError(f"{name}: standard input is closed")
            text = sys.stdin.read(size_max + 1)
        else:
            with Path(path).open(encoding="utf-8") as file:
                text = file.read(size_max + 1)
    except OSError as error:
        raise SettingError(f"{name}: {path!r} cannot be read ({error.strerror})") from None
    except UnicodeDecodeError:
        raise SettingError(f"{name}: {path!r} cannot be read (no text)") from None
    if len(text) > size_max:
        raise SettingError(f"{name}: {path!r} is too long for up to {most} tokens")
    return text.splitlines()
