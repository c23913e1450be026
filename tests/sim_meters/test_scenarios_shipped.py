"""The shipped scenarios pass; and each of their expectations is looked at: with any of them changed, they do not."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from sim_meters.scenario.file import parse_mapping
from sim_meters.scenario.meters import Place, read_meters
from sim_meters.scenario.model import ScenarioFile
from sim_meters.scenario.plan import make_plan, read_plan
from sim_meters.scenario.report import Status
from sim_meters.scenario.run import ScenarioRun
from tests.sim_meters.scenarios import SHIPPED, loaded, ran

QUICK = [path for path in SHIPPED if 'do = "run"' not in path.read_text(encoding="utf-8")]
"""Those that run no program: all of their expectations can be tried."""
OTHERS: dict[str, tuple[object, ...]] = {
    "result": ("refused", "rejected"),
    "reason": ("key-type", "field-format"),
    "status_code": (77,),
    "action_result": (250,),
    "balance": (777,),
    "balance_change": (777,),
    "unit": ("GBP",),
    "switch": ("disconnected", "connected"),
    "delivery": ("local",),
    "section": (1, 2),
    "sections": ([4],),
    "display_has": (["no such words"],),
    "power_limit": (77,),
}
"""What is not found; the first that is not what is expected."""


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.stem)
async def test_a_shipped_scenario_passes(path: Path, tmp_path: Path) -> None:
    report = await ran(read_plan(path, tmp_path))
    assert {case.title: case.message for case in report.cases if case.message} == {}
    assert report.is_passed
    assert report.count(Status.PASSED) == len(report.cases) > 0


def changed(file: dict[str, Any]) -> Iterator[tuple[dict[str, Any], str, int, str]]:
    """The file with one expectation that cannot be met: the case, the step and the expectation."""
    for number, case in enumerate(file["case"]):
        for at, step in enumerate(case["step"]):
            places = [("expect", name) for name in step.get("expect", {})]
            places += [(name,) for name in step if name in OTHERS and step["do"] == "expect"]
            places += [(kind, name) for kind in ("times_credited", "strikes", "sts") for name in step.get(kind, {})]
            for place in places:
                other = copy.deepcopy(file)
                inside = other["case"][number]["step"][at]
                for name in place[:-1]:
                    inside = inside[name]
                found = inside[place[-1]]
                inside[place[-1]] = next(other for other in OTHERS.get(place[-1], (999,)) if other != found)
                what = f"sts.{place[-1]}" if place[0] == "sts" else " of ".join(place)
                yield other, case["name"], at + 1, what if place[0] != "expect" else place[-1]


@pytest.mark.parametrize("path", QUICK, ids=lambda path: path.stem)
async def test_every_expectation_of_it_can_fail(path: Path, tmp_path: Path) -> None:
    tried = 0
    for file, name, step, expectation in changed(loaded(path)):
        tables = parse_mapping(ScenarioFile, file)
        place = Place(path.parent, tmp_path, tables.seed)
        plan = make_plan(tables, path, read_meters(tables.meter, place), tables.seed, only=[name])
        report = await ScenarioRun(plan, lambda _line: None).run({})
        last = report.cases[-1]
        assert (last.title.partition(" [")[0], last.status) == (name, Status.FAILED), expectation
        assert last.message.startswith(f"step {step} ("), last.message
        assert f": {expectation}: expected " in last.message or f"; {expectation}: expected " in last.message
        tried += 1
    assert tried > 5


async def test_one_seed_makes_the_same_tokens(tmp_path: Path) -> None:
    async def story(seed: int) -> list[str]:
        lines: list[str] = []
        await ran(read_plan(SHIPPED[0], tmp_path, seed=seed), lines)
        return [line for line in lines if "PASSED" not in line]

    first = await story(1)
    assert first == await story(1)
    assert first != await story(2)
