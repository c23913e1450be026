"""A street of simulated meters behind bad wires, and a head-end that delivers to them. Everything from one seed.

The head-end is the real ``Delivery`` over real links; the meters are real ``SimMeter`` with their ledgers; only the
wire is in memory, with faults below the framing, and the clock is virtual. The meters' ledgers are the truth.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from random import Random

from cosem_objects.dlms.settings import SecuritySettings
from cosem_objects.profile import MeterProfile
from cosem_objects.sts_token import Token
from cosem_objects.token_gateway import DataValueMap
from gateway.delivery import Delivery
from gateway.events import Event, Judged, SendStarted
from gateway.meters import Meter
from gateway.verdict import Outcome as Word
from gateway.verdict import Verdict
from sim_meters.behaviour import Behaviour
from sim_meters.clock import SystemClock
from sim_meters.fault_order import FaultOrder
from sim_meters.faults import Fault
from sim_meters.meter import SimMeter
from sim_meters.meter_config import MeterConfig, lab_config
from sim_meters.sts.results import TokenResult
from sim_meters.sts.tokens.clear_token import encode_credit
from sim_meters.sts.tokens.token_kind import Commodity
from sim_meters.sts.tokens.token_table import credit_kind
from transports.channel import Link
from transports.conversations import Conversations
from transports.endpoint import Endpoint
from transports.faults import Faults, FaultyStream
from transports.framing import HDLC, WRAPPER
from transports.hdlc.connection import HdlcSettings
from transports.memory_stream import stream_pair

EPOCH = datetime(2026, 11, 21, tzinfo=UTC)
KWH = credit_kind(Commodity.ELECTRICITY, currency=False)
KEYS = {
    "mechanism": "hls-gmac",
    "ek": "000102030405060708090A0B0C0D0E0F",
    "ak": "D0D1D2D3D4D5D6D7D8D9DADBDCDDDEDF",
    "client_system_title": "5354534741544501",
    "meter_system_title": "53494D0000000001",
}
SECURITIES = (
    {},
    {"mechanism": "lls", "password": "12345678", "meter_system_title": "53494D0000000001"},
    KEYS,
    {**KEYS, "ciphering": "general-glo"},
    {**KEYS, "protection": "auth"},
)


@dataclass(kw_only=True)
class Case:
    """What one seed means: the wire, its faults, the meter's habits, and how many tokens."""

    seed: int
    scheme: str
    security: dict[str, str]
    faults: Faults
    meter_faults: tuple[FaultOrder, ...]
    status_delay_seconds: float
    data_value_map: DataValueMap
    info_max: int
    tokens: int
    keyed_in: int
    """Tokens that customers type at random moments."""
    keys_ours_too: bool
    """One of them is a token that the head-end is about to deliver."""


def case_of(seed: int) -> Case:
    """Draw one case. Bits are flipped only where the FCS or the ciphering's tag can notice."""
    rng = Random(seed)
    scheme = rng.choice(("tcp", "hdlc+tcp"))
    security = rng.choice(SECURITIES)
    may_flip = scheme == "hdlc+tcp" or "ek" in security
    rate = rng.choice((0.0, 0.005, 0.02, 0.05))

    def some() -> float:
        return rate * rng.random()

    faults = Faults(
        lose=some(),
        hang_up=some(),
        cut=some(),
        flip=some() if may_flip else 0.0,
        repeat=some(),
        split=rng.random(),
        delay=rng.random() * 0.3,
        delay_seconds_max=rng.choice((0.05, 2.0, 30.0)),
    )
    habits = {
        Fault.HANG_UP_AFTER_ENTER: 20,
        Fault.DROP_ANSWER_AFTER_ENTER: 15,
        Fault.HANG_UP_BEFORE_ENTER: 15,
        Fault.REFUSE_ASSOCIATION: 5,
    }
    return Case(
        seed=seed,
        scheme=scheme,
        security=dict(security),
        faults=faults,
        meter_faults=tuple(
            FaultOrder(fault, chance_percent=percent) for fault, percent in habits.items() if rng.random() < 0.4
        ),
        status_delay_seconds=rng.choice((0.0, 0.0, 0.5, 20.0, 200.0)),
        data_value_map=rng.choice((DataValueMap.ONEHOT16, DataValueMap.ONEHOT16, DataValueMap.NONE)),
        info_max=rng.choice((40, 128, 1024)),
        tokens=rng.choice((1, 1, 2, 3)),
        keyed_in=rng.choice((0, 0, 1, 3)),
        keys_ours_too=rng.random() < 0.1,
    )


@dataclass(frozen=True)
class Statement:
    """What the head-end said about a token at the end of one run, and what the meter's ledger held at that moment."""

    judged: Judged
    times_credited: int
    keyed_in: bool
    """The customer had keyed the same token in, with success."""


@dataclass
class Outcome:
    """All that was said, in order, and the ledger at the end."""

    case: Case
    statements: list[Statement] = field(default_factory=list)
    times_credited: dict[Token, int] = field(default_factory=dict)
    enters: int = 0
    keyed_in: set[Token] = field(default_factory=set)

    @property
    def last_words(self) -> dict[Token, Verdict]:
        return {statement.judged.token: statement.judged.verdict for statement in self.statements}


async def play(case: Case, runs_max: int = 1) -> Outcome:
    """Deliver the tokens of one case. With more runs: come back later for what was unreached or in doubt, as an
    operator would, and say ``after_doubt`` where there was one."""
    rng = Random(case.seed ^ 0x5EED)
    loop = asyncio.get_running_loop()
    config = _config(case)
    meter = SimMeter(
        config,
        clock=SystemClock(lambda: EPOCH + timedelta(seconds=loop.time())),
        new_challenge=lambda: rng.randbytes(16),
        behaviour=Behaviour(case.meter_faults, rng.random()),
    )
    ours, theirs = _tokens(config, case)
    street = _Street(case, meter, rng)
    outcome = Outcome(case)

    async def record(event: Event) -> None:
        outcome.enters += isinstance(event, SendStarted)

    customer = asyncio.create_task(_customer(meter, rng, theirs, outcome))
    try:
        for _ in range(runs_max):
            in_doubt = {token for token, verdict in outcome.last_words.items() if verdict.outcome is Word.IN_DOUBT}
            open_tokens = [token for token in ours if _is_open(outcome.last_words.get(token))]
            if not open_tokens:
                break
            # One run for each token: what is in doubt comes first, and blocks the others until it is settled.
            token = min(open_tokens, key=lambda token: token not in in_doubt)
            batch = [token] if outcome.statements else open_tokens
            delivery = Delivery(_meter(case), record, connect=street.connect, after_doubt=token in in_doubt)
            for judged in await delivery.run(batch):
                times = meter.ledger.times_credited(judged.token)
                outcome.statements.append(Statement(judged, times, judged.token in outcome.keyed_in))
            await asyncio.sleep(60)
    finally:
        customer.cancel()
        await asyncio.gather(customer, return_exceptions=True)
        await street.close()
        meter.close()
    outcome.times_credited = {token: meter.ledger.times_credited(token) for token in (*ours, *theirs)}
    return outcome


def _is_open(verdict: Verdict | None) -> bool:
    return verdict is None or verdict.outcome in (Word.UNREACHED, Word.IN_DOUBT)


class _Street:
    """Makes a new wire, with new faults, for every connection."""

    def __init__(self, case: Case, meter: SimMeter, rng: Random) -> None:
        self._case = case
        self._rng = rng
        self._hdlc = HdlcSettings(info_max=case.info_max, response_timeout_seconds=10)
        self._conversations = Conversations(meter.serve, meter.config.is_for_us)
        self._links: list[Link] = []

    async def connect(self, _meter: Meter) -> Link:
        transport = WRAPPER if self._case.scheme == "tcp" else HDLC
        ours, theirs = stream_pair()
        faulty = FaultyStream(ours, self._case.faults, Random(self._rng.random()), incoming=self._case.faults)
        self._links.append(transport.server(theirs, self._conversations, self._hdlc))
        return transport.client(faulty, self._hdlc)

    async def close(self) -> None:
        for link in self._links:
            await link.close()
        await self._conversations.close()


async def _customer(meter: SimMeter, rng: Random, tokens: Sequence[Token], outcome: Outcome) -> None:
    """Types tokens into the keypad at random moments."""
    for token in tokens:
        await asyncio.sleep(rng.random() * rng.choice((0.01, 1.0, 30.0)))
        if meter.key_in(token) is TokenResult.ACCEPT:
            outcome.keyed_in.add(token)


def _tokens(config: MeterConfig, case: Case) -> tuple[list[Token], list[Token]]:
    made = [
        encode_credit(config.decoder_key, KWH, 100 + number, tid=6_000_000 + number, rnd=5)
        for number in range(case.tokens + case.keyed_in)
    ]
    ours, theirs = made[: case.tokens], made[case.tokens :]
    if case.keys_ours_too:
        theirs.insert(0, ours[-1])
    return ours, theirs


def _profile(case: Case) -> MeterProfile:
    return MeterProfile(data_value_map=case.data_value_map, hdlc_info_max=case.info_max)


def _config(case: Case) -> MeterConfig:
    return replace(
        lab_config(),
        profile=_profile(case),
        security=SecuritySettings.parse(case.security),
        status_delay_seconds=case.status_delay_seconds,
    )


def _meter(case: Case) -> Meter:
    return Meter(
        endpoint=Endpoint.parse(f"{case.scheme}://meter.invalid:4059"),
        profile=_profile(case),
        security=SecuritySettings.parse(case.security),
        hdlc=HdlcSettings(info_max=case.info_max, response_timeout_seconds=10),
    )
