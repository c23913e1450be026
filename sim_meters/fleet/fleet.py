"""Fleet: the places of a plan on their wires. All of them listen; a meter behind one is made when somebody first
speaks to it."""

from __future__ import annotations

import asyncio
from types import TracebackType
from typing import Self

from sim_meters.fleet.group import MeterGroup
from sim_meters.fleet.meters import FleetMeters
from sim_meters.fleet.place import FleetPlace
from sim_meters.fleet.plan import Member
from sim_meters.meter import SimMeter
from transports.trace.trace import Trace

_AT_ONCE = 50
"""So many places are opened side by side: a broker takes a while for each."""


class Fleet:
    """``async with``: inside, all places listen. Raises ``EndpointError`` where one cannot; none listens then."""

    def __init__(self, meters: FleetMeters, trace: Trace | None = None) -> None:
        self.plan = meters.plan
        self.meters = meters
        self._places = {
            (group.name, number): FleetPlace(meters, group, number, trace)
            for group in self.plan.groups
            for number in range(group.places)
        }
        meters.tell(self._adopt)

    async def __aenter__(self) -> Self:
        try:
            places = list(self._places.values())
            for start in range(0, len(places), _AT_ONCE):
                await _open_all(places[start : start + _AT_ONCE])
        except BaseException:
            await self._close()
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._close()

    def url_of(self, member: Member) -> str:
        """Where the meter listens, with the port that was really taken; or whom it calls."""
        return self.url_at(member.group, member.group.place_of(member.number))

    def url_at(self, group: MeterGroup, place: int) -> str:
        """The same for a place."""
        return self._places[group.name, place].url

    def _adopt(self, member: Member, meter: SimMeter) -> None:
        self._places[member.group.name, member.group.place_of(member.number)].adopt(meter)

    async def _close(self) -> None:
        await asyncio.gather(*(place.close() for place in self._places.values()))


async def _open_all(places: list[FleetPlace]) -> None:
    """Raises the first ``EndpointError``."""
    results = await asyncio.gather(*(place.open() for place in places), return_exceptions=True)
    for result in results:
        if isinstance(result, BaseException):
            raise result
