"""Two orders of one meter in doubt at once: what the meter shows is read first, and neither waits for ever."""

from __future__ import annotations

from pathlib import Path

from cosem_objects.sts_token import Token
from gateway.consequence import RetryRules
from gateway.events import SendStarted
from gateway.orders import Change, OrderState
from gateway.readback import NO_ACCOUNT
from gateway.schedule import Backoff
from gateway.service import ServiceOptions
from gateway.store.records import LaneClaim, NextHead, OrderWork, Quota, Resolution, ResolveCredited, Step
from gateway.verdict import Reading
from tests.gateway.test_delivery import credit, meter_at
from tests.gateway.test_service import CONFIG, HeadEnd, head_end

RULES = RetryRules(doubt_backoff=Backoff(first_seconds=0.05, longest_seconds=0.1), doubt_rounds_max=20)


async def _send(head: HeadEnd, token: Token) -> tuple[LaneClaim, OrderWork]:
    """As a process does that is killed right after it."""
    lanes = head.store.lanes
    (claim,) = (await lanes.claim((Quota(None, 1),), limit=1, ranks=(0, 1, 5))).claims
    work = claim.work
    assert work is not None
    started = SendStarted(token, 1, Reading(b"", bytes(12), 0, None), NO_ACCOUNT)
    await lanes.begin_send(claim, work.number, 0, started, ())
    return claim, work


async def test_two_orders_in_doubt_are_both_settled(tmp_path: Path) -> None:
    first, second = credit(CONFIG, tid=6_000_000), credit(CONFIG, tid=6_000_001)
    async with meter_at() as place, head_end(tmp_path, ServiceOptions(rules=RULES)) as head:
        await head.know(place.url)
        await head.order("first", first)
        claim, work = await _send(head, first)
        await head.store.lanes.step(claim, work.number, Step(change=Change.HOLD, reason="doubt"), NextHead.NEXT)
        await head.order("second", second)
        await _send(head, second)
        place.meter.enter(CONFIG.profile.token_encoding.to_octets(second))
        resolution = Resolution(credited=ResolveCredited.RETRY, note="once more")
        await head.store.orders.resolve("first", resolution, who="test")
        await head.start()
        ends = [await head.until(name) for name in ("second", "first")]
        assert [end.state for end in ends] == [OrderState.ACCEPTED] * 2
