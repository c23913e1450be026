"""``simmeters run``: meters that listen until they are told to stop."""

from __future__ import annotations

import asyncio
import logging
import signal
import sys
from argparse import ArgumentParser, Namespace, _SubParsersAction
from collections.abc import Callable, Coroutine
from contextlib import AsyncExitStack, ExitStack
from pathlib import Path
from random import Random
from typing import Any, TypeAlias

from cosem_objects.errors import SettingError
from sim_meters.behaviour import Behaviour
from sim_meters.ledger import FileLedger, Ledger
from sim_meters.meter import SimMeter
from sim_meters.meter_config import MeterConfig
from sim_meters.run_options import RunPlan, add_run_options, read_plan
from sim_meters.trace_option import trace_from
from transports.registry import listen
from transports.trace import Trace

_log = logging.getLogger(__name__)

LAB = "LAB: simulated meters with lab keys; not STS-certified, never for real credit"

Runner: TypeAlias = Callable[[Coroutine[Any, Any, int]], int]
"""What runs a coroutine to its end: the choice of the event loop is the command's."""


def add_run_command(subparsers: _SubParsersAction[ArgumentParser], runner: Runner) -> None:
    """Add ``run``; it sets ``func``, which takes the options and returns the exit code."""
    parser = subparsers.add_parser("run", help="let simulated meters listen", description=LAB, allow_abbrev=False)
    add_run_options(parser)

    def run_with(options: Namespace) -> int:
        plan = read_plan(options)
        trace = trace_from(options, plan.configs[0].security)
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
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    with ExitStack() as meters:
        made = [_make_meter(plan, number, meters) for number in range(len(plan.configs))]
        async with AsyncExitStack() as listeners:
            urls = []
            for meter, endpoint in zip(made, plan.endpoints, strict=True):
                listener = await listen(
                    endpoint, meter.serve, accept=meter.config.is_for_us, hdlc=plan.hdlc, trace=trace
                )
                await listeners.enter_async_context(listener)
                urls.append(listener.url)
            _announce(plan, urls)
            await stop.wait()
            _log.info("stopping")
    return 0


def _make_meter(plan: RunPlan, number: int, meters: ExitStack) -> SimMeter:
    config = plan.configs[number]
    # One seed for each meter: what happens to one does not depend on how many there are.
    rng = Random(f"{plan.seed}/{number}")  # noqa: S311 - chance on order, not a secret
    meter = SimMeter(config, _open_ledger(plan.state_dir, config), behaviour=Behaviour(plan.faults, rng))
    meters.callback(meter.close)
    return meter


def _open_ledger(state_dir: Path | None, config: MeterConfig) -> Ledger:
    if state_dir is None:
        return Ledger()
    try:
        state_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise SettingError(f"--state-dir: cannot make {state_dir}: {error.strerror}") from None
    return FileLedger(state_dir / f"{config.device_name}.ledger", config.ledger_identity)


def _announce(plan: RunPlan, urls: list[str]) -> None:
    key = " with the vending key of the published test vectors" if plan.has_lab_key else ""
    print(f"{LAB}{key}")
    for config, url in zip(plan.configs, urls, strict=True):
        title = config.security.meter_system_title.hex().upper()
        behind = "" if config.behind is None else f", behind {config.behind}"
        identity = f"PAN {config.pan.digits}, SGC {config.key.sgc:06d}, system title {title}"
        print(f"meter {config.device_name}: {identity}{behind}")
        print(f"listening {url}")
    sys.stdout.flush()
