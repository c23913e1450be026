"""FaultOrder: one fault on order: for which meters, in which phase, how often; as text and as a mapping."""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from fnmatch import fnmatchcase
from reprlib import repr as shown
from typing import Any, TypeVar

from cosem_objects.errors import SettingError
from sim_meters.faults import FAULTS, Fault, Phase

COUNT_MAX = 999_999
TEXT_MAX = 200

_FORM = re.compile(
    r"(?P<fault>[a-z-]+)(?:=(?P<value>-?\d{1,10}(?:\.\d{1,6})?))?"
    r"(?::(?P<number>\d{1,6}(?:\.\d{1,6})?)(?P<percent>%?))?(?:@(?P<phase>[a-z]+))?",
    re.ASCII,
)
_NUMBERS = re.compile(r"(\d{1,9})(?:-(\d{1,9}))?", re.ASCII)


@dataclass(frozen=True, slots=True)
class MeterSelector:
    """Which meters of a fleet are meant: those that fit all that is said."""

    meter: str = "*"
    """Device name, its digits alone, or the name in the fleet, with ``*`` and ``?`` as in file names."""
    group: str = "*"
    """Name of the group, in the same way."""
    numbers: tuple[int, int] | None = None
    """First and last number in its group, counted from 1."""

    def matches(self, meter: str, group: str = "", number: int = 1) -> bool:
        """Whether this meter is meant. ``meter`` is its device name, such as SIM00000000009; GROUP-NUMBER is its name
        in the fleet."""
        if self.numbers is not None and not self.numbers[0] <= number <= self.numbers[1]:
            return False
        names = (meter, meter[3:], f"{group}-{number}")
        return fnmatchcase(group, self.group) and any(fnmatchcase(name, self.meter) for name in names)


EVERY_METER = MeterSelector()


@dataclass(frozen=True, slots=True)
class FaultOrder:
    """One fault on order. Raises ``SettingError`` for a phase or a value that the fault does not know."""

    fault: Fault
    count: int | None = None
    """So many times; ``None``: always."""
    chance_percent: float = 100.0
    """How likely it is each time."""
    phase: Phase | None = None
    """Only there; ``None``: in every phase that the fault knows."""
    value: float | None = None
    """What VALUE means for this fault (``FAULTS``); ``None``: its usual one."""
    skip: int = 0
    """Let it pass so many times first: with 1, the second token of a set."""
    selector: MeterSelector = EVERY_METER
    begin: datetime | None = None
    """Not before this time of the meter's clock."""
    end: datetime | None = None
    """Not at this time or later."""

    def __post_init__(self) -> None:
        kind = FAULTS[self.fault]
        if self.phase is not None and self.phase not in kind.phases:
            known = ", ".join(phase for phase in Phase if phase in kind.phases)
            raise SettingError(f"fault {self.fault}: expected one of its phases, {known}; got {self.phase}")
        if not 0 <= self.chance_percent <= 100:
            raise SettingError(f"fault {self.fault}: expected a percentage of 0 to 100; got {self.chance_percent:g}")
        if self.value is not None:
            self._check_value(self.value)
        if self.begin is not None and self.end is not None and self.end <= self.begin:
            raise SettingError(f"fault {self.fault}: expected an end after its begin")

    def _check_value(self, value: float) -> None:
        amount = FAULTS[self.fault].amount
        if amount is None:
            raise SettingError(f"fault {self.fault}: expected no value; it has none")
        if not amount.least <= value <= amount.most:
            unit = f" {amount.unit}" if amount.unit else ""
            raise SettingError(
                f"fault {self.fault}: expected a value of {amount.least:g} to {amount.most:g}{unit}; got {value:g}"
            )

    @property
    def amount(self) -> float:
        """The value that counts; 0 for a fault without one."""
        usual = FAULTS[self.fault].amount
        if self.value is not None:
            return self.value
        return 0.0 if usual is None else usual.usual

    def is_at(self, phase: Phase, now: Callable[[], datetime]) -> bool:
        """Whether it may strike in this phase, at this time. ``now`` is asked only if it matters."""
        if phase not in FAULTS[self.fault].phases or self.phase not in (None, phase):
            return False
        if self.begin is None and self.end is None:
            return True
        moment = now()
        return (self.begin is None or moment >= self.begin) and (self.end is None or moment < self.end)

    @classmethod
    def parse(cls, text: str) -> FaultOrder:
        """Read ``NAME[=VALUE][:COUNT|:PERCENT%][@PHASE]``. Raises ``SettingError``."""
        match = _FORM.fullmatch(text)
        fault = None if match is None else _member(Fault, match["fault"])
        if match is None or fault is None or (match["number"] and not match["percent"] and "." in match["number"]):
            near = difflib.get_close_matches(re.split("[=:@]", text)[0][:TEXT_MAX], Fault, 1)
            hint = f", perhaps {near[0]}" if near and fault is None else ""
            raise SettingError(f"fault: expected NAME[=VALUE][:COUNT|:PERCENT%][@PHASE]{hint}; got {shown(text)}")
        count, percent = None, 100.0
        if match["percent"]:
            percent = float(match["number"])
        elif match["number"]:
            count = int(match["number"])
        phase = None if match["phase"] is None else _phase(match["phase"])
        value = None if match["value"] is None else float(match["value"])
        return cls(fault, count, percent, phase, value)

    @classmethod
    def parse_mapping(cls, mapping: Mapping[str, Any], what: str = "fault") -> FaultOrder:
        """Read the form of fleet files, scenarios and HTTP; ``what`` names it in errors. Raises ``SettingError``.

        Members: ``fault``, which alone is required and may have the form of ``parse``, or ``count``, ``percent``,
        ``phase``, ``value``, ``skip``, ``meter``, ``group``, ``numbers`` ("3" or "1-20"), ``begin``, ``end`` (times
        with a zone).
        """
        unknown = sorted(set(mapping) - set(MEMBERS))
        if unknown:
            raise SettingError(f"{what}: expected {', '.join(MEMBERS)}; got {shown(unknown[0])}")
        read = {name: MEMBERS[name](f"{what}.{name}", value) for name, value in mapping.items() if value is not None}
        named = read.pop("fault", None)
        if named is None:
            raise SettingError(f"{what}: expected a member fault, the name of one")
        selector = MeterSelector(read.pop("meter", "*"), read.pop("group", "*"), read.pop("numbers", None))
        if "percent" in read:
            read["chance_percent"] = read.pop("percent")
        try:
            order = cls.parse(named)
            said = {name: getattr(order, name) for name in ("count", "chance_percent", "phase", "value")}
            return cls(order.fault, **{**said, **read}, selector=selector)
        except SettingError as error:
            raise SettingError(f"{what}: {error}") from None

    def to_mapping(self) -> dict[str, object]:
        """The form that ``parse_mapping`` reads, with what is usual left out."""
        numbers = self.selector.numbers
        members: dict[str, object] = {
            "fault": str(self.fault),
            "count": self.count,
            "percent": None if self.chance_percent == 100 else self.chance_percent,
            "phase": None if self.phase is None else str(self.phase),
            "value": self.value,
            "skip": self.skip or None,
            "meter": None if self.selector.meter == "*" else self.selector.meter,
            "group": None if self.selector.group == "*" else self.selector.group,
            "numbers": None if numbers is None else f"{numbers[0]}-{numbers[1]}",
            "begin": None if self.begin is None else self.begin.isoformat(),
            "end": None if self.end is None else self.end.isoformat(),
        }
        return {name: value for name, value in members.items() if value is not None}


_E = TypeVar("_E", Fault, Phase)


def _member(kind: type[_E], text: str) -> _E | None:
    return kind(text) if text in list(kind) else None


def _phase(text: str) -> Phase:
    phase = _member(Phase, text)
    if phase is None:
        raise SettingError(f"fault: expected a phase, one of {', '.join(Phase)}; got {shown(text)}")
    return phase


def _text(what: str, value: object) -> str:
    if not isinstance(value, str) or not 0 < len(value) <= TEXT_MAX:
        raise SettingError(f"{what}: expected text of 1 to {TEXT_MAX} letters; got {shown(value)}")
    return value


def _whole(what: str, value: object) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value <= COUNT_MAX:
        raise SettingError(f"{what}: expected a whole number of 0 to {COUNT_MAX}; got {shown(value)}")
    return value


def _number(what: str, value: object) -> float:
    if not isinstance(value, int | float) or isinstance(value, bool) or not abs(value) < 1e12:
        raise SettingError(f"{what}: expected a number; got {shown(value)}")
    return float(value)


def _range(what: str, value: object) -> tuple[int, int]:
    match = _NUMBERS.fullmatch(str(value)) if isinstance(value, str | int) else None
    if match is None or int(match[2] or match[1]) < int(match[1]):
        raise SettingError(f'{what}: expected a number or a range, such as "3" or "1-20"; got {shown(value)}')
    return int(match[1]), int(match[2] or match[1])


def _moment(what: str, value: object) -> datetime:
    try:
        # TOML and YAML have times of their own.
        moment = value if isinstance(value, datetime) else datetime.fromisoformat(_text(what, value))
        if moment.tzinfo is not None:
            return moment.astimezone(UTC)
    except (ValueError, OverflowError):  # in UTC it may be before the first year, or after the last
        pass
    raise SettingError(f"{what}: expected a time with its zone, such as 2026-11-21T12:00:00Z; got {shown(value)}")


MEMBERS: Mapping[str, Callable[[str, object], Any]] = {
    "fault": _text,
    "count": _whole,
    "percent": _number,
    "phase": lambda what, value: _phase(_text(what, value)),
    "value": _number,
    "skip": _whole,
    "meter": _text,
    "group": _text,
    "numbers": _range,
    "begin": _moment,
    "end": _moment,
}
"""Member of the mapping form -> what reads it."""
