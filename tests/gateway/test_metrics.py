"""Metrics, as Prometheus reads them: what happened is counted, what the store says is shown, labels are bounded."""

from __future__ import annotations

import threading
from datetime import UTC, datetime, timedelta

import pytest
from prometheus_client import REGISTRY
from prometheus_client.parser import text_string_to_metric_families

from gateway.orders import OrderState
from gateway.serving.metrics import LINKS_MAX, OTHER, REASONS_MAX, ROUTES_MAX, LinkFigures, Metrics
from gateway.store.records import Figures
from gateway.verdict import Outcome

NOW = datetime(2026, 11, 21, 12, 0, tzinfo=UTC)
QUIET = Figures(
    orders={},
    oldest_doubt_at=None,
    oldest_due_at=None,
    webhooks_waiting=0,
    webhooks_dead=0,
    counters_near_end=0,
    file_octets=4096,
)


@pytest.fixture
def metrics() -> Metrics:
    return Metrics("1.2.3")


def samples(metrics: Metrics) -> dict[tuple[str, tuple[tuple[str, str], ...]], float]:
    families = text_string_to_metric_families(metrics.render().decode())
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in families
        for sample in family.samples
    }


def value(metrics: Metrics, name: str, **labels: str) -> float | None:
    return samples(metrics).get((f"stsgate_{name}", tuple(sorted(labels.items()))))


def labels_of(metrics: Metrics, name: str, label: str) -> set[str]:
    return {dict(labels)[label] for found, labels in samples(metrics) if found == f"stsgate_{name}"}


def test_what_happens_to_orders_is_counted(metrics: Metrics) -> None:
    metrics.order_ended(OrderState.ACCEPTED, 0.2)
    metrics.order_ended(OrderState.REJECTED, 3.0)
    metrics.order_ended(OrderState.REJECTED, 3.0)
    metrics.order_left(OrderState.SENDING, 0.07)
    metrics.delivery_judged(Outcome.UNREACHED, "timeout", 12.0)
    assert value(metrics, "order_seconds_bucket", state="accepted", le="0.25") == 1
    assert value(metrics, "order_seconds_bucket", state="accepted", le="0.1") == 0
    assert value(metrics, "order_seconds_sum", state="rejected") == 6
    assert value(metrics, "order_state_seconds_count", state="sending") == 1
    assert value(metrics, "deliveries_total", verdict="unreached", reason="timeout") == 1
    assert value(metrics, "delivery_seconds_sum", verdict="unreached") == 12


def test_what_the_store_says_is_shown_with_ages(metrics: Metrics) -> None:
    figures = Figures(
        orders={(OrderState.QUEUED, None): 4, (OrderState.HELD, "doubt"): 2, (OrderState.HELD, "config"): 1},
        oldest_doubt_at=NOW - timedelta(hours=1),
        oldest_due_at=NOW + timedelta(seconds=5),
        webhooks_waiting=7,
        webhooks_dead=1,
        counters_near_end=2,
        file_octets=1 << 20,
    )
    metrics.figures_read(figures, NOW)
    assert value(metrics, "orders", state="queued", reason="") == 4
    assert value(metrics, "orders", state="held", reason="doubt") == 2
    assert value(metrics, "orders", state="held", reason="config") == 1
    assert value(metrics, "orders", state="in_doubt", reason="") == 0
    assert labels_of(metrics, "orders", "state") == {state.value for state in OrderState}
    assert value(metrics, "oldest_doubt_age_seconds") == 3600
    assert value(metrics, "oldest_due_age_seconds") == 0
    assert value(metrics, "webhooks_waiting") == 7
    assert value(metrics, "webhooks_dead") == 1
    assert value(metrics, "counters_near_end") == 2
    assert value(metrics, "store_octets") == 1 << 20
    assert value(metrics, "store_up") == 1
    metrics.figures_read(QUIET, NOW)
    assert value(metrics, "orders", state="held", reason="doubt") is None
    assert value(metrics, "oldest_doubt_age_seconds") == 0


def test_a_store_that_says_nothing_is_shown_as_down_and_the_last_figures_stay(metrics: Metrics) -> None:
    metrics.figures_read(QUIET, NOW)
    metrics.figures_read(None, NOW)
    assert value(metrics, "store_up") == 0
    assert value(metrics, "store_octets") == 4096


def test_links_show_what_is_under_way_now(metrics: Metrics) -> None:
    links = [LinkFigures("tcp://a:1", 3, 10, is_paused=False), LinkFigures("line", 0, None, is_paused=True)]
    metrics.watch_links(lambda: links)
    assert value(metrics, "link_in_flight", link="tcp://a:1") == 3
    assert value(metrics, "link_limit", link="tcp://a:1") == 10
    assert value(metrics, "link_limit", link="line") is None
    assert value(metrics, "link_paused", link="line") == 1
    del links[0]
    assert value(metrics, "link_in_flight", link="tcp://a:1") is None


def test_the_busiest_links_are_shown_and_the_rest_together(metrics: Metrics) -> None:
    links = [LinkFigures(f"link-{number}", number, 5000, is_paused=False) for number in range(LINKS_MAX + 10)]
    metrics.watch_links(lambda: links)
    shown = labels_of(metrics, "link_in_flight", "link")
    assert len(shown) == LINKS_MAX + 1
    assert "link-10" in shown
    assert "link-9" not in shown
    assert value(metrics, "link_in_flight", link=OTHER) == sum(range(10))


def test_reasons_and_routes_are_cut_off_at_a_number(metrics: Metrics) -> None:
    for number in range(REASONS_MAX + 50):
        metrics.delivery_judged(Outcome.HELD, f"reason-{number}", 0.1)
    for number in range(ROUTES_MAX + 50):
        metrics.request_answered("GET", f"/{number}", 200, 0.01)
    assert value(metrics, "deliveries_total", verdict="held", reason=OTHER) == 50
    assert len(labels_of(metrics, "http_requests_total", "route")) == ROUTES_MAX + 1


def test_requests_are_counted_by_route_and_status(metrics: Metrics) -> None:
    metrics.request_answered("GET", "/v1/orders/{id}", 404, 0.004)
    metrics.request_answered("GET", "/v1/orders/{id}", 404, 0.004)
    metrics.request_answered("MAKE-UP", "/v1/orders", 405, 0.004)
    assert value(metrics, "http_requests_total", method="GET", route="/v1/orders/{id}", status="404") == 2
    assert value(metrics, "http_requests_total", method=OTHER, route="/v1/orders", status="405") == 1
    assert value(metrics, "http_request_seconds_bucket", route="/v1/orders/{id}", le="0.005") == 2


def test_commits_webhooks_lanes_and_the_program_are_counted(metrics: Metrics) -> None:
    def commit() -> None:
        for _ in range(1000):
            metrics.batch_committed(20, 0.002)

    threads = [threading.Thread(target=commit) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    metrics.webhook_called(is_delivered=True)
    metrics.webhook_called(is_delivered=False)
    metrics.in_flight_changed(17, 1000)
    metrics.lanes_repaired(1)
    assert value(metrics, "store_batch_rows_sum") == 40_000
    assert value(metrics, "store_batch_seconds_count") == 2000
    assert value(metrics, "webhook_calls_total", outcome="failed") == 1
    assert value(metrics, "meters_in_flight") == 17
    assert value(metrics, "meters_in_flight_max") == 1000
    assert value(metrics, "lanes_repaired_total") == 1
    assert value(metrics, "info", version="1.2.3") == 1
    assert samples(metrics)["process_open_fds", ()] > 0


def test_two_of_them_do_not_disturb_each_other_or_what_others_count(metrics: Metrics) -> None:
    other = Metrics("1.2.3")
    metrics.lanes_repaired(1)
    assert value(other, "lanes_repaired_total") == 0
    assert not any(name.startswith("stsgate") for name in REGISTRY._names_to_collectors)
