"""A head-end that does not give up: one token, tried until it is settled; the meter's ledger is looked at each time."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field

from cosem_objects.sts_token import Token
from gateway.delivery import Delivery
from gateway.events import Judged
from gateway.session import read_counters
from gateway.verdict import Credited, Outcome
from tests.gateway.test_delivery import Notes
from tests.wires.point import watched
from tests.wires.stand import Stand
from transports.channel import ChannelError

PATIENCE_SECONDS = 30.0
TRIES_MAX = 200
PAUSE_SECONDS = 0.01
SETTLED = (Outcome.ACCEPTED, Outcome.REJECTED, Outcome.HELD)


@dataclass
class Settled:
    """What became of one token."""

    verdicts: list[Judged] = field(default_factory=list)
    """Of each try, the last one final."""
    untruths: list[str] = field(default_factory=list)
    sends: int = 0
    """Intents to enter."""

    @property
    def last(self) -> Judged:
        return self.verdicts[-1]


async def settle(stand: Stand, token: Token, tries_max: int = TRIES_MAX) -> Settled:
    """Deliver until there is nothing more to do. Like the store, remembers nothing but that a token may have left."""
    settled = Settled()
    connect = watched(stand.connect, stand.watch)
    async with asyncio.timeout(PATIENCE_SECONDS):
        for _ in range(tries_max):
            notes = Notes({})
            delivery = Delivery(stand.known, notes.record, connect=connect, after_doubt=settled.sends > 0)
            (judged,) = await delivery.run([token])
            settled.verdicts.append(judged)
            settled.sends += notes.sends
            settled.untruths += untruths(judged, stand.times_credited(token))
            if judged.verdict.outcome in SETTLED:
                return settled
            await asyncio.sleep(PAUSE_SECONDS)
    return settled


def untruths(judged: Judged, times_credited: int) -> list[str]:
    """What a verdict says that the ledger does not."""
    said = judged.verdict.credited
    found = []
    if times_credited > 1:
        found.append(f"credited {times_credited} times")
    if said is not Credited.UNKNOWN and times_credited != (said is Credited.YES):
        found.append(f"credited {said}, and {times_credited} times in the ledger")
    return found


async def look_again(stand: Stand) -> None:
    """Ask the meter for its counter, as public client: what was on its way to it has arrived then."""
    async with asyncio.timeout(PATIENCE_SECONDS):
        for _ in range(TRIES_MAX):
            try:
                await read_counters(stand.known, stand.connect)
            except ChannelError:
                await asyncio.sleep(PAUSE_SECONDS)
            else:
                return
