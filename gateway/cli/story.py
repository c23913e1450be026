"""How a delivery is told: line by line for a person, as one object for a program. Tokens by their last four digits."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from decimal import Decimal
from typing import Any, TextIO

from cosem_objects import disconnect_control
from cosem_objects.sts_token import Token
from gateway.cli.parser import printable
from gateway.events import DoubtArisen, Event, Judged, Reached, SendStarted, StatusRead
from gateway.orders import Amount
from gateway.readback import AccountReading
from gateway.verdict import Credited, Outcome, Verdict


class Teller:
    """Prints each event of a delivery as it happens: the ``record`` of ``stsgate deliver``."""

    def __init__(self, meter: str, out: TextIO, amount: Amount | None = None, *, results: TextIO | None = None) -> None:
        """``results`` gets one JSON object for each token, as soon as it is judged."""
        self._meter = meter
        self._out = out
        self._amount = amount
        self._results = results
        self._sent: set[Token] = set()
        self._judged: list[Judged] = []
        self._since = time.monotonic()
        """When the token that is not judged yet had its turn."""

    async def tell(self, event: Event) -> None:
        match event:
            case Reached():
                title = f" {event.system_title.hex().upper()}" if event.system_title else ""
                unchecked = "".join(f"; it has no {what} to check" for what in event.unchecked)
                self._print(
                    f"{self._meter}: associated with the meter{title}; {_account_words(event.account)}{unchecked}"
                )
            case SendStarted():
                self._sent.add(event.token)
                again = "" if event.tries == 1 else f", try {event.tries}"
                self._print(
                    f"{event.token.masked} intent: entering it now{again} "
                    "(if nothing follows this line, run again with --after-doubt)"
                )
            case StatusRead():
                is_shown = event.status is not None and event.verdict.reason != "not-shown-yet"
                words = event.status.words if event.status and is_shown else "the meter does not show it yet"
                self._print(f"{event.token.masked} pending: {words}; reading again")
            case DoubtArisen():
                what = event.verdict.detail or event.verdict.reason
                self._print(f"{event.token.masked} in doubt: {what}; associating anew to read it back")
            case Judged():
                self._judged.append(event)
                self._since = time.monotonic()
                self._print(verdict_line(event, self._amount))
                if self._results is not None:
                    print(json.dumps(as_json(event)), file=self._results, flush=True)

    async def interrupted(
        self, tokens: Sequence[Token], reason: str, detail: str, *, after_doubt: bool
    ) -> list[Judged]:
        """The command was stopped: what may have left is in doubt, the rest was not sent."""
        judged = {one.token for one in self._judged}
        for token in (token for token in tokens if token not in judged):
            if token in self._sent or after_doubt:
                verdict = Verdict(Outcome.IN_DOUBT, Credited.UNKNOWN, reason, "2", detail=detail)
            else:
                verdict = Verdict(Outcome.UNREACHED, Credited.NO, reason, "1", detail=detail)
            await self.tell(Judged(token, verdict, elapsed_seconds=time.monotonic() - self._since))
        return self._judged

    def _print(self, line: str) -> None:
        print(printable(line), file=self._out, flush=True)


def verdict_line(judged: Judged, amount: Amount | None = None) -> str:
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
    if verdict.outcome is Outcome.IN_DOUBT:
        parts.append("run again with --after-doubt")
    parts.append(f"{judged.elapsed_seconds * 1000:.0f} ms")
    return "; ".join(parts)


_EVIDENCE_WORDS = {"used-after-doubt": " (an earlier try of ours had arrived)"}


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


def _account_words(account: AccountReading) -> str:
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
