"""FleetMeters: the meters of a plan as they are made, one by one, when somebody first asks for them."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from cosem_objects.errors import SettingError
from sim_meters.behaviour import Behaviour
from sim_meters.clock import Clock, SystemClock
from sim_meters.fault_order import EVERY_METER, FaultOrder, MeterSelector
from sim_meters.faults import Fault, Phase
from sim_meters.fleet.plan import FleetPlan, Member
from sim_meters.ledger import FileLedger, Ledger, lock_directory
from sim_meters.meter import SimMeter
from sim_meters.meter_config import MeterConfig
from sim_meters.wire_faults import WireFaults

CHANGES_MAX = 1000
"""So many orders and cancellations for more than one meter are kept for the meters to come."""


@dataclass(frozen=True, slots=True)
class Cancellation:
    """Faults taken back: this one or all, of one phase or all."""

    fault: Fault | None = None
    phase: Phase | None = None
    selector: MeterSelector = EVERY_METER


class FleetMeters:
    """The meters of a fleet, without their wires; ``close`` at the end."""

    def __init__(
        self,
        plan: FleetPlan,
        *,
        state_dir: Path | None = None,
        holds_ledgers: bool = False,
        clock: Clock | None = None,
    ) -> None:
        """``holds_ledgers``: a meter's file stays open; otherwise the whole directory is this fleet's own. Raises
        ``SettingError`` if there can be no such directory, ``LedgerError`` if another fleet uses it."""
        self.plan = plan
        self.clock = clock or SystemClock()
        """Of all meters, until a fault gives one of them a wrong one."""
        self.wire = WireFaults()
        """Below the framing of all of them."""
        self._on_made: Callable[[Member, SimMeter], None] | None = None
        self._state_dir = state_dir
        self._holds_ledgers = holds_ledgers
        self._lock = -1
        self._made: dict[Member, SimMeter] = {}
        self._changes: list[FaultOrder | Cancellation] = []
        if state_dir is not None:
            _make_directory(state_dir)
            if not holds_ledgers:
                self._lock = lock_directory(state_dir)

    @property
    def made(self) -> list[tuple[Member, SimMeter]]:
        """Those that there are so far, in the order in which they were made."""
        return list(self._made.items())

    def meter(self, member: Member) -> SimMeter:
        """The meter itself, made now if nobody has asked for it before. Raises ``LedgerError`` and ``SettingError``
        if its ledger cannot be read."""
        meter = self._made.get(member)
        if meter is None:
            meter = self._made[member] = self._make(member)
            if self._on_made is not None:
                self._on_made(member, meter)
        return meter

    def tell(self, on_made: Callable[[Member, SimMeter], None]) -> None:
        """Tell of each meter: those that there are, at once, and those to come."""
        self._on_made = on_made
        for member, meter in self.made:
            on_made(member, meter)

    def change(self, change: FaultOrder | Cancellation) -> int:
        """Order a fault, or take some back, for all meters that are meant, also for those that nobody has spoken to
        yet. How many of those that are made were meant. Raises ``SettingError``: there were too many changes."""
        if change == Cancellation():
            self._changes.clear()  # nothing from before matters any more, but what the fleet file says
        if change in self._changes:
            self._changes.remove(change)
        if len(self._changes) >= CHANGES_MAX:
            raise SettingError(f"fault: expected at most {CHANGES_MAX} different changes while the fleet runs")
        self._changes.append(change)
        meant = [meter.behaviour for member, meter in self._made.items() if member.is_meant_by(change.selector)]
        for behaviour in meant:
            _apply(change, behaviour)
        return len(meant)

    def close(self) -> None:
        for meter in self._made.values():
            meter.close()
        if self._lock >= 0:
            os.close(self._lock)
            self._lock = -1

    def _make(self, member: Member) -> SimMeter:
        # One seed for each meter: what happens to one does not depend on how many there are.
        behaviour = Behaviour(seed=f"{self.plan.seed}/{member.name}")
        for change in (*member.group.faults, *self._changes):
            if member.is_meant_by(change.selector):
                _apply(change, behaviour)
        config = member.config
        return SimMeter(config, self._ledger(config), clock=self.clock, behaviour=behaviour, wire=self.wire)

    def _ledger(self, config: MeterConfig) -> Ledger:
        if self._state_dir is None:
            return Ledger()
        path = self._state_dir / f"{config.device_name}.ledger"
        return FileLedger(path, config.ledger_identity, stays_open=self._holds_ledgers)


def _apply(change: FaultOrder | Cancellation, behaviour: Behaviour) -> None:
    if isinstance(change, FaultOrder):
        behaviour.order(change)
    else:
        behaviour.cancel(change.fault, change.phase)


def _make_directory(state_dir: Path) -> None:
    try:
        state_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise SettingError(f"--state-dir: cannot make {state_dir}: {error.strerror}") from None
