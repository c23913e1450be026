"""However the head-end dies, and whatever wires, clocks, people and disks do: no order is lost, no token is credited
twice, and what is said about credit is true.

A failing seed prints itself; ``python -m tests.scenarios.service_town SEED`` tells its story.
"""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import Iterator

import pytest

from gateway.orders import OrderState
from tests.scenarios.killable import Doom, Killed, Point, Process, task_factory
from tests.scenarios.service_plan import plan_of
from tests.scenarios.service_town import Outcome, play
from tests.scenarios.virtual_clock import run_in_virtual_time

SEEDS = 200
BLOCK = 20
CHAOS_SEEDS = 10_000
CHAOS_BLOCK = 250
_SHOWN = ("lives", "kills", "drains", "restores", "enters", "nonces", "order.in_doubt", "order.reconciling")


@pytest.fixture(autouse=True)
def _silent_log() -> Iterator[None]:
    """What goes wrong on purpose is logged a hundred thousand times."""
    logging.disable()
    yield
    logging.disable(logging.NOTSET)


def check(outcome: Outcome) -> None:
    seed = outcome.plan.seed
    assert not outcome.violations, f"seed {seed} (python -m tests.scenarios.service_town {seed}): {outcome.violations}"


def play_block(first: int, count: int, capsys: pytest.CaptureFixture[str]) -> None:
    counts = Counter[str]()
    for seed in range(first, first + count):
        try:
            outcome = play(plan_of(seed))
        except BaseException as error:
            error.add_note(f"seed {seed}")
            raise
        check(outcome)
        counts.update(outcome.counts)
    ends = {name: number for name, number in counts.items() if name.split()[0] in set(OrderState)}
    shown = {name: counts[name] for name in _SHOWN}
    with capsys.disabled():
        print(f"\nseeds {first} to {first + count - 1}: {shown}; orders ended {dict(sorted(ends.items()))}")


@pytest.mark.parametrize("first", range(0, SEEDS, BLOCK), ids=lambda first: f"seeds-{first}-{first + BLOCK - 1}")
def test_no_crash_loses_an_order_or_doubles_a_credit(first: int, capsys: pytest.CaptureFixture[str]) -> None:
    play_block(first, BLOCK, capsys)


@pytest.mark.chaos
@pytest.mark.parametrize("first", range(SEEDS, CHAOS_SEEDS, CHAOS_BLOCK))
def test_chaos(first: int, capsys: pytest.CaptureFixture[str]) -> None:
    play_block(first, min(CHAOS_BLOCK, CHAOS_SEEDS - first), capsys)


def test_a_seed_plays_the_same_again() -> None:
    for seed in (1, 8, 17):
        first, second = (play(plan_of(seed)) for _ in range(2))
        assert first.counts == second.counts
        assert _without_tokens(first) == _without_tokens(second)


def _without_tokens(outcome: Outcome) -> list[str]:
    return [line for line in outcome.story if "fence" not in line]


def test_where_nothing_goes_wrong_every_order_is_accepted_with_one_enter_for_each_token() -> None:
    for seed in range(40):
        outcome = play(plan_of(seed).simple)
        check(outcome)
        plans = {planned.order.id: planned for planned in outcome.plan.orders}
        tried = 0
        for order_id, record in outcome.records.items():
            assert record is not None
            tried += sum(token.tries for token in record.tokens)
            if record.state is OrderState.ACCEPTED:
                assert set(outcome.times_credited[order_id]) == {1}, f"seed {seed}"
                assert {token.tries for token in record.tokens} == {1}, f"seed {seed}"
            else:
                assert not plans[order_id].is_good, f"seed {seed}: {record}"
        assert outcome.counts["enters"] == tried, f"seed {seed}"


def test_a_killed_process_does_nothing_more_not_even_in_its_finally_blocks() -> None:
    """The simulation itself: else its crashes would be gentle ones."""
    steps: list[str] = []

    async def work(process: Process) -> None:
        try:
            steps.append("begun")
            await asyncio.sleep(1)
            steps.append("not reached")
        finally:
            try:
                process.pass_by(Point.BEFORE_COMMIT)
                steps.append("committed")
            except Killed:
                steps.append("refused")

    async def main() -> None:
        asyncio.get_running_loop().set_task_factory(task_factory)
        process = Process("victim", Doom(Point.STEP, 2), lambda _process: steps.append("died"))
        task = process.spawn(work(process), "work")
        await asyncio.wait((task,))
        assert task.cancelled()

    run_in_virtual_time(main())
    assert steps == ["begun", "died", "refused"]
