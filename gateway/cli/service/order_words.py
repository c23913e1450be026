"""An order of the API in words: one line of its story, one token, its end."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from gateway.cli.service.moments import shown_time, with_shown_times
from gateway.cli.service.tables import cell, facts
from gateway.orders import OrderState


def event_line(event: Mapping[str, Any]) -> str:
    """One line of an order's story."""
    details = event.get("details")
    text = details.get("text") if isinstance(details, Mapping) else None
    return f"{shown_time(event.get('at'))}  {cell(text or event.get('name'))}"


def ending(order: Mapping[str, Any]) -> str:
    """State, what was credited, and the proof, in one line."""
    reason = f" ({cell(order['reason'])})" if order.get("reason") else ""
    tokens = "; ".join(token_words(token) for token in order.get("tokens", ()))
    return f"order {cell(order.get('id'))}: {cell(order.get('state'))}{reason}; {tokens}"


def token_words(token: Mapping[str, Any]) -> str:
    """What became of one token, and what proves it."""
    words = [f"{cell(token.get('token'))} {_credited_words(token)}"]
    if token.get("status_code") is not None:
        words.append(f"status {cell(token['status_code'])}")
    if token.get("evidence"):
        words.append(f"evidence {cell(token['evidence'])}")
    details = token.get("details") or {}
    before, after = details.get("balance_before"), details.get("balance_after")
    if after is not None:
        words.append(f"balance {f'{cell(before)} -> ' if before is not None else ''}{_in_unit(after, details)}")
    return ", ".join(words)


def token_facts(token: Mapping[str, Any]) -> Iterator[str]:
    """The line of ``token_words``, and below it all else that is known of the token."""
    yield token_words(token)
    details, amount = with_shown_times(token.get("details") or {}), token.get("amount") or {}
    for name in ("balance_before", "balance_after"):
        if name in details:
            details[name] = _in_unit(details[name], details)
    details.pop("unit", None)
    known = {
        "kind": token.get("kind"),
        "amount": _in_unit(amount["value"], amount) if "value" in amount else None,
        "entered": "never" if token.get("tries") == 0 else f"{cell(token.get('tries'))} times at most",
        "verdict": token.get("verdict"),
        "reason": token.get("reason"),
        **details,
    }
    yield from (f"  {line}" for line in facts({name: value for name, value in known.items() if value is not None}))


def what_next(order: Mapping[str, Any]) -> Iterator[str]:
    """What only a person can do now."""
    if order.get("state") == OrderState.HELD:
        order_id = cell(order.get("id"))
        yield f"a person decides: stsgate orders resolve {order_id} --credited yes|no|retry --note TEXT"
        yield f"the meter once more: stsgate orders reconcile {order_id}"


def _credited_words(token: Mapping[str, Any]) -> str:
    """What was never tried is not unknown: it cannot have been credited."""
    credited = token.get("credited")
    return "not tried" if credited is None and token.get("tries") == 0 else f"credited {cell(credited or 'unknown')}"


def _in_unit(value: Any, named: Mapping[str, Any]) -> str:
    return f"{cell(value)} {cell(named['unit'])}" if named.get("unit") else cell(value)
