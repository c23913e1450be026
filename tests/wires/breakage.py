"""One delivery over a wire that is broken at one point, and what must be true of it afterwards."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from pathlib import Path
from typing import TypeVar

from cosem_objects.sts_token import Token
from gateway.verdict import Outcome
from tests.gateway.test_delivery import ONE
from tests.wires.head_end import Settled, look_again, settle, untruths
from tests.wires.point import ENTER, Moment, Point, Watch
from tests.wires.stand import Stand, Strike, Wire

T = TypeVar("T")

AT_ONCE = 48
"""Points that are tried at the same time: most of the time each waits for its time-outs."""

NEVER_BROKEN = "the wire was never broken"
TRIES_MAX = 3
"""On a busy machine something else may go wrong before the point is reached; then it is tried again."""
LATE_ENTER = Point(ENTER, Moment.BEFORE)
"""Whatever is held back here has to come before the delivery is over."""
CIPHERED = (0xC8, 0xCB)
"""First octets of a GET and an ACTION with service-specific ciphering (glo)."""


async def break_at(wire: Wire, strike: Strike, point: Point, folder: Path) -> list[str]:
    """What was wrong, in sentences; empty if all went as it should."""
    watch = strike.watch(point)
    async with wire(watch, folder) as stand:
        strike.aim(watch, stand)
        settled = await settle(stand, ONE)
        is_late = strike.heal is None or watch.is_healed or point != LATE_ENTER
        await settle_down(stand, watch)
    return troubles(settled, stand, watch) + ([] if is_late else ["the first enter came with everything else"])


async def settle_down(stand: Stand, watch: Watch) -> None:
    """The wire is whole again, and what was held back on it has arrived."""
    await watch.mend()
    await look_again(stand)


def troubles(settled: Settled, stand: Stand, watch: Watch, token: Token = ONE) -> list[str]:
    """What was wrong with a delivery to a healthy meter over a wire that was broken."""
    found = [*settled.untruths]
    if not watch.is_struck:
        found.append(NEVER_BROKEN)
    # Each of them has a counter of its own; what is said in clear may well be said again.
    if {apdu for apdu in watch.not_sent if apdu[0] in CIPHERED} & set(watch.received):
        found.append("it was said that nothing left, and it arrived")
    last = settled.last.verdict
    if last.outcome is not Outcome.ACCEPTED:
        found.append(f"{last.outcome} ({last.reason}: {last.detail}) after {len(settled.verdicts)} tries")
    # Once more, now that all who could still bring something are gone.
    found += untruths(settled.last, stand.times_credited(token))
    return found


async def break_at_all(wire: Wire, strike: Strike, points: Iterable[Point], folder: Path) -> list[str]:
    """``break_at`` each of them."""
    named = [(str(point), point) for point in points]
    return await all_at_once(named, lambda point, own: break_at(wire, strike, point, own), folder)


async def all_at_once(
    cases: Iterable[tuple[str, T]], attempt: Callable[[T, Path], Awaitable[list[str]]], folder: Path
) -> list[str]:
    """Try all cases, some at a time, each with a path of its own. Gives what was wrong, with the names of the cases."""
    places = asyncio.Semaphore(AT_ONCE)
    failures: list[str] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: failures.append(str(context)))

    async def one(number: int, name: str, case: T) -> list[str]:
        async with places:
            found = await until_broken(lambda own: attempt(case, own), folder / f"case-{number}")
            return [f"{name}: {trouble}" for trouble in found]

    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(one(number, name, case)) for number, (name, case) in enumerate(cases)]
    return [trouble for task in tasks for trouble in task.result()] + failures


async def until_broken(attempt: Callable[[Path], Awaitable[list[str]]], place: Path) -> list[str]:
    """Try until the wire was really broken at its point; each time with a path of its own, where nothing is yet."""
    found = [NEVER_BROKEN]
    for number in range(TRIES_MAX):
        try:
            found = await attempt(place.with_name(f"{place.name}-{number}"))
        except TimeoutError:
            found = ["it hangs"]
        if NEVER_BROKEN not in found:
            break
    return found
