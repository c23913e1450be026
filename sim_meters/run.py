"""``simmeters run``: meters that listen until they are told to stop."""

from __future__ import annotations

import asyncio
import logging
import resource
import signal
import time
from argparse import ArgumentParser, Namespace, _SubParsersAction
from collections.abc import Callable, Coroutine, Iterator
from contextlib import closing, contextmanager, suppress
from typing import Any, TypeAlias

from sim_meters.fleet.announcement import announce_as_json, announce_fleet, announce_meters
from sim_meters.fleet.fleet import Fleet
from sim_meters.fleet.listing import write_list
from sim_meters.fleet.meters import FleetMeters
from sim_meters.lab_api.options import announce_lab, running_lab
from sim_meters.notices import LAB, LICENCE
from sim_meters.run_options import RunPlan, add_run_options, read_plan
from sim_meters.trace_option import trace_from
from transports.trace.trace import Trace

_log = logging.getLogger(__name__)

Runner: TypeAlias = Callable[[Coroutine[Any, Any, int]], int]
"""What runs a coroutine to its end: the choice of the event loop is the command's."""


def add_run_command(subparsers: _SubParsersAction[ArgumentParser], runner: Runner) -> None:
    """Add ``run``; it sets ``func``, which takes the options and returns the exit code."""
    parser = subparsers.add_parser(
        "run",
        help="let simulated meters listen",
        description=f"Let simulated meters listen until they are told to stop. {LAB}.",
        epilog=LICENCE,
        allow_abbrev=False,
    )
    add_run_options(parser)

    def run_with(options: Namespace) -> int:
        plan = read_plan(options, parser)
        trace = trace_from(options, plan.fleet.groups[0].first.security)
        try:
            return runner(run(plan, trace))
        finally:
            if trace is not None:
                trace.close()

    parser.set_defaults(func=run_with)


async def run(plan: RunPlan, trace: Trace | None = None) -> int:
    """Let the meters listen until SIGTERM or SIGINT.

    Raises ``SettingError``, ``LedgerError`` and ``EndpointError``; nothing listens then.
    """
    begin = time.perf_counter()
    _allow_all_files()
    with _stopped_by_signals(), closing(_new_meters(plan)) as meters:
        if not plan.is_fleet:
            for member in plan.fleet.members:
                meters.meter(member)  # a ledger that cannot be read is found here
        async with Fleet(meters, trace) as fleet, running_lab(plan.lab, fleet) as lab_url:
            if plan.list is not None:
                write_list(plan.list.path, plan.fleet.members, fleet.url_of, with_secrets=plan.list.with_secrets)
            if lab_url is not None:
                announce_lab(lab_url, as_json=plan.as_json)
            _announce(plan, fleet, time.perf_counter() - begin)
            await asyncio.Event().wait()
    return 0


@contextmanager
def _stopped_by_signals() -> Iterator[None]:
    """SIGTERM and SIGINT end what is inside, also while it waits for a broker; a second one changes nothing. Afterwards
    they mean again what they meant before: uvloop leaves handlers behind that do nothing, and a process that goes on
    after this could not be stopped any more."""
    loop, task = asyncio.get_running_loop(), asyncio.current_task()
    assert task is not None
    is_told = False

    def stop() -> None:
        nonlocal is_told
        if not is_told:
            is_told = True
            _log.info("stopping")
            task.cancel()

    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    for number in before:
        loop.add_signal_handler(number, stop)
    try:
        yield
    except asyncio.CancelledError:
        if not is_told:
            raise
        task.uncancel()
    finally:
        for number, handler in before.items():
            loop.remove_signal_handler(number)
            signal.signal(number, handler or signal.SIG_DFL)


def _allow_all_files() -> None:
    """Each listener and each connection takes a descriptor, and many systems give few until they are asked for more."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    with suppress(OSError, ValueError):  # a system that does not mean what it says: then as many as there are
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))


def _new_meters(plan: RunPlan) -> FleetMeters:
    clock = plan.lab.new_clock()
    return FleetMeters(plan.fleet, state_dir=plan.state_dir, holds_ledgers=not plan.is_fleet, clock=clock)


def _announce(plan: RunPlan, fleet: Fleet, seconds: float) -> None:
    if plan.as_json:
        announce_as_json(fleet, seconds)
    elif plan.is_fleet:
        announce_fleet(fleet, seconds)
    else:
        announce_meters(fleet, has_lab_key=plan.has_lab_key)
