"""argparse, with errors of one line, values that are checked where they are read, and no secret repeated."""

from __future__ import annotations

import argparse
import re
from collections.abc import Callable
from typing import Any, NoReturn

from gateway.shown import without_secrets


class OneLineParser(argparse.ArgumentParser):
    """Says what is wrong in one line, and ends with exit code 2. Options are written out, never abbreviated."""

    def __init__(self, **settings: Any) -> None:
        super().__init__(**{"allow_abbrev": False, **settings})

    def error(self, message: str) -> NoReturn:
        if message.endswith(": COMMAND"):  # the only thing that is missing
            message = f"expected a COMMAND: {', '.join(self._commands())}; see {self.prog} --help"
        self.exit(2, f"{self.prog}: {without_secrets(message.removeprefix('argument '))}\n")

    def _commands(self) -> list[str]:
        return [name for action in self._actions if isinstance(action.choices, dict) for name in action.choices]


def unexpected(error: Exception) -> str:
    """What is said of a bug."""
    return f"unexpected error, please report it: {type(error).__name__}: {without_secrets(str(error))}"


def name_of(argument: str) -> str:
    """An option without its value, which may be a secret given to a misspelt name."""
    return argument.partition("=")[0] if argument.startswith("-") else "(not shown, it may be a secret)"


def whole_number(low: int, high: int) -> Callable[[str], int]:
    """A reader for whole numbers from ``low`` to ``high``, written in digits alone."""

    def read(text: str) -> int:
        if not (text.isascii() and text.isdigit() and len(text) < 20 and low <= int(text) <= high):
            raise argparse.ArgumentTypeError(f"expected a whole number from {low} to {high}, got {text[:20]!r}")
        return int(text)

    return read


def seconds(low: float, high: float) -> Callable[[str], float]:
    """A reader for a time from ``low`` to ``high`` seconds."""

    def read(text: str) -> float:
        is_number = re.fullmatch(r"\d{1,9}(\.\d{1,9})?", text, re.ASCII) is not None
        if not (is_number and low <= float(text) <= high):
            raise argparse.ArgumentTypeError(f"expected seconds, {low:g} to {high:g}, got {text[:20]!r}")
        return float(text)

    return read
