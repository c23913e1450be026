"""What was measured, as a table in Markdown, and the bars that it has to reach."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median

from benchmarks.measure import Figures

FLOOR_RATIO_MAX, DLMS_COSEM_RATIO_MIN, GURUX_RATIO_MIN = 1.5, 5, 30


@dataclass(frozen=True)
class Row:
    """One contender: a module of this package, in one of its forms, on one loop, against meters or canned replies."""

    name: str
    module: str
    kind: str
    uvloop: bool = False
    canned: bool = False

    @property
    def size(self) -> str:
        """Whose bytes are exchanged."""
        return "bare" if self.kind == "streams" else self.kind


@dataclass(frozen=True)
class Result:
    """A row with what its turns took."""

    row: Row
    exchanges: int
    turns: Sequence[Figures]

    @property
    def cpu_ms(self) -> float:
        """The least: what else the machine did can only have added to it."""
        return min(turn.cpu_ms for turn in self.turns)

    @property
    def cells(self) -> list[str]:
        loop = "threads" if self.row.module == "gurux_client" else "uvloop" if self.row.uvloop else "asyncio"
        return [
            self.row.name,
            loop,
            "canned" if self.row.canned else "meters",
            str(self.exchanges),
            f"{self.cpu_ms:.3f}",
            f"{median(turn.cpu_ms for turn in self.turns):.3f}",
            f"{1000 / self.cpu_ms:,.0f}",
            f"{max(turn.per_second for turn in self.turns):,.0f}",
        ]


_HEAD = ["contender", "loop", "other side", "exchanges", "CPU ms", "median", "/s of one core", "/s wall"]
_RATIOS = ["x floor", "x dlms-cosem", "x gurux-dlms"]


def table(results: Sequence[Result]) -> str:
    """Best CPU first of each turn's figures; ratios of CPU to the floor, and of rates to the peers' best."""
    lines = [[*_HEAD, *_RATIOS], ["---"] * 2 + ["---"] + ["---:"] * (len(_HEAD) + len(_RATIOS) - 3)]
    lines += [[*result.cells, *_ratios(result, results)] for result in results]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _ratios(result: Result, results: Sequence[Result]) -> list[str]:
    floor = result.cpu_ms / _floor(results, result.row.size)
    peers = [_peer(results, module) for module in ("dlms_cosem_client", "gurux_client")]
    return [f"{floor:.2f}", *("" if peer is None else f"{peer / result.cpu_ms:.1f}" for peer in peers)]


def _floor(results: Sequence[Result], size: str) -> float:
    """The floor on uvloop that exchanges the same bytes."""
    (floor,) = (
        one.cpu_ms for one in results if (one.row.module, one.row.kind, one.row.uvloop) == ("floor", size, True)
    )
    return floor


def _peer(results: Sequence[Result], module: str) -> float | None:
    """The peer at its best."""
    return min((one.cpu_ms for one in results if one.row.module == module), default=None)


def bars(results: Sequence[Result]) -> str:
    """Of ours on uvloop, in the form with the peers' steps: whether it reaches what it has to."""
    ours = {
        one.row.canned: one.cpu_ms
        for one in results
        if (one.row.module, one.row.kind, one.row.uvloop) == ("ours", "bare", True)
    }
    floor = ours[True] / _floor(results, "bare")
    words = [_said(f"CPU {floor:.2f} x the floor, canned", f"at most {FLOOR_RATIO_MAX:g}", floor <= FLOOR_RATIO_MAX)]
    for name, module, least in (
        ("dlms-cosem", "dlms_cosem_client", DLMS_COSEM_RATIO_MIN),
        ("gurux-dlms", "gurux_client", GURUX_RATIO_MIN),
    ):
        peer = _peer(results, module)
        if peer is not None:
            rate = peer / ours[False]
            words.append(_said(f"rate {rate:.1f} x {name}, meters", f"at least {least:g}", rate >= least))
    return "Ours, bare, uvloop: " + "; ".join(words) + "."


def _said(what: str, bar: str, is_reached: bool) -> str:
    return f"{what} (bar {bar}: {'reached' if is_reached else 'not reached'})"
