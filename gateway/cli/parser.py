"""argparse, with errors of one line and values that are checked where they are read."""

from __future__ import annotations

import argparse
import re
from collections.abc import Callable
from typing import Any, NoReturn


class OneLineParser(argparse.ArgumentParser):
    """Says what is wrong in one line, and ends with exit code 2. Options are written out, never abbreviated."""

    def __init__(self, **settings: Any) -> None:
        super().__init__(**{"allow_abbrev": False, **settings})

    def error(self, message: str) -> NoReturn:
        # A token in the wrong place must not be repeated whole.
        self.exit(2, f"{self.prog}: {_DIGITS.sub(_masked, message)}\n")


_DIGITS = re.compile(r"\d[\d -]{14,}\d")


def _masked(digits: re.Match[str]) -> str:
    return f"…{digits[0][-4:]}"


def whole_number(low: int, high: int) -> Callable[[str], int]:
    """A reader for whole numbers from ``low`` to ``high``."""

    def read(text: str) -> int:
        try:
            value = int(text)
        except ValueError:
            value = low - 1
        if not low <= value <= high:
            raise argparse.ArgumentTypeError(f"expected a whole number from {low} to {high}, got {text!r}")
        return value

    return read
