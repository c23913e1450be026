"""What the database itself refuses, whoever writes: each attempt is raw SQL on the file of a store that works."""

from __future__ import annotations

import asyncio
import re
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from itertools import product
from pathlib import Path

import pytest

from gateway.orders import FINAL_STATES, TRANSITIONS, Change, OrderState
from gateway.store.records import NextHead, OrderFilter, WebhookRecord
from gateway.store.sqlite.store import FILE_NAME
from tests.contract.stores import Place, add, an_order, claim_all, credit, put_meters, send, step

C = Change
_HOOK = WebhookRecord(id="erp", url="https://erp.example/hook", secret="kept secret", events=())
CLOSED = [state.value for state in FINAL_STATES]


async def _make(directory: Path) -> None:
    """Orders in many states: 1 queued, 2 sending, 3 accepted, 4 held, 5 cancelled."""
    async with Place("sqlite", directory).opened() as store:
        await put_meters(store, "m1", "m2", "m3", "m4", "m5")
        await add(store, an_order("o1"), an_order("o2", "m2", tokens=[credit(1 << 40), credit(2 << 40)]))
        await add(store, an_order("o3", "m3"), an_order("o4", "m4"), an_order("o5", "m5"))
        await store.orders.cancel("o5", who="ann")
        for claim in (await claim_all(store)).claims:
            assert claim.work is not None
            if claim.meter != "m1":
                await send(store, claim, claim.work)
            if claim.meter in {"m3", "m4"}:
                change = C.ACCEPT if claim.meter == "m3" else C.HOLD
                await step(store, claim, claim.work, change, NextHead.LEAVE)


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("rules")
    asyncio.run(_make(directory))
    return directory / FILE_NAME


@pytest.fixture
def connection(file: Path) -> Iterator[sqlite3.Connection]:
    with closing(sqlite3.connect(file, isolation_level=None)) as opened:
        opened.execute("PRAGMA foreign_keys = ON")
        opened.execute("BEGIN")
        yield opened
        opened.execute("ROLLBACK")


def force_state(connection: sqlite3.Connection, number: int, state: OrderState) -> None:
    """Past all rules, as a test alone may: the triggers are gone until the transaction is rolled back."""
    triggers = connection.execute("SELECT name, sql FROM sqlite_schema WHERE type = 'trigger' AND tbl_name = 'orders'")
    kept = triggers.fetchall()
    for name, _ in kept:
        connection.execute(f"DROP TRIGGER {name}")
    connection.execute("DELETE FROM orders WHERE number = 2")  # it would be the second under way
    set_state(connection, number, state, mark=state.value not in {"cancelled", "expired"})
    for _, sql in kept:
        connection.execute(sql)


def set_state(connection: sqlite3.Connection, number: int, state: OrderState, *, mark: bool = True) -> None:
    """With all that goes with it."""
    closed_at = 9 if state in FINAL_STATES else None
    due_at = None if state in FINAL_STATES or state is OrderState.HELD else 9
    connection.execute(
        "UPDATE orders SET state = ?, closed_at = ?, due_at = ?, maybe_delivered = ? WHERE number = ?",
        (state.value, closed_at, due_at, mark, number),
    )


def test_the_table_in_the_database_is_the_table_in_the_code(connection: sqlite3.Connection) -> None:
    rows = connection.execute("SELECT before, change, after FROM transition").fetchall()
    assert sorted(rows) == sorted(
        (before.value, change.value, result.value) for (before, change), result in TRANSITIONS.items()
    )


PAIRS = {(before, result) for (before, _), result in TRANSITIONS.items()}


@pytest.mark.parametrize(("before", "result"), list(product(OrderState, OrderState)))
def test_only_what_may_follow_can_follow(
    connection: sqlite3.Connection, before: OrderState, result: OrderState
) -> None:
    connection.execute("PRAGMA defer_foreign_keys = ON")
    force_state(connection, 1, before)
    connection.execute(
        "INSERT INTO outcome (order_number, position, at, verdict, credited) VALUES (1, 0, 9, 'accepted', 'yes')"
    )
    mark = before not in {OrderState.CANCELLED, OrderState.EXPIRED}
    unmarked = result in {OrderState.CANCELLED, OrderState.EXPIRED}
    if (before, result) not in PAIRS or (mark and unmarked):
        with pytest.raises(sqlite3.IntegrityError):
            set_state(connection, 1, result, mark=mark)
    else:
        set_state(connection, 1, result, mark=mark)
        assert connection.execute("SELECT state FROM orders WHERE number = 1").fetchone() == (result.value,)


REFUSED = {
    "a closed order never changes": [
        "UPDATE orders SET state = 'queued', closed_at = NULL, due_at = 1 WHERE number = 3",
        "UPDATE orders SET reason = 'x' WHERE number = 3",
        "UPDATE orders SET due_at = 1 WHERE number = 5",
    ],
    "what an order is never changes": [
        "UPDATE orders SET id = 'other' WHERE number = 1",
        "UPDATE orders SET meter = 2 WHERE number = 1",
        "UPDATE orders SET body_digest = x'00' WHERE number = 1",
        "UPDATE orders SET number = 99 WHERE number = 1",
    ],
    "maybe delivered is taken back only when nothing left": [
        "UPDATE orders SET maybe_delivered = 0 WHERE number = 4",
        "UPDATE orders SET maybe_delivered = 0 WHERE number = 2",
        "UPDATE orders SET maybe_delivered = 0, state = 'in_doubt' WHERE number = 2",
    ],
    "CHECK constraint failed": [
        "UPDATE orders SET state = 'sending' WHERE number = 1",
        "UPDATE orders SET maybe_delivered = 1, state = 'cancelled', closed_at = 1, due_at = NULL WHERE number = 1",
        "UPDATE orders SET maybe_delivered = 1, state = 'expired', closed_at = 1, due_at = NULL WHERE number = 1",
        "UPDATE orders SET due_at = NULL WHERE number = 1",
        "UPDATE orders SET state = 'cancelled', due_at = NULL WHERE number = 1",
        "UPDATE orders SET closed_at = 1 WHERE number = 1",
        "INSERT INTO outcome (order_number, position, at, verdict, credited) VALUES (2, 0, 1, 'accepted', 'no')",
        "INSERT INTO outcome (order_number, position, at, verdict, credited) VALUES (2, 0, 1, 'pending', 'no')",
        "INSERT INTO outcome (order_number, position, at, verdict, credited) VALUES (2, 0, 1, 'rejected', 'maybe')",
        "UPDATE token SET credited = 'maybe' WHERE order_number = 2",
    ],
    "an order ends when each of its tokens has its outcome": [
        "UPDATE orders SET state = 'accepted', closed_at = 1, due_at = NULL WHERE number = 2",
        "UPDATE orders SET state = 'rejected', closed_at = 1, due_at = NULL WHERE number = 2",
    ],
    "an order begins as queued or waiting": [
        (
            "INSERT INTO orders (id, meter, rank, state, created_at, changed_at, due_at, body_digest, maybe_delivered) "
            "VALUES ('new', 1, 0, 'sending', 1, 1, 1, x'00', 1)"
        ),
        (
            "INSERT INTO orders (id, meter, rank, state, created_at, changed_at, due_at, body_digest, maybe_delivered) "
            "VALUES ('new', 1, 0, 'queued', 1, 1, 1, x'00', 1)"
        ),
        (
            "INSERT INTO orders (id, meter, rank, state, created_at, changed_at, closed_at, body_digest) "
            "VALUES ('new', 1, 0, 'accepted', 1, 1, 1, x'00')"
        ),
    ],
    "an order is never replaced": [
        (
            "INSERT OR REPLACE INTO orders (id, meter, rank, state, created_at, changed_at, due_at, body_digest) "
            "VALUES ('o3', 3, 0, 'queued', 1, 1, 1, x'00')"
        ),
    ],
    "an open order cannot be deleted": ["DELETE FROM orders WHERE number = 1", "DELETE FROM orders WHERE number = 4"],
    "a token of an open order cannot be deleted": ["DELETE FROM token WHERE order_number = 1"],
    "what a token is never changes": [
        "UPDATE token SET last_digits = '0000' WHERE order_number = 1",
        "UPDATE token SET kind = 'test' WHERE order_number = 1",
        "UPDATE token SET position = 7 WHERE order_number = 1",
    ],
    "a token with an outcome never changes": [
        "UPDATE token SET tries = 5 WHERE order_number = 3",
        "UPDATE token SET verdict = 'rejected', credited = 'no' WHERE order_number = 3",
    ],
    "an outcome is final": [
        "UPDATE outcome SET credited = 'no', verdict = 'rejected' WHERE order_number = 3",
        (
            "INSERT OR REPLACE INTO outcome (order_number, position, at, verdict, credited) "
            "VALUES (3, 0, 1, 'rejected', 'no')"
        ),
        "INSERT INTO outcome (order_number, position, at, verdict, credited) VALUES (3, 0, 1, 'rejected', 'no')",
    ],
    "FOREIGN KEY constraint failed": [
        "INSERT INTO outcome (order_number, position, at, verdict, credited) VALUES (1, 7, 1, 'rejected', 'no')",
        "INSERT INTO token (order_number, position, sealed, last_digits, kind) VALUES (99, 0, x'00', '1234', 'test')",
        "INSERT INTO event (order_number, at, name, details) VALUES (99, 1, 'x', '{}')",
        "DELETE FROM meter WHERE id = 'm1'",
    ],
    "events are only appended": [
        "UPDATE event SET name = 'x' WHERE number = 1",
        "DELETE FROM event WHERE number = 1",
        "INSERT OR REPLACE INTO event (number, order_number, at, name, details) VALUES (1, 1, 1, 'x', '{}')",
    ],
    "stays seen": ["UPDATE token_seen SET order_id = 'x'", "DELETE FROM token_seen"],
    "a token that works once belongs to one order": [
        "INSERT OR REPLACE INTO token_seen (meter, digest, order_id) SELECT meter, digest, 'x' FROM token_seen",
    ],
    "the fence of a lane only grows": [
        "UPDATE lane SET fence = fence - 1 WHERE meter = 2",
        "UPDATE lane SET owner = 'x' WHERE meter = 3",
        "UPDATE lane SET meter = 99 WHERE meter = 3",
    ],
    "a lane keeps its fence": [
        "DELETE FROM lane WHERE meter = 3",
        "INSERT OR REPLACE INTO lane (meter, fence) VALUES (3, 0)",
    ],
    "the table of transitions is fixed": [
        "INSERT INTO transition VALUES ('accepted', 'queued', 'retry')",
        "UPDATE transition SET after = 'accepted'",
        "DELETE FROM transition",
    ],
    "UNIQUE constraint failed: token.order_number": [
        "INSERT INTO token (order_number, position, sealed, last_digits, kind) VALUES (1, 0, x'00', '1234', 'test')",
    ],
}


@pytest.mark.parametrize(
    ("words", "statement"), [(words, statement) for words, statements in REFUSED.items() for statement in statements]
)
def test_what_must_not_be_is_refused_by_the_database(
    connection: sqlite3.Connection, words: str, statement: str
) -> None:
    with pytest.raises(sqlite3.IntegrityError, match=words):
        connection.execute(statement)


def test_two_orders_of_a_meter_are_never_under_way_at_once(connection: sqlite3.Connection) -> None:
    connection.execute(
        "INSERT INTO orders (id, meter, rank, state, created_at, changed_at, due_at, body_digest) "
        "VALUES ('second', 2, 0, 'queued', 1, 1, 1, x'00')"
    )
    with pytest.raises(sqlite3.IntegrityError, match="UNIQUE"):
        connection.execute("UPDATE orders SET state = 'sending', maybe_delivered = 1 WHERE id = 'second'")
    connection.execute("UPDATE orders SET state = 'in_doubt', maybe_delivered = 1 WHERE id = 'second'")
    with pytest.raises(sqlite3.IntegrityError, match="UNIQUE"):
        connection.execute("UPDATE orders SET state = 'reconciling' WHERE id = 'second'")


def test_an_outcome_goes_when_its_closed_order_is_purged_and_not_before(connection: sqlite3.Connection) -> None:
    connection.execute(
        "INSERT INTO outcome (order_number, position, at, verdict, credited) VALUES (2,0,1,'accepted','yes')"
    )
    with pytest.raises(sqlite3.IntegrityError, match="an outcome is final"):
        connection.execute("DELETE FROM outcome WHERE order_number = 2")
    connection.execute("DELETE FROM event WHERE order_number = 3")
    connection.execute("DELETE FROM outcome WHERE order_number = 3")
    connection.execute("DELETE FROM token WHERE order_number = 3")
    connection.execute("DELETE FROM orders WHERE number = 3")
    assert connection.execute("SELECT count(*) FROM token_seen WHERE meter = 3").fetchone() == (1,)


async def _plans(place: Place) -> list[tuple[str, str]]:
    """All that is asked in the life of an order, and how SQLite goes about it."""
    asked: list[str] = []
    async with place.opened() as store:
        for opened in (store.database._writer, store.database._reader):
            assert opened is not None
            opened.set_trace_callback(asked.append)
        await put_meters(store, "m1", "m2", link="l1")
        await add(store, an_order("o1", expires_at=place.clock.later(60)), an_order("o2"), an_order("o3", "m2"))
        claim, other = (await claim_all(store, "l1")).claims
        assert claim.work is not None
        await send(store, claim, claim.work)
        await add(store, an_order("o4"))
        await step(store, claim, claim.work, C.DOUBT, NextHead.LEAVE, due_at=place.clock.later(60))
        await add(store, an_order("o5"))
        await store.lanes.release(other)
        await store.meters.seen("m1")
        claim, _ = (await claim_all(store, "l1")).claims
        assert claim.work is not None
        await step(store, claim, claim.work, C.REJECT)
        await store.orders.cancel("o3", who="ann")
        await store.lanes.expire()
        await store.orders.get("o1")
        await store.orders.timeline("o1")
        for states in (None, *[(state,) for state in OrderState]):
            await store.orders.list(OrderFilter(states=states))
        await store.orders.list(OrderFilter(meter="m1"))
        await store.events.after(3)
        await store.meters.list(link="l1")
        await store.meters.find(endpoint="tcp://x:1", system_title=b"LAB00001")
        await store.links.shared()
        await store.lanes.repair()
        await store.webhooks.put(_HOOK, who="ann")
        await add(store, an_order("o6", "m2"))
        await store.orders.cancel("o6", who="ann")
        await store.webhooks.due(limit=10)
        await store.webhooks.remove("erp", who="ann")
        await store.figures()
        await store.purge(closed_before=place.clock.later(100), limit=10)
    questions = [text for text in asked if text.lstrip().startswith(("SELECT", "UPDATE", "INSERT", "DELETE", "WITH"))]
    assert len(questions) > 100
    with closing(sqlite3.connect(place.directory / FILE_NAME)) as connection:
        return [
            (question, plan)
            for question in questions
            for *_, plan in connection.execute(f"EXPLAIN QUERY PLAN {question}")
        ]


async def test_no_question_in_the_life_of_an_order_looks_at_more_than_it_must(tmp_path: Path) -> None:
    for question, plan in await _plans(Place("sqlite inline", tmp_path)):
        scans_all = re.match(r"SCAN (orders|lane|meter|token|outcome|event|token_seen)\b(?! USING)", plan)
        is_page = "ORDER BY orders.number DESC LIMIT" in question or "ORDER BY event.number" in question
        assert not scans_all or is_page, f"{plan}: {question}"
        assert "orders_by_meter" not in plan or is_page, f"{plan}: {question}"


async def test_every_index_is_some_questions(tmp_path: Path) -> None:
    plans = " ".join(plan for _, plan in await _plans(Place("sqlite inline", tmp_path)))
    with closing(sqlite3.connect(tmp_path / FILE_NAME)) as connection:
        rows = connection.execute("SELECT name FROM sqlite_schema WHERE type = 'index' AND sql IS NOT NULL")
        unused = [name for (name,) in rows if not re.search(rf"\b{name}\b", plans)]
    assert unused == []
