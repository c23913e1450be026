"""An order's story, line by line: what is appended to the store, streamed to who watches, and sent to webhooks. Pure.

Every line has a name that programs know it by (``docs/api.md`` lists them) and a ``text`` that people read.
"""

from __future__ import annotations

from datetime import datetime, timedelta

from gateway.events import DoubtArisen, Judged, KeyRead, Reached, SectionStored, SendStarted, StatusRead
from gateway.key_change import KeyShown
from gateway.orders import Amount, Order, OrderState
from gateway.shown import printable
from gateway.store.records import NewEvent, Resolution
from gateway.verdict import Outcome
from gateway.verdict_words import account_words, verdict_line

FINAL_OR_HELD = ("order.accepted", "order.rejected", "order.held", "order.expired", "order.cancelled")
"""What a webhook is told of if it does not choose, and where somebody who watches an order stops."""


def _event(name: str, text: str, position: int | None = None, **details: object) -> NewEvent:
    return NewEvent(name=name, position=position, details={"text": printable(text), **details})


# What callers and operators do.


def order_created(order: Order, who: str) -> NewEvent:
    tokens = ", ".join(ordered.token.masked for ordered in order.tokens)
    waits = f", not before {_words(order.not_before)}" if order.not_before else ""
    ends = f", expires at {_words(order.expires_at)}" if order.expires_at else ""
    text = f"taken: {tokens} for meter {order.meter}, priority {order.priority}{waits}{ends}"
    return _event("order.created", text, who=who)


def order_cancelled(who: str) -> NewEvent:
    return _event("order.cancelled", f"cancelled by {who}; nothing was sent", who=who)


def order_resolved(resolution: Resolution, who: str) -> NewEvent:
    text = f"{who} decided: {resolution.credited}; {resolution.note}"
    return _event("order.resolved", text, who=who, decision=resolution.credited.value, note=printable(resolution.note))


def reconcile_requested(who: str) -> NewEvent:
    return _event("order.reconcile_requested", f"{who} lets the meter be read again", who=who)


def order_retried(who: str) -> NewEvent:
    return _event("order.retried", f"{who} lets it be tried again; it cannot have arrived", who=who)


def order_accepted_by(who: str) -> NewEvent:
    return _event("order.accepted", f"accepted on the word of {who}", who=who)


def token_accepted_by(who: str, position: int) -> NewEvent:
    """The next token of the order has its turn."""
    return _event("order.token_accepted", f"token {position + 1} accepted on the word of {who}", position, who=who)


def order_rejected_by(who: str) -> NewEvent:
    return _event("order.rejected", f"rejected on the word of {who}", who=who)


# What time and the store do.


def order_expired() -> NewEvent:
    return _event("order.expired", "its time is over; nothing was sent")


def order_held_expired() -> NewEvent:
    text = "its time is over, and a part of it was delivered: a person has to decide about the rest"
    return _event("order.held", text, reason="expired")


def order_restored() -> NewEvent:
    text = "the store was restored from a backup: the meter is read before anything is sent"
    return _event("order.restored", text, reason="restored")


def found_after_restart() -> NewEvent:
    text = "in doubt: the service stopped while the token was on its way; the meter is read before anything is sent"
    return _event("order.in_doubt", text, reason="restart")


def reconciling() -> NewEvent:
    return _event("order.reconciling", "reading the meter back")


# What a delivery does.


def reached(event: Reached) -> NewEvent:
    title = f" {event.system_title.hex().upper()}" if event.system_title else ""
    unchecked = "".join(f"; it has no {what} to check" for what in event.unchecked)
    return _event("meter.reached", f"associated with the meter{title}; {account_words(event.account)}{unchecked}")


def sending(event: SendStarted, position: int) -> NewEvent:
    again = "" if event.tries == 1 else f", try {event.tries}"
    return _event("order.sending", f"{event.token.masked} intent: entering it now{again}", position, tries=event.tries)


_KEY_SHOWN = {
    KeyShown.NEW: "the new key",
    KeyShown.OLD: "the old key",
    KeyShown.OTHER: "neither the old key nor the new one",
    KeyShown.SILENT: "nothing to prove the key change by",
}


def key_read(event: KeyRead) -> NewEvent:
    """What class 116 shows, for a key-change set."""
    return _event("meter.key_read", f"class 116 shows {event.key.words}: {_KEY_SHOWN[event.shown]}")


def section_stored(event: SectionStored, position: int) -> NewEvent:
    text = f"{event.token.masked} stored, section {event.position + 1} of {event.sections}"
    return _event("order.section_stored", text, position)


def pending(event: StatusRead, position: int) -> NewEvent:
    is_shown = event.status is not None and event.verdict.reason != "not-shown-yet"
    words = event.status.words if event.status and is_shown else "the meter does not show it yet"
    return _event("order.pending", f"{event.token.masked} pending: {words}; reading again", position)


def in_doubt(event: DoubtArisen, position: int) -> NewEvent:
    verdict = event.verdict
    what = verdict.detail or verdict.reason
    text = f"{event.token.masked} in doubt: {what}; associating anew to read it back"
    return _event("order.in_doubt", text, position, reason=verdict.reason)


_STATE_EVENTS = {
    OrderState.ACCEPTED: "order.accepted",
    OrderState.REJECTED: "order.rejected",
    OrderState.HELD: "order.held",
    OrderState.IN_DOUBT: "order.in_doubt",
    OrderState.QUEUED: "order.token_accepted",
}


def settled(
    judged: Judged, position: int, state: OrderState, amount: Amount | None = None, due_at: datetime | None = None
) -> NewEvent:
    """One try is over, and the order is in ``state`` by it."""
    text = verdict_line(judged, amount)
    if state is OrderState.HELD and judged.verdict.outcome is not Outcome.HELD:
        text = f"HELD after too many rounds, or too late; the last word on it: {text}"
    if due_at is not None:
        text += f"; reading again at {_words(due_at)}"
    verdict = judged.verdict
    details: dict[str, object] = {
        "verdict": verdict.outcome.value,
        "credited": verdict.credited.value,
        "status_code": None if judged.status is None else judged.status.code,
        "reason": verdict.reason,
        "evidence": verdict.evidence,
        "row": verdict.row,
    }
    if due_at is not None:
        details["due_at"] = due_at.isoformat()
    return _event(_STATE_EVENTS[state], text, position, **details)


def postponed(reason: str, detail: str, due_at: datetime) -> NewEvent:
    """The meter was not reached; nothing was sent."""
    text = f"not reached ({reason}): {detail}; trying again at {_words(due_at)}"
    return _event("order.postponed", text, reason=reason, due_at=due_at.isoformat())


def held(reason: str, detail: str) -> NewEvent:
    return _event("order.held", f"held ({reason}): {detail}", reason=reason)


def _words(moment: datetime) -> str:
    return f"{moment + timedelta(microseconds=500_000):%Y-%m-%d %H:%M:%S} UTC"
