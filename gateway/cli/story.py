"""How a delivery is told: line by line for a person, as one object for a program. Tokens by their last four digits."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from typing import TextIO

from cosem_objects.sts_token import Token
from gateway import timeline
from gateway.events import DoubtArisen, Event, Judged, KeyRead, Reached, SectionStored, SendStarted, StatusRead
from gateway.orders import Amount
from gateway.shown import printable
from gateway.verdict import Credited, Outcome, Verdict
from gateway.verdict_words import as_json, verdict_line


class Teller:
    """Prints each event of a delivery as it happens: the ``record`` of ``stsgate deliver``."""

    def __init__(
        self,
        meter: str,
        out: TextIO,
        amount: Amount | None = None,
        *,
        sections: Sequence[Token] = (),
        results: TextIO | None = None,
    ) -> None:
        """``amount`` of the credit token; ``sections`` of a key-change set, which share their fate; ``results`` gets
        one JSON object for each token, as soon as it is judged."""
        self._meter = meter
        self._out = out
        self._amount = amount
        self._sections = sections
        self._results = results
        self._sent: set[Token] = set()
        self._judged: list[Judged] = []
        self._since = time.monotonic()
        """When the token that is not judged yet had its turn."""

    async def tell(self, event: Event) -> None:
        match event:
            case Reached():
                self._print(f"{self._meter}: {timeline.reached(event).details['text']}")
            case KeyRead():
                self._print(f"{self._meter}: {timeline.key_read(event).details['text']}")
            case SectionStored():
                self._print(timeline.section_stored(event, 0).details["text"])
            case SendStarted():
                self._sent.update(self._sections if event.token in self._sections else [event.token])
                again = "" if event.tries == 1 else f", try {event.tries}"
                self._print(
                    f"{event.token.masked} intent: entering it now{again} "
                    "(if nothing follows this line, run again with --after-doubt)"
                )
            case StatusRead():
                self._print(timeline.pending(event, 0).details["text"])
            case DoubtArisen():
                self._print(timeline.in_doubt(event, 0).details["text"])
            case Judged():
                self._judged.append(event)
                self._since = time.monotonic()
                advice = "run again with --after-doubt" if event.verdict.outcome is Outcome.IN_DOUBT else ""
                self._print(verdict_line(event, self._amount_of(event.token), advice))
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

    def _amount_of(self, token: Token) -> Amount | None:
        return None if token in self._sections else self._amount

    def _print(self, line: str) -> None:
        print(printable(line), file=self._out, flush=True)
