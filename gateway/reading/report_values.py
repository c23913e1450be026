"""What the attributes of a meter say, to people in words and to programs in JSON. Pure.

A *meaning* takes a value as it came and the account's currency with it, and says it twice. It raises
``RemoteProtocolError`` for a value of another form. Names of enums, bits and the parts of structures are those of the
standard, in JSON as it spells them (``in-use``, ``in_credit``), in words without their hyphens.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from cosem_objects.axdr import Data
from cosem_objects.clock import CosemDateTime
from cosem_objects.dlms.describe import Place
from cosem_objects.dlms.describe.node import Json
from cosem_objects.interface_classes import enum_words
from cosem_objects.obis import ObisCode
from cosem_objects.payment import Currency
from cosem_objects.profile import MeterProfile


@dataclass(frozen=True, slots=True)
class Said:
    """One value, for people and for programs."""

    words: str
    json: Json


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What a value's meaning depends on."""

    profile: MeterProfile
    currency: Currency | None = None
    """The account's; ``None`` while it is not known."""


Meaning: TypeAlias = Callable[[Data, Surroundings], Said]


def number(data: Data, _around: Surroundings) -> Said:
    return Said(str(data.integer), data.integer)


def numbers(data: Data, _around: Surroundings) -> Said:
    found = [element.integer for element in data.elements]
    return Said(", ".join(map(str, found)) or "none", found)


def digits(count: int) -> Meaning:
    """A number that people write with zeros in front, such as a supply group code."""

    def say(data: Data, _around: Surroundings) -> Said:
        shown = f"{data.integer:0{count}d}"
        return Said(shown, shown)

    return say


def seconds(data: Data, _around: Surroundings) -> Said:
    return Said(f"{data.integer} s", data.integer)


def connected(data: Data, _around: Surroundings) -> Said:
    return Said("connected" if data.boolean else "disconnected", data.boolean)


def text(data: Data, _around: Surroundings) -> Said:
    shown = data.text
    return Said(shown or "(empty)", shown)


def title(data: Data, _around: Surroundings) -> Said:
    """A system title."""
    shown = data.octets.hex().upper()
    return Said(shown or "(empty)", shown)


def amount(data: Data, around: Surroundings) -> Said:
    """A number of the account: ``25.6 kWh``; as it is where the currency is not known."""
    if around.currency is None:
        return Said(f"{data.integer} (raw, the currency is not known)", str(data.integer))
    value = around.currency.amount(data.integer)
    return Said(f"{value:f} {around.currency.name}".rstrip(), f"{value:f}")


def enum(class_id: int, attribute: int) -> Meaning:
    """One of a list of the standard."""

    def say(data: Data, _around: Surroundings) -> Said:
        return said_name(enum_words(class_id, attribute, (), data.integer) or str(data.integer))

    return say


def code(class_id: int, attribute: int) -> Meaning:
    """One of a list that people know by its number."""

    def say(data: Data, _around: Surroundings) -> Said:
        name = said_name(enum_words(class_id, attribute, (), data.integer) or "unknown").json
        return Said(f"{data.integer} ({name})", data.integer)

    return say


def numbered(words: Sequence[str]) -> Meaning:
    """One of a list, counted from 0, that no interface class names."""

    def say(data: Data, _around: Surroundings) -> Said:
        value = data.integer
        name = words[value] if 0 <= value < len(words) else "unknown"
        return Said(f"{value} ({name})", value)

    return say


def bits(class_id: int, attribute: int) -> Meaning:
    """The names of the bits that are set."""

    def say(data: Data, _around: Surroundings) -> Said:
        return said_flags(flag_names(data.bits, Place(class_id, attribute).bit_names()))

    return say


def date_time(data: Data, around: Surroundings) -> Said:
    return said_moment(data.octets, around.profile.deviation_sign)


def references(data: Data, _around: Surroundings) -> Said:
    """A list of objects by their logical names."""
    names = [str(ObisCode.from_octets(element.octets)) for element in data.elements]
    return Said(", ".join(names) or "none", names)


def reference(data: Data, _around: Surroundings) -> Said:
    name = ObisCode.from_octets(data.octets)
    return Said(str(name), str(name)) if any(name.octets) else Said("none", None)


def said_name(spelt: str) -> Said:
    """``in-use (3)`` -> ``in use``; what has no name stays ``unknown (9)``."""
    name = spelt if spelt.startswith("unknown") else spelt.partition(" (")[0]
    return Said(name.replace("-", " "), name)


def said_flags(names: Sequence[str]) -> Said:
    return Said(", ".join(name.replace("_", " ") for name in names) or "none", list(names))


def flag_names(shown: str, names: Sequence[str]) -> list[str]:
    """Of the bits that are set, the first on the wire first; ``bit 9`` for one without a name."""
    return [names[index] if index < len(names) else f"bit {index}" for index, bit in enumerate(shown) if bit == "1"]


def said_moment(octets: bytes, deviation_sign: int = 1) -> Said:
    """``2026-11-21 14:03:07 +01:00``; fields left open are stars. In JSON ISO 8601, null where all are open."""
    if not octets:  # how Gurux' meters say it
        return Said("not set", None)
    moment = CosemDateTime.from_octets(octets)
    fields = (moment.year, moment.month, moment.day, moment.hour, moment.minute, moment.second)
    if set(fields) == {None}:
        return Said("not set", None)
    zone = ""
    if moment.deviation is not None:
        # By the standard local time + deviation = UTC; people count the other way.
        ahead = -moment.deviation * deviation_sign
        hours, minutes = divmod(abs(ahead), 60)
        zone = f"{'-' if ahead < 0 else '+'}{hours:02d}:{minutes:02d}"
    date, _, time = str(moment).partition(" ")
    return Said(f"{date} {time} {zone}".rstrip(), f"{date}T{time}{zone}")
