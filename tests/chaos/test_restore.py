"""The real service is put back to a copy of its past: what was done since is found out from the meters, and no
invocation counter is used twice."""

from __future__ import annotations

import asyncio
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from sim_meters.records import token_digest
from tests.chaos.callers import Load
from tests.chaos.logs import Logs, read_logs
from tests.chaos.promises import counters, damaged, double, over_limit, unsaid, unsettled, untrue
from tests.chaos.rig import Plan, Rig, rig
from tests.chaos.street import GROUPS, ROOT, MeterGroup, StreetMeter

_COMMAND_SECONDS_MAX = 60.0
_PLAN = Plan(
    seed=1,
    kills=0,
    groups=(MeterGroup(name="ciphered", count=3, security=GROUPS[1].security),),
    load=Load(orders_max=0),
)


async def _stsgate(*arguments: str) -> None:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "gateway", *arguments),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
        cwd=ROOT,
    )
    async with asyncio.timeout(_COMMAND_SECONDS_MAX):
        output, _ = await process.communicate()
    assert process.returncode == 0, output.decode()


async def _hand_in(rig: Rig, meter: StreetMeter, name: str, **more: Any) -> dict[str, Any]:
    token = meter.token()
    body = {"id": name, "meter": meter.id, "tokens": [token.digits], **more}
    rig.callers.offer(body, [token_digest(token)])
    answer = await rig.callers.post(body)
    assert answer is not None
    assert answer.status == 202
    return body


async def test_after_a_restore_the_meters_say_what_was_delivered_since(tmp_path: Path) -> None:
    copy = tmp_path / "copy.sqlite"
    async with rig(tmp_path, _PLAN) as made:
        await made.prepare()
        later = (datetime.now(UTC) + timedelta(seconds=4)).isoformat()
        for number, meter in enumerate(made.meters):
            await _hand_in(made, meter, f"before-{number}")
            await _hand_in(made, meter, f"open-then-{number}", not_before=later)
        await _stsgate("backup", "--data-dir", str(made.head_end.data), str(copy))
        since = [await _hand_in(made, meter, f"since-{number}") for number, meter in enumerate(made.meters[:2])]
        assert await made.rest(), "not everything was delivered"

        await made.head_end.kill()
        await _stsgate("restore", "--data-dir", str(made.head_end.data), str(copy))
        await made.head_end.start()
        assert await made.head_end.ready(made.door)
        for body in since:
            answer = await made.callers.post(body)
            assert answer is not None
            assert answer.status == 202, "it was handed in after the copy was made, so it is new"
        assert await made.rest(), "not everything was settled"
        await made.stop()
        made.write_down()
    logs = read_logs(tmp_path)
    for promise in (double, untrue, unsaid, unsettled, counters, damaged, over_limit):
        assert list(promise(logs)) == []
    states = {name: _state(logs, name) for name in logs.orders}
    # What was open then is read from the meter. What was handed in again is new to the service: the meter has used it.
    assert states == {
        **{f"before-{number}": ("accepted", "yes") for number in range(3)},
        **{f"open-then-{number}": ("accepted", "yes") for number in range(3)},
        **{f"since-{number}": ("rejected", "unknown") for number in range(2)},
    }


def _state(logs: Logs, name: str) -> tuple[str, str]:
    story = logs.orders[name]
    return story.state, story.outcomes[0]["credited"]
