"""Looks at what callers were told, what the database says after each commit, and what the meters' ledgers hold.

The ledgers are the truth. Everything is judged from outside: the database by a connection of its own, the wire by what
went over it, the meters by what they booked. Three things are nobody's lie, and are left out:

* ``credited: no`` of a token of which no byte of ours left, while the customer keyed in the same one: nobody can know.
* ``credited: no`` that stops being true because the customer keys in our token after it was said.
* ``credited: no`` of a token that was not tried, in an order that a restore lost and its caller handed in again: what
  the lost one did, the head-end cannot know.
"""

from __future__ import annotations

import asyncio
import json
import sqlite3
from collections import Counter, defaultdict
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from itertools import count

from cosem_objects.dlms.apdu import ActionResult
from cosem_objects.sts_token import Token
from cosem_objects.token_gateway import StatusCode
from gateway.events import SendStarted
from gateway.orders import FINAL_STATES, TRANSITIONS, UNDELIVERED_ONLY, Change, Order, OrderState
from gateway.readback import NO_ACCOUNT
from gateway.store.records import LaneClaim, NextHead, OrderRecord, Step
from gateway.store.store import LaneLost, Lanes, StoreError
from gateway.verdict import Credited, Reading
from sim_meters.ledger import Ledger
from tests.scenarios.killable import Process
from tests.scenarios.service_limits import LinkWatch
from tests.scenarios.service_nonces import nonces_of
from tests.scenarios.service_plan import MeterPlan, Plan

_NOTHING_LEFT = "1"
"""The row of the verdict table in which no byte of ours left."""
_UNDER_WAY = (OrderState.SENDING, OrderState.PENDING, OrderState.RECONCILING)
_SETTLED = ("order.token_accepted", "order.accepted", "order.rejected")
_ORDERS = "SELECT orders.id, meter.id, state, maybe_delivered FROM orders JOIN meter ON meter.number = orders.meter"
_EVENTS = """
    SELECT event.number, orders.id, event.name, event.position, event.details
    FROM event JOIN orders ON orders.number = event.order_number WHERE event.number > ? ORDER BY event.number
"""


@dataclass(frozen=True, slots=True)
class Standing:
    """An order in the database."""

    meter: str
    state: OrderState
    maybe_delivered: bool


@dataclass(frozen=True, slots=True)
class Entered:
    """A token that a meter was given by a client."""

    at: float
    meter: str
    octets: bytes


@dataclass(frozen=True, slots=True)
class Copy:
    """What a backup holds."""

    standings: Mapping[str, Standing]
    last_event: int
    settled: frozenset[tuple[str, int]]
    seen_at: Mapping[str, float]


class Checker:
    """``violations`` are sentences; an empty list is what everybody wants."""

    def __init__(self, plan: Plan, tell: Callable[[str], None]) -> None:
        self.violations: list[str] = []
        self.counts = Counter[str]()
        self.links = LinkWatch(self.violate)
        self.ledgers: dict[str, Ledger] = {}
        self._plan = plan
        self._tell = tell
        self._loop = asyncio.get_running_loop()
        self.orders: dict[str, Order] = {planned.order.id: planned.order for planned in plan.orders}
        self.standings: dict[str, Standing] = {}
        self._acknowledged: set[str] = set()
        self.lost: set[str] = set()
        """By a restore."""
        self._settled: set[tuple[str, int]] = set()
        self._seen_at: dict[str, float] = {}
        """When an order came into the database, for the last time."""
        self._moments = count(1)
        """Many things happen at one time: this tells which came first."""
        self._in_doubt_at: dict[str, int] = {}
        self._looked_up_at: dict[str, int] = {}
        """When the holder of a meter's lane last heard what else is in doubt there."""
        self._last_event = 0
        self._entered: list[Entered] = []
        self._keyed_in: dict[Token, float] = {}
        self._nonces: dict[tuple[bytes, bytes, int], bytes] = {}
        self._at_meter = Counter[tuple[str, str]]()

    def violate(self, text: str) -> None:
        self._tell(f"VIOLATION: {text}")
        self.violations.append(f"{self._loop.time():.3f}: {text}")

    # Callers.

    def acknowledged(self, order: str) -> None:
        self._acknowledged.add(order)
        if order not in self.standings:
            self.violate(f"{order} was acknowledged, and is not in the database")

    # The database.

    def committed(self, connection: sqlite3.Connection) -> None:
        """Look at what a commit changed."""
        found = {
            order: Standing(meter, OrderState(state), bool(mark))
            for order, meter, state, mark in connection.execute(_ORDERS)
        }
        for order in self.standings.keys() - found.keys():
            self.violate(f"{order} is not in the database any more")
        for order, standing in found.items():
            before = self.standings.get(order)
            if before is None:
                self._seen_at[order] = self._loop.time()
            elif before != standing:
                self._changed(order, before, standing, found)
        self.standings = found
        for number, order, name, position, details in connection.execute(_EVENTS, (self._last_event,)):
            self._last_event = number
            self._told(order, name, position, json.loads(details))

    def _changed(self, order: str, before: Standing, now: Standing, found: Mapping[str, Standing]) -> None:
        changes = [
            change
            for (state, change), result in TRANSITIONS.items()
            if state is before.state and result is now.state
            if not (before.maybe_delivered and change in UNDELIVERED_ONLY)
        ]
        if now.state is OrderState.IN_DOUBT and before.state is not OrderState.IN_DOUBT:
            self._in_doubt_at[order] = next(self._moments)
        if before.state in FINAL_STATES:
            self.violate(f"{order} was {before.state} for good, and is {now.state}")
        elif before.state is not now.state and not changes:
            self.violate(f"{order} went from {before} to {now}")
        if before.maybe_delivered and not now.maybe_delivered and now.state is not OrderState.WAITING:
            self.violate(f"{order} lost its mark: {before} to {now}")
        if now.state is OrderState.SENDING and before.state is not OrderState.SENDING:
            for other, standing in found.items():
                if other != order and standing.meter == now.meter and standing.state in _UNDER_WAY:
                    self.violate(f"{order} is being sent while {other} is {standing.state}")

    def _told(self, order: str, name: str, position: int | None, details: Mapping[str, str]) -> None:
        self._tell(f"    {order} {name}: {details['text']}")
        self.counts[name] += 1
        if name in _SETTLED and position is not None:
            if (order, position) in self._settled:
                self.violate(f"{order}: token {position} is settled a second time, by {name}")
            self._settled.add((order, position))
        credited = details.get("credited")
        if credited is None or position is None:
            return
        token, meter = self.orders[order].tokens[position].token, self.orders[order].meter
        times = self.ledgers[meter].times_credited(token)
        if credited == Credited.YES and times != 1:
            self.violate(f"{order}: token {position} was told credited, and is not: {details}")
        nobody_knows = (token in self._keyed_in or order in self.lost) and details.get("row") == _NOTHING_LEFT
        if credited == Credited.NO and times and not nobody_knows:
            self.violate(f"{order}: token {position} was told not credited, and is: {details}")

    def is_at_rest(self, standing: Standing) -> bool:
        """Final, or waiting for a person. Orders for a meter that never is the right one wait as long as they may."""
        if standing.state in (*FINAL_STATES, OrderState.HELD):
            return True
        meter = next(meter for meter in self._plan.meters if meter.id == standing.meter)
        return bool(meter.record.settings.get("serial"))

    def is_settled(self, order: str, position: int) -> bool:
        return (order, position) in self._settled

    def copy(self) -> Copy:
        """What a backup taken now holds."""
        return Copy(dict(self.standings), self._last_event, frozenset(self._settled), dict(self._seen_at))

    def restored(self, copy: Copy) -> None:
        """The database is an old one again."""
        self.links.restored()
        lost = self.standings.keys() - copy.standings.keys()
        self.lost |= lost
        self.counts["orders lost by a restore"] += len(lost)
        self.standings, self._last_event = dict(copy.standings), copy.last_event
        self._settled, self._seen_at = set(copy.settled), dict(copy.seen_at)
        self._acknowledged -= lost

    # Lanes.

    def looked_up(self, meter: str) -> None:
        """A lane's holder was given an order, with what else is in doubt there."""
        self._looked_up_at[meter] = next(self._moments)

    def begun(self, position: int, started: SendStarted, now: datetime) -> None:
        """The intent to enter a token was written."""
        reading, token = started.before, started.token
        order = next(order for order in self.orders.values() if any(ordered.token == token for ordered in order.tokens))
        if order.expires_at is not None and now >= order.expires_at:
            self.violate(f"{order.id}: token {position} is sent {now - order.expires_at} after its time")
        if order.not_before is not None and now < order.not_before:
            self.counts["sent before its time by a jump of the clock"] += 1
        meter = next(meter for meter in self._plan.meters if meter.id == order.meter)
        profile = meter.config.profile
        shows = reading.token == profile.token_encoding.to_octets(token)
        self._check_others(order, meter, reading)
        is_remote = reading.method in profile.remote_delivery_methods
        if shows and is_remote and reading.status is not None and reading.status.code == StatusCode.EXECUTION_OK:
            self.violate(f"{order.id}: token {position} is sent, though the meter shows it as executed")

    def _check_others(self, order: Order, meter: MeterPlan, reading: Reading) -> None:
        """The class shows the last token only: another enter destroys what it shows. So it must not be what another
        order in doubt waits for, unless an operator put that one in doubt while this one was on its way."""
        encoding = meter.config.profile.token_encoding
        for other, standing in self.standings.items():
            if other == order.id or standing.meter != meter.id or standing.state is not OrderState.IN_DOUBT:
                continue
            self.counts["sent while another was in doubt"] += 1
            open_tokens = [
                ordered.token
                for position, ordered in enumerate(self.orders[other].tokens)
                if not self.is_settled(other, position)
            ]
            if not any(encoding.to_octets(token) == reading.token for token in open_tokens):
                continue
            if self._in_doubt_at.get(other, 0) > self._looked_up_at[meter.id]:
                self.counts["sent over a doubt that an operator raised meanwhile"] += 1
            else:
                self.violate(f"{order.id} is sent while the meter shows {other}, which is in doubt")

    async def try_stale(self, lanes: Lanes, claim: LaneClaim) -> None:
        """A claim of a life that is over must be worth nothing."""
        before = dict(self.standings)
        work = claim.work
        assert work is not None
        started = SendStarted(work.tokens[0].token, 1, Reading(None, None, None, None), NO_ACCOUNT)
        step = Step(change=Change.DOUBT)
        attempts = (
            lambda: lanes.begin_send(claim, work.number, work.tokens[0].position, started, ()),
            lambda: lanes.step(claim, work.number, step, NextHead.LEAVE),
        )
        for attempt in attempts:
            try:
                await attempt()
            except LaneLost:
                self.counts["stale writes refused"] += 1
            except StoreError:
                return
            else:
                self.violate(f"a claim of a life that is over was believed: {claim.meter}, fence {claim.fence}")
        await lanes.release(claim)
        if before != self.standings:
            self.violate(f"a claim of a life that is over changed something: {claim.meter}")

    # Meters.

    def keyed_in(self, meter: str, token: Token, *, is_accepted: bool) -> None:
        self._tell(f"  customer of {meter} types {token.masked}: {'accepted' if is_accepted else 'refused'}")
        if is_accepted:
            self._keyed_in[token] = self._loop.time()

    def entered(self, device_name: str, octets: bytes, result: ActionResult) -> None:
        meter = next(meter for meter in self._plan.meters if meter.config.device_name == device_name)
        self._tell(f"  {meter.id} is given a token: {result.name}")
        self.counts["enters"] += 1
        self._entered.append(Entered(self._loop.time(), meter.id, octets))
        order = self._order_of(meter, octets)
        standing = self.standings.get(order.id)
        if standing is None:
            if order.id not in self.lost:
                self.violate(f"{order.id} is entered, and is not in the database")
        elif not standing.maybe_delivered:
            self.violate(f"{order.id} is entered, and its mark is not on disk: {standing}")

    def _order_of(self, meter: MeterPlan, octets: bytes) -> Order:
        encoding = meter.config.profile.token_encoding
        return next(
            order
            for order in self.orders.values()
            if order.meter == meter.id and any(encoding.to_octets(ordered.token) == octets for ordered in order.tokens)
        )

    # Wires.

    def connecting(self, process: Process, meter: MeterPlan) -> Callable[[], None]:
        """A connection begins; what is returned is called when it ends."""
        key = (process.name, meter.id)
        if self._at_meter[key]:
            self.violate(f"two associations of {process.name} with {meter.id} at a time")
        self._at_meter[key] += 1
        leave = self.links.begin(process.name, meter.record.link, self._loop.time())
        is_over = False

        def end() -> None:
            nonlocal is_over
            if not is_over:
                is_over = True
                self._at_meter[key] -= 1
                leave()

        return end

    def sent(self, meter: MeterPlan, apdu: bytes) -> None:
        security = meter.config.security
        for counter in nonces_of(apdu, security):
            key = (security.ek, security.client_system_title, counter)
            if key in self._nonces:
                self.violate(f"invocation counter {counter} of {meter.id} is used twice")
            self._nonces[key] = apdu
            self.counts["nonces"] += 1

    # The end.

    def finish(self, records: Mapping[str, OrderRecord | None]) -> None:
        """``records``: what the store says of every order that was ever handed in."""
        for order_id in self._acknowledged:
            if records[order_id] is None:
                self.violate(f"{order_id} was acknowledged, and is gone")
        entered = defaultdict(list)
        for one in self._entered:
            entered[one.meter, one.octets].append(one.at)
        for order_id, record in records.items():
            if record is not None:
                self._finish_order(self.orders[order_id], record, entered)
        for meter in self._plan.meters:
            ledger = self.ledgers[meter.id]
            for digest, times in Counter(entry.digest for entry in ledger.entries if entry.is_accepted).items():
                if times > 1:
                    self.violate(f"{meter.id}: a token was credited {times} times ({digest[:8]})")

    def _finish_order(
        self, order: Order, record: OrderRecord, entered: Mapping[tuple[str, bytes], list[float]]
    ) -> None:
        self.counts[f"{record.state} {record.reason or ''}".strip()] += 1
        if record.reason == "internal-error":
            self.violate(f"{order.id} met a defect: {record.tokens}")
        if not self.is_at_rest(Standing(record.meter, record.state, record.maybe_delivered)):
            self.violate(f"{order.id} is still {record.state} ({record.reason}), due {record.due_at}")
        ledger = self.ledgers[order.meter]
        encoding = next(meter for meter in self._plan.meters if meter.id == order.meter).config.profile.token_encoding
        for ordered, token in zip(order.tokens, record.tokens, strict=True):
            times = ledger.times_credited(ordered.token)
            if token.credited is None and record.state in FINAL_STATES:
                self.violate(f"{order.id}: token {token.position} has no outcome in {record.state}")
            if token.credited is Credited.YES and times != 1:
                self.violate(f"{order.id}: token {token.position} is called credited, and is not")
            nobody_knows = ordered.token in self._keyed_in or (order.id in self.lost and not token.tries)
            if token.credited is Credited.NO and times and not nobody_knows:
                self.violate(f"{order.id}: token {token.position} is called not credited, and is")
            if record.state in (OrderState.CANCELLED, OrderState.EXPIRED):
                moments = entered.get((order.meter, encoding.to_octets(ordered.token)), [])
                if any(moment >= self._seen_at[order.id] for moment in moments):
                    self.violate(f"{order.id} is {record.state}, and was entered")
