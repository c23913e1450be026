"""Which delivery goes next: fair among webhooks, in sequence within an order, and nothing twice."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from gateway.store.records import EventRecord, WebhookDelivery
from gateway.webhooks import backlog as webhook_backlog
from gateway.webhooks.backlog import WebhookBacklog

NOW = datetime(2026, 11, 21, tzinfo=UTC)
BOTH = {"a", "b"}


def due(number: int, webhook: str = "a", order: str | None = None) -> WebhookDelivery:
    event = EventRecord(
        number=number, order=order or f"O-{number}", meter="M", at=NOW, name="order.held", position=None, details={}
    )
    return WebhookDelivery(number=number, webhook=webhook, event=event, attempts=0, due_at=NOW)


def backlog(*deliveries: WebhookDelivery, total_max: int = 10, webhook_max: int = 2) -> WebhookBacklog:
    made = WebhookBacklog(total_max=total_max, webhook_max=webhook_max, waiting_max=5)
    made.start_look()
    made.add(deliveries, BOTH)
    return made


def taken(made: WebhookBacklog, now: datetime = NOW) -> list[int]:
    """All that may go now."""
    numbers = []
    while (delivery := made.next(BOTH, now)) is not None:
        numbers.append(delivery.number)
    return numbers


def test_each_webhook_has_so_many_places_and_all_together_too() -> None:
    deliveries = [due(1), due(2), due(3), due(4, "b")]
    assert taken(backlog(*deliveries)) == [1, 4, 2]
    assert taken(backlog(*deliveries, total_max=2)) == [1, 4]


def test_what_is_under_way_or_was_settled_since_we_asked_is_not_taken_again() -> None:
    made = backlog(due(1), due(2), due(3))
    assert taken(made) == [1, 2]
    made.start_look()
    made.settled(due(1), again=False)
    made.add([due(1), due(2), due(3)], BOTH)
    assert taken(made) == [3]


def test_what_is_due_again_is_taken_at_the_next_look() -> None:
    made = backlog(due(1))
    assert taken(made) == [1]
    made.settled(due(1), again=True)
    made.start_look()
    made.add([due(1)], BOTH)
    assert taken(made) == [1]


def test_one_event_of_an_order_goes_after_the_other() -> None:
    first, second = due(1, order="O"), due(2, order="O")
    made = backlog(second, first)
    assert taken(made) == [1]
    made.settled(first, again=False)
    assert taken(made) == [2]


def test_while_an_event_of_an_order_is_tried_again_the_later_ones_wait() -> None:
    first, second, other = due(1, order="O"), due(2, order="O"), due(3, "b", order="O")
    made = backlog(first, second, other)
    assert taken(made) == [1, 3]
    made.settled(first, again=True)
    assert taken(made) == []
    made.start_look()
    assert made.add([second], BOTH) == 1
    assert made.add([first, second], BOTH) == 1
    assert taken(made) == [1]
    made.settled(first, again=False)
    made.start_look()
    assert made.add([second], BOTH) == 0
    assert taken(made) == [2]


def test_failing_orders_are_forgotten_rather_than_filling_the_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(webhook_backlog, "FAILING_ORDERS_MAX", 2)
    made = backlog()
    for number in (1, 2, 3):
        made.settled(due(number, order=f"O-{number}"), again=True)
    made.start_look()
    assert made.add([due(number + 10, order=f"O-{number}") for number in (1, 2, 3)], BOTH) == 2
    assert taken(made) == [11]


def test_a_failing_webhook_has_one_place() -> None:
    made = backlog(due(1), due(2), due(3, "b"), due(4, "b"))
    made.failing.add("a")
    assert taken(made) == [1, 3, 4]


def test_a_webhook_that_asked_for_quiet_gets_it() -> None:
    made = backlog(due(1), due(2, "b"))
    end = NOW + timedelta(minutes=1)
    made.paused["a"] = end
    assert taken(made, end - timedelta(seconds=1)) == [2]
    assert made.next_pause_end(NOW) == end
    assert taken(made, end) == [1]
    assert made.next_pause_end(end) is None


def test_what_waits_for_a_webhook_that_was_switched_off_is_let_go() -> None:
    made = backlog(due(1), due(2, "b"))
    found = made.next({"b"}, NOW)
    assert found is not None
    assert found.number == 2
    assert made.next({"b"}, NOW) is None
    assert taken(made) == []
    made.add([due(3)], {"b"})
    assert taken(made) == []


def test_of_one_webhook_so_many_wait_and_the_rest_is_left_to_the_store() -> None:
    made = backlog(webhook_max=10)
    assert made.add([due(number) for number in range(8)], BOTH) == 0
    assert taken(made) == [0, 1, 2, 3, 4]


def test_a_webhook_that_was_put_again_is_not_held_up_by_what_failed_before() -> None:
    made = backlog(due(1, order="O"))
    assert taken(made) == [1]
    made.settled(due(1, order="O"), again=True)
    made.failing.add("a")
    made.paused["a"] = NOW + timedelta(hours=1)
    made.start_look()
    assert made.add([due(2, order="O")], BOTH) == 1
    assert taken(made) == []
    made.forget("a")
    made.add([due(2, order="O")], BOTH)
    assert taken(made) == [2]
