"""One entry of a vector file: typed access to what it states, and a list of what turned out to differ."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime

from cosem_objects.errors import SettingError
from cosem_objects.sts_token import Token

_COMMENTS = frozenset({"id", "source", "kind", "note", "cts_case"})


class Entry:
    """What an entry states. A field that is missing or of the wrong shape raises ``SettingError`` with its name.

    The entry remembers which fields were read, so that those which nobody compared can be named.
    """

    def __init__(self, values: Mapping[str, object], prefix: str = "", differences: list[str] | None = None) -> None:
        self.differences: list[str] = [] if differences is None else differences
        self._values = values
        self._prefix = prefix
        self._read: set[str] = set()
        self._groups: dict[str, Entry] = {}

    def __contains__(self, name: str) -> bool:
        return name in self._values

    def integer(self, name: str) -> int:
        """A whole number (not a boolean, which JSON keeps apart)."""
        value = self._get(name)
        if not isinstance(value, int) or isinstance(value, bool):
            raise self._error(name, "expected a whole number")
        return value

    def flag(self, name: str) -> bool:
        """True or false."""
        value = self._get(name)
        if not isinstance(value, bool):
            raise self._error(name, "expected true or false")
        return value

    def bit(self, name: str) -> bool:
        """0 or 1, or false or true."""
        value = self._get(name)
        if not isinstance(value, int) or value not in (0, 1):
            raise self._error(name, "expected 0 or 1")
        return bool(value)

    def digits(self, name: str, width: int = 0) -> str:
        """Decimal digits, written as a text or as a number; of a number, leading zeros up to ``width`` are restored."""
        value = self._get(name)
        if isinstance(value, str):
            return value
        if not isinstance(value, int) or isinstance(value, bool):
            raise self._error(name, "expected a whole number, or its digits")
        return f"{value:0{width}d}"

    def text(self, name: str) -> str:
        """A string."""
        value = self._get(name)
        if not isinstance(value, str):
            raise self._error(name, "expected a text")
        return value

    def octets(self, name: str, size: int | None = None) -> bytes:
        """Hex digits, of ``size`` bytes if given. The error never shows them: they may be a key."""
        text = self.text(name)
        try:
            octets = bytes.fromhex(text)
        except ValueError:
            raise self._error(name, "expected pairs of hex digits") from None
        if size is not None and len(octets) != size:
            raise self._error(name, f"expected {size} bytes; got {len(octets)}")
        return octets

    def number(self, name: str, size: int) -> int:
        """Hex digits of ``size`` bytes, as a big-endian number."""
        return int.from_bytes(self.octets(name, size), "big")

    def moment(self, name: str) -> datetime:
        """A calendar time, without an offset."""
        text = self.text(name)
        try:
            moment = datetime.fromisoformat(text)
        except ValueError:
            moment = None
        if moment is None or moment.tzinfo is not None:
            raise self._error(name, "expected a date and time such as 2014-03-01T13:00:00")
        return moment

    def token(self, name: str) -> Token:
        """A token; ``TokenFormatError`` says why it is none."""
        return Token.parse(self.text(name))

    def group(self, name: str) -> Entry:
        """A nested object; what differs in it is noted here, under its full name."""
        value = self._get(name)
        if not isinstance(value, dict):
            raise self._error(name, "expected an object")
        if name not in self._groups:
            self._groups[name] = Entry(value, f"{self._prefix}{name}.", self.differences)
        return self._groups[name]

    def compare(self, name: str, computed: int | str | bool, origin: str) -> None:
        """Note a difference if the entry states this field, and otherwise than computed from ``origin``."""
        if name in self:
            stated = self._get(name)
            if type(stated) is not type(computed) or stated != computed:
                self.differ(name, f"states {stated!r}; from {origin}: {computed!r}")

    def compare_hex(self, name: str, computed: int, size: int, origin: str) -> None:
        """The same for a number written in hex."""
        if name in self and self.number(name, size) != computed:
            self.differ(name, f"states {self.text(name)}; from {origin}: {computed:0{2 * size}x}")

    def compare_block(self, name: str, computed: int, origin: str, *, is_secret: bool) -> None:
        """The same for a block in clear, which is not shown if it holds a part of a key."""
        if not is_secret:
            self.compare_hex(name, computed, 8, origin)
        elif self.number(name, 8) != computed:
            self.differ(name, f"is not what comes from {origin}")

    def compare_token(self, name: str, computed: Token, origin: str) -> None:
        """The same for a token, which is never shown whole."""
        stated = self.token(name)
        if stated != computed:
            place = next(place for place in range(20) if stated.digits[place] != computed.digits[place])
            self.differ(
                name, f"states {stated.masked}; from {origin}: {computed.masked}, digit {place + 1} is the first"
            )

    def differ(self, name: str, how: str) -> None:
        """Note a difference."""
        self.differences.append(f"{self._prefix}{name}: {how}")

    def not_compared(self) -> set[str]:
        """The fields that nobody read, and that are not comments."""
        unread = {self._prefix + name for name in set(self._values) - self._read - _COMMENTS}
        return unread.union(*(group.not_compared() for group in self._groups.values()))

    def _get(self, name: str) -> object:
        if name not in self._values:
            raise self._error(name, "is missing")
        self._read.add(name)
        return self._values[name]

    def _error(self, name: str, what: str) -> SettingError:
        return SettingError(f"{self._prefix}{name}: {what}")
