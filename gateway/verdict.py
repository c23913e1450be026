"""What became of a token: one pure function decides, from what was sent and what could be read back.

``docs/verdicts.md`` shows the table with its reasons; every row here carries its number there. The first matching
row wins. Three rules stand behind all of them:

* ``credited: yes`` and ``credited: no`` are statements about the meter's ledger. What cannot be told is ``unknown``.
* A status is about *our* token only if attribute 2 shows it, something changed since we read before sending, and it
  came in remotely. The head-end's clock is never compared with the meter's.
* A token with a TID works once. Entering it again after a doubt cannot credit twice; that is the safety net.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum, StrEnum, auto

from cosem_objects.dlms.apdu import ActionResult
from cosem_objects.names import spell
from cosem_objects.profile import HiddenTokenProof, MeterProfile, TokenReadback
from cosem_objects.token_gateway import FAILURES, DataValueMap, StatusCode, StsResult, TokenStatus


class Outcome(StrEnum):
    """The verdict on one token."""

    ACCEPTED = "accepted"
    REJECTED = "rejected"
    PENDING = "pending"
    IN_DOUBT = "in_doubt"
    UNREACHED = "unreached"
    HELD = "held"


class Credited(StrEnum):
    """Whether the meter's ledger holds the token's value. A vending system refunds on ``no`` alone."""

    YES = "yes"
    NO = "no"
    UNKNOWN = "unknown"


class NextStep(Enum):
    """What a delivery does with a verdict."""

    STOP = auto()
    """Nothing more: final, held for a person, or to be tried again at another time."""
    POLL = auto()
    """Read again in this association, with growing waits."""
    RECONNECT = auto()
    """A new association, and read before anything else."""
    ENTER = auto()
    """``enter``: nothing was sent yet, or the meter does not show our token, and a token works once."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """The verdict, whether the value was credited, and why. ``reason`` is one of a closed list of words."""

    outcome: Outcome
    credited: Credited
    reason: str | None = None
    row: str = ""
    next_step: NextStep = NextStep.STOP
    detail: str = ""
    evidence: str | None = None

    @property
    def lets_the_next_one_go(self) -> bool:
        """Whether another token may be entered: the class shows the last token only, so doubt must be settled first."""
        return self.outcome in (Outcome.ACCEPTED, Outcome.REJECTED)


@dataclass(frozen=True, slots=True)
class Reading:
    """Attributes 2, 3, 5 and 6 of the Token gateway, read as one. None = the meter does not show it."""

    token: bytes | None = field(repr=False)
    time: bytes | None
    method: int | None
    status: TokenStatus | None


SECTION_STORED = "section-stored"
"""Evidence: the meter says that the token was a section of a key-change set, and that it waits for the others."""
OTHER_SET = "other-set"
"""Reason: sections of another key-change set may be in the meter."""
WRONG_METER = "wrong-meter"
COUNTER_RESET = "counter-reset"


@dataclass(frozen=True, slots=True)
class Obstacle:
    """Why nothing could be sent, or nothing read: a word, a sentence, and whether only a person can mend it."""

    reason: str
    detail: str
    is_configuration: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """All that is known about one token at one moment."""

    token: bytes = field(repr=False)
    """The octets of ``enter``."""
    has_tid: bool = True
    """False for tokens that may be repeated: class 1."""
    tries: int
    """Enters of ours of which a byte may have left, over all associations and earlier runs."""
    before: Reading | None = None
    """Read before our last ``enter``; None when it was another process that sent (after a doubt)."""
    action_result: int | None = None
    """What the ACTION answered in this association; None = no answer, or another association."""
    after: Reading | None = None
    """Read since; None = nothing could be read."""
    balance_rose: bool | None = None
    """Whether the available credit is higher than before; None = not known."""
    frame_repeated: bool = False
    """A frame of our only try was sent twice by the data link, so the meter may have executed it twice."""
    poll_time_is_up: bool = False
    obstacle: Obstacle | None = None


def judge(evidence: Evidence, profile: MeterProfile) -> Verdict:
    """The verdict on one token. Pure and total: every evidence has exactly one."""
    if evidence.tries == 0:
        return _nothing_left(evidence, profile)
    if evidence.obstacle is not None and evidence.obstacle.reason in (WRONG_METER, COUNTER_RESET):
        return Verdict(Outcome.HELD, Credited.UNKNOWN, evidence.obstacle.reason, "1", detail=evidence.obstacle.detail)
    reading = evidence.after
    if reading is None or reading.status is None or (reading.token is None and not _is_hidden(profile)):
        return _unread(evidence)
    if is_ours(evidence, profile):
        return _shown(evidence, reading.status, profile)
    if evidence.obstacle is not None and evidence.obstacle.is_configuration:
        return Verdict(Outcome.HELD, Credited.UNKNOWN, evidence.obstacle.reason, "6", detail=evidence.obstacle.detail)
    if evidence.action_result is not None and evidence.action_result != ActionResult.SUCCESS:
        return _refused(evidence.action_result)
    if evidence.action_result == ActionResult.SUCCESS and _unchanged(evidence) and not evidence.poll_time_is_up:
        return Verdict(Outcome.PENDING, Credited.UNKNOWN, "not-shown-yet", "4", NextStep.POLL)
    return _not_shown()


def is_ours(evidence: Evidence, profile: MeterProfile) -> bool:
    """Whether the reading is about our token: it shows its octets, changed since before our send, entered remotely."""
    reading, before = evidence.after, evidence.before
    if reading is None or reading.method not in (None, *profile.remote_delivery_methods):
        return False
    if _is_hidden(profile):
        return _stands_in_for_it(evidence, reading, profile)
    if not stands_in_meter(reading, evidence.token, profile):
        return False
    return before is None or reading.token != before.token or _has_another_time(reading, before)


def _has_another_time(reading: Reading, before: Reading) -> bool:
    """A time that could not be read, then or now, says nothing."""
    return None not in (reading.time, before.time) and reading.time != before.time


def _stands_in_for_it(evidence: Evidence, reading: Reading, profile: MeterProfile) -> bool:
    """Where attribute 2 is hidden: another proof, of which every part must be there."""
    before = evidence.before
    if before is None or reading.method is None or not _has_another_time(reading, before):
        return False
    if profile.hidden_token_proof is HiddenTokenProof.BALANCE:
        return bool(evidence.balance_rose) and code_in(reading, profile) is StatusCode.EXECUTION_OK
    return True


def stands_in_meter(reading: Reading, token: bytes, profile: MeterProfile) -> bool:
    """Whether attribute 2 shows this token, whoever entered it."""
    return reading.token is not None and profile.readback_octets_match(reading.token, token)


def _nothing_left(evidence: Evidence, profile: MeterProfile) -> Verdict:
    """Row 1, and the check before the first send."""
    if evidence.after is not None and evidence.has_tid and stands_in_meter(evidence.after, evidence.token, profile):
        detail = (
            "the meter shows this token already, nothing was sent; after a try that was cut off: deliver --after-doubt"
        )
        return Verdict(Outcome.REJECTED, Credited.UNKNOWN, "used", "0", detail=detail, evidence="already-in-meter")
    if evidence.obstacle is None:
        return Verdict(Outcome.UNREACHED, Credited.NO, "not-tried", "1", NextStep.ENTER, "nothing was sent yet")
    obstacle = evidence.obstacle
    outcome = Outcome.HELD if obstacle.is_configuration else Outcome.UNREACHED
    return Verdict(outcome, Credited.NO, obstacle.reason, "1", detail=obstacle.detail)


def _unread(evidence: Evidence) -> Verdict:
    """Row 2: it may have left, and nothing could be read since."""
    obstacle = evidence.obstacle or Obstacle("unreadable", "the Token gateway could not be read")
    return Verdict(Outcome.IN_DOUBT, Credited.UNKNOWN, obstacle.reason, "2", NextStep.RECONNECT, detail=obstacle.detail)


def _shown(evidence: Evidence, status: TokenStatus, profile: MeterProfile) -> Verdict:
    """Rows 3, 4, 5, 7, 8, 9: the status is about our token."""
    code = profile.status_code(status.code)
    if code is StatusCode.EXECUTION_OK:
        section = profile.data_value_map.section(status.data_value)
        if section is not None:
            detail = f"section {section} of a key-change set is stored, the key is not changed yet; sets go as one"
            return Verdict(Outcome.ACCEPTED, Credited.YES, None, "3", detail=detail, evidence=SECTION_STORED)
        return Verdict(Outcome.ACCEPTED, Credited.YES, None, "3")
    if code not in FAILURES:  # a stage on the way, or a code that nobody knows: never taken for a success
        if evidence.poll_time_is_up:
            detail = f"the status is still {status.words}"
            return Verdict(Outcome.IN_DOUBT, Credited.UNKNOWN, "pending", "4", NextStep.RECONNECT, detail=detail)
        return Verdict(Outcome.PENDING, Credited.UNKNOWN, "pending", "4", NextStep.POLL)
    result = profile.data_value_map.result(status.data_value)
    reason = result.value if result else _FAILURE_REASONS[code]
    if evidence.tries > 1:
        if result is StsResult.USED:
            return Verdict(Outcome.ACCEPTED, Credited.YES, None, "7", evidence="used-after-doubt")
        detail = f"it failed when entered again after a doubt{_unread_bits(status, profile)}; a person has to decide"
        return Verdict(Outcome.HELD, Credited.UNKNOWN, reason, "8", detail=detail)
    credited = Credited.NO
    is_only_try = evidence.before is not None and not evidence.frame_repeated
    if not is_only_try or (code is StatusCode.VALIDATION_FAILURE and result not in _NEVER_CREDITED):
        # Another process may have tried more than once. "used" means that it was credited once, "old" that it may have
        # been, and unread bits may mean either.
        credited = Credited.UNKNOWN
    row = "9" if result is StsResult.USED else "5"
    return Verdict(Outcome.REJECTED, credited, reason, row, detail=_unread_bits(status, profile).removeprefix(", "))


def _unread_bits(status: TokenStatus, profile: MeterProfile) -> str:
    """A hint where the meter gave a reason that the profile cannot read."""
    if profile.data_value_map is not DataValueMap.RAW or "1" not in status.data_value:
        return ""
    return f", the meter's reason {status.data_value} needs a profile with data_value_map"


def _refused(result: int) -> Verdict:
    """Row 10: the ACTION itself was refused, and nothing of ours is shown."""
    advice = _REFUSAL_ADVICE.get(result, "")
    detail = f"the meter refused enter with {spell(ActionResult, result)}{advice}"
    if result in _TRY_LATER:
        return Verdict(Outcome.IN_DOUBT, Credited.UNKNOWN, "busy", "10", detail=detail)
    return Verdict(Outcome.HELD, Credited.UNKNOWN, "config", "10", detail=detail)


def _not_shown() -> Verdict:
    """Row 6: another token stands there, or nothing changed."""
    detail = "the meter does not show our token"
    return Verdict(Outcome.IN_DOUBT, Credited.UNKNOWN, "not-shown", "6", NextStep.ENTER, detail=detail)


_REFUSAL_ADVICE: dict[int, str] = {
    ActionResult.HARDWARE_FAULT: "; try again later, as after a doubt",
    ActionResult.TEMPORARY_FAILURE: "; it is busy or locked: try again later, as after a doubt",
    ActionResult.READ_WRITE_DENIED: "; this client may not: check client SAP and security",
    ActionResult.OBJECT_UNDEFINED: "; there is no Token gateway: check the profile's gateway_obis",
    ActionResult.OBJECT_CLASS_INCONSISTENT: "; that object is no Token gateway: check the profile's gateway_obis",
    ActionResult.OBJECT_UNAVAILABLE: "; the Token gateway is switched off for this client",
    ActionResult.TYPE_UNMATCHED: "; it wants its tokens in another form: check the profile's token_encoding",
    ActionResult.SCOPE_OF_ACCESS_VIOLATED: "; this client may not: check client SAP and security",
}
_TRY_LATER = (ActionResult.HARDWARE_FAULT, ActionResult.TEMPORARY_FAILURE)
_FAILURE_REASONS = {
    StatusCode.FORMAT_FAILURE: "format",
    StatusCode.AUTHENTICATION_FAILURE: "authentication",
    StatusCode.VALIDATION_FAILURE: "validation",
    StatusCode.EXECUTION_FAILURE: "execution",
}
_NEVER_CREDITED = (StsResult.KEY_EXPIRED, StsResult.DEFAULT_KEY)
"""Validation failures under which this meter cannot have credited the token earlier."""


def _is_hidden(profile: MeterProfile) -> bool:
    return profile.token_readback is TokenReadback.HIDDEN


def code_in(reading: Reading, profile: MeterProfile) -> StatusCode | None:
    """The standard's code for the status that is shown; ``None`` if there is none, or nobody knows it."""
    return None if reading.status is None else profile.status_code(reading.status.code)


def _unchanged(evidence: Evidence) -> bool:
    before, after = evidence.before, evidence.after
    return before is not None and after is not None and (before.token, before.time) == (after.token, after.time)
