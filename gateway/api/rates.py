"""Token buckets: so many on average, so many at once after a quiet time. Pure; the time is handed in."""

from __future__ import annotations

from collections import OrderedDict
from math import ceil


class Bucket:
    """One bucket, full at the beginning. A clock that goes back gives nothing, and takes nothing."""

    __slots__ = ("_at", "_left", "_per_second", "_size")

    def __init__(self, per_second: float, size: float, at: float) -> None:
        self._per_second = per_second
        self._size = size
        self._left = size
        self._at = at

    def take(self, at: float) -> bool:
        """Take one, if there is one."""
        self._fill(at)
        if self._left < 1:
            return False
        self._left -= 1
        return True

    def is_empty(self, at: float) -> bool:
        self._fill(at)
        return self._left < 1

    def wait_seconds(self) -> int:
        """Whole seconds until there is one again; at least 1."""
        return max(1, ceil((1 - self._left) / self._per_second))

    def _fill(self, at: float) -> None:
        self._left = min(self._size, self._left + max(0.0, at - self._at) * self._per_second)
        self._at = at


class Buckets:
    """Buckets of the same kind by name; those that were not used for the longest time are forgotten first."""

    def __init__(self, per_second: float, size: float, *, names_max: int = 10_000) -> None:
        self._per_second = per_second
        self._size = size
        self._names_max = names_max
        self._buckets: OrderedDict[str, Bucket] = OrderedDict()

    def of(self, name: str, at: float) -> Bucket:
        bucket = self._buckets.get(name)
        if bucket is None:
            bucket = self._buckets[name] = Bucket(self._per_second, self._size, at)
            if len(self._buckets) > self._names_max:
                self._buckets.popitem(last=False)
        else:
            self._buckets.move_to_end(name)
        return bucket
