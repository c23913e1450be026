"""What follows from a receiver's answer: delivered, again later, dead, or the webhook is switched off. Pure."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from enum import StrEnum

from gateway.schedule import Backoff

_TOO_MANY_REQUESTS, _SERVICE_UNAVAILABLE, _GONE = 429, 503, 410
_SECONDS = re.compile(r"[0-9]{1,9}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What came of one POST: a status, or the reason why there is none. Nothing of the answer's body."""

    status: int | None = None
    error: str | None = None
    retry_after: str | None = None
    """The header of this name, as it came."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RetryRule:
    """How often, and how long. With these values the fifteenth try comes after one to two days."""

    attempts_max: int = 15
    backoff: Backoff = field(default_factory=lambda: Backoff(first_seconds=30.0, longest_seconds=12 * 3600.0))
    retry_after_seconds_max: float = 3600.0
    """The longest pause that a receiver may ask for."""


class Fate(StrEnum):
    """What became of one try."""

    DELIVERED = "delivered"
    RETRY = "retry"
    DEAD = "dead"
    """Not tried again until a person replays it."""
    GONE = "gone"
    """Dead, and the receiver said that it wants no more: the webhook is switched off."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """What to do after a try."""

    fate: Fate
    error: str = ""
    """Empty if delivered."""
    due_at: datetime | None = None
    """When to try again; None = not again."""
    pause_until: datetime | None = None
    """The receiver asked for quiet: nothing else goes to it before then."""


def decide(answer: Answer, attempts: int, rule: RetryRule, now: datetime, chance: float) -> Decision:
    """What follows from this answer, after ``attempts`` tries that failed before it. ``chance`` is drawn from 0 to
    below 1, for the wait."""
    if answer.status is not None and 200 <= answer.status < 300:
        return Decision(fate=Fate.DELIVERED)
    error = _words(answer)
    if answer.status == _GONE:
        return Decision(fate=Fate.GONE, error=error)
    asked = _asked_for(answer, rule, now)
    pause_until = now + asked if asked else None
    if attempts + 1 >= rule.attempts_max:
        return Decision(fate=Fate.DEAD, error=error, pause_until=pause_until)
    wait = max(rule.backoff.wait(attempts + 1, chance), asked)
    return Decision(fate=Fate.RETRY, error=error, due_at=now + wait, pause_until=pause_until)


def _words(answer: Answer) -> str:
    if answer.status is None:
        return answer.error or "no answer"
    if answer.status == _GONE:
        return "answered 410 (gone): the webhook was switched off"
    if 300 <= answer.status < 400:
        return f"answered {answer.status}: redirects are not followed"
    return f"answered {answer.status}"


def _asked_for(answer: Answer, rule: RetryRule, now: datetime) -> timedelta:
    """The pause of ``Retry-After``, in seconds or up to a date (RFC 9110, 10.2.3); none if it cannot be read."""
    text = answer.retry_after
    if text is None or answer.status not in (_TOO_MANY_REQUESTS, _SERVICE_UNAVAILABLE):
        return timedelta(0)
    if _SECONDS.fullmatch(text):
        seconds = float(text)
    else:
        try:
            date = parsedate_to_datetime(text)
        except ValueError:
            return timedelta(0)
        # A date without a zone is in UTC: all of HTTP's are.
        seconds = (date.replace(tzinfo=date.tzinfo or UTC) - now).total_seconds()
    return timedelta(seconds=min(max(seconds, 0.0), rule.retry_after_seconds_max))
