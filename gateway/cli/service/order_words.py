"""An order of the API in words: one line of its story, one token, its end."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from gateway.cli.service.moments import local_time
from gateway.cli.service.tables import cell


def event_line(event: Mapping[str, Any]) -> str:
    """One line of an order's story."""
    details = event.get("details")
    text = details.get("text") if isinstance(details, Mapping) else None
    return f"{local_time(event.get('at'))}  {cell(text or event.get('event'))}"


def ending(order: Mapping[str, Any]) -> str:
    """State, what was credited, and the proof, in one line."""
    reason = f" ({cell(order['reason'])})" if order.get("reason") else ""
    tokens = "; ".join(token_words(token) for token in order.get("tokens", ()))
    return f"order {cell(order.get('id'))}: {cell(order.get('state'))}{reason}; {tokens}"


def token_words(token: Mapping[str, Any]) -> str:
    """What became of one token, and what proves it."""
    words = [f"{cell(token.get('token'))} credited {cell(token.get('credited') or 'unknown')}"]
    if token.get("status_code") is not None:
        words.append(f"status {cell(token['status_code'])}")
    if token.get("evidence"):
        words.append(f"evidence {cell(token['evidence'])}")
    details = token.get("details") or {}
    before, after = details.get("balance_before"), details.get("balance_after")
    if after is not None:
        unit = f" {cell(details['unit'])}" if details.get("unit") else ""
        words.append(f"balance {f'{cell(before)} -> ' if before is not None else ''}{cell(after)}{unit}")
    return ", ".join(words)
