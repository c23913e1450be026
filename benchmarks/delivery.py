"""One delivery, side by side: the asyncio floor, ours, dlms-cosem and gurux-dlms.

    python -m benchmarks.delivery [--quick] [--wire WIRE] [--security NAME] [--concurrency N] ...

What is measured, and how to read the tables, stands in docs/performance.md. The contenders take turns, round after
round, so that whatever else the machine does hits all of them; each turn is a process of its own on one core, meters
and canned replies have another. Every delivery to a meter is proved by the meter's account.
"""

from __future__ import annotations

import asyncio
import os
import platform
import subprocess
import sys
import time
from argparse import ArgumentParser, Namespace
from dataclasses import dataclass
from importlib.metadata import version
from itertools import product
from pathlib import Path

from benchmarks.measure import HOST, Figures, Job, Sale, cores
from benchmarks.stock import KINDS, SECURITIES, CannedReplies, Meters
from benchmarks.table import Result, Row, bars, table

WIRES = ("tcp", "hdlc+tcp")
PEERS_PYTHON = Path(".venv-peers/bin/python")
_TURN_SECONDS_MAX = 300
_SLOW_SHARE = 10
"""gurux-dlms ciphers in Python: with HLS it gets this part of the deliveries only."""

FLOORS = [Row(f"floor, {kind}'s bytes, Protocol", "floor", kind, uvloop=True, canned=True) for kind in KINDS]
FLOORS += [
    Row("floor, bare's bytes, Protocol", "floor", "bare", canned=True),
    Row("floor, bare's bytes, streams", "floor", "streams", uvloop=True, canned=True),
    Row("floor, bare's bytes, streams", "floor", "streams", canned=True),
]
OURS = [Row(f"ours, {kind}", "ours", kind, uvloop=True, canned=True) for kind in KINDS]
OURS += [Row(f"ours, {kind}", "ours", kind, uvloop=uvloop) for kind, uvloop in product(KINDS, (True, False))]
PEERS = [
    Row("dlms-cosem", "dlms_cosem_client", "bare", uvloop=True),
    Row("dlms-cosem", "dlms_cosem_client", "bare"),
    Row("gurux-dlms, threads", "gurux_client", "bare"),
]


@dataclass(frozen=True)
class Cell:
    """One table."""

    wire: str
    security: str
    concurrency: int

    @property
    def place(self) -> str:
        return f"{self.wire}://{HOST}:0"

    @property
    def peer_exchanges(self) -> int:
        """AARQ, GET, ACTION, GET, RLRQ; with HLS one ACTION more; on HDLC SNRM and DISC."""
        return 5 + (self.security == "hls-gmac") + 2 * self.wire.startswith("hdlc")


class Run:
    """All that is decided once for all tables."""

    def __init__(self, options: Namespace) -> None:
        self.core, self.other_core = cores()
        self.rounds: int = options.rounds
        self.count: int = options.count
        self.peers_python: Path = options.peers_python
        self.rows = [*FLOORS, *OURS]
        if _imports(self.peers_python, "gurux_dlms, dlms_cosem"):
            self.rows += PEERS if _imports(self.peers_python, "uvloop") else PEERS[1:]

    def measure(self, cell: Cell) -> list[Result]:
        with Meters.listening(cell.place, cell.security, cell.concurrency, self.other_core) as meters:
            with meters.side.running():
                deliveries = asyncio.run(meters.record())
            with CannedReplies.listening(deliveries, self.other_core) as canned:
                turns = _Turns(self, cell, meters, canned)
                figures: dict[Row, list[Figures]] = {row: [] for row in self.rows}
                for _ in range(self.rounds):
                    for row in self.rows:
                        figures[row].append(turns.take(row))
        return [
            Result(
                row,
                cell.peer_exchanges if row in PEERS else len(deliveries[row.size].recording),
                figures[row],
            )
            for row in self.rows
        ]

    def command(self, row: Row) -> list[str]:
        python = str(self.peers_python) if row in PEERS else sys.executable
        return [python, "-m", f"benchmarks.{row.module}"]


class _Turns:
    """One contender after the other, each with fresh tokens."""

    def __init__(self, run: Run, cell: Cell, meters: Meters, canned: CannedReplies) -> None:
        self._run, self._cell, self._meters, self._canned = run, cell, meters, canned

    def take(self, row: Row) -> Figures:
        each = max(1, self._count(row) // self._cell.concurrency)
        warm_up = max(1, each // 10)
        each += warm_up
        if row.canned:
            with self._canned.side.running():
                return self._start(row, self._canned.sell(row.size, each, self._cell.concurrency), warm_up)
        sales = self._meters.sell(each)
        with self._meters.side.running():
            figures = self._start(row, sales, warm_up)
            asyncio.run(self._meters.check_accepted(each))
        return figures

    def _count(self, row: Row) -> int:
        is_slow = row.module == "gurux_client" and self._cell.security == "hls-gmac"
        return self._run.count // self._run.rounds // (_SLOW_SHARE if is_slow else 1)

    def _start(self, row: Row, lanes: list[list[Sale]], warm_up: int) -> Figures:
        job = Job(
            kind=row.kind,
            wire=self._cell.wire,
            security=self._cell.security,
            uvloop=row.uvloop,
            core=self._run.core,
            lanes=lanes,
            warm_up=warm_up,
            secrets=SECURITIES[self._cell.security],
            recording=self._canned.deliveries[row.size].recording if row.canned else [],
            fixed_challenge=row.canned,
        )
        done = subprocess.run(  # noqa: S603 - ourselves
            self._run.command(row), input=job.encode(), stdout=subprocess.PIPE, timeout=_TURN_SECONDS_MAX, check=True
        )
        return Figures.decode(done.stdout.decode())


def _imports(python: Path, modules: str) -> bool:
    if not python.exists():
        return False
    done = subprocess.run([python, "-c", f"import {modules}"], stderr=subprocess.DEVNULL, check=False)  # noqa: S603
    return done.returncode == 0


def _versions(run: Run) -> str:
    ask = "from importlib.metadata import version as v; print(*(f'{n} {v(n)}' for n in ('dlms-cosem', 'gurux-dlms')))"
    peers = ""
    if PEERS[-1] in run.rows:
        command = [str(run.peers_python), "-c", ask]
        done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)  # noqa: S603
        peers = f", {done.stdout.strip()}"
    ours = ", ".join(f"{name} {version(name)}" for name in ("cryptography", "uvloop"))
    return f"Python {platform.python_version()}, {ours}{peers}; {_processor()}, {os.cpu_count()} cores"


def _processor() -> str:
    information = Path("/proc/cpuinfo")
    lines = information.read_text(encoding="utf-8").splitlines() if information.exists() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()


def read_options() -> Namespace:
    parser = ArgumentParser(prog="python -m benchmarks.delivery", description="Deliveries, side by side.")
    add = parser.add_argument
    add("--quick", action="store_true", help="HLS-GMAC on the wrapper only, 600 deliveries a row")
    add("--count", type=int, default=2100, metavar="N", help="timed deliveries a row, default 2100")
    add("--rounds", type=int, default=3, metavar="N", help="turns in which a row makes them, default 3")
    add("--wire", choices=WIRES, action="append", help="default: both")
    add("--security", choices=tuple(SECURITIES), action="append", help="default: all three")
    add("--concurrency", type=int, action="append", metavar="N", help="meters at a time, default 50 and 1")
    add("--peers-python", type=Path, default=PEERS_PYTHON, metavar="PATH", help=f"default {PEERS_PYTHON}")
    options = parser.parse_args()
    if options.quick:
        options.wire, options.security, options.count = ["tcp"], ["hls-gmac"], 600
    return options


def main() -> None:
    options = read_options()
    run = Run(options)
    begun = time.monotonic()
    print(f"{_versions(run)}\n{run.count} deliveries a row in {run.rounds} rounds\n")
    for wire, security, concurrency in product(
        options.wire or WIRES, options.security or SECURITIES, options.concurrency or (50, 1)
    ):
        cell = Cell(wire, security, concurrency)
        results = run.measure(cell)
        print(f"### {wire}, {security}, concurrency {concurrency}\n\n{table(results)}\n", flush=True)
        if (wire, security) == ("tcp", "hls-gmac"):
            print(f"{bars(results)}\n", flush=True)
    print(f"{time.monotonic() - begun:.0f} s")


if __name__ == "__main__":
    main()
