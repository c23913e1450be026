"""Whether the head-end keeps the limits of links, seen from the other end of them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from math import inf

from gateway.store.records import LinkRecord

GRACE_SECONDS = 2.0
"""How long the head-end may take to keep limits that have been acknowledged to it."""
_TOLERANCE = 1e-6


@dataclass(slots=True)
class _Limit:
    """Limits that may count: from the moment when somebody asked for them until others are kept."""

    record: LinkRecord
    until: float = inf


@dataclass(slots=True)
class _Bucket:
    tokens: float
    filled_at: float


@dataclass(slots=True)
class LinkWatch:
    """Every connection is counted on its link, per life of the head-end."""

    violate: Callable[[str], None]
    _limits: dict[str, list[_Limit]] = field(default_factory=dict)
    _open: Counter[tuple[str, str]] = field(default_factory=Counter)
    _buckets: dict[tuple[str, str], _Bucket] = field(default_factory=dict)
    most: Counter[str] = field(default_factory=Counter)

    def known(self, limits: Iterable[LinkRecord]) -> None:
        """What counts before anybody asks for anything else."""
        for record in limits:
            self._limits[record.id] = [_Limit(record)]

    def asked(self, record: LinkRecord) -> None:
        """Somebody asks for these; until he is answered, and a little longer, the old ones may count as well."""
        without = LinkRecord(id=record.id, is_configured=False)
        self._limits.setdefault(record.id, [_Limit(without)]).append(_Limit(record))

    def answered(self, record: LinkRecord, now: float) -> None:
        for limit in self._limits[record.id]:
            if limit.record is not record:
                limit.until = min(limit.until, now + GRACE_SECONDS)

    def restored(self) -> None:
        """An old database: any limits that there ever were may count again."""
        for limits in self._limits.values():
            for limit in limits:
                limit.until = inf

    def begin(self, process: str, link: str, now: float) -> Callable[[], None]:
        """A connection begins. What is returned is called when it ends."""
        key = (process, link)
        limits = [limit.record for limit in self._limits.get(link, ()) if limit.until >= now]
        self._open[key] += 1
        self.most[link] = max(self.most[link], self._open[key])
        if limits:
            most = max(inf if limit.concurrency is None else limit.concurrency for limit in limits)
            if self._open[key] > most:
                self.violate(f"{self._open[key]} connections on {link}, which may have {most}")
            if all(limit.paused for limit in limits):
                self.violate(f"a connection on {link}, which is paused")
            self._take_turn(key, limits, now)

        def end() -> None:
            self._open[key] -= 1

        return end

    def _take_turn(self, key: tuple[str, str], limits: list[LinkRecord], now: float) -> None:
        rates = {(limit.rate_per_second, limit.burst) for limit in limits}
        if len(rates) != 1 or (None, limits[0].burst) in rates:
            return
        ((rate, burst),) = rates
        assert rate is not None
        bucket = self._buckets.setdefault(key, _Bucket(float(burst), now))
        bucket.tokens = min(float(burst), bucket.tokens + (now - bucket.filled_at) * rate) - 1.0
        bucket.filled_at = now
        if bucket.tokens < -_TOLERANCE:
            self.violate(f"a connection on {key[1]} that is too early for its rate of {rate}/s with bursts of {burst}")
