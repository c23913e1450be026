"""Scripted misbehaviour: what a meter does wrong, on order and countably, so that a head-end can prove its patience."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from datetime import datetime
from random import Random
from types import MappingProxyType

from sim_meters.fault_order import FaultOrder
from sim_meters.faults import Fault, Phase


class Behaviour:
    """What is still to go wrong with one meter. It can be changed at any time.

    ``seed``: of this meter's chance. Every order draws from a source of its own, made of the seed, the fault and the
    phase, so that one more order does not change when the others strike. Selectors are not looked at here: who has
    many meters gives each of them the orders that are meant for it.
    """

    def __init__(self, orders: Iterable[FaultOrder] = (), seed: int | float | str = 0) -> None:
        self._seed = seed
        self._running: list[_Running] = []
        self._strikes: dict[Fault, int] = {}
        self._where: Random | None = None
        for order in orders:
            self.order(order)

    def order(self, order: FaultOrder) -> None:
        """From now on. Takes the place of an order of the same fault for the same phase."""
        self._drop(lambda old: old.fault is order.fault and old.phase is order.phase)
        self._running.append(_Running(order, self._seed))

    def cancel(self, fault: Fault | None = None, phase: Phase | None = None) -> int:
        """Take back this fault, or all of them; with ``phase`` only the orders for that phase. How many there were."""
        before = len(self._running)
        self._drop(lambda old: fault in (None, old.fault) and phase in (None, old.phase))
        return before - len(self._running)

    @property
    def is_scripted(self) -> bool:
        """Whether there is any order: most meters have none, and are not asked further."""
        return bool(self._running)

    def active(self) -> list[tuple[FaultOrder, int | None]]:
        """The orders that can still strike, each with how often (``None``: always)."""
        return [(running.order, running.left) for running in self._running if running.left != 0]

    @property
    def strikes(self) -> Mapping[Fault, int]:
        """How often each fault struck since the meter was made."""
        return MappingProxyType(self._strikes)

    def happens(self, fault: Fault, phase: Phase, now: Callable[[], datetime]) -> FaultOrder | None:
        """The order by which it goes wrong this time; uses up one of a counted order. ``now`` gives the meter's
        time."""
        for running in self._running:
            if running.order.fault is fault and running.order.is_at(phase, now) and running.strikes():
                self._strikes[fault] = self._strikes.get(fault, 0) + 1
                return running.order
        return None

    def garbled(self, octets: bytes) -> bytes:
        """With one bit turned over: which one is chance."""
        if self._where is None:
            self._where = Random(f"{self._seed}/where")  # noqa: S311 - no secret
        broken, bit = bytearray(octets), self._where.randrange(len(octets) * 8)
        broken[bit // 8] ^= 1 << bit % 8
        return bytes(broken)

    def _drop(self, is_meant: Callable[[FaultOrder], bool]) -> None:
        self._running = [running for running in self._running if not is_meant(running.order)]


class _Running:
    """An order, and what is left of it."""

    __slots__ = ("_rng", "_skip", "left", "order")

    def __init__(self, order: FaultOrder, seed: int | float | str) -> None:
        self.order = order
        self.left = order.count
        self._skip = order.skip
        is_chance = order.chance_percent < 100  # a source of chance is large, and most orders need none
        self._rng = Random(f"{seed}/{order.fault}/{order.phase}") if is_chance else None  # noqa: S311 - no secret

    def strikes(self) -> bool:
        if self.left == 0:
            return False
        if self._rng is not None and self._rng.random() * 100 >= self.order.chance_percent:
            return False
        if self._skip:
            self._skip -= 1
            return False
        if self.left is not None:
            self.left -= 1
        return True
