"""The meter's memory of token identifiers: what makes a token work once (IEC 62055-41)."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

from cosem_objects.errors import SettingError
from sim_meters.sts.results import TokenResult
from sim_meters.sts.tid import check_tid

# guess: the number 50 is from memory of the standard; clause "TID validation" of IEC 62055-41 would settle it.
DEPTH = 50


@dataclass(frozen=True, slots=True)
class TidStore:
    """The largest TIDs the meter has accepted, in ascending order, at least one and never more than ``depth``.

    Order is plain integer comparison; a TID below the smallest one kept is too old, so tokens entered out of order
    work within the window.
    """

    tids: tuple[int, ...]
    depth: int = DEPTH

    def __post_init__(self) -> None:
        if self.depth < 1:
            raise SettingError(f"tid store depth: expected at least 1; got {self.depth}")

    @classmethod
    def new(cls, manufacture_tid: int, depth: int = DEPTH, consumed: Iterable[int] = ()) -> TidStore:
        """The store of a meter made at ``manufacture_tid`` that has accepted these TIDs since, in this order.

        Tokens from before the meter was made are too old for it (STS Association, TID definition).
        """
        store = cls((check_tid(manufacture_tid),), depth)
        for tid in consumed:
            store = store.with_tid(tid)
        return store

    def refusal(self, tid: int) -> TokenResult | None:
        """Why a token with this TID is refused; ``None`` if it is new."""
        # guess: used comes before old, so the smallest TID kept is "used"; a meter's manual would settle it.
        if tid in self.tids:
            return TokenResult.USED_ERROR
        return TokenResult.OLD_ERROR if tid < self.tids[0] else None

    def with_tid(self, tid: int) -> TidStore:
        """The store after a token with this TID was accepted."""
        return TidStore(tuple(sorted((*self.tids, check_tid(tid))))[-self.depth :], self.depth)

    def cleared(self) -> TidStore:
        """The store after a rollover, reset to zero: with a new base date the TIDs begin low again."""
        return replace(self, tids=(0,))
