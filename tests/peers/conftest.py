"""Runs the peers: other people's DLMS stacks, in processes and a virtual environment of their own.

Their licences (dlms-cosem: Business Source License 1.1, gurux-dlms: GPL-2) keep them out of this process and of the
project; only the scripts in this folder import them, under the interpreter named by STSGATE_PEERS_PYTHON or else
`.venv-peers/bin/python`. Nothing is skipped when it is missing: an oracle that is not asked is no oracle.
"""

import json
import os
import queue
import random
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
LIMIT_SECONDS = 60

Event = dict[str, Any]


@pytest.fixture(scope="session")
def peers_python() -> str:
    named = os.environ.get("STSGATE_PEERS_PYTHON")
    path = Path(named) if named else ROOT / ".venv-peers/bin/python"
    if not path.exists():
        pytest.fail(
            f"the peers' interpreter {path} does not exist: run `make .venv-peers/stamp`, or\n"
            "python3 -m venv .venv-peers && "
            ".venv-peers/bin/pip install --require-hashes -r requirements/peers.lock",
            pytrace=False,
        )
    return str(path)


def free_port() -> int:
    """A free port below the ephemeral range, so that no outgoing connection takes it before the server does."""
    rng = random.Random()
    for _ in range(200):
        port = rng.randrange(20_000, 32_000)
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port
    raise RuntimeError("no free port between 20000 and 32000")


class Server:
    """A process that listens: its lines as they come, and its end whatever happens."""

    def __init__(self, command: list[str]) -> None:
        self._command = command
        self._process = subprocess.Popen(
            command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        self._lines: queue.Queue[str | None] = queue.Queue()
        self._errors: list[str] = []
        self._threads = [
            threading.Thread(target=self._read_output, daemon=True),
            threading.Thread(target=self._read_errors, daemon=True),
        ]
        for thread in self._threads:
            thread.start()
        self._stopped = False
        self.events: list[Event] = []

    def _read_output(self) -> None:
        assert self._process.stdout
        for line in self._process.stdout:
            self._lines.put(line.rstrip("\n"))
        self._lines.put(None)

    def _read_errors(self) -> None:
        assert self._process.stderr
        self._errors.extend(self._process.stderr)

    def wait_for_line(self, start: str) -> str:
        """The rest of the first line that begins with `start`."""
        deadline = time.monotonic() + LIMIT_SECONDS
        while True:
            try:
                line = self._lines.get(timeout=max(0.0, deadline - time.monotonic()))
            except queue.Empty:
                raise AssertionError(f"no {start!r} within {LIMIT_SECONDS} s; {self.report()}") from None
            if line is None:
                raise AssertionError(f"ended before {start!r}; {self.report()}")
            if line.startswith(start):
                return line[len(start) :].strip()
            self._keep(line)

    def wait_for_event(self, name: str) -> Event:
        """The next event of that name (one that came earlier is in `events`)."""
        self.wait_for_line(f'{{"event": "{name}"')
        return self.events[-1]

    def tell(self, line: str) -> None:
        """Write a line to its standard input."""
        assert self._process.stdin
        self._process.stdin.write(line + "\n")
        self._process.stdin.flush()

    def kill(self) -> None:
        """End it at once, without a last word."""
        self._process.kill()
        self._process.wait(5)

    def ended_with(self, name: str) -> list[Event]:
        """All events of that name, ever: the process is ended first, so that none is still on its way to us."""
        self.stop()
        return [event for event in self.events if event["event"] == name]

    def _keep(self, line: str) -> None:
        if line.startswith("{"):
            self.events.append(json.loads(line))

    def report(self) -> str:
        errors = "".join(self._errors)[-3000:]
        return f"{' '.join(self._command)}\nexit code {self._process.poll()}\nevents {self.events}\nstderr {errors}"

    def stop(self) -> None:
        if self._stopped:
            return
        self._stopped = True
        self._process.terminate()
        try:
            self._process.wait(5)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait(5)
        for thread in self._threads:
            thread.join(5)
        for stream in (self._process.stdin, self._process.stdout, self._process.stderr):
            assert stream
            stream.close()
        while not self._lines.empty():
            line = self._lines.get()
            if line is not None:
                self._keep(line)


@contextmanager
def serving(command: list[str]) -> Iterator[Server]:
    server = Server(command)
    try:
        yield server
    finally:
        server.stop()


class Codec:
    """A peer's codec in a process that stays: lines go in, one JSON line comes out for each, in order."""

    def __init__(self, command: list[str]) -> None:
        self._command = command
        self._process = subprocess.Popen(
            command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
        )

    def ask(self, lines: list[tuple[str, str]]) -> list[Event]:
        """The answers to (operation, argument) pairs. The process ends itself when it takes too long."""
        assert self._process.stdin
        assert self._process.stdout
        # Written beside the reading: else both pipes could be full, and nobody would take anything out.
        writer = threading.Thread(target=self._write, args=(lines,), daemon=True)
        writer.start()
        answers: list[Event] = []
        while len(answers) < len(lines):
            line = self._process.stdout.readline()
            if not line:
                raise AssertionError(f"{' '.join(self._command)}\nended after {len(answers)} of {len(lines)} answers")
            answers.append(json.loads(line))
        writer.join(5)
        return answers

    def _write(self, lines: list[tuple[str, str]]) -> None:
        assert self._process.stdin
        try:
            self._process.stdin.write("".join(f"{operation} {argument}\n" for operation, argument in lines))
            self._process.stdin.flush()
        except BrokenPipeError:
            pass  # the reader says so

    def close(self) -> None:
        for stream in (self._process.stdin, self._process.stdout):
            assert stream
            stream.close()
        try:
            self._process.wait(5)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait(5)


class Peers:
    """The scripts of this folder, ready to run."""

    def __init__(self, python: str) -> None:
        self._python = python

    @contextmanager
    def gurux_meter(self, **options: Any) -> Iterator[tuple[Server, int]]:
        port = free_port()
        command = [self._python, str(HERE / "gurux_meter.py"), json.dumps({"port": port, **options})]
        with serving(command) as meter:
            meter.wait_for_line("listening ")
            try:
                yield meter, port
            except Exception as failure:
                meter.stop()
                failure.add_note(meter.report())
                raise
            assert meter.ended_with("error") == [], meter.report()

    @contextmanager
    def starting(self, script: str, **options: Any) -> Iterator[Server]:
        """A script of this folder that stays, such as `adapter`."""
        with serving([self._python, str(HERE / f"{script}.py"), json.dumps(options)]) as server:
            try:
                yield server
            except Exception as failure:
                server.stop()
                failure.add_note(server.report())
                raise

    @contextmanager
    def serving(self, script: str, **options: Any) -> Iterator[Server]:
        """The same, ready when this is entered."""
        with self.starting(script, **options) as server:
            server.wait_for_line("listening")
            yield server

    def client(self, script: str, **options: Any) -> list[Event]:
        """Run gurux_client or dlms_cosem_client to its end; its events, or AssertionError with its words."""
        code, events, errors = self.try_client(script, **options)
        assert code == 0, f"{script} {json.dumps(options)}\nexit code {code}\n{events[-1:]}\n{errors[-3000:]}"
        return events

    def try_client(self, script: str, **options: Any) -> tuple[int, list[Event], str]:
        command = [self._python, str(HERE / f"{script}.py"), json.dumps(options)]
        done = run_to_end(command)
        events = [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]
        return done.returncode, events, done.stderr

    def parse(self, lines: list[tuple[str, str]], keys: Mapping[str, str] | None = None) -> list[Event]:
        """What dlms-cosem makes of (kind, hex) pairs."""
        command = [self._python, str(HERE / "dlms_cosem_parse.py"), "parse", json.dumps(dict(keys or {}))]
        done = run_to_end(command, "".join(f"{kind} {octets}\n" for kind, octets in lines))
        assert done.returncode == 0, done.stderr
        answers = [json.loads(line) for line in done.stdout.splitlines()]
        assert len(answers) == len(lines)
        return answers

    @contextmanager
    def codec(self, *command: str) -> Iterator[Codec]:
        """A codec script of this folder, started once."""
        script, *arguments = command
        codec = Codec([self._python, str(HERE / f"{script}.py"), *arguments])
        try:
            yield codec
        finally:
            codec.close()

    def emitted(self) -> list[Event]:
        """Sample APDUs and frames that dlms-cosem makes, with the fields it made them from."""
        done = run_to_end([self._python, str(HERE / "dlms_cosem_parse.py"), "emit", "{}"])
        assert done.returncode == 0, done.stderr
        return [json.loads(line) for line in done.stdout.splitlines()]


def run_to_end(command: list[str], given: str = "") -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command, cwd=ROOT, input=given, capture_output=True, text=True, timeout=LIMIT_SECONDS, check=False
    )


CODEC_KEYS = {
    "title": "4D4D4D0000000001",
    "ek": "000102030405060708090A0B0C0D0E0F",
    "ak": "D0D1D2D3D4D5D6D7D8D9DADBDCDDDEDF",
}


@pytest.fixture(scope="session")
def codecs(peers: "Peers") -> Iterator[dict[str, Codec]]:
    """The codecs of both peers, each in one process for the whole run."""
    keys = json.dumps(CODEC_KEYS)
    with (
        peers.codec("dlms_cosem_parse", "parse", keys) as dlms_cosem,
        peers.codec("gurux_codec", keys) as gurux,
    ):
        yield {"dlms-cosem": dlms_cosem, "gurux": gurux}


@pytest.fixture(scope="session")
def peers(peers_python: str) -> Peers:
    return Peers(peers_python)


def run_own(module: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    """One of the project's own commands, run to its end."""
    return run_to_end([sys.executable, "-m", module, *arguments])


def serve_own(module: str, *arguments: str) -> Any:
    """One of the project's own servers, as a context manager."""
    return serving([sys.executable, "-m", module, *arguments])
