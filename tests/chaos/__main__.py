"""``python -m tests.chaos --kills 500 --seed 1``: kills real processes, and says whether anything was lost by it.

The seed draws what is done; when exactly it strikes is up to the machine. The logs stay in the directory that is named
at the end, and ``python -m tests.chaos.checker DIRECTORY`` looks at them again.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import signal
import sys
import tempfile
from pathlib import Path

from tests.chaos.checker import check, table
from tests.chaos.rig import Plan, rig
from tests.chaos.street import GROUPS, PATIENT


async def play(directory: Path, plan: Plan) -> None:
    """Until its end, or until somebody interrupts it; no process stays in either case."""
    playing = asyncio.current_task()
    assert playing is not None
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, playing.cancel)
    async with rig(directory, plan) as made:
        await made.run()


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.chaos", description=__doc__)
    parser.add_argument("--kills", type=int, default=100, help="how often the service is killed, default 100")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--directory", type=Path, help="for data and logs, new; default a temporary one")
    options = parser.parse_args()
    directory = options.directory or Path(tempfile.mkdtemp(prefix="stsgate-chaos-"))
    plan = Plan(seed=options.seed, kills=options.kills, groups=(*GROUPS, *PATIENT))
    print(f"{options.kills} kills, seed {options.seed}, in {directory}", flush=True)
    try:
        asyncio.run(play(directory, plan))
    except asyncio.CancelledError:
        print("interrupted; nothing was checked")
        return 2
    report = check(directory)
    print(table(report, json.loads((directory / "rig.json").read_text())))
    return bool(report.violations)


if __name__ == "__main__":
    sys.exit(main())
