"""One misbehaving meter and a head-end that delivers to it, on a wire in memory and in virtual time.

``Delivery``, links, meter and ledger are the real ones. What is said of a token is held against the ledger in
``House.deliver``, whatever the test is about.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta

from cosem_objects.dlms.settings import SecuritySettings
from cosem_objects.sts_token import Token
from gateway.delivery import Delivery
from gateway.events import Event, Judged, SendStarted
from gateway.meters import Meter
from gateway.verdict import Credited, Outcome
from sim_meters.behaviour import Behaviour
from sim_meters.clock import SystemClock
from sim_meters.fault_order import FaultOrder
from sim_meters.meter import SimMeter
from sim_meters.meter_config import SIM_PROFILE, MeterConfig, lab_config
from sim_meters.sts.tokens.clear_token import encode_credit
from sim_meters.wire_faults import WireFaults
from tests.sim_meters.meter_client import HLS
from transports.channel import Link
from transports.conversations import Conversations
from transports.endpoint import Endpoint
from transports.framing import HDLC, WRAPPER
from transports.hdlc.connection import HdlcSettings
from transports.memory_stream import stream_pair

EPOCH = datetime(2026, 11, 21, tzinfo=UTC)
FRAMINGS = {"tcp": WRAPPER, "hdlc+tcp": HDLC}
SECURITIES = {"none": SecuritySettings(), "hls-gmac": HLS}
_HDLC = HdlcSettings(response_timeout_seconds=10)


def secured(security: SecuritySettings, **changes: object) -> MeterConfig:
    """The lab meter under a security."""
    title = lab_config().security.meter_system_title
    return replace(lab_config(), security=replace(security, meter_system_title=title), **changes)  # type: ignore[arg-type]


class House:
    """The meter, and the wires that lead to it."""

    def __init__(self, config: MeterConfig, orders: tuple[FaultOrder, ...], wire: str, seed: int) -> None:
        loop = asyncio.get_running_loop()
        faults = WireFaults()
        self.meter = SimMeter(
            config,
            clock=SystemClock(lambda: EPOCH + timedelta(seconds=loop.time())),
            new_challenge=lambda: b"a meter's chance",
            behaviour=Behaviour(orders, seed),
            wire=faults,
        )
        self.enters = 0
        """How often the head-end sent a token."""
        self._wire = wire
        self._through = faults.filter
        self._conversations = Conversations(self.meter.serve, config.is_for_us)
        self._links: list[Link] = []

    async def connect(self, _meter: object = None) -> Link:
        framing = FRAMINGS[self._wire]
        ours, theirs = stream_pair()
        self._links.append(framing.server(self._through(theirs), self._conversations, _HDLC))
        return framing.client(ours, _HDLC)

    async def deliver(self, *tokens: Token, after_doubt: bool = False) -> list[Judged]:
        """One run of a head-end that knows the meter. What it says is true, by the ledger."""
        config = self.meter.config
        known = Meter(
            endpoint=Endpoint.parse(f"{self._wire}://meter.invalid:4059"),
            profile=SIM_PROFILE,
            security=config.security,
            hdlc=_HDLC,
        )
        delivery = Delivery(known, self._record, connect=self.connect, after_doubt=after_doubt)
        judged = await delivery.run(tokens)
        for one in judged:
            times, said = self.meter.ledger.times_credited(one.token), one.verdict.credited
            assert said is Credited.UNKNOWN or times == (said is Credited.YES), (words(one), times)
            assert times <= 1, words(one)
        return judged

    async def deliver_until_settled(self, *tokens: Token, runs_max: int = 5) -> list[str]:
        """Come back as an operator would, for what was not reached or is in doubt. All that was said."""
        said: list[str] = []
        open_tokens, doubted = list(tokens), set[Token]()
        for _ in range(runs_max):
            if not open_tokens:
                break
            token = min(open_tokens, key=lambda token: token not in doubted)
            for judged in await self.deliver(token, after_doubt=token in doubted):
                said.append(words(judged))
                if judged.verdict.outcome is Outcome.IN_DOUBT:
                    doubted.add(token)
                elif judged.verdict.outcome is not Outcome.UNREACHED:
                    open_tokens.remove(token)
            await asyncio.sleep(300)
        return said

    async def close(self) -> None:
        for link in self._links:
            await link.close()
        await self._conversations.close()
        self.meter.close()

    async def _record(self, event: Event) -> None:
        self.enters += isinstance(event, SendStarted)


@asynccontextmanager
async def house(
    *orders: FaultOrder | str, config: MeterConfig | None = None, wire: str = "tcp", seed: int = 1
) -> AsyncIterator[House]:
    read = tuple(FaultOrder.parse(order) if isinstance(order, str) else order for order in orders)
    made = House(config or lab_config(), read, wire, seed)
    try:
        yield made
    finally:
        await made.close()


def words(judged: Judged) -> str:
    """The verdict in one line: ``rejected (used), credited unknown``."""
    verdict = judged.verdict
    reason = f" ({verdict.reason})" if verdict.reason else ""
    evidence = f", {verdict.evidence}" if verdict.evidence else ""
    return f"{verdict.outcome}{reason}, credited {verdict.credited}{evidence}"


def tokens_of(config: MeterConfig, count: int = 1) -> list[Token]:
    kind = config.unit.kind
    return [encode_credit(config.decoder_key, kind, 100 + number, 6_000_000 + number, 5) for number in range(count)]
