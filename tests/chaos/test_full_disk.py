"""The disk under the real service is full for a while: it says so, takes nothing, forgets nothing, and goes on.

No file of the process may be written at all while the limit of its file size is 0 (``RLIMIT_FSIZE``): each write
fails as on a full disk, with another error number. The limit is set from outside, in the middle of work.
"""

from __future__ import annotations

import asyncio
import resource
from collections.abc import Callable
from pathlib import Path
from typing import Any

from sim_meters.ledger import read_ledger
from tests.chaos.callers import Answer, Load
from tests.chaos.rig import Plan, Rig, rig
from tests.chaos.street import MeterGroup, StreetMeter

_TRIES_MAX = 300
_PLAN = Plan(
    seed=1,
    kills=0,
    groups=(MeterGroup(name="open", count=1), MeterGroup(name="slow", count=1, options=("--status-delay", "1.5"))),
    load=Load(orders_max=0),
)


async def _until(rig: Rig, path: str, is_good: Callable[[Answer], bool]) -> Answer:
    for _ in range(_TRIES_MAX):
        answer = await rig.door.ask("GET", path)
        if answer is not None and is_good(answer):
            return answer
        await asyncio.sleep(0.1)
    raise AssertionError(f"GET {path}: {answer}")


def _order(name: str, meter: StreetMeter) -> dict[str, Any]:
    return {"id": name, "meter": meter.id, "tokens": [meter.token().digits]}


def _limit_writes(rig: Rig, limit: int) -> None:
    process = rig.head_end.process
    assert process is not None
    resource.prlimit(process.pid, resource.RLIMIT_FSIZE, (limit, resource.RLIM_INFINITY))


async def test_a_full_disk_is_said_and_nothing_is_lost_by_it(tmp_path: Path) -> None:
    async with rig(tmp_path, _PLAN) as made:
        await made.prepare()
        fast, slow = made.meters
        under_way = _order("under-way", slow)
        answer = await made.door.ask("POST", "/v1/orders", under_way)
        assert answer is not None
        assert answer.status == 202
        await _until(made, "/v1/orders/under-way", lambda answer: answer.body["state"] == "pending")

        _limit_writes(made, 0)
        refused = _order("refused", fast)
        answer = await made.door.ask("POST", "/v1/orders", refused)
        assert answer is not None
        assert (answer.status, answer.body["type"]) == (503, "unavailable")
        told = await _until(made, "/readyz", lambda answer: answer.status == 503)
        assert not told.body["checks"]["store"]["ok"]
        assert (
            "it goes on" in told.body["checks"]["store"]["detail"] or "disk" in told.body["checks"]["store"]["detail"]
        )
        answer = await made.door.ask("GET", "/v1/orders/refused")
        assert answer is not None
        assert answer.status == 404, "what was refused is not there"
        slow_ledger = tmp_path / "meters" / "slow" / f"{slow.config.device_name}.ledger"
        for _ in range(_TRIES_MAX):
            if read_ledger(slow_ledger).entries:
                break
            await asyncio.sleep(0.1)  # the meter is done with it; the service cannot write that down

        _limit_writes(made, resource.RLIM_INFINITY)
        await _until(made, "/readyz", lambda answer: answer.status == 200)
        answer = await made.door.ask("POST", "/v1/orders", refused)
        assert answer is not None
        assert answer.status == 202
        for order in ("under-way", "refused"):
            told = await _until(made, f"/v1/orders/{order}", lambda answer: answer.body["state"] == "accepted")
            assert told.body["tokens"][0]["credited"] == "yes"
        for meter in (fast, slow):
            path = tmp_path / "meters" / meter.group.name / f"{meter.config.device_name}.ledger"
            assert [entry.is_accepted for entry in read_ledger(path).entries] == [True]
