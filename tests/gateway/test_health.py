"""Health tells the truth: each check fails when what it asks about fails, and the report names it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import pytest

from gateway.serving import health
from gateway.serving.health import DispatcherState, Health, HealthReport, LoopLag
from gateway.settings.sections import HealthSection
from gateway.store.sqlite.store import SqliteStore
from tests.gateway.store.stores import BEGIN, Clock, opened

TIMEOUT_SECONDS = 30


class LoopTime:
    """The event loop's clock, moved by hand."""

    seconds = 1000.0

    def __call__(self) -> float:
        return self.seconds


@dataclass
class Scene:
    """A service as the checks see it."""

    store: SqliteStore
    clock: Clock
    health: Health
    dispatcher: DispatcherState
    lag: LoopLag
    loop_time: LoopTime

    async def failing(self) -> dict[str, str]:
        report = await self.health.ready()
        assert report.is_good == all(check.is_good for check in report.checks)
        return {check.name: check.detail for check in report.checks if not check.is_good}


@pytest.fixture
async def scene(tmp_path: Path) -> AsyncIterator[Scene]:
    clock, loop_time = Clock(), LoopTime()
    lag = LoopLag(loop_time)
    async with opened(tmp_path, clock) as store:
        made: Scene

        def state() -> DispatcherState:
            return made.dispatcher

        checks = Health(store, tmp_path, HealthSection(), dispatcher=state, now=clock, lag=lag)
        made = Scene(store, clock, checks, DispatcherState(is_running=True, claimed_at=BEGIN), lag, loop_time)
        yield made


async def test_a_service_that_works_is_ready_and_says_what_was_looked_at(scene: Scene) -> None:
    report = await scene.health.ready()
    assert report.is_good
    shown = report.to_json()
    assert shown["ok"] is True
    assert isinstance(shown["checks"], dict)
    assert list(shown["checks"]) == ["store", "dispatcher", "disk", "clock", "event_loop"]
    assert all(check["ok"] and check["detail"] for check in shown["checks"].values())


async def test_a_store_that_cannot_be_written_is_told_when_the_last_answer_is_old(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert await scene.failing() == {}
    await scene.store.close()
    assert await scene.failing() == {}
    monkeypatch.setattr(health, "STORE_CACHE_SECONDS", -1.0)
    failing = await scene.failing()
    assert list(failing) == ["store"]
    assert "closed" in failing["store"]


async def test_a_store_that_does_not_answer_is_told_in_time(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    async def never() -> None:
        await asyncio.Event().wait()

    monkeypatch.setattr(scene.store, "check", never)
    monkeypatch.setattr(health, "STORE_ANSWER_SECONDS_MAX", 0.01)
    assert await scene.failing() == {"store": "it did not answer within 0.01 s"}


async def test_many_who_ask_at_once_write_once(scene: Scene) -> None:
    before = scene.store.database.works
    reports: list[HealthReport] = await asyncio.gather(*(scene.health.ready() for _ in range(20)))
    assert all(report.is_good for report in reports)
    assert scene.store.database.works == before + 1


@pytest.mark.parametrize(
    ("state", "detail"),
    [
        (DispatcherState(is_running=False, claimed_at=BEGIN), "it does not run"),
        (DispatcherState(is_running=True, is_draining=True, claimed_at=BEGIN), "it is stopping"),
        (DispatcherState(is_running=True), "it has not looked for work yet"),
        (DispatcherState(is_running=True, claimed_at=BEGIN - timedelta(seconds=31)), "it looked for work 31.0 s ago"),
    ],
)
async def test_a_dispatcher_that_does_not_work_is_told(scene: Scene, state: DispatcherState, detail: str) -> None:
    scene.dispatcher = state
    assert await scene.failing() == {"dispatcher": detail}


async def test_a_full_disk_is_told_before_it_is_full(scene: Scene) -> None:
    scene.health.limits = HealthSection(disk_free_mib_min=1 << 30)
    failing = await scene.failing()
    assert list(failing) == ["disk"]
    assert failing["disk"].endswith("MiB free, at least 1073741824 expected")


async def test_a_data_directory_that_is_gone_is_told(tmp_path: Path) -> None:
    async with opened(tmp_path / "data", Clock()) as store:
        checks = Health(
            store,
            tmp_path / "gone",
            HealthSection(),
            dispatcher=lambda: DispatcherState(is_running=True, claimed_at=BEGIN),
            now=Clock(),
            lag=LoopLag(),
        )
        report = await checks.ready()
    assert [check.name for check in report.checks if not check.is_good] == ["disk"]


async def test_a_clock_that_went_back_is_told_until_it_has_caught_up(scene: Scene) -> None:
    scene.clock.move(seconds=3600)
    scene.dispatcher = DispatcherState(is_running=True, claimed_at=scene.clock())
    assert await scene.failing() == {}
    scene.clock.move(seconds=-600)
    assert await scene.failing() == {"clock": "it was set back by 600 s"}
    scene.clock.move(seconds=598)
    assert await scene.failing() == {}


async def test_a_clock_before_its_time_is_told(scene: Scene) -> None:
    scene.clock.move(days=-400)
    assert "expected a later date" in (await scene.failing())["clock"]


async def test_an_event_loop_that_is_held_up_is_told_until_it_is_not(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(health, "LAG_INTERVAL_SECONDS", 0.01)
    watching = asyncio.create_task(scene.lag.watch())
    await asyncio.sleep(0)
    scene.loop_time.seconds += 7.0
    assert await scene.failing() == {"event_loop": "6990 ms late"}
    async with asyncio.timeout(TIMEOUT_SECONDS):
        while await scene.failing():  # noqa: ASYNC110 - the watch goes on meanwhile
            await asyncio.sleep(0)
    watching.cancel()
    with suppress(asyncio.CancelledError):
        await watching


async def test_who_answers_is_alive(scene: Scene) -> None:
    scene.dispatcher = DispatcherState(is_running=False)
    report = scene.health.alive()
    assert report.to_json()["ok"] is True
    assert [check.name for check in report.checks] == ["event_loop"]
