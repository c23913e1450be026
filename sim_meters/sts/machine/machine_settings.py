"""What the standard leaves to the manufacturer, or what no source we could read settles: one setting for each.

``simmeters run --sts-setting NAME=VALUE`` and the table ``sts.settings`` of a fleet file set them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, fields, replace
from enum import StrEnum
from typing import Any

from cosem_objects.errors import SettingError
from sim_meters.sts.keys.key_attributes import parse_digits
from sim_meters.sts.machine.lock_out import LockOutRule
from sim_meters.sts.machine.tid_store import DEPTH


class LockOutScope(StrEnum):
    """Which entries count, and are turned away."""

    OFF = "off"
    KEYPAD = "keypad"
    ALL = "all"
    """Those that come over the wire, too."""


class SgcAfterTwo(StrEnum):
    """The supply group code after a set of two sections, which does not bring one."""

    KEEP = "keep"
    ZERO = "zero"


def _whole(low: int, high: int) -> Callable[[str], int]:
    def parse(text: str) -> int:
        number = parse_digits("number", text)
        if not low <= number <= high:
            raise SettingError(f"expected {low} to {high}; got {number}")
        return number

    return parse


def _sections(text: str) -> int:
    if text not in ("0", "2", "3", "4"):
        raise SettingError(f"expected 0, 2, 3 or 4; got {text!r}")
    return int(text)


def _boolean(text: str) -> bool:
    if text not in ("true", "false"):
        raise SettingError(f"expected true or false; got {text!r}")
    return text == "true"


def _indexes(text: str) -> frozenset[int]:
    return frozenset(map(_whole(0, 63), text.split(","))) if text else frozenset()


def _one_of(choices: type[StrEnum]) -> Callable[[str], StrEnum]:
    def parse(text: str) -> StrEnum:
        try:
            return choices(text)
        except ValueError:
            raise SettingError(f"expected one of {', '.join(choices)}; got {text!r}") from None

    return parse


def _setting(default: Any, parse: Callable[[str], Any], help_text: str) -> Any:
    return field(default=default, metadata={"parse": parse, "help": help_text})


@dataclass(frozen=True, slots=True, kw_only=True)
class MachineSettings:
    """The settings of a token machine. ``parse`` is the way from text."""

    tid_depth: int = _setting(DEPTH, _whole(1, 1000), "TIDs remembered, the highest ones")
    section_timeout_seconds: int = _setting(
        600, _whole(1, 86_400), "a key-change set that is not complete is forgotten so long after its last section"
    )
    kct_supported: int = _setting(
        0,
        _sections,
        "sections of its key-change sets under EA07: 2, 3 (as 0), or 4, which bring it to EA11; under EA11 always 4",
    )
    sgc_after_two_sections: SgcAfterTwo = _setting(
        SgcAfterTwo.KEEP, _one_of(SgcAfterTwo), "the supply group code after a set that brings none: keep or zero"
    )
    # guess: no source says what a meter does; if it took the key back, old tokens would work twice. The clause on key
    # changes, a compliance test or a meter's maker would settle it.
    refuses_former_keys: bool = _setting(
        True,
        _boolean,
        "refuse a set whose key the meter held before a rollover, as old tokens under it would work again",
    )
    checks_ken: bool = _setting(True, _boolean, "refuse tokens beyond the key expiry number")
    takes_code_zero: bool = _setting(True, _boolean, "take class 1 tokens with manufacturer code 0, beside its own")
    control_indexes: frozenset[int] = _setting(
        frozenset({0, 63}), _indexes, "control indexes of the extended token set that it knows, joined by commas"
    )
    lock_out: LockOutScope = _setting(
        LockOutScope.KEYPAD, _one_of(LockOutScope), "which wrong entries lock the meter out: off, keypad or all"
    )
    lock_out_after: int = _setting(3, _whole(1, 100), "wrong entries in a row that lock it")
    lock_out_first_seconds: int = _setting(10, _whole(1, 86_400), "how long at first; doubled by each further one")
    lock_out_longest_seconds: int = _setting(1280, _whole(1, 86_400), "how long at most")

    @property
    def lock_out_rule(self) -> LockOutRule:
        return LockOutRule(self.lock_out_after, self.lock_out_first_seconds, self.lock_out_longest_seconds)

    def sections_supported(self, ea: int) -> int:
        """How many sections the meter's key-change sets have at most, while its key is of this EA."""
        return 4 if ea == 11 else self.kct_supported or 3

    @classmethod
    def parse(cls, texts: Iterable[str]) -> MachineSettings:
        """Read ``NAME=VALUE`` each. Raises ``SettingError``."""
        settings = cls()
        for text in texts:
            name, _, value = text.partition("=")
            if name not in SETTING_HELP:
                raise SettingError(f"expected NAME=VALUE with a name of {', '.join(SETTING_HELP)}; got {name!r}")
            parse = next(one.metadata["parse"] for one in fields(cls) if one.name == name)
            try:
                settings = replace(settings, **{name: parse(value.strip())})
            except SettingError as error:
                raise SettingError(f"{name}: {error}") from None
        return settings


SETTING_HELP = {one.name: str(one.metadata["help"]) for one in fields(MachineSettings)}
"""Every setting, and what it is about."""
