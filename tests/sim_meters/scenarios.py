"""Scenarios for tests: short ones, made of text, and what came of them."""

from __future__ import annotations

import copy
import tomllib
from pathlib import Path
from typing import Any

from sim_meters.scenario.plan import ScenarioPlan, read_plan
from sim_meters.scenario.report import CaseReport, ScenarioReport
from sim_meters.scenario.run import ScenarioRun

ROOT = Path(__file__).resolve().parents[2]
SHIPPED = sorted((ROOT / "config" / "scenarios").glob("*.toml"))

HEAD = """
name = "a test"
[clock]
start = 2026-11-21T12:30:00Z
[[meter]]
name = "A"
"""


def a_case(*steps: str, head: str = HEAD, name: str = "a case", more: str = "") -> str:
    """A scenario of one case; each step is what stands in its table."""
    return f'{head}\n[[case]]\nname = "{name}"\n{more}\n' + "".join(f"[[case.step]]\n{step}\n" for step in steps)


def loaded(path: Path) -> dict[str, Any]:
    """As TOML reads it, times as text."""
    return mutable(tomllib.loads(path.read_text(encoding="utf-8")))


def mutable(mapping: dict[str, Any]) -> dict[str, Any]:
    def plain(value: Any) -> Any:
        if isinstance(value, dict):
            return {name: plain(inner) for name, inner in value.items()}
        if isinstance(value, list):
            return [plain(inner) for inner in value]
        return value if isinstance(value, str | int | float) else value.isoformat()

    return copy.deepcopy(plain(mapping))  # type: ignore[no-any-return]


def planned(text: str, tmp_path: Path, **options: Any) -> ScenarioPlan:
    """Raises ``SettingError``, as the command would see it."""
    path = tmp_path / "scenario.toml"
    path.write_text(text, encoding="utf-8")
    return read_plan(path, tmp_path, **options)


async def ran(plan: ScenarioPlan, lines: list[str] | None = None, **options: Any) -> ScenarioReport:
    told = [] if lines is None else lines
    return await ScenarioRun(plan, told.append, **options).run({})


async def only_case(text: str, tmp_path: Path) -> CaseReport:
    """What came of a scenario's only case."""
    (case,) = (await ran(planned(text, tmp_path))).cases
    return case
