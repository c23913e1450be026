"""Values of options, read where argparse hands over text. Every refusal is one sentence that names the option."""

from __future__ import annotations

from argparse import Namespace
from pathlib import Path

from cosem_objects.errors import SettingError


def whole(options: Namespace, name: str, low: int, high: int) -> int:
    """A whole number in digits alone. Raises ``SettingError``, as do all functions here."""
    text: str = getattr(options, name)
    is_number = text.isascii() and text.isdigit() and len(text) <= 20
    if not is_number or not low <= int(text) <= high:
        raise SettingError(f"{_option(name)}: expected a whole number from {low} to {high}; got {text!r}")
    return int(text)


def seconds(options: Namespace, name: str, high: float) -> float:
    """A time from 0 on."""
    text: str = getattr(options, name)
    try:
        number = float(text)
    except ValueError:
        number = -1.0
    if not 0 <= number <= high:  # also false for NaN
        raise SettingError(f"{_option(name)}: expected seconds from 0 to {high}; got {text!r}")
    return number


def secret(options: Namespace, name: str) -> str | None:
    """The text of ``--NAME``, or of the file of ``--NAME-file``; ``None`` if neither was given. Never repeated."""
    text: str | None = getattr(options, name)
    path: str | None = getattr(options, f"{name}_file")
    if path is None:
        return text
    option = _option(name)
    if text is not None:
        raise SettingError(f"{option}: expected it once, not also with {option}-file")
    try:
        text = Path(path).read_text(encoding="utf-8").rstrip("\r\n")
    except OSError as error:
        raise SettingError(f"{option}-file: cannot read {path}: {error.strerror}") from None
    except UnicodeDecodeError:
        raise SettingError(f"{option}-file: expected text in {path}") from None
    if not text:
        raise SettingError(f"{option}-file: {path} is empty")
    return text


def _option(name: str) -> str:
    return f"--{name.replace('_', '-')}"
