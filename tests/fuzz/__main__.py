"""``python -m tests.fuzz NAME``: look for inputs that break a target; ``all`` takes one target after the other.

What was found goes to ``--corpus`` (default: ``.fuzz`` in this repository, not under version control), and the next run
begins there. A crash is shortened and printed in hex, with the command that shows it again without the fuzzer.
"""

from __future__ import annotations

import argparse
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from tests.fuzz import corpus
from tests.fuzz.shorten import shortened
from tests.fuzz.targets import NAMES, load

ROOT = Path(__file__).resolve().parents[2]
SECONDS_PER_INPUT_MAX = 10
MEGABYTES_MAX = 1024
_STATUS = re.compile(r"^#(\d+)\s+\w+.* cov: (\d+) ft: (\d+)")
_EXECUTED = re.compile(r"^stat::number_of_executed_units:\s+(\d+)")


@dataclass(slots=True)
class Found:
    """What one run came to."""

    executions: int = 0
    coverage: int = 0
    features: int = 0
    returned: int = 0
    """By the fuzzer's process; not 0 if it stopped at an input, or was stopped."""
    inputs: dict[bytes, str] = field(default_factory=dict)
    """Those that it stopped at, and why: crash, timeout, oom."""

    def note(self, line: str) -> None:
        if status := _STATUS.match(line):
            self.executions, self.coverage, self.features = map(int, status.groups())
        if executed := _EXECUTED.match(line):
            self.executions = int(executed[1])

    def __str__(self) -> str:
        ended = f"BROKEN ({self.returned})" if self.returned else "no crash"
        return f"{self.executions:,} executions, coverage {self.coverage} ({self.features} features), {ended}"


def main(arguments: list[str] | None = None) -> int:
    options = _parser().parse_args(arguments)
    names = NAMES if options.name == "all" else (options.name,)
    if options.replay is not None:
        for name in names:
            load(name).one_input(bytes.fromhex(options.replay))
        print("nothing is wrong with this input")
        return 0
    if options.keep:
        for name in names:
            _keep(name, options.corpus.resolve() / name)
        return 0
    return max([_fuzz(name, options.seconds, options.corpus.resolve() / name, quiet=len(names) > 1) for name in names])


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description="Fuzz one decoder, or all of them.")
    parser.add_argument("name", choices=(*NAMES, "all"))
    parser.add_argument("--seconds", type=int, default=600, help="how long to look, for each target (default 600)")
    parser.add_argument(
        "--corpus", type=Path, default=ROOT / ".fuzz", help="where found inputs are kept from run to run"
    )
    what = parser.add_mutually_exclusive_group()
    what.add_argument("--replay", metavar="HEX", help="run this one input, without the fuzzer")
    what.add_argument("--keep", action="store_true", help="choose again which of the found inputs the tests replay")
    return parser


def _fuzz(name: str, seconds: int, found_before: Path, *, quiet: bool) -> int:
    found_before.mkdir(parents=True, exist_ok=True)
    count_before = len(list(found_before.iterdir()))
    with tempfile.TemporaryDirectory() as temporary:
        seeds, broken = Path(temporary, "seeds"), Path(temporary, "broken")
        seeds.mkdir()
        broken.mkdir()
        for number, octets in enumerate([*corpus.kept(name), *load(name).seeds()]):
            (seeds / str(number)).write_bytes(octets)
        found = _run(name, [str(broken), *_flags(name, seconds, broken), str(found_before), str(seeds)], quiet=quiet)
        found.inputs = {path.read_bytes(): path.name.partition("-")[0] for path in sorted(broken.iterdir())}
        new = len(list(found_before.iterdir())) - count_before
        print(f"{name}: {found}, {new} new inputs", flush=True)
        for octets, kind in found.inputs.items():
            _show(name, kind, octets)
    return int(found.returned != 0)


def _flags(name: str, seconds: int, broken: Path) -> list[str]:
    return [
        f"-max_total_time={seconds}",
        f"-max_len={load(name).SIZE_MAX}",
        f"-timeout={SECONDS_PER_INPUT_MAX}",
        f"-rss_limit_mb={MEGABYTES_MAX}",
        f"-artifact_prefix={broken}/",
        "-print_final_stats=1",
    ]


def _run(name: str, flags: list[str], *, quiet: bool) -> Found:
    found = Found()
    command = [sys.executable, "-m", "tests.fuzz.engine", name, *flags]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as process:
        assert process.stdout is not None
        said: list[str] = []
        for line in process.stdout:
            found.note(line)
            said.append(line)
            del said[:-60]
            if not quiet:
                print(line, end="", flush=True)
    found.returned = process.returncode
    if found.returned and quiet:
        print("".join(said), end="")
    return found


def _show(name: str, kind: str, octets: bytes) -> None:
    if kind == "crash":
        octets = shortened(load(name).one_input, octets)
    print(f"{name}: {kind}, an input of {len(octets)} octets:\n{octets.hex()}")
    print(f"again, without the fuzzer: python -m tests.fuzz {name} --replay {octets.hex() or repr('')}", flush=True)


def _keep(name: str, found: Path) -> None:
    target = load(name)
    inputs = [*corpus.kept(name), *target.seeds(), *_read(found)]
    short_enough = [octets for octets in inputs if len(octets) <= target.SIZE_MAX]
    chosen = corpus.chosen(target.one_input, short_enough)
    corpus.keep(name, chosen)
    print(f"{name}: {len(chosen)} of {len(inputs)} inputs kept, {sum(map(len, chosen))} octets")


def _read(folder: Path) -> Iterator[bytes]:
    for path in sorted(folder.iterdir()) if folder.is_dir() else ():
        yield path.read_bytes()


if __name__ == "__main__":
    sys.exit(main())
