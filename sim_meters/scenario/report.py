"""What came of a scenario: values only. ``story.py``, ``junit.py`` and JSON show them.

Whatever comes in here was made harmless before, see ``Hider``: no token, key or password stands in it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any

_TOKEN = re.compile(r"(?<![0-9])([0-9][ -]?){16}([0-9][ -]?){3}[0-9](?![0-9])")
_SECRET_SIZE_MIN = 4
"""A shorter password is no secret, and hiding it would spoil every other word."""


class StepError(Exception):
    """A step could not be taken; the message says why."""


class Status(StrEnum):
    PASSED = "passed"
    FAILED = "failed"
    """Something was not as expected."""
    ERROR = "error"
    """A step could not be taken."""
    SKIPPED = "skipped"


@dataclass(frozen=True, slots=True)
class Check:
    """One expectation."""

    what: str
    expected: str
    found: str
    holds: bool

    def __str__(self) -> str:
        return f"{self.what}: expected {self.expected}; found {self.found}"


@dataclass(frozen=True, slots=True)
class StepReport:
    """One step that was taken, or could not be."""

    number: int
    do: str
    words: str
    """What was done, and what was seen."""
    checks: tuple[Check, ...] = ()
    error: str = ""
    seconds: float = 0.0

    @property
    def failed(self) -> list[Check]:
        return [check for check in self.checks if not check.holds]

    @property
    def status(self) -> Status:
        if self.error:
            return Status.ERROR
        return Status.FAILED if self.failed else Status.PASSED

    @property
    def message(self) -> str:
        """``step 3 (enter): status_code: expected 3; found 6``; empty if all went well."""
        what = self.error or "; ".join(map(str, self.failed))
        return f"step {self.number} ({self.do}): {what}" if what else ""


@dataclass(frozen=True, slots=True)
class CaseReport:
    title: str
    meter: str
    steps: tuple[StepReport, ...] = ()
    skipped: str = ""
    """Why it was not begun."""
    error: str = ""
    """Why no step could be taken."""
    seconds: float = 0.0

    @property
    def status(self) -> Status:
        if self.skipped:
            return Status.SKIPPED
        if self.error:
            return Status.ERROR
        return self.steps[-1].status if self.steps else Status.PASSED

    @property
    def message(self) -> str:
        return self.skipped or self.error or (self.steps[-1].message if self.steps else "")


@dataclass(frozen=True, slots=True, kw_only=True)
class ScenarioReport:
    name: str
    file: str
    properties: Mapping[str, str]
    """What it takes to have the same again: seed, clock, versions."""
    started: datetime
    """In real time, UTC."""
    seconds: float
    cases: tuple[CaseReport, ...]

    def count(self, status: Status) -> int:
        return sum(case.status is status for case in self.cases)

    @property
    def is_passed(self) -> bool:
        return all(case.status is Status.PASSED for case in self.cases)

    def to_json(self) -> dict[str, Any]:
        """For machines: everything that is here."""
        return {
            "scenario": self.name,
            "file": self.file,
            "started": self.started.isoformat(),
            "seconds": round(self.seconds, 3),
            "properties": dict(self.properties),
            "counts": {str(status): self.count(status) for status in Status},
            "cases": [
                {
                    "case": case.title,
                    "meter": case.meter,
                    "status": str(case.status),
                    "message": case.message or None,
                    "seconds": round(case.seconds, 3),
                    "steps": [_step_json(step) for step in case.steps],
                }
                for case in self.cases
            ],
        }


def _step_json(step: StepReport) -> dict[str, Any]:
    return {
        "step": step.number,
        "do": step.do,
        "status": str(step.status),
        "words": step.words,
        "error": step.error or None,
        "seconds": round(step.seconds, 3),
        "checks": [asdict(check) for check in step.checks],
    }


class Hider:
    """Takes tokens, keys and passwords out of a text."""

    def __init__(self, secrets: Iterable[str]) -> None:
        known = sorted({text for text in secrets if len(text) >= _SECRET_SIZE_MIN}, key=len, reverse=True)
        self._secrets = re.compile("|".join(map(re.escape, known)), re.IGNORECASE) if known else None

    def hide(self, text: str) -> str:
        """Tokens by their last four digits, the others not at all."""
        if self._secrets is not None:
            text = self._secrets.sub("(hidden)", text)
        return _TOKEN.sub(lambda match: "…" + re.sub("[ -]", "", match[0])[-4:], text)

    def hide_check(self, check: Check) -> Check:
        return Check(check.what, self.hide(check.expected), self.hide(check.found), check.holds)
