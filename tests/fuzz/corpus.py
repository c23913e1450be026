"""The kept inputs: one text file for each target, one input in hex on each line; and how they are chosen.

An input is kept if it does what no shorter one does: go from one line of our code to another, or do that once, a few
times, or often. So some dozen short ones stand for the many that the fuzzer has found.
"""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any

FOLDER = Path(__file__).parent / "corpus"
OURS = ("cosem_objects", "transports", "gateway", "sim_meters")
INPUTS_MAX = 150
OCTETS_MAX = 7_000
"""Of one target's inputs together."""
_HEADER = """\
# Inputs of the fuzzing target "{name}", in hex, shortest first. Each does in the code what none before it does.
# Found by "python -m tests.fuzz {name}", chosen by the same command with --keep, replayed by test_corpus.py.
"""

Step = tuple[str, int, int]
"""File, and the lines from and to which one step goes."""


def kept(name: str) -> list[bytes]:
    path = FOLDER / f"{name}.txt"
    lines = path.read_text(encoding="ascii").splitlines() if path.exists() else []
    return [bytes.fromhex(line) for line in lines if not line.startswith("#")]


def keep(name: str, inputs: Iterable[bytes]) -> None:
    lines = "".join(f"{octets.hex()}\n" for octets in inputs)
    (FOLDER / f"{name}.txt").write_text(_HEADER.format(name=name) + lines, encoding="ascii")


def chosen(one_input: Callable[[bytes], None], inputs: Iterable[bytes]) -> list[bytes]:
    """Those worth keeping, shortest first: for their steps before all, then for how often. Raises what ``one_input``
    raises."""
    done: dict[bytes, Counter[Step]] = {}
    for octets in sorted(set(inputs) - {b""}, key=by_size):
        with traced() as done[octets]:
            one_input(octets)
    kept = _of_them(done, [], set)
    kept = _of_them(done, kept, lambda steps: {(step, times.bit_length()) for step, times in steps.items()})
    return sorted(kept, key=by_size)


def by_size(octets: bytes) -> tuple[int, bytes]:
    return len(octets), octets


def _of_them(
    done: Mapping[bytes, Counter[Step]], kept: list[bytes], features_of: Callable[[Counter[Step]], set[Any]]
) -> list[bytes]:
    """``kept``, and each that has a feature which none before it has; up to the limits."""
    known = set[Any]().union(*(features_of(done[octets]) for octets in kept))
    chosen_now, size = list(kept), sum(map(len, kept))
    for octets, steps in done.items():
        features = features_of(steps)
        if features <= known or len(chosen_now) >= INPUTS_MAX or size + len(octets) > OCTETS_MAX:
            continue
        known |= features
        size += len(octets)
        chosen_now.append(octets)
    return chosen_now


@contextmanager
def traced() -> Iterator[Counter[Step]]:
    """The steps that go through our code meanwhile, and how often each."""
    steps: Counter[Step] = Counter()
    last: dict[FrameType, int] = {}

    def local(frame: FrameType, event: str, _: Any) -> Callable[..., Any]:
        if event == "line":
            steps[frame.f_code.co_filename, last.get(frame, 0), frame.f_lineno] += 1
            last[frame] = frame.f_lineno
        elif event == "return":
            last.pop(frame, None)
        return local

    def called(frame: FrameType, _event: str, _argument: Any) -> Callable[..., Any] | None:
        return local if frame.f_globals.get("__name__", "").partition(".")[0] in OURS else None

    before = sys.gettrace()
    sys.settrace(called)
    try:
        yield steps
    finally:
        sys.settrace(before)
