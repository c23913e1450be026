"""Orders with key-change sets through the engine: a real store, and on a real socket a meter that changes its key."""

from __future__ import annotations

import asyncio
import json
import sqlite3
from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from random import Random
from typing import Any

import pytest

from cosem_objects.dlms.apdu import DataAccessResult
from cosem_objects.payment import KEY_ATTRIBUTES
from cosem_objects.sts_token import Token, TokenClass
from gateway.api.order_body import OrderBody
from gateway.key_change import new_key_of
from gateway.orders import FINAL_STATES, OrderState
from gateway.service import Service, ServiceOptions
from gateway.store.records import OrderRecord, Resolution, ResolveCredited
from gateway.verdict import Credited, Outcome
from tests.gateway.key_change_meter import (
    CREDIT,
    NEW_KEY,
    OTHER_SECTION,
    SECTIONS,
    Happens,
    KeyChangeMeter,
    at_a_wire,
)
from tests.gateway.test_service import HeadEnd, head_end, now

TWO = SECTIONS[:2]
HIDDEN = dict.fromkeys(KEY_ATTRIBUTES, DataAccessResult.READ_WRITE_DENIED)


@pytest.fixture(autouse=True)
def no_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    """Between two associations."""
    monkeypatch.setattr("gateway.rounds.doubt_wait", lambda _rounds, _profile: 0.0)


async def order(
    head: HeadEnd,
    *tokens: Token,
    new_key: Mapping[str, Any] | None = None,
    order_id: str = "change",
    **more: Any,
) -> None:
    """As the API takes it."""
    is_section = TokenClass.METER_SPECIFIC_MANAGEMENT
    given = [
        {"token": token.digits, "kind": "key_change" if token.token_class is is_section else None} for token in tokens
    ]
    body = {"id": order_id, "meter": "m", "tokens": given, "new_key": new_key, **more}
    taken = OrderBody.model_validate_json(json.dumps(body)).order()
    (added,) = await head.store.orders.add([(taken, order_id.encode())], who="test")
    assert added.__class__.__name__ == "Added"


def said(record: OrderRecord) -> list[tuple[Outcome | None, Credited | None, str | None]]:
    return [(token.verdict, token.credited, token.evidence or token.reason) for token in record.tokens]


def hold_against(meter: KeyChangeMeter, record: OrderRecord, tokens: Sequence[Token]) -> None:
    """What the service says, and what the meter did."""
    for token, shown in zip(tokens, record.tokens, strict=True):
        is_done = token in meter.credited if token == CREDIT else meter.changes > 0
        assert shown.credited in (None, Credited.UNKNOWN) or is_done == (shown.credited is Credited.YES), shown


ACCEPTED, HELD, REJECTED = Outcome.ACCEPTED, Outcome.HELD, Outcome.REJECTED
YES, NO, UNKNOWN = Credited.YES, Credited.NO, Credited.UNKNOWN
CHANGED = (ACCEPTED, YES, "class-116")
CREDITED = (ACCEPTED, YES, None)
NOT_TRIED = (Outcome.UNREACHED, NO, "not-tried")

CASES: list[tuple[str, dict[str, Any], Sequence[Token], Mapping[str, Any] | None, OrderState, list[Any]]] = [
    ("a set and its credit", {}, (*TWO, CREDIT), {"krn": 2}, OrderState.ACCEPTED, [CHANGED, CHANGED, CREDITED]),
    ("four sections", {"sections": SECTIONS}, SECTIONS, {"krn": 2, "ti": "01"}, OrderState.ACCEPTED, [CHANGED] * 4),
    *(
        (f"lost {happens} at {number}", {"script": {number: happens}}, (*TWO, CREDIT), {"krn": 2}, OrderState.ACCEPTED,
            [CHANGED, CHANGED, CREDITED])
        for happens in (Happens.LOST_BEFORE, Happens.LOST_AFTER, Happens.POWER_FAILURE) for number in (1, 2)
    ),
    ("a forgotten section", {"script": {2: Happens.FORGOTTEN}}, TWO, {"krn": 2}, OrderState.ACCEPTED, [CHANGED] * 2),
    ("in effect already", {"key": NEW_KEY, "changes": 1}, TWO, {"krn": 2}, OrderState.ACCEPTED,
        [(ACCEPTED, YES, "already-new-key")] * 2),
    ("in effect already, with a credit", {"key": NEW_KEY, "changes": 1}, (*TWO, CREDIT), {"krn": 2},
        OrderState.ACCEPTED, [(ACCEPTED, YES, "already-new-key")] * 2 + [CREDITED]),
    ("refused at once", {}, (OTHER_SECTION, TWO[1], CREDIT), {"krn": 2}, OrderState.REJECTED,
        [(REJECTED, NO, "authentication")] * 2 + [NOT_TRIED]),
    ("refused half-way", {}, (TWO[0], OTHER_SECTION, CREDIT), {"krn": 2}, OrderState.HELD,
        [(HELD, UNKNOWN, "authentication")] * 2 + [(None, None, None)]),
    ("another key than expected", {}, TWO, {"krn": 3}, OrderState.HELD, [(HELD, UNKNOWN, "key-mismatch")] * 2),
    ("class 116 says nothing", {"unreadable": HIDDEN}, TWO, {"krn": 2}, OrderState.HELD, [(HELD, NO, "config")] * 2),
    ("no new key is told", {}, (*TWO, CREDIT), None, OrderState.ACCEPTED,
        [(ACCEPTED, YES, "class-116")] * 2 + [CREDITED]),
    ("no new key is told, class 116 says nothing", {"unreadable": HIDDEN}, TWO, None, OrderState.HELD,
        [(HELD, NO, "config")] * 2),
    ("no new key is told, and an answer is lost", {"script": {2: Happens.LOST_AFTER}}, TWO, None, OrderState.ACCEPTED,
        [(ACCEPTED, YES, "class-116")] * 2),
    ("no new key is told, and a section is missing", {"sections": SECTIONS[:3]}, TWO, None, OrderState.HELD,
        [(HELD, UNKNOWN, "key-not-changed")] * 2),
]  # fmt: skip


@pytest.mark.parametrize(
    ("made", "tokens", "new_key", "state", "outcomes"), [row[1:] for row in CASES], ids=[row[0] for row in CASES]
)
async def test_a_set_is_judged_as_a_whole(
    tmp_path: Path,
    made: dict[str, Any],
    tokens: Sequence[Token],
    new_key: Mapping[str, Any] | None,
    state: OrderState,
    outcomes: list[Any],
) -> None:
    meter = KeyChangeMeter(**made)
    async with at_a_wire(meter) as url, head_end(tmp_path) as head:
        await head.know(url, profile="default")
        await order(head, *tokens, new_key=new_key)
        await head.start()
        record = await head.until("change")
    assert (record.state, said(record)) == (state, outcomes)
    hold_against(meter, record, tokens)


async def test_the_story_tells_each_section_and_the_order_once(tmp_path: Path) -> None:
    async with at_a_wire(KeyChangeMeter()) as url, head_end(tmp_path) as head:
        await head.know(url, profile="default")
        await order(head, *TWO, new_key={"krn": 2})
        await head.start()
        await head.until("change")
        events = await head.store.orders.timeline("change")
    one_section = ["order.sending", "order.section_stored"]
    told = ["meter.key_read", *one_section, *one_section, "meter.key_read", "order.token_accepted", "order.accepted"]
    assert [event.name for event in events] == ["order.created", "meter.reached", *told]
    positions = [event.position for event in events if event.name in (*one_section, *told[-2:])]
    assert positions == [0, 0, 1, 1, 0, 1]


async def test_while_the_set_is_not_judged_no_section_is_accepted(tmp_path: Path) -> None:
    """Looked up on the disk before the meter answers each section: so it cannot come too late."""
    meter = KeyChangeMeter()
    async with at_a_wire(meter) as url, head_end(tmp_path) as head:
        seen: list[str | None] = []

        def look() -> None:
            (file,) = tmp_path.rglob("stsgate.sqlite")
            with closing(sqlite3.connect(f"{file.as_uri()}?mode=ro", uri=True)) as database:
                seen.extend(verdict for (verdict,) in database.execute("SELECT verdict FROM token"))

        meter.right_after_enter = look
        await head.know(url, profile="default")
        await order(head, *TWO, new_key={"krn": 2})
        await head.start()
        await head.until("change")
    assert len(seen) == 4
    assert all(verdict != ACCEPTED for verdict in seen)


# A stop in the middle.


@pytest.mark.parametrize("number", [1, 2])
async def test_after_a_crash_in_the_middle_class_116_is_read_and_the_set_begins_anew(
    tmp_path: Path, number: int
) -> None:
    meter = KeyChangeMeter()
    async with at_a_wire(meter) as url, head_end(tmp_path) as head:
        reached = asyncio.Event()
        meter.right_after_enter = lambda: reached.set() if len(meter.entered) == number else None
        await head.know(url, profile="default")
        await order(head, *TWO, CREDIT, new_key={"krn": 2})
        await head.start()
        await reached.wait()
        await head.crash()
        assert meter.entered == list(TWO[:number])
        in_doubt = await head.store.orders.get("change")
        assert in_doubt is not None
        assert in_doubt.state is OrderState.SENDING
        assert all(token.verdict is None for token in in_doubt.tokens)
        head.service = Service(head.store, ServiceOptions(), now=now, rng=Random(1))
        await head.start()
        record = await head.until("change")
        story = [event.name for event in await head.store.orders.timeline("change")]
    assert said(record) == [CHANGED, CHANGED, CREDITED]
    assert meter.entered == [*TWO[:number], *(TWO if number == 1 else ()), CREDIT]
    assert story[story.index("order.reconciling") :][1:3] == ["meter.reached", "meter.key_read"]
    hold_against(meter, record, (*TWO, CREDIT))


async def test_a_set_in_doubt_is_read_again_until_the_meter_answers(tmp_path: Path) -> None:
    meter = KeyChangeMeter(script=dict.fromkeys((1, 2), Happens.LOST_BEFORE))
    async with at_a_wire(meter) as url, head_end(tmp_path) as head:
        await head.know(url, profile="default")
        await order(head, *TWO, new_key={"krn": 2})
        await head.start()
        record = await head.until("change", OrderState.IN_DOUBT)
        assert said(record) == [(Outcome.IN_DOUBT, UNKNOWN, "hung-up")] * 2
        await head.store.orders.reconcile("change", who="operator")
        record = await head.until("change")
    assert said(record) == [CHANGED] * 2
    assert [token.tries for token in record.tokens] == [3, 1]


async def test_after_its_time_a_set_in_doubt_is_read_once_more_and_not_sent(tmp_path: Path) -> None:
    moved = [timedelta(0)]
    meter = KeyChangeMeter(script={1: Happens.LOST_BEFORE})
    async with at_a_wire(meter) as url, head_end(tmp_path) as head:
        options = replace(ServiceOptions(), doubt_rounds_max=0)
        head.service = Service(head.store, options, now=lambda: now() + moved[0], rng=Random(1))
        await head.know(url, profile="default")
        await order(head, *TWO, new_key={"krn": 2}, expires_at=(now() + timedelta(hours=1)).isoformat())
        await head.start()
        await head.until("change", OrderState.IN_DOUBT)
        moved[0] = timedelta(hours=2)
        await head.store.orders.reconcile("change", who="operator")
        record = await head.until("change", OrderState.HELD)
    assert record.reason == "expired"
    assert said(record) == [(Outcome.IN_DOUBT, UNKNOWN, "key-not-changed")] * 2
    assert meter.entered == [TWO[0]]


# People.


async def held(head: HeadEnd, *behind: Token) -> OrderRecord:
    """A set of which the meter does not say what became of it."""
    await order(head, *TWO, *behind, new_key={"krn": 2})
    await head.start()
    record = await head.until("change")
    assert record.state is OrderState.HELD
    return record


def closes_class_116() -> KeyChangeMeter:
    """In the middle of the set."""
    meter = KeyChangeMeter()
    meter.right_after_enter = lambda: setattr(meter, "unreadable", HIDDEN)
    return meter


@pytest.mark.parametrize("behind", [(), (CREDIT,)], ids=["alone", "with a credit"])
async def test_a_persons_yes_is_about_the_whole_set(tmp_path: Path, behind: Sequence[Token]) -> None:
    meter = closes_class_116()
    async with at_a_wire(meter) as url, head_end(tmp_path) as head:
        await head.know(url, profile="default")
        await held(head, *behind)
        resolution = Resolution(credited=ResolveCredited.YES, note="the display says so")
        await head.store.orders.resolve("change", resolution, who="operator")
        record = await head.until("change", *FINAL_STATES)
    assert record.state is OrderState.ACCEPTED
    assert said(record) == [(ACCEPTED, YES, "operator")] * 2 + [CREDITED] * len(behind)
    assert meter.entered == [*TWO, *behind]


async def test_a_persons_no_is_about_the_whole_set(tmp_path: Path) -> None:
    meter = KeyChangeMeter(sections=(*TWO, OTHER_SECTION))  # they never are all together
    async with at_a_wire(meter) as url, head_end(tmp_path) as head:
        await head.know(url, profile="default")
        await held(head, CREDIT)
        await head.store.orders.resolve(
            "change", Resolution(credited=ResolveCredited.NO, note="a wrong set"), who="operator"
        )
        record = await head.until("change", *FINAL_STATES)
    assert record.state is OrderState.REJECTED
    assert said(record) == [(REJECTED, NO, "operator")] * 2 + [NOT_TRIED]
    hold_against(meter, record, (*TWO, CREDIT))


async def test_a_person_lets_the_meter_be_read_again(tmp_path: Path) -> None:
    meter = closes_class_116()
    async with at_a_wire(meter) as url, head_end(tmp_path) as head:
        await head.know(url, profile="default")
        await held(head)
        meter.unreadable = {}
        retry = Resolution(credited=ResolveCredited.RETRY, note="class 116 is open again")
        await head.store.orders.resolve("change", retry, who="operator")
        record = await head.until("change", *FINAL_STATES)
    assert said(record) == [CHANGED] * 2
    assert meter.entered == list(TWO)


def test_a_new_key_of_the_api_is_what_class_116_must_show() -> None:
    shown = new_key_of({"ea": "11", "sgc": "000123", "ti": "07", "krn": 2, "kt": 3, "ken": 85, "base_date": 2014})
    assert shown.words == "EA 11, SGC 000123, TI 07, KRN 2, KT 3, KEN 85"
    assert new_key_of({}).words == "nothing"


# Sections of two sets must not meet in a meter.


async def test_no_set_is_begun_while_sections_of_another_may_be_in_the_meter(tmp_path: Path) -> None:
    """The first set lacks its third section. Its two others stay in the meter for ten minutes."""
    meter = KeyChangeMeter(sections=SECTIONS[:3])
    async with at_a_wire(meter) as url, head_end(tmp_path) as head:
        await head.know(url, profile="default")
        await order(head, *TWO, new_key={"krn": 2})
        await head.start()
        assert (await head.until("change")).state is OrderState.HELD
        entered = len(meter.entered)
        await order(head, OTHER_SECTION, SECTIONS[3], new_key={"krn": 2}, order_id="other")
        waiting = await head.until("other", OrderState.WAITING)
        assert (waiting.reason, len(meter.entered)) == ("other-set", entered)
        await order(head, *TWO, new_key={"krn": 2}, order_id="again")
        again = await head.until("again")
    assert again.state is OrderState.HELD, "the same sections mix with themselves without harm, and were sent again"
    assert len(meter.entered) > entered
