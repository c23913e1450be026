"""What the check sum of a token catches: mistyped digits in ten million random tokens, opened as a meter would.

    python -m benchmarks.sts_errors [TRIES] [SEED]         default: 10000000 62055

Each try takes a credit token of its own (random type, amount, TID, key), makes one typing error in its 20 digits and
asks whether the meter would still take it for a token: fewer than 67 bits, not of class 3, and the CRC of its type
fits. The error may turn the token into one of another class; class 1 is not encrypted, and is checked all the same.
A check sum of 16 bits lets an error through with probability 2^-16 = 1 in 65,536; what comes after it (has the meter
such a function, is the TID new, is the amount possible) is not asked here.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cosem_objects.sts_token import TokenClass
from sim_meters.sts.bulk.batches import KeyBatch, TokenBatch, accepted, encode_credits, read_digits
from sim_meters.sts.tid import TID_MAX
from sim_meters.sts.tokens.token_kind import TokenKind
from sim_meters.sts.tokens.token_table import TOKEN_KINDS

CREDIT_KINDS = [kind for kind in TOKEN_KINDS if kind.token_class is TokenClass.CREDIT]
AT_ONCE = 100_000
Digits = NDArray[np.uint8]
"""A row of 20 for each token."""


def _one_digit(digits: Digits, rng: np.random.Generator) -> Digits:
    rows, places = np.arange(len(digits)), rng.integers(0, 20, len(digits))
    wrong = digits.copy()
    wrong[rows, places] = (digits[rows, places] + rng.integers(1, 10, len(digits))) % 10
    return wrong


def _neighbours_swapped(digits: Digits, rng: np.random.Generator) -> Digits:
    places = rng.integers(0, 19, len(digits))
    return _swapped(digits, places, places + 1)


def _any_two_swapped(digits: Digits, rng: np.random.Generator) -> Digits:
    first = rng.integers(0, 20, len(digits))
    return _swapped(digits, first, (first + rng.integers(1, 20, len(digits))) % 20)


def _swapped(digits: Digits, first: NDArray[np.int64], second: NDArray[np.int64]) -> Digits:
    rows, wrong = np.arange(len(digits)), digits.copy()
    wrong[rows, first], wrong[rows, second] = digits[rows, second], digits[rows, first]
    return wrong


ERRORS: dict[str, Callable[[Digits, np.random.Generator], Digits]] = {
    "one digit wrong": _one_digit,
    "neighbours swapped": _neighbours_swapped,
    "any two swapped": _any_two_swapped,
}


@dataclass(frozen=True)
class Result:
    """How often a meter would have taken the wrong token for one. An error that changes nothing is no try."""

    tries: int = 0
    too_large: int = 0
    """Not below 2^66: no token at all."""
    other_class: int = 0
    """The digits are a token, of another class than the right one."""
    reserved: int = 0
    """Of those, class 3."""
    accepted: int = 0
    accepted_class_1: int = 0
    """Of those, such as ask for a test or a display, and move no money."""

    def __add__(self, other: Result) -> Result:
        return Result(*(ours + theirs for ours, theirs in zip(self.counts, other.counts, strict=True)))

    @property
    def counts(self) -> tuple[int, ...]:
        return self.tries, self.too_large, self.other_class, self.reserved, self.accepted, self.accepted_class_1


def measured_errors(error: str, ea: int, tries: int, seed: int) -> Result:
    """Make so many errors of one kind, with one cipher. The same seed is the same tokens, keys and errors."""
    rng = np.random.default_rng([seed, ea, list(ERRORS).index(error)])
    total = Result()
    while total.tries < tries:
        kind = CREDIT_KINDS[int(rng.integers(len(CREDIT_KINDS)))]
        total += _some_errors(kind, ea, min(AT_ONCE, tries - total.tries), ERRORS[error], rng)
    return total


def _some_errors(
    kind: TokenKind,
    ea: int,
    count: int,
    make_error: Callable[[Digits, np.random.Generator], Digits],
    rng: np.random.Generator,
) -> Result:
    keys, tokens = _random_tokens(kind, ea, count, rng)
    right = tokens.digits.view(np.uint8).reshape(-1, 20) - ord("0")
    wrong = make_error(right, rng)
    differs = (wrong != right).any(axis=1)
    wrong, some_keys = wrong[differs], KeyBatch(ea, keys.keys[differs])
    read, is_token = read_digits((wrong + np.uint8(ord("0"))).view("S20").reshape(-1))
    passed = is_token & accepted(read, some_keys)
    return Result(
        tries=len(wrong),
        too_large=int((~is_token).sum()),
        other_class=int((is_token & (read.classes != kind.token_class)).sum()),
        reserved=int((is_token & (read.classes == TokenClass.RESERVED)).sum()),
        accepted=int(passed.sum()),
        accepted_class_1=int((passed & (read.classes == TokenClass.NON_METER_SPECIFIC_MANAGEMENT)).sum()),
    )


def _random_tokens(kind: TokenKind, ea: int, count: int, rng: np.random.Generator) -> tuple[KeyBatch, TokenBatch]:
    keys = KeyBatch(ea, rng.integers(0, 1 << 64, count if ea == 7 else (count, 2), np.uint64))
    units = rng.integers(1, 10**10 if kind.is_currency else 10**6, count)
    rnds = None if kind.is_currency else rng.integers(0, 16, count)
    return keys, encode_credits(kind, units, rng.integers(0, TID_MAX + 1, count), rnds, keys)


def interval(count: int, tries: int) -> tuple[float, float]:
    """The 95 % interval of a rate (Wilson's score)."""
    z = 1.959964
    middle, half = (count + z * z / 2), z * math.sqrt(count * (tries - count) / tries + z * z / 4)
    return (middle - half) / (tries + z * z), (middle + half) / (tries + z * z)


_HEAD = ("error, cipher", "tries", "too large", "other class", "class 3", "accepted", "of class 1", "1 in", "95 %")


def _row(name: str, result: Result) -> str:
    low, high = interval(result.accepted, result.tries)
    one_in = result.tries / result.accepted if result.accepted else math.inf
    counts = [f"{count:,}" for count in result.counts]
    return f"| {' | '.join([name, *counts, f'{one_in:,.0f}', f'{1 / high:,.0f} to {1 / low:,.0f}'])} |"


def main() -> None:
    given = dict(enumerate(sys.argv[1:]))
    tries, seed = int(given.get(0, "10000000")), int(given.get(1, "62055"))
    print(f"| {' | '.join(_HEAD)} |\n|---|{'---:|' * (len(_HEAD) - 1)}")
    total, kinds = Result(), [(error, ea) for error in ERRORS for ea in (7, 11)]
    for number, (error, ea) in enumerate(kinds):
        share = tries * (number + 1) // len(kinds) - tries * number // len(kinds)
        result = measured_errors(error, ea, share, seed)
        total += result
        print(_row(f"{error}, EA{ea:02d}", result), flush=True)
    print(_row("all", total))
    checked = total.tries - total.too_large - total.reserved
    expected = checked / (1 << 16)
    print(f"{checked:,} tries reach a check sum of 16 bits; 1 in {1 << 16:,} of them is {expected:.1f}.")


if __name__ == "__main__":
    main()
