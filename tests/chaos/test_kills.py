"""A short run of ``python -m tests.chaos``: kill -9 of the real service, and what it leaves behind; and whether the
checker would notice if something were lost."""

from __future__ import annotations

import asyncio
import copy
import shutil
import sqlite3
from collections.abc import Callable
from contextlib import closing
from dataclasses import replace

import pytest

from tests.chaos.callers import Load
from tests.chaos.checker import check_logs, table
from tests.chaos.logs import Logs, OrderStory, read_logs
from tests.chaos.rig import Plan, rig
from tests.chaos.street import FEW

KILLS = 10
ORDERS = 100


@pytest.fixture(scope="module")
def logs(tmp_path_factory: pytest.TempPathFactory) -> Logs:
    directory = tmp_path_factory.mktemp("chaos")
    load = Load(orders_max=ORDERS, open_per_meter_max=4, singles=2)
    plan = Plan(seed=4, kills=KILLS, load=load, groups=FEW, life_seconds_max=0.8, failpoint_seconds_max=2.0)
    plan = replace(plan, first_starts_killed=2)

    async def play() -> None:
        async with rig(directory, plan) as made:
            await made.run()

    asyncio.run(play())
    return read_logs(directory)


def test_nothing_is_lost_doubled_or_untrue_when_the_service_is_killed(
    logs: Logs, capsys: pytest.CaptureFixture[str]
) -> None:
    report = check_logs(logs)
    with capsys.disabled():
        print("\n" + table(report, logs.rig))
    assert report.violations == []
    assert sum(logs.rig["tally"]["kills"].values()) >= KILLS
    assert report.figures["accepted"] > 0
    assert report.figures["times in doubt"] > 0, "no kill struck while a token was on its way"


# The checker, given logs in which a promise is broken.


def _an_accepted(logs: Logs) -> OrderStory:
    return next(story for story in logs.orders.values() if story.state == "accepted" and len(story.tokens) == 1)


def _forget_an_order(logs: Logs) -> None:
    story = next(story for story in logs.orders.values() if story.was_taken)
    story.row = None


def _forget_an_offer(logs: Logs) -> None:
    _an_accepted(logs).tokens = []


def _answer_with_500(logs: Logs) -> None:
    _an_accepted(logs).answers[0]["status"] = 500


def _credit_twice(logs: Logs) -> None:
    story = _an_accepted(logs)
    logs.ledgers[story.meter] += [entry for entry in logs.ledgers[story.meter] if entry.digest == story.tokens[0]][-1:]


def _forget_an_outcome(logs: Logs) -> None:
    _an_accepted(logs).outcomes.clear()


def _forget_a_booking(logs: Logs) -> None:
    story = _an_accepted(logs)
    logs.ledgers[story.meter] = [entry for entry in logs.ledgers[story.meter] if entry.digest != story.tokens[0]]


def _reject_what_was_credited(logs: Logs) -> None:
    _an_accepted(logs).outcomes[0] = {"verdict": "rejected", "credited": "unknown"}


def _enter_a_strange_token(logs: Logs) -> None:
    entries = next(entries for entries in logs.ledgers.values() if entries)
    entries.append(replace(entries[-1], digest="0" * 64))


def _enter_what_is_shown(logs: Logs) -> None:
    entries = next(entries for entries in logs.ledgers.values() if entries and entries[-1].shown)
    entries.append(replace(entries[-1], result=None))


def _tell_another_end(logs: Logs) -> None:
    _an_accepted(logs).answers.append({"call": "get", "status": 200, "state": "cancelled", "tokens": []})


def _end_a_story_early(logs: Logs) -> None:
    _an_accepted(logs).last_event = "order.sending"


def _miss_an_event(logs: Logs) -> None:
    del logs.rig["events_read"][3]


def _miss_a_webhook(logs: Logs) -> None:
    del logs.rig["events_called"][3]


def _connect_twice(logs: Logs) -> None:
    meter = next(iter(logs.ledgers))
    logs.rig["wire"]["most"][meter], logs.rig["wire"]["most_at"][meter] = 2, (0.0, [meter, meter])


def _connect_too_often(logs: Logs) -> None:
    link, limits = next((name, link) for name, link in logs.rig["links"].items() if link["rate_per_second"])
    logs.rig["wire"]["begun"][link] = [number / (3 * limits["rate_per_second"]) for number in range(200)]


def _connect_while_paused(logs: Logs) -> None:
    logs.rig["link_pauses"].append(("dcu", -10.0, -1.0))
    logs.rig["wire"]["begun"].setdefault("dcu", []).append(-5.0)


def _repeat_a_counter(logs: Logs) -> None:
    logs.rig["wire"]["counters_repeated"].append(("concentrator-1", 7))


def _keep_a_lane(logs: Logs) -> None:
    changed = logs.database.with_name("changed.sqlite")
    shutil.copy(logs.database, changed)
    with closing(sqlite3.connect(changed)) as connection:
        connection.execute("UPDATE lane SET owner = 'service', fence = fence + 1")
        connection.commit()
    logs.database = changed


def _end_by_itself(logs: Logs) -> None:
    logs.rig["tally"]["troubles"].append("it ended by itself")


@pytest.mark.parametrize(
    ("promise", "break_it"),
    [
        ("lost", _forget_an_order),
        ("strange", _forget_an_offer),
        ("answers", _answer_with_500),
        ("double", _credit_twice),
        ("unsettled", _forget_an_outcome),
        ("untrue", _forget_a_booking),
        ("misjudged", _reject_what_was_credited),
        ("unsaid", _enter_a_strange_token),
        ("entered_again", _enter_what_is_shown),
        ("changed", _tell_another_end),
        ("untold", _end_a_story_early),
        ("unheard", _miss_an_event),
        ("unheard", _miss_a_webhook),
        ("over_limit", _connect_twice),
        ("over_limit", _connect_too_often),
        ("over_limit", _connect_while_paused),
        ("counters", _repeat_a_counter),
        ("damaged", _keep_a_lane),
        ("troubles", _end_by_itself),
    ],
)
def test_the_checker_notices_a_broken_promise(logs: Logs, promise: str, break_it: Callable[[Logs], None]) -> None:
    broken = _copy(logs)
    break_it(broken)
    assert check_logs(broken).broken(promise) > check_logs(logs).broken(promise)


def _copy(logs: Logs) -> Logs:
    """Rows of the database are never changed, and cannot be copied deeply."""
    orders = {
        name: replace(
            story,
            tokens=list(story.tokens),
            answers=copy.deepcopy(story.answers),
            outcomes=dict(story.outcomes),
            standing=dict(story.standing),
        )
        for name, story in logs.orders.items()
    }
    ledgers = {meter: list(entries) for meter, entries in logs.ledgers.items()}
    return Logs(orders, ledgers, copy.deepcopy(logs.rig), logs.database)
