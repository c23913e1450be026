"""What became of a key-change set: one pure function decides, as ``verdict.judge`` does for a single token. Pure.

``docs/verdicts.md`` shows the table; every row here carries its name there. The first matching row wins. Behind it:

* A section with status 3 is *stored*; only class 116 proves that the set took effect. A model without it is believed
  when every section was executed, in one association, and no answer was lost.
* A section has no TID. Sent again before the change it is stored again, sent again after the change it is refused: the
  whole set may be repeated without harm, and a refusal may mean success. So class 116 is read before anything is
  concluded from a refusal or a lost answer.
* ``credited: yes`` means that the meter has the new key, ``no`` that it has not, by us or anybody.
"""

from __future__ import annotations

from dataclasses import dataclass

from gateway.key_change import KeyShown
from gateway.verdict import (
    COUNTER_RESET,
    SECTION_STORED,
    WRONG_METER,
    Credited,
    NextStep,
    Obstacle,
    Outcome,
    Verdict,
)

PASSES_MAX = 3
"""How often the whole set is sent in one run: once, and at most two more times."""
_REFUSALS_TO_BELIEVE = 2
_NOT_AUTHENTIC = ("authentication", "crc")
KEY_NOT_CHANGED, KEY_MISMATCH = "key-not-changed", "key-mismatch"


@dataclass(frozen=True, slots=True, kw_only=True)
class SetEvidence:
    """All that is known about one set at one moment."""

    shown: KeyShown
    is_partly_new: bool = False
    """Class 116 shows one of the new values at least, whether or not it did so before."""
    passes: int = 0
    """How often the set was begun in this run: a byte of its first section may have left."""
    doubt: bool = False
    """Whether a section may have been sent in an earlier run."""
    sections: int = 2
    section: Verdict | None = None
    """On the section that was sent last, since the association began or class 116 was read; None = none was."""
    position: int = 0
    """Of that section, from 0."""
    is_mixed: bool = False
    """In this pass the key changed, or may have, before all of this set was in the meter: sections of another set may
    have been there."""
    refused: int = 0
    """How many sections of this pass were not authentic; more than one is only tried if ``was_new``."""
    has_taken: bool = False
    """The meter took a section of this pass."""
    is_told: bool = False
    """The meter named each section before the last one as stored."""
    was_new: bool = False
    """Class 116 showed all that was stated before anything was ever sent: then that alone proves nothing."""
    obstacle: Obstacle | None = None

    @property
    def is_begun(self) -> bool:
        return self.passes > 0 or self.doubt

    @property
    def is_stored(self) -> bool:
        """Whether the last section was, and so all of them."""
        is_last = self.position == self.sections - 1 and not self.refused
        return is_last and self.section is not None and self.section.outcome is Outcome.ACCEPTED

    @property
    def waits_for_more(self) -> bool:
        """Whether the meter says of the last section that it waits for others: then the set is not complete."""
        return self.section is not None and self.section.evidence == SECTION_STORED

    @property
    def is_under_another_key(self) -> bool:
        """Whether two sections were not authentic, and so not one that was mistyped: the meter has another key than the
        one the set is under."""
        return self.refused >= _REFUSALS_TO_BELIEVE and not self.has_taken

    @property
    def is_refused_at_once(self) -> bool:
        """Whether the first section of all that were ever sent was rejected, and nothing was in doubt."""
        is_rejected = self.section is not None and self.section.outcome is Outcome.REJECTED
        return is_rejected and self.position == 0 and self.passes == 1 and not self.doubt


def judge_set(evidence: SetEvidence) -> Verdict:
    """The verdict on the whole set, and so on each of its sections; ``ENTER``: send it from its first section. Total:
    every evidence has exactly one."""
    shown, is_begun = evidence.shown, evidence.is_begun
    unknown = Credited.UNKNOWN if is_begun else Credited.NO
    if shown is KeyShown.NEW and evidence.is_mixed:
        detail = (
            "class 116 shows the new key, but it came before the set was complete: another set may be mixed into it"
        )
        return Verdict(Outcome.HELD, Credited.UNKNOWN, KEY_MISMATCH, "K5", detail=detail)
    is_taken = evidence.is_stored and evidence.is_told and not evidence.waits_for_more
    if shown is KeyShown.NEW and (not evidence.was_new or is_taken):
        return Verdict(Outcome.ACCEPTED, Credited.YES, None, "K1", evidence="class-116")
    if shown is KeyShown.NEW and evidence.is_under_another_key:
        detail = "the meter has that key already, and took nothing"
        return Verdict(Outcome.ACCEPTED, Credited.YES, None, "K1", detail=detail, evidence="already-new-key")
    if evidence.obstacle is not None or shown is KeyShown.UNREAD:
        return _obstructed(evidence)
    if shown is KeyShown.SILENT:
        detail = "class 116 does not show what the key change is to be proven by: check the profile's sts_obis"
        return Verdict(Outcome.HELD, unknown, "config", "K4", detail=detail)
    if shown is KeyShown.OTHER:
        detail = "class 116 shows neither the old key nor what was expected of the new one"
        return Verdict(Outcome.HELD, unknown, KEY_MISMATCH, "K5", detail=detail)
    return _not_changed(evidence)


def _obstructed(evidence: SetEvidence) -> Verdict:
    """Rows K2 and K3: the meter could not be reached, or not be read; as rows 1 and 2 of a single token."""
    obstacle = evidence.obstacle or Obstacle("unreadable", "the meter could not be read")
    reason, detail = obstacle.reason, obstacle.detail
    if not evidence.is_begun:
        outcome = Outcome.HELD if obstacle.is_configuration else Outcome.UNREACHED
        credited = Credited.UNKNOWN if evidence.was_new else Credited.NO
        return Verdict(outcome, credited, reason, "K2", detail=detail)
    if reason in (WRONG_METER, COUNTER_RESET):
        return Verdict(Outcome.HELD, Credited.UNKNOWN, reason, "K3", detail=detail)
    return Verdict(Outcome.IN_DOUBT, Credited.UNKNOWN, reason, "K3", NextStep.RECONNECT, detail=detail)


def _not_changed(evidence: SetEvidence) -> Verdict:
    """Rows K6 to K11: class 116 shows the old key, or what it showed before anything was sent, or is not asked."""
    section, is_asked = evidence.section, evidence.shown is not KeyShown.UNASKED
    if section is None:
        if evidence.is_begun:
            detail = "class 116 shows the old key" if is_asked else "nobody knows what became of the set"
            return _send_all(evidence, KEY_NOT_CHANGED, detail)
        return Verdict(Outcome.UNREACHED, Credited.NO, "not-tried", "K6", NextStep.ENTER, "nothing was sent yet")
    if evidence.is_stored:
        if is_asked or evidence.waits_for_more:
            seen = "class 116 shows the old key" if is_asked else "the meter waits for more of them"
            return _send_all(evidence, KEY_NOT_CHANGED, f"all sections are stored, but {seen}")
        return Verdict(Outcome.ACCEPTED, Credited.YES, None, "K7", evidence="status")
    old = "; class 116 shows the old key" if is_asked else ""
    detail = f"section {evidence.position + 1} of {evidence.sections}: {_words(section)}{old}"
    if section.outcome is Outcome.REJECTED:
        if evidence.is_refused_at_once:
            is_proven = evidence.shown is KeyShown.OLD and not evidence.is_partly_new
            credited = Credited.NO if is_proven else Credited.UNKNOWN
            return Verdict(Outcome.REJECTED, credited, section.reason, "K8", detail=detail)
        if not is_asked and evidence.position == 0:
            detail += "; a meter that has the new key says so, too: a person has to look"
            return Verdict(Outcome.HELD, Credited.UNKNOWN, section.reason, "K9", detail=detail)
    elif section.next_step in (NextStep.STOP, NextStep.RECONNECT) and section.outcome is not Outcome.ACCEPTED:
        return Verdict(section.outcome, Credited.UNKNOWN, section.reason, "K10", section.next_step, detail)
    return _send_all(evidence, section.reason or KEY_NOT_CHANGED, detail)


def _send_all(evidence: SetEvidence, reason: str, detail: str) -> Verdict:
    """Row K11: the whole set once more, within the limit."""
    if evidence.passes < PASSES_MAX:
        return Verdict(Outcome.IN_DOUBT, Credited.UNKNOWN, reason, "K11", NextStep.ENTER, detail)
    detail += f"; the set was sent {evidence.passes} times"
    return Verdict(Outcome.HELD, Credited.UNKNOWN, reason, "K11", detail=detail)


def _words(section: Verdict) -> str:
    rejected = "rejected, " if section.outcome is Outcome.REJECTED else ""
    return f"{rejected}{section.detail or section.reason or section.outcome}"


def is_not_authentic(section: Verdict) -> bool:
    """Whether a section was refused as one that is under another key, or mistyped."""
    return section.outcome is Outcome.REJECTED and section.reason in _NOT_AUTHENTIC
