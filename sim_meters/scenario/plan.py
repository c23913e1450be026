"""A scenario as it will be run: its meters, and its cases in their order, each on its meters.

What only makes sense together is refused here, before anything is opened; see ``rules.py``.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

from cosem_objects.errors import SettingError
from sim_meters.scenario.file import read_file
from sim_meters.scenario.meters import MeterPlan, Place, read_fleet, read_meters
from sim_meters.scenario.model import CaseTable, MetersFile, ScenarioFile
from sim_meters.scenario.rules import check_chain, meters_named
from transports.wire_settings import WIRE_DEFAULTS, WireSettings


@dataclass(frozen=True, slots=True)
class CaseRun:
    """One case on one meter."""

    case: CaseTable
    meter: str
    title: str


@dataclass(frozen=True, slots=True)
class Chain:
    """A case, and those behind it that keep what it left. They are run one after the other, on the same meters."""

    runs: tuple[CaseRun, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class ScenarioPlan:
    name: str
    path: Path
    seed: int
    start: datetime | None
    """Of the virtual clock; ``None``: real time."""
    meters: Mapping[str, MeterPlan]
    chains: tuple[Chain, ...]

    @property
    def runs(self) -> list[CaseRun]:
        return [run for chain in self.chains for run in chain.runs]


def read_plan(
    path: Path,
    directory: Path,
    *,
    meters_path: Path | None = None,
    seed: int | None = None,
    wires: WireSettings = WIRE_DEFAULTS,
    only: Sequence[str] = (),
) -> ScenarioPlan:
    """Read a scenario file. ``directory`` is for what simulated meters need on disk; ``meters_path``: a file with
    meters that stand in for those of the same names; ``only``: the cases to run, with those that they go on from.
    Raises ``SettingError``."""
    others = None if meters_path is None else read_file(MetersFile, meters_path)
    file = read_file(ScenarioFile, path)
    try:
        place = Place(path.parent, directory, file.seed if seed is None else seed, wires)
        meters = read_meters(file.meter, place)
        if file.fleet is not None:
            meters |= read_fleet(file.fleet, place, _named(file) - set(meters))
        if others is not None and meters_path is not None:
            meters = _replaced(meters, read_meters(others.meter, replace(place, folder=meters_path.parent)))
        return make_plan(file, path, meters, place.seed, only=only)
    except SettingError as error:
        raise SettingError(f"{path}: {error}") from None


def make_plan(
    file: ScenarioFile,
    path: Path,
    meters: Mapping[str, MeterPlan],
    seed: int,
    *,
    only: Sequence[str] = (),
) -> ScenarioPlan:
    """Only the cases that are run are checked: with ``only``, others may be such that these meters cannot take. Raises
    ``SettingError``."""
    chains = []
    for cases in _linked(file.case):
        names = cases[0].on or tuple(meter.name for meter in file.meter[:1])
        if not names:
            raise SettingError(f"case {cases[0].shown}: on: expected the names of meters")
        for name in names:
            if name not in meters:
                raise SettingError(f"case {cases[0].shown}: on: there is no meter {name!r}")
        chains += [Chain(_runs(cases, name, is_alone=len(names) == 1)) for name in names]
    selected = _selected(chains, only)
    for chain in selected:
        check_chain([run.case for run in chain.runs], chain.runs[0].meter, meters, has_clock=file.clock is not None)
    return ScenarioPlan(
        name=file.name,
        path=path,
        seed=seed,
        start=None if file.clock is None else _moment(file.clock.start),
        meters=meters,
        chains=selected,
    )


def _moment(text: str) -> datetime:
    """An aware time; in UTC if the text does not say."""
    try:
        found = datetime.fromisoformat(text)
        return found.replace(tzinfo=UTC) if found.tzinfo is None else found.astimezone(UTC)
    except (ValueError, OverflowError):
        raise SettingError("clock, start: expected a time such as 2026-11-21T12:30:00Z") from None


def _named(file: ScenarioFile) -> set[str]:
    """All names of meters that stand in the cases."""
    on = {name for case in file.case for name in case.on or ()}
    return on | {name for case in file.case for step in case.step for name in meters_named(step)}


def _replaced(meters: Mapping[str, MeterPlan], others: Mapping[str, MeterPlan]) -> dict[str, MeterPlan]:
    for name in others:
        if name not in meters:
            raise SettingError(f"--meters: there is no meter {name!r} in the scenario")
    return {**meters, **others}


def _linked(cases: Sequence[CaseTable]) -> list[list[CaseTable]]:
    """The cases, those that keep something together with those that left it."""
    linked: list[list[CaseTable]] = []
    names: set[str] = set()
    for case in cases:
        if case.name in names:
            raise SettingError(f"case {case.shown}: expected it once")
        names.add(case.name)
        if not case.keep:
            linked.append([case])
        elif not linked:
            raise SettingError(f"case {case.shown}: keep: there is no case before it")
        elif case.on is not None:
            raise SettingError(f"case {case.shown}: on: expected none with keep; it has the meters of the case before")
        else:
            linked[-1].append(case)
    return linked


def _runs(cases: Sequence[CaseTable], meter: str, *, is_alone: bool) -> tuple[CaseRun, ...]:
    return tuple(CaseRun(case, meter, case.name if is_alone else f"{case.name} [{meter}]") for case in cases)


def _selected(chains: Sequence[Chain], only: Collection[str]) -> tuple[Chain, ...]:
    """Those that ``only`` names, by the case's name or by the title with its meter."""
    if not only:
        return tuple(chains)
    found = {name for chain in chains for run in chain.runs for name in (run.case.name, run.title)}
    for name in only:
        if name not in found:
            raise SettingError(f"--case: there is no case {name[:60]!r}; --list names them")
    selected = []
    for chain in chains:
        wanted = [at for at, run in enumerate(chain.runs) if run.case.name in only or run.title in only]
        if wanted:
            selected.append(Chain(chain.runs[: wanted[-1] + 1]))
    return tuple(selected)
