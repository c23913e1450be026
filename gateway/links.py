"""Limits of links: how many associations at a time, how many begun in a second, and whether any at all. Pure."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

from gateway.store.records import LinkRecord, Quota

_AHEAD_SECONDS = 1.0
"""Lanes are claimed for turns of so much time ahead; who waits for his turn takes a place from all other links."""


@dataclass(slots=True)
class _Use:
    """One link, and what is under way on it. ``tokens`` is a bucket: one is taken for each association begun."""

    limits: LinkRecord
    in_flight: int = 0
    tokens: float = 1.0
    filled_at: float = 0.0

    def free(self, most: int) -> int:
        if self.limits.paused:
            return 0
        if self.limits.concurrency is None:
            return most
        return max(0, min(most, self.limits.concurrency - self.in_flight))

    def turns(self, most: int, now: float) -> int:
        """How many of these will have their turn soon."""
        rate = self.limits.rate_per_second
        if rate is None:
            return most
        self._fill(now, rate)
        return max(0, min(most, math.ceil(self.tokens + rate * _AHEAD_SECONDS)))

    def _fill(self, now: float, rate: float) -> None:
        self.tokens = min(float(self.limits.burst), self.tokens + (now - self.filled_at) * rate)
        self.filled_at = now

    def seconds_to_turn(self, now: float) -> float:
        """Take the next place in the sequence of beginnings: how long it is until then."""
        rate = self.limits.rate_per_second
        if rate is None:
            return 0.0
        self._fill(now, rate)
        self.tokens -= 1.0
        return max(0.0, -self.tokens / rate)

    def give_back_turn(self) -> None:
        """Who waited for a turn went away."""
        self.tokens += 1.0


class LinkUse:
    """What is under way on each link. Times are the event loop's, in seconds."""

    def __init__(self) -> None:
        self._uses: dict[str, _Use] = {}
        self._shared: dict[str, LinkRecord] = {}

    def set_limits(self, links: Iterable[LinkRecord], now: float) -> None:
        """The links that have to be counted, as they are from now on."""
        self._shared = {link.id: link for link in links}
        for link in self._shared.values():
            use = self._uses.get(link.id)
            if use is None:
                self._uses[link.id] = _Use(link, tokens=float(link.burst), filled_at=now)
            else:
                use.limits = link
                use.tokens = min(use.tokens, float(link.burst))
        for name in [name for name, use in self._uses.items() if name not in self._shared]:
            if self._uses[name].in_flight:
                self._uses[name].limits = LinkRecord(id=name)
            else:
                del self._uses[name]

    def quotas(self, most: int, names: Iterable[str | None], now: float) -> list[Quota]:
        """How many lanes may be claimed on each of these links; those that may have none are left out."""
        quotas = []
        for name in names:
            use = None if name is None else self._uses.get(name)
            free = most if use is None else use.turns(use.free(most), now)
            if free > 0:
                quotas.append(Quota(name, free))
        return quotas

    @property
    def shared(self) -> tuple[str, ...]:
        return tuple(self._shared)

    def is_shared(self, name: str) -> bool:
        return name in self._shared

    def is_paused(self, name: str) -> bool:
        use = self._uses.get(name)
        return use is not None and use.limits.paused

    def is_full(self, name: str) -> bool:
        """Whether no association may be begun now because of others."""
        use = self._uses.get(name)
        return use is not None and use.free(1) == 0

    def is_over(self, name: str) -> bool:
        """Whether more is under way there than may be, since its limits were lowered."""
        use = self._uses.get(name)
        return use is not None and use.limits.concurrency is not None and use.in_flight > use.limits.concurrency

    def enter(self, name: str) -> None:
        """An association is about to begin there. Counted on every link: others may come to share it meanwhile."""
        use = self._uses.get(name)
        if use is None:
            use = self._uses[name] = _Use(LinkRecord(id=name))
        use.in_flight += 1

    def leave(self, name: str) -> None:
        use = self._uses[name]
        use.in_flight -= 1
        if not use.in_flight and name not in self._shared:
            del self._uses[name]

    def seconds_to_turn(self, name: str, now: float) -> float:
        """Take the next turn to begin an association there: how long it is until then."""
        use = self._uses.get(name)
        return 0.0 if use is None else use.seconds_to_turn(now)

    def give_back_turn(self, name: str) -> None:
        use = self._uses.get(name)
        if use is not None:
            use.give_back_turn()

    def under_way(self) -> list[tuple[LinkRecord, int]]:
        """For metrics: the links that several meters share, or somebody gave limits to, as they are in force, and how
        many associations each carries."""
        return [(use.limits, use.in_flight) for name, use in self._uses.items() if name in self._shared]
