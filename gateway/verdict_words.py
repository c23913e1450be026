"""A verdict in words: one line for a person, one object for a program. Tokens by their last four digits. Pure."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from cosem_objects import disconnect_control
from gateway.events import Judged
from gateway.orders import Amount
from gateway.readback import AccountReading
from gateway.shown import printable
from gateway.verdict import Credited


def verdict_line(judged: Judged, amount: Amount | None = None, advice: str = "") -> str:
    """The whole story of one token in one line."""
    verdict = judged.verdict
    parts = [f"{judged.token.masked} {verdict.outcome.value.upper().replace('_', ' ')}"]
    if verdict.reason:
        parts[0] += f" ({verdict.reason})"
    if judged.status is not None:
        parts.append(f"status {judged.status.code} {judged.status.words}{_meter_time(judged)}")
    if verdict.evidence:
        parts.append(f"evidence {verdict.evidence}{_EVIDENCE_WORDS.get(verdict.evidence, '')}")
    if verdict.detail:
        parts.append(verdict.detail)
    parts.append(f"credited {verdict.credited.value}")
    parts += _effect_words(judged, amount)
    parts += [advice] if advice else []
    parts.append(f"{judged.elapsed_seconds * 1000:.0f} ms")
    return "; ".join(parts)


_EVIDENCE_WORDS = {
    "used-after-doubt": " (an earlier try of ours had arrived)",
    "class-116": " (it shows the new key)",
    "status": " (of each section; class 116 was not asked)",
}


def as_json(judged: Judged) -> dict[str, Any]:
    """The object that ``--json`` prints."""
    verdict, status = judged.verdict, judged.status
    currency = judged.before.currency or judged.after.currency
    return {
        "token": judged.token.masked,
        "verdict": verdict.outcome.value,
        "credited": verdict.credited.value,
        "status_code": None if status is None else status.code,
        "reason": verdict.reason,
        "data_value": None if status is None else status.data_value,
        "evidence": verdict.evidence,
        "detail": printable(verdict.detail) or None,
        "row": verdict.row,
        "balance_before": _number(judged.before.balance),
        "balance_after": _number(judged.after.balance),
        "unit": None if currency is None else printable(currency.name),
        "token_time": None if judged.token_time is None else judged.token_time.isoformat(),
        "elapsed_ms": round(judged.elapsed_seconds * 1000),
    }


def _meter_time(judged: Judged) -> str:
    moment = judged.token_time
    if moment is None:
        return ""
    return f" at {moment:%Y-%m-%d %H:%M:%S}{' UTC' if moment.tzinfo else ''} by the meter's clock"


def _number(value: Decimal | None) -> str | None:
    return None if value is None else f"{value:f}"


def account_words(account: AccountReading) -> str:
    if account.currency is None:
        return "it shows no account"
    if account.balance is None:
        return f"account in {account.currency.name}, balance unreadable"
    return f"balance {account.balance:f} {account.currency.name}"


def _is_missed(amount: Amount, rise: Decimal, judged: Judged) -> bool:
    """Whether a credited amount is not what the balance rose by; under an alias the two cannot be compared."""
    currency = judged.after.currency
    same_unit = currency is not None and amount.unit.casefold() == currency.name.casefold()
    return judged.verdict.credited is Credited.YES and same_unit and rise != amount.value


def _effect_words(judged: Judged, amount: Amount | None) -> list[str]:
    before, after = judged.before.balance, judged.after.balance
    words = []
    if before is not None and after is not None and judged.after.currency is not None:
        words.append(f"balance {before:f} -> {after:f} {judged.after.currency.name} ({after - before:+f})")
        if amount is not None and _is_missed(amount, after - before, judged):
            words.append(f"note: {amount.value:f} {amount.unit} were expected")
    elif after is not None and judged.after.currency is not None:
        words.append(f"balance {after:f} {judged.after.currency.name}")
    if judged.control_state is not None:
        try:
            state = disconnect_control.ControlState(judged.control_state).name.lower().replace("_", " ")
        except ValueError:
            state = f"state {judged.control_state}"
        words.append(f"switch {state}")
    return words
