"""What a meter says about itself, as values: sections, their facts, and what was skipped. Pure.

For people who want to know a meter, not for verdicts: those take ``gateway.readback``. A report grows while it is
being read (``report_reader``), so what was read before a link broke is still there to be shown.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from cosem_objects.dlms.describe.node import Json
from gateway.reading import report_sections as kinds
from gateway.reading.report_values import Said


@dataclass(frozen=True, slots=True)
class Fact:
    """One line of a section. ``label`` empty: for programs only."""

    name: str
    label: str
    said: Said


@dataclass(frozen=True, slots=True)
class Section:
    """One object, as far as the meter shows it."""

    name: str
    heading: str
    obis: str
    facts: tuple[Fact, ...]

    def to_json(self) -> dict[str, Json]:
        """``obis``, if it is one object, and each fact by its name."""
        place: dict[str, Json] = {"obis": self.obis} if self.obis else {}
        return place | {fact.name: fact.said.json for fact in self.facts}


@dataclass(frozen=True, slots=True)
class Skipped:
    """What was not read, and why: a whole section, or ``section.attribute``."""

    what: str
    place: str
    """Where it was looked for."""
    reason: str


_LISTS = (kinds.CREDIT.name, kinds.CHARGE.name)
SECTION_NAMES = (
    *("identity", kinds.CLOCK.name, kinds.TOKEN_GATEWAY.name, kinds.STS.name, kinds.ACCOUNT.name, *_LISTS),
    *(kinds.DISCONNECT_CONTROL.name, kinds.ASSOCIATION.name, kinds.SECURITY_SETUP.name, kinds.PUSH_SETUP.name),
)


@dataclass(slots=True)
class MeterReport:
    """What was read so far."""

    sections: list[Section] = field(default_factory=list)
    skipped: list[Skipped] = field(default_factory=list)

    def to_json(self) -> dict[str, Json]:
        """Every section by its name; null or an empty list for those that were skipped."""
        shown: dict[str, Json] = {}
        for name in SECTION_NAMES:
            found = [section.to_json() for section in self.sections if section.name == name]
            shown[name] = found if name in _LISTS else found[0] if found else None
        return shown


def skipped_to_json(skipped: Sequence[Skipped]) -> list[Json]:
    return [{"what": one.what, "place": one.place, "reason": one.reason} for one in skipped]
