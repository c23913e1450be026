"""What can be asked and done under ``/v1/sim``."""

from __future__ import annotations

from collections.abc import Iterator
from fnmatch import fnmatchcase
from itertools import islice
from typing import Any, NamedTuple

from aiohttp import web

from sim_meters.clock import VirtualClock
from sim_meters.fault_order import FaultOrder, MeterSelector
from sim_meters.faults import Fault
from sim_meters.fleet.fleet import Fleet
from sim_meters.fleet.meters import Cancellation
from sim_meters.fleet.plan import Member
from sim_meters.lab_api.call import answer, read_object, read_query, whole
from sim_meters.lab_api.problems import Problem
from sim_meters.lab_api.tokens import MEMBERS, LabIssuer
from sim_meters.lab_api.views import (
    behaviour_view,
    clock_view,
    fleet_view,
    ledger_view,
    member_view,
    meter_view,
    status_view,
)
from sim_meters.meter import SimMeter
from sim_meters.sts.results import TokenResult

PAGE_MAX = 1000
ORDERS_MAX = 100
ADVANCE_SECONDS_MAX = 31 * 86_400.0
OFFLINE_SECONDS_MAX = 30 * 86_400.0

_SELECTOR = ("meter", "group", "numbers")
_NOT_TAKEN = (TokenResult.LOCKOUT, TokenResult.NOT_READY)


class Call(NamedTuple):
    """One row: what can be called, and the method of ``LabRoutes`` that answers."""

    method: str
    path: str
    handler: str


_METER = "/v1/sim/meters/{name}"
CALLS = (
    Call("GET", "/v1/sim", "summary"),
    Call("GET", "/v1/sim/meters", "meters"),
    Call("GET", _METER, "meter"),
    Call("GET", f"{_METER}/ledger", "ledger"),
    Call("POST", f"{_METER}/keypad", "key_in"),
    Call("POST", f"{_METER}/reboot", "reboot"),
    Call("POST", f"{_METER}/link", "set_link"),
    Call("POST", f"{_METER}/tamper", "tamper"),
    Call("POST", f"{_METER}/emergency-credit", "take_emergency_credit"),
    Call("GET", "/v1/sim/faults", "faults"),
    Call("PUT", "/v1/sim/faults", "order_faults"),
    Call("DELETE", "/v1/sim/faults", "cancel_faults"),
    Call("POST", "/v1/sim/clock", "advance"),
    Call("POST", "/v1/sim/tokens", "issue"),
)


class LabRoutes:
    """The handlers, for one fleet."""

    def __init__(self, fleet: Fleet) -> None:
        self._fleet = fleet
        self._issuer = LabIssuer(fleet.plan.seed)

    @property
    def table(self) -> list[web.RouteDef]:
        return [web.route(call.method, call.path, getattr(self, call.handler)) for call in CALLS]

    async def summary(self, request: web.Request) -> web.Response:
        read_query(request, known=())
        return answer(fleet_view(self._fleet))

    # Meters.

    async def meters(self, request: web.Request) -> web.Response:
        query = read_query(request, known=("name", "limit", "after"))
        limit = whole("limit", query.get("limit", "100"), 1, PAGE_MAX)
        members = _named(self._members_after(query.get("after")), query.get("name", "*"))
        page = list(islice(members, limit + 1))
        shown = [member_view(self._fleet, member) for member in page[:limit]]
        return answer({"meters": shown, "next": page[limit - 1].name if len(page) > limit else None})

    async def meter(self, request: web.Request) -> web.Response:
        read_query(request, known=())
        member, meter = self._find(request)
        return answer({**member_view(self._fleet, member), **meter_view(meter)})

    async def ledger(self, request: web.Request) -> web.Response:
        query = read_query(request, known=("first", "limit"))
        _, meter = self._find(request)
        first = whole("first", query.get("first", "1"), 1, 999_999_999)
        return answer(ledger_view(meter.ledger.records, first, whole("limit", query.get("limit", "100"), 1, PAGE_MAX)))

    async def key_in(self, request: web.Request) -> web.Response:
        _, meter = self._find(request)
        body = await read_object(request, known=("token",))
        result = meter.key_in(_typed(body, "token"))
        # The Token gateway knows nothing of an entry that was turned away: what it shows is of the one before.
        shown = None if result in _NOT_TAKEN else meter.shown
        return answer({"result": result.name, "status": None if shown is None else status_view(shown.status)})

    async def reboot(self, request: web.Request) -> web.Response:
        _, meter = self._find(request)
        meter.reboot()
        return web.Response(status=204)

    async def set_link(self, request: web.Request) -> web.Response:
        _, meter = self._find(request)
        body = await read_object(request, known=("online", "seconds"))
        online, seconds = body.get("online"), body.get("seconds")
        if not isinstance(online, bool):
            raise Problem("invalid", "online: expected true or false")
        if online and seconds is not None:
            raise Problem("invalid", "seconds: expected only with online false")
        if online:
            meter.go_online()
        else:
            meter.go_offline(None if seconds is None else _number("seconds", seconds, OFFLINE_SECONDS_MAX))
        return answer({"online": meter.is_online})

    async def tamper(self, request: web.Request) -> web.Response:
        _, meter = self._find(request)
        meter.open_cover()
        return web.Response(status=204)

    async def take_emergency_credit(self, request: web.Request) -> web.Response:
        _, meter = self._find(request)
        if not meter.take_emergency_credit():
            raise Problem("conflict", "there is no emergency credit to take: none at all, not yet, or not paid back")
        state, unit = meter.state, meter.config.unit
        return answer({"balance": unit.words(state.balance_units), "owed": unit.words(state.emergency_owed_units)})

    # Faults.

    async def faults(self, request: web.Request) -> web.Response:
        """Those of the meters that were made: the others have had nobody to fail."""
        selector = _selector(read_query(request, known=_SELECTOR))
        shown = [
            {"name": member.name, **behaviour_view(meter.behaviour)}
            for member, meter in self._fleet.meters.made
            if member.is_meant_by(selector) and (meter.behaviour.active() or meter.behaviour.strikes)
        ]
        return answer({"meters": shown[:PAGE_MAX], "left_out": max(0, len(shown) - PAGE_MAX)})

    async def order_faults(self, request: web.Request) -> web.Response:
        read_query(request, known=())
        body = await read_object(request, known=())
        given = body.get("orders") if set(body) == {"orders"} else [body]
        if not isinstance(given, list) or not 1 <= len(given) <= ORDERS_MAX:
            raise Problem("invalid", f"orders: expected a list of 1 to {ORDERS_MAX} faults")
        orders = [_fault_order(one, position, body) for position, one in enumerate(given)]
        meant = [self._fleet.meters.change(order) for order in orders]
        shown = [{**order.to_mapping(), "meters": count} for order, count in zip(orders, meant, strict=True)]
        return answer({"orders": shown})

    async def cancel_faults(self, request: web.Request) -> web.Response:
        query = read_query(request, known=("fault", *_SELECTOR))
        name = query.get("fault")
        if name is not None and name not in list(Fault):
            raise Problem("invalid", "fault: expected the name of one; docs/faults.md lists them")
        change = Cancellation(None if name is None else Fault(name), None, _selector(query))
        return answer({"meters": self._fleet.meters.change(change)})

    # Clock and tokens.

    async def advance(self, request: web.Request) -> web.Response:
        body = await read_object(request, known=("advance_seconds",))
        clock = self._fleet.meters.clock
        if not isinstance(clock, VirtualClock):
            raise Problem("conflict", "these meters live in real time; only a virtual clock can be moved")
        clock.advance(_number("advance_seconds", body.get("advance_seconds"), ADVANCE_SECONDS_MAX))
        return answer(clock_view(clock))

    async def issue(self, request: web.Request) -> web.Response:
        body = await read_object(request, known=MEMBERS)
        member, meter = self._find_name(_text(body, "meter"))
        return answer(self._issuer.issue(member, meter, body), status=201)

    # Finding.

    def _find(self, request: web.Request) -> tuple[Member, SimMeter]:
        return self._find_name(request.match_info["name"])

    def _find_name(self, name: str) -> tuple[Member, SimMeter]:
        member = self._fleet.plan.find(name)
        if member is None:
            raise Problem("not-found", "there is no meter of this name, device name or PAN")
        return member, self._fleet.meters.meter(member)

    def _members_after(self, name: str | None) -> Iterator[Member]:
        plan = self._fleet.plan
        if name is None:
            return plan.members
        last = plan.find(name)
        if last is None:
            raise Problem("invalid", "after: expected the name of a meter")
        groups = plan.groups[plan.groups.index(last.group) :]
        rest = (Member(group, number) for group in groups for number in range(group.count))
        return islice(rest, last.number + 1, None)


def _named(members: Iterator[Member], pattern: str) -> Iterator[Member]:
    return (
        member
        for member in members
        if pattern == "*" or any(fnmatchcase(name, pattern) for name in member.group.names_of(member.number))
    )


def _selector(query: Any) -> MeterSelector:
    said = {name: query[name] for name in _SELECTOR if name in query}
    return FaultOrder.parse_mapping({"fault": Fault.MUTE, **said}, "selector").selector


def _fault_order(given: object, position: int, body: dict[str, Any]) -> FaultOrder:
    what = f"orders[{position}]" if "orders" in body else "fault"
    if not isinstance(given, dict):
        raise Problem("invalid", f"{what}: expected an object")
    return FaultOrder.parse_mapping(given, what)


def _text(body: dict[str, Any], name: str) -> str:
    value = body.get(name)
    if not isinstance(value, str) or not 0 < len(value) <= 100:
        raise Problem("invalid", f"{name}: expected text of 1 to 100 letters")
    return value


def _typed(body: dict[str, Any], name: str) -> str:
    """What a keypad can be given: digits, a token or not."""
    text = _text(body, name)
    digits = text.replace(" ", "").replace("-", "")
    if not (digits.isascii() and digits.isdigit()):
        raise Problem("invalid", f"{name}: expected digits, as a keypad has no other keys")
    return digits


def _number(name: str, value: object, most: float) -> float:
    # Compared as it is: a whole number may be too large for a float, and NaN is in no range.
    if not isinstance(value, int | float) or isinstance(value, bool) or not 0 <= value <= most:
        raise Problem("invalid", f"{name}: expected 0 to {most:g} seconds")
    return float(value)
