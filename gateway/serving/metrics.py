"""Figures for Prometheus. What happens is counted as it happens; what stands in the store is read when somebody asks.

Label values are bounded: states, verdicts and routes are closed lists, reasons and links are cut off at a number, and
what is over counts as ``other``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from http import HTTPMethod

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.exposition import generate_latest
from prometheus_client.gc_collector import GCCollector
from prometheus_client.registry import Collector

from gateway.orders import OrderState
from gateway.store.records import Figures
from gateway.verdict import Outcome

LINKS_MAX = 1000
REASONS_MAX = 200
ROUTES_MAX = 200
OTHER = "other"

_WAITS = (0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 1800, 3600, 6 * 3600, 86_400, 7 * 86_400)
"""Seconds that orders spend somewhere: from a meter on a fast network to one that is away for days."""
_CALLS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)
_ROWS = (1, 2, 5, 10, 20, 50, 100, 200, 500, 1000)


@dataclass(frozen=True, slots=True)
class LinkFigures:
    """One link, as the dispatcher knows it now."""

    id: str
    in_flight: int
    limit: int | None
    """None = no limit on associations at a time."""
    is_paused: bool


class Metrics:
    """All of them, in a registry of their own. Methods may be called from any thread."""

    def __init__(self, version: str) -> None:
        self._registry = CollectorRegistry(auto_describe=True)
        self._reasons = _Bounded(REASONS_MAX)
        self._routes = _Bounded(ROUTES_MAX)
        self._count_orders()
        self._count_store()
        self._count_interfaces()
        ProcessCollector(registry=self._registry)
        GCCollector(registry=self._registry)
        self._gauge("info", "The running program", ("version",)).labels(version).set(1)

    def render(self) -> bytes:
        """The text that Prometheus reads."""
        return generate_latest(self._registry)

    # What is counted.

    def _count_orders(self) -> None:
        self._orders = self._gauge("orders", "Orders; closed ones by state alone", ("state", "reason"))
        self._lifetime = self._histogram(
            "order_seconds", "From taking an order to its end, or until it was held; of a sample", ("state",), _WAITS
        )
        self._in_state = self._histogram(
            "order_state_seconds",
            "How long orders were in a state; of a sample of those that ended",
            ("state",),
            _WAITS,
        )
        self._deliveries = self._counter(
            "deliveries", "Tries to deliver one token, by what came of them", ("verdict", "reason")
        )
        self._delivery_seconds = self._histogram("delivery_seconds", "How long they took", ("verdict",), _WAITS)
        self._in_flight = self._gauge("meters_in_flight", "Meters that are being spoken to")
        self._in_flight_max = self._gauge("meters_in_flight_max", "The limit of it")
        self._oldest_doubt = self._gauge("oldest_doubt_age_seconds", "Age of the oldest doubt; 0 = there is none")
        self._oldest_due = self._gauge(
            "oldest_due_age_seconds", "How long the order that is due longest waits; 0 = none is due"
        )
        self._repaired = self._counter("lanes_repaired", "Lanes that slept though they had work: a defect, mended")
        self._counters = self._gauge("counters_near_end", "Meters whose invocation counter passed 3/4 of its range")

    def _count_store(self) -> None:
        self._batch_rows = self._histogram("store_batch_rows", "Writes in one commit", (), _ROWS)
        self._batch_seconds = self._histogram("store_batch_seconds", "How long a commit took", (), _CALLS)
        self._store_octets = self._gauge("store_octets", "Size of the store's file")
        self._store_up = self._gauge("store_up", "Whether the store could be read for this page")

    def _count_interfaces(self) -> None:
        self._webhooks_waiting = self._gauge("webhooks_waiting", "Events on their way to webhooks")
        self._webhooks_dead = self._gauge("webhooks_dead", "Events that webhooks never took; they can be replayed")
        self._webhook_calls = self._counter("webhook_calls", "Calls of webhooks", ("outcome",))
        self._callers = self._counter("callers", "Connections that meters, or others, opened", ("outcome",))
        self._hints = self._counter("hints", "Pushes, calls and states of meters, by what came of them", ("outcome",))
        self._http = self._counter("http_requests", "Answers of the API", ("method", "route", "status"))
        self._http_seconds = self._histogram("http_request_seconds", "How long they took", ("route",), _CALLS)

    # What happens.

    def order_ended(self, state: OrderState, seconds: float) -> None:
        """An order is in this state for good, or is held, so long after it was taken."""
        self._lifetime.labels(state.value).observe(seconds)

    def order_left(self, state: OrderState, seconds: float) -> None:
        """An order was in this state so long, and is in another now."""
        self._in_state.labels(state.value).observe(seconds)

    def delivery_judged(self, outcome: Outcome, reason: str | None, seconds: float) -> None:
        self._deliveries.labels(outcome.value, self._reasons.value(reason)).inc()
        self._delivery_seconds.labels(outcome.value).observe(seconds)

    def in_flight_changed(self, count: int, most: int) -> None:
        self._in_flight.set(count)
        self._in_flight_max.set(most)

    def lanes_repaired(self, count: int) -> None:
        self._repaired.inc(count)

    def batch_committed(self, rows: int, seconds: float) -> None:
        self._batch_rows.observe(rows)
        self._batch_seconds.observe(seconds)

    def webhook_called(self, *, is_delivered: bool) -> None:
        self._webhook_calls.labels("delivered" if is_delivered else "failed").inc()

    def caller_came(self, outcome: str) -> None:
        self._callers.labels(outcome).inc()

    def hint_taken(self, outcome: str) -> None:
        self._hints.labels(outcome).inc()

    def request_answered(self, method: str, route: str, status: int, seconds: float) -> None:
        """``route`` is the pattern, ``/v1/orders/{id}``, and never the path."""
        shown = self._routes.value(route)
        self._http.labels(method if method in _METHODS else OTHER, shown, str(status)).inc()
        self._http_seconds.labels(shown).observe(seconds)

    # What is read.

    def figures_read(self, figures: Figures | None, now: datetime) -> None:
        """What the store says; None = it says nothing, and the last figures stay."""
        self._store_up.set(figures is not None)
        if figures is None:
            return
        self._orders.clear()
        for state in OrderState:
            self._orders.labels(state.value, "").set(0)
        for (state, reason), count in figures.orders.items():
            self._orders.labels(state.value, self._reasons.value(reason)).inc(count)
        self._oldest_doubt.set(_age(figures.oldest_doubt_at, now))
        self._oldest_due.set(_age(figures.oldest_due_at, now))
        self._counters.set(figures.counters_near_end)
        self._webhooks_waiting.set(figures.webhooks_waiting)
        self._webhooks_dead.set(figures.webhooks_dead)
        self._store_octets.set(figures.file_octets)

    def watch_links(self, read: Callable[[], Iterable[LinkFigures]]) -> None:
        """``read`` gives the links that have limits or are shared; it is asked whenever the page is made."""
        self._registry.register(_Links(read))

    def watch_callers(self, read: Callable[[], tuple[int, int]]) -> None:
        """``read`` gives how many meters are connected, and how many callers have not said who they are."""
        connected = self._gauge("meters_called_in", "Meters that are connected by a call of their own")
        connected.set_function(lambda: read()[0])
        unidentified = self._gauge("callers_unidentified", "Callers that have not said who they are")
        unidentified.set_function(lambda: read()[1])

    # How they are made.

    def _counter(self, name: str, text: str, labels: tuple[str, ...] = ()) -> Counter:
        return Counter(f"stsgate_{name}", text, labels, registry=self._registry)

    def _gauge(self, name: str, text: str, labels: tuple[str, ...] = ()) -> Gauge:
        return Gauge(f"stsgate_{name}", text, labels, registry=self._registry)

    def _histogram(self, name: str, text: str, labels: tuple[str, ...], buckets: tuple[float, ...]) -> Histogram:
        return Histogram(f"stsgate_{name}", text, labels, buckets=buckets, registry=self._registry)


class _Bounded:
    """The first so many values of a label; what comes later is ``other``."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._known: set[str] = set()

    def value(self, text: str | None) -> str:
        if not text or text in self._known:
            return text or ""
        if len(self._known) >= self._most:
            return OTHER
        self._known.add(text)
        return text


class _Links(Collector):
    def __init__(self, read: Callable[[], Iterable[LinkFigures]]) -> None:
        self._read = read

    def describe(self) -> Iterator[GaugeMetricFamily]:
        yield from self._families([])

    def collect(self) -> Iterator[GaugeMetricFamily]:
        yield from self._families(sorted(self._read(), key=lambda link: link.in_flight, reverse=True))

    def _families(self, links: list[LinkFigures]) -> Iterator[GaugeMetricFamily]:
        in_flight = GaugeMetricFamily("stsgate_link_in_flight", "Associations under way on a link", labels=["link"])
        limit = GaugeMetricFamily("stsgate_link_limit", "How many may be", labels=["link"])
        paused = GaugeMetricFamily("stsgate_link_paused", "1 = nothing is begun on it", labels=["link"])
        for link in links[:LINKS_MAX]:
            in_flight.add_metric([link.id], link.in_flight)
            paused.add_metric([link.id], link.is_paused)
            if link.limit is not None:
                limit.add_metric([link.id], link.limit)
        if links[LINKS_MAX:]:
            in_flight.add_metric([OTHER], sum(link.in_flight for link in links[LINKS_MAX:]))
        yield from (in_flight, limit, paused)


_METHODS = frozenset(method.value for method in HTTPMethod)


def _age(since: datetime | None, now: datetime) -> float:
    return 0.0 if since is None else max(0.0, (now - since).total_seconds())
