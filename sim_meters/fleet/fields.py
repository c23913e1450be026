"""One table of a fleet file, read member by member: each is asked for once, and what nobody asked for is an error."""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from reprlib import repr as shown
from typing import Any, TypeVar

from cosem_objects.errors import SettingError

_T = TypeVar("_T")

_FEW = 12
"""So many names are worth reading."""


class Fields:
    """A table, named ``what`` in errors. All methods raise ``SettingError``.

    Members that were not given have the default. What stands in a member that may be a secret is never repeated.
    """

    def __init__(self, what: str, table: object) -> None:
        if not isinstance(table, Mapping):
            raise SettingError(f"{what}: expected a table")
        self.what = what
        self._table: Mapping[str, Any] = table
        self._known: list[str] = []

    def end(self) -> None:
        """Nothing else may stand here."""
        for name in self._table:
            if name not in self._known:
                near = difflib.get_close_matches(str(name), self._known, 1)
                hint = f"; did you mean {near[0]}?" if near else ""
                if not near and len(self._known) <= _FEW:
                    hint = f"; expected {', '.join(self._known)}"
                raise SettingError(f"{self.what}: {shown(name)} is no member of it{hint}")

    def has(self, name: str) -> bool:
        return name in self._table

    def take(self, name: str) -> Any:
        """As it stands there; ``None`` if it does not."""
        self._known.append(name)
        return self._table.get(name)

    def error(self, name: str, message: str) -> SettingError:
        """To raise about a member."""
        return SettingError(f"{self.what}: {name}: {message}")

    def text(self, name: str, default: _T) -> str | _T:
        value = self.take(name)
        if value is None:
            return default
        if not isinstance(value, str) or not value:
            raise self.error(name, f"expected text, got {shown(value)}")
        return value

    def digits(self, name: str, default: _T) -> str | _T:
        """Text, in which a leading zero counts; or a number, which has none."""
        value = self.take(name)
        if value is None:
            return default
        if type(value) is int and value >= 0:
            return str(value)
        if not isinstance(value, str) or not value.isprintable():
            raise self.error(name, f"expected digits in quotation marks; got {shown(value)}")
        return value

    def secret(self, name: str) -> str | None:
        value = self.take(name)
        if value is None:
            return None
        if not isinstance(value, str) or not value.strip():
            raise self.error(name, "expected text")
        return value

    def whole(self, name: str, low: int, high: int, default: _T) -> int | _T:
        value = self.take(name)
        if value is None:
            return default
        if not isinstance(value, int) or isinstance(value, bool) or not low <= value <= high:
            raise self.error(name, f"expected a whole number from {low} to {high}; got {shown(value)}")
        return value

    def number(self, name: str, low: float, high: float, unit: str, default: float) -> float:
        value = self.take(name)
        if value is None:
            return default
        # The comparison is written so that NaN, which TOML knows, is refused too.
        if type(value) not in (int, float) or not low <= value <= high:
            raise self.error(name, f"expected {low:g} to {high:g}{unit}; got {shown(value)}")
        return float(value)

    def boolean(self, name: str) -> bool:
        """False unless it is given."""
        value = self.take(name)
        if value is None:
            return False
        if not isinstance(value, bool):
            raise self.error(name, f"expected true or false; got {shown(value)}")
        return value

    def choice(self, name: str, choices: tuple[str, ...], default: _T) -> str | _T:
        value = self.take(name)
        if value is None:
            return default
        if value not in choices:
            raise self.error(name, f"expected one of {', '.join(choices)}; got {shown(value)}")
        return str(value)

    def table(self, name: str) -> Fields:
        """A table in this one; empty if it was not given."""
        value = self.take(name)
        return Fields(f"{self.what}: {name}", {} if value is None else value)

    def tables(self, name: str) -> list[Mapping[str, Any]]:
        """A list of tables, ``[[...]]`` in TOML."""
        value = self.take(name)
        if value is None:
            return []
        if not isinstance(value, list) or not all(isinstance(one, Mapping) for one in value):
            raise self.error(name, f"expected tables; they begin with [[{name}]] in double brackets")
        return list(value)


def hex_octets(text: str, name: str, size: int) -> bytes:
    """Octets from hex digits, which are not repeated in errors. Raises ``SettingError``."""
    try:
        octets = bytes.fromhex(text)
    except ValueError:
        octets = b""
    if len(octets) != size:
        raise SettingError(f"{name}: expected {2 * size} hex digits")
    return octets


@contextmanager
def named(what: str) -> Iterator[None]:
    """Every ``SettingError`` in here says where."""
    try:
        yield
    except SettingError as error:
        message = str(error)
        raise error if message.startswith(f"{what}: ") else SettingError(f"{what}: {message}") from None
