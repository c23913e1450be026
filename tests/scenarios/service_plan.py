"""What one seed means for a town whose head-end is a service: meters, links, wires, orders, people, what goes wrong.

Everything is drawn before anything happens, so that a plan can be read, and made simpler, before it is played.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from random import Random

from cosem_objects.sts_token import Token
from gateway.meter_body import MeterBody
from gateway.orders import Amount, Order, OrderedToken, OrderKind, Priority
from gateway.store.records import LinkRecord, MeterRecord
from sim_meters.fault_order import FaultOrder
from sim_meters.faults import Fault
from sim_meters.meter_config import MeterConfig, lab_config
from sim_meters.sts.tokens.clear_token import encode_credit
from sim_meters.sts.tokens.token_kind import Commodity
from sim_meters.sts.tokens.token_table import credit_kind
from tests.scenarios.killable import Doom, Ending, Point
from transports.faults import NO_FAULTS, Faults

EPOCH = datetime(2026, 11, 21, 12, tzinfo=UTC)
KWH = credit_kind(Commodity.ELECTRICITY, currency=False)
_CLIENT_TITLE = "5354534741544501"
_SECURITIES: tuple[dict[str, str], ...] = (
    {},
    {"mechanism": "lls", "password": "12345678"},
    {"mechanism": "hls-gmac"},
    {"mechanism": "hls-gmac", "ciphering": "general-glo"},
    {"mechanism": "hls-gmac", "protection": "auth"},
)
_HABITS = {
    Fault.HANG_UP_AFTER_ENTER: 20,
    Fault.DROP_ANSWER_AFTER_ENTER: 15,
    Fault.HANG_UP_BEFORE_ENTER: 15,
    Fault.REFUSE_ASSOCIATION: 10,
}
_STREET = "street"
_POINTS = (
    *(Point.STEP,) * 4,
    *(Point.BEFORE_COMMIT, Point.AFTER_COMMIT) * 2,
    *(point for point in Point if point not in {Point.STEP, Point.BEFORE_COMMIT, Point.AFTER_COMMIT}),
)


def moment(seconds: float) -> datetime:
    """True time; the head-end's clock may say something else."""
    return EPOCH + timedelta(seconds=seconds)


@dataclass(frozen=True, kw_only=True)
class MeterPlan:
    """One meter and the way to it."""

    id: str
    record: MeterRecord
    config: MeterConfig
    scheme: str
    faults: Faults
    habits: tuple[FaultOrder, ...]
    away: tuple[tuple[float, float], ...]
    """When nobody reaches it: from, to."""
    reboots: tuple[float, ...]
    keyed_in: tuple[tuple[float, Token], ...]
    """What its customer types, and when."""

    @property
    def simple(self) -> MeterPlan:
        """The same meter, prompt and in reach."""
        config = replace(self.config, status_delay_seconds=min(0.5, self.config.status_delay_seconds))
        return replace(self, config=config, faults=NO_FAULTS, habits=(), away=(), reboots=(), keyed_in=())


@dataclass(frozen=True, kw_only=True)
class OrderPlan:
    """One order, and what its caller does beside handing it in."""

    order: Order
    at: float
    again: tuple[float, ...] = ()
    """Seconds until the same is posted again."""
    other_body: bool = False
    """Then with another body."""
    second_order: bool = False
    """Then its first token in another order."""
    cancel_after: float | None = None
    is_for_another: bool = False
    """Its first token is of some other meter, or its meter is not who it should be."""

    @property
    def is_good(self) -> bool:
        """The right meter takes all of it, whenever it comes."""
        return self.order.expires_at is None and not self.is_for_another

    @property
    def body(self) -> bytes:
        return f"{self.order}".encode()


@dataclass(frozen=True, kw_only=True)
class LinkChange:
    """Limits of a link from ``at`` on."""

    at: float
    record: LinkRecord


@dataclass(frozen=True, kw_only=True)
class Plan:
    """All of it."""

    seed: int
    meters: tuple[MeterPlan, ...]
    links: tuple[LinkChange, ...]
    orders: tuple[OrderPlan, ...]
    busy_seconds: float
    """From then on nothing goes wrong any more."""
    dooms: tuple[Doom | None, ...]
    """Of the head-end's lives, in turn; later ones are left alone."""
    lives_max_seconds: float
    """A life that did not come to its doom ends after so long, in the busy time."""
    drains: float
    """How likely such an end is a gentle one."""
    down_seconds: tuple[float, ...]
    endings: tuple[Ending, ...]
    store_errors: float
    """How likely a commit fails; half of these are on disk all the same."""
    clock_jumps: tuple[tuple[float, float], ...]
    """When, and how many seconds the head-end's clock is off from then on."""
    operator_seconds: float | None
    """How often somebody looks after what is held; None = never."""
    readbacks: tuple[tuple[float, int], ...]
    backup_at: float | None
    restore_at: float | None
    rng_seed: int = field(repr=False)

    @property
    def simple(self) -> Plan:
        """The same orders where nothing goes wrong."""
        return replace(
            self,
            meters=tuple(meter.simple for meter in self.meters),
            links=tuple(change for change in self.links if not change.record.paused and change.at == 0),
            orders=tuple(replace(order, cancel_after=None) for order in self.orders),
            dooms=(),
            lives_max_seconds=1e9,
            store_errors=0.0,
            clock_jumps=(),
            operator_seconds=None,
            readbacks=(),
            backup_at=None,
            restore_at=None,
        )


def plan_of(seed: int) -> Plan:
    """Draw one town."""
    rng = Random(seed)
    busy = rng.choice((600.0, 1800.0, 7200.0))
    meters, tokens = _meters(rng, busy)
    has_restore = rng.random() < 0.15
    backup_at = rng.random() * busy * 0.7 if has_restore else None
    crashes = rng.choice((0, 1, 2, 4, 8))
    return Plan(
        seed=seed,
        meters=meters,
        links=_links(rng, meters, busy),
        orders=_orders(rng, meters, tokens, busy),
        busy_seconds=busy,
        dooms=tuple(_doom(rng) for _ in range(crashes)),
        lives_max_seconds=busy / max(1, crashes) * 1.5,
        drains=rng.choice((0.0, 0.3, 1.0)),
        down_seconds=tuple(rng.choice((0.0, 1.0, 30.0, 600.0)) * rng.random() for _ in range(crashes + 3)),
        endings=tuple(rng.choice(tuple(Ending)) for _ in range(7)),
        store_errors=rng.choice((0.0, 0.0, 0.0, 0.01, 0.05)),
        clock_jumps=_jumps(rng, busy),
        operator_seconds=rng.choice((None, 60.0, 600.0)),
        readbacks=tuple((rng.random() * busy, rng.randrange(len(meters))) for _ in range(rng.choice((0, 0, 3)))),
        backup_at=backup_at,
        restore_at=None if backup_at is None else backup_at + rng.random() * (busy - backup_at),
        rng_seed=rng.getrandbits(64),
    )


def _doom(rng: Random) -> Doom | None:
    if rng.random() < 0.1:
        return None
    point = rng.choice(_POINTS)
    most = {Point.STEP: 3000, Point.BEFORE_COMMIT: 120, Point.AFTER_COMMIT: 120}.get(point, 12)
    if point in {Point.BEFORE_WRITE, Point.AFTER_WRITE}:
        most = 150
    return Doom(point, max(1, int(most ** rng.random())))


def _jumps(rng: Random, busy: float) -> tuple[tuple[float, float], ...]:
    if rng.random() < 0.7:
        return ()
    return tuple(sorted((rng.random() * busy, rng.uniform(-3600, 3600)) for _ in range(rng.choice((1, 2, 3)))))


# Meters.


def _meters(rng: Random, busy: float) -> tuple[tuple[MeterPlan, ...], list[list[Token]]]:
    count = rng.randint(3, 8)
    first_shared = rng.randrange(count)
    rate = rng.choice((0.0, 0.005, 0.02, 0.05))
    meters, tokens = [], []
    has_bus = rng.random() < 0.3
    for number in range(count):
        link = _STREET if number >= first_shared else None
        meter, ours = _meter(rng, number, link, rate, busy, on_bus=has_bus and link is not None)
        meters.append(meter)
        tokens.append(ours)
    return tuple(meters), tokens


def _meter(
    rng: Random, number: int, link: str | None, rate: float, busy: float, *, on_bus: bool
) -> tuple[MeterPlan, list[Token]]:
    meter_id = f"meter-{number}"
    scheme = "hdlc+tcp" if on_bus else rng.choice(("tcp", "hdlc+tcp"))
    security = dict(rng.choice(_SECURITIES))
    config = replace(
        lab_config(number),
        status_delay_seconds=rng.choice((0.0, 0.0, 0.0, 0.5, 20.0, 200.0)),
        physical=100 + number if on_bus else None,
    )
    if security.get("mechanism") == "hls-gmac":
        security |= {"ek": rng.randbytes(16).hex(), "ak": rng.randbytes(16).hex()}
        security["client_system_title"] = _CLIENT_TITLE
        security["meter_system_title"] = config.security.meter_system_title.hex()
    body = MeterBody.model_validate(
        {
            # Meters on one bus share their endpoint, and so their link, which nobody gave limits to.
            "endpoint": f"{scheme}://{'bus' if on_bus else meter_id}.invalid:4059",
            "link": None if on_bus else link,
            "physical": config.physical,
            "profile": rng.choice(("sim", "sim", "default")),
            "serial": "SIMSOMEONEELSE" if rng.random() < 0.02 else "",
            "security": security,
        }
    )
    config = replace(config, security=replace(body.security.settings(), meter_system_title=_title(config)))
    made = [encode_credit(config.decoder_key, KWH, 100 + nth, tid=6_000_000 + nth, rnd=5) for nth in range(40)]
    keyed = [(rng.random() * busy, token) for token in made[30 : 30 + rng.choice((0, 0, 1, 4))]]
    if rng.random() < 0.15:
        keyed.append((rng.random() * busy, rng.choice(made[:4])))
    may_flip = scheme == "hdlc+tcp" or "ek" in security
    plan = MeterPlan(
        id=meter_id,
        record=body.record(meter_id),
        config=config,
        scheme=scheme,
        faults=_faults(rng, rate, may_flip=may_flip),
        habits=tuple(
            FaultOrder(fault, chance_percent=percent) for fault, percent in _HABITS.items() if _one_in(rng, 4)
        ),
        away=_away(rng, busy),
        reboots=tuple(rng.random() * busy for _ in range(rng.choice((0, 0, 0, 2)))),
        keyed_in=tuple(sorted(keyed, key=lambda item: item[0])),
    )
    return plan, made[:30]


def _title(config: MeterConfig) -> bytes:
    return config.security.meter_system_title


def _one_in(rng: Random, number: int) -> bool:
    return rng.randrange(number) == 0


def _faults(rng: Random, rate: float, *, may_flip: bool) -> Faults:
    """Bits are flipped only where the FCS or the ciphering's tag can notice."""

    def some() -> float:
        return rate * rng.random()

    return Faults(
        lose=some(),
        hang_up=some(),
        cut=some(),
        flip=some() if may_flip else 0.0,
        repeat=some(),
        split=rng.random() * 0.3,
        delay=rng.random() * 0.2,
        delay_seconds_max=rng.choice((0.05, 2.0, 30.0)),
    )


def _away(rng: Random, busy: float) -> tuple[tuple[float, float], ...]:
    if rng.random() < 0.7:
        return ()
    start = rng.random() * busy
    return ((start, start + rng.choice((60.0, 1800.0)) * rng.random()),)


def _links(rng: Random, meters: tuple[MeterPlan, ...], busy: float) -> tuple[LinkChange, ...]:
    """Limits for the shared link, from the start or from some moment on; and one meter's own may get some, too."""
    changes = []
    first = LinkRecord(
        id=_STREET,
        concurrency=rng.choice((None, 1, 1, 2, 3)),
        rate_per_second=rng.choice((None, None, 0.05, 0.5)),
        burst=rng.choice((1, 3)),
    )
    if rng.random() < 0.8:
        changes.append(LinkChange(at=0.0, record=first))
        for _ in range(rng.choice((0, 0, 1, 3))):
            record = replace(first, concurrency=rng.choice((None, 1, 2)), paused=rng.random() < 0.5)
            changes.append(LinkChange(at=rng.random() * busy, record=record))
    elif rng.random() < 0.5:
        changes.append(LinkChange(at=rng.random() * busy, record=replace(first, rate_per_second=None)))
    if rng.random() < 0.3:
        own = LinkRecord(id=rng.choice(meters).record.link, concurrency=1, paused=rng.random() < 0.5)
        if own.id != _STREET:
            changes.append(LinkChange(at=rng.random() * busy, record=own))
    return tuple(sorted(changes, key=lambda change: change.at))


# Orders.


def _orders(
    rng: Random, meters: tuple[MeterPlan, ...], tokens: list[list[Token]], busy: float
) -> tuple[OrderPlan, ...]:
    plans = []
    left = [iter(some) for some in tokens]
    at = 0.0
    for number in range(rng.randint(4, 14)):
        which = rng.randrange(len(meters))
        at += rng.choice((0.0, 0.0, 1.0)) * rng.random() * busy * 0.15
        ours = [_ordered(rng, next(left[which])) for _ in range(rng.choice((1, 1, 1, 2, 3)))]
        is_foreign = rng.random() < 0.08
        if is_foreign:
            ours[0] = OrderedToken(_foreign_token(rng), OrderKind.CREDIT)
        not_before = at + rng.random() * 1800 if rng.random() < 0.15 else None
        ends = rng.random() < 0.25
        order = Order(
            id=f"order-{number}",
            meter=meters[which].id,
            tokens=tuple(ours),
            priority=rng.choice(tuple(Priority)),
            not_before=None if not_before is None else moment(not_before),
            expires_at=moment((not_before or at) + 5 + rng.random() * rng.choice((60, 3600))) if ends else None,
        )
        order.check()
        plans.append(
            OrderPlan(
                order=order,
                at=at,
                again=tuple(rng.random() * 100 for _ in range(rng.choice((0, 0, 0, 1, 2)))),
                other_body=_one_in(rng, 10),
                second_order=_one_in(rng, 10),
                cancel_after=rng.choice((1.0, 60.0, 1800.0)) * rng.random() if _one_in(rng, 6) else None,
                is_for_another=is_foreign or bool(meters[which].record.settings.get("serial")),
            )
        )
    return tuple(plans)


def _ordered(rng: Random, token: Token) -> OrderedToken:
    return OrderedToken(token, OrderKind.CREDIT, Amount(Decimal(1), "kWh") if _one_in(rng, 2) else None)


def _foreign_token(rng: Random) -> Token:
    """Some other meter's."""
    return encode_credit(lab_config(900).decoder_key, KWH, 50, tid=6_000_000 + rng.randrange(10_000), rnd=3)
