"""One delivery over each wire, side by side: TCP, HDLC over TCP, MQTT; and the time of one on a serial line.

    python -m benchmarks.transports [--count N] [--rounds N] [--concurrency N] [--wire NAME] ...

What is measured, and how to read the table, stands in docs/performance.md. The wires take turns, round after round, so
that whatever else the machine does hits all of them. The client is a process of its own on one core, with the broker
beside it; the meters, which have more to do, are a process on the other. Every delivery is proved by the meter's
account.
"""

from __future__ import annotations

import asyncio
import subprocess
import sys
import tempfile
import time
from argparse import ArgumentParser, Namespace
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import median

from benchmarks.measure import HOST, Figures, Job, cores, loop_factory
from benchmarks.serial import deliver_on_serial, report
from benchmarks.stock import SECURITIES, Meters
from benchmarks.transport_broker import Broker

SECURITY = "hls-gmac"
SERIAL_BAUD = 9600
_TURN_SECONDS_MAX = 300


@dataclass(frozen=True)
class Wire:
    """One row."""

    name: str
    scheme: str
    ratio_min: float | None = None
    """The bar: at least so many of TCP's deliveries a second."""
    share: int = 1
    """Meters behind one socket."""

    def first_url(self, broker: Broker | None) -> str:
        """Where the first of its meters is to be found."""
        return f"{self.scheme}://{HOST}:{broker.port}/lab/1" if broker is not None else f"{self.scheme}://{HOST}:0"

    @property
    def needs_broker(self) -> bool:
        return self.scheme == "mqtt"


TCP = Wire("tcp", "tcp")
WIRES = (
    TCP,
    Wire("hdlc+tcp", "hdlc+tcp", 0.6),
    Wire("mqtt", "mqtt", 0.5),
    Wire("hdlc+tcp, 10 meters a socket", "hdlc+tcp", share=10),
)


@dataclass(frozen=True)
class Turn:
    """What one turn of one wire took."""

    client: Figures
    meters_cpu_ms: float
    """Of one delivery; with what the client does before the clock starts, as it cannot be told apart there."""
    broker_cpu_ms: float

    @property
    def client_busy(self) -> float:
        """Part of the core that client and broker share."""
        return (self.client.cpu_ms + self.broker_cpu_ms) / 1000 * self.client.per_second

    @property
    def meters_busy(self) -> float:
        """Part of the meters' core."""
        return self.meters_cpu_ms / 1000 * self.client.per_second


class Standing:
    """One wire with its meters, and its broker if it has one."""

    def __init__(self, meters: Meters, broker: Broker | None) -> None:
        self._meters = meters
        self._broker = broker
        asyncio.run(meters.begin())

    @classmethod
    @contextmanager
    def up(cls, wire: Wire, count: int, directory: Path) -> Iterator[Standing]:
        core, other_core = cores()
        with ExitStack() as stack:
            broker = stack.enter_context(Broker.started(directory, core)) if wire.needs_broker else None
            if wire.share > 1:
                meters = Meters.sharing(SECURITY, count, wire.share, other_core, directory)
            else:
                meters = Meters.listening(wire.first_url(broker), SECURITY, count, other_core, sleepy=True)
            yield cls(stack.enter_context(meters), broker)

    def take_turn(self, wire: Wire, each: int) -> Turn:
        """``each`` deliveries to each meter; raises ``NotAcceptedError`` unless all of them are on its account."""
        core, _ = cores()
        warm_up = max(1, each // 10)
        job = Job(
            kind="delivery",
            wire=wire.scheme,
            security=SECURITY,
            uvloop=True,
            core=core,
            lanes=self._meters.sell(each + warm_up),
            warm_up=warm_up,
            secrets=SECURITIES[SECURITY],
        )
        before = self._cpu_seconds()
        done = subprocess.run(
            [sys.executable, "-m", "benchmarks.transport_client"],
            input=job.encode(),
            stdout=subprocess.PIPE,
            timeout=_TURN_SECONDS_MAX,
            check=True,
        )
        meters, broker = (now - then for now, then in zip(self._cpu_seconds(), before, strict=True))
        asyncio.run(self._meters.check_accepted(each + warm_up))
        deliveries = sum(map(len, job.lanes))
        return Turn(Figures.decode(done.stdout.decode()), meters / deliveries * 1000, broker / deliveries * 1000)

    def _cpu_seconds(self) -> tuple[float, float]:
        return self._meters.side.cpu_seconds, 0.0 if self._broker is None else self._broker.cpu_seconds


_HEAD = ["wire", "deliveries/s", "x TCP", "client CPU ms", "x TCP", "meters CPU ms", "broker CPU ms"]
_HEAD += ["client's core", "meters' core"]


def table(turns: dict[Wire, list[Turn]]) -> str:
    """Medians of the turns; ratios are those of the turns of one round."""
    lines = [_HEAD, ["---", *["---:"] * (len(_HEAD) - 1)]]
    lines += [_cells(wire, of_wire, turns[TCP]) for wire, of_wire in turns.items()]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _cells(wire: Wire, turns: Sequence[Turn], tcp: Sequence[Turn]) -> list[str]:
    return [
        wire.name,
        f"{median(turn.client.per_second for turn in turns):,.0f}",
        f"{_rate_ratio(turns, tcp):.2f}",
        f"{median(turn.client.cpu_ms for turn in turns):.3f}",
        f"{median(one.client.cpu_ms / other.client.cpu_ms for one, other in zip(turns, tcp, strict=True)):.2f}",
        f"{median(turn.meters_cpu_ms for turn in turns):.2f}",
        f"{median(turn.broker_cpu_ms for turn in turns):.2f}" if wire.needs_broker else "",
        f"{median(turn.client_busy for turn in turns):.0%}",
        f"{median(turn.meters_busy for turn in turns):.0%}",
    ]


def _rate_ratio(turns: Sequence[Turn], tcp: Sequence[Turn]) -> float:
    return median(one.client.per_second / other.client.per_second for one, other in zip(turns, tcp, strict=True))


def bars(turns: dict[Wire, list[Turn]]) -> str:
    said = []
    for wire, of_wire in turns.items():
        if wire.ratio_min is not None:
            ratio = _rate_ratio(of_wire, turns[TCP])
            met = "met" if ratio >= wire.ratio_min else "not met"
            said.append(f"{wire.name} {ratio:.2f} of TCP's deliveries/s (bar: at least {wire.ratio_min:g}: {met})")
    return "; ".join(said) + "."


def measure(options: Namespace) -> dict[Wire, list[Turn]]:
    wires = [wire for wire in WIRES if wire is TCP or not options.wire or wire.name in options.wire]
    each = max(1, options.count // options.rounds // options.concurrency)
    turns: dict[Wire, list[Turn]] = {wire: [] for wire in wires}
    with ExitStack() as stack:
        directory = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="stsgate-benchmark-")))
        standing = {wire: stack.enter_context(Standing.up(wire, options.concurrency, directory)) for wire in wires}
        for _ in range(options.rounds):
            for wire in wires:
                turns[wire].append(standing[wire].take_turn(wire, each))
    return turns


def read_options() -> Namespace:
    parser = ArgumentParser(prog="python -m benchmarks.transports", description="Deliveries over each wire.")
    add = parser.add_argument
    add("--count", type=int, default=6000, metavar="N", help="timed deliveries on each wire, default 6000")
    add("--rounds", type=int, default=5, metavar="N", help="turns in which a wire makes them, default 5")
    add("--concurrency", type=int, default=100, metavar="N", help="meters, all at a time, default 100")
    names = [wire.name for wire in WIRES]
    add("--wire", choices=names, action="append", help="only this one and tcp; may be repeated, default all")
    add("--serial-count", type=int, default=5, metavar="N", help="deliveries on the serial line, default 5; 0: none")
    return parser.parse_args()


def main() -> None:
    options = read_options()
    begun = time.monotonic()
    turns = measure(options)
    print(f"{table(turns)}\n\n{bars(turns)}\n", flush=True)
    if options.serial_count:
        with asyncio.Runner(loop_factory=loop_factory(uses_uvloop=True)) as runner:
            print(f"{report(runner.run(deliver_on_serial(SERIAL_BAUD, options.serial_count)))}\n")
    print(f"{time.monotonic() - begun:.0f} s")


if __name__ == "__main__":
    main()
