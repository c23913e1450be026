"""A mosquitto for a benchmark: on a free port, on one core, gone when it is over."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from benchmarks.measure import HOST, cpu_seconds

_START_SECONDS = 10
_STOP_SECONDS = 10
_LOOK_SECONDS = 0.05

# As config/mosquitto has it. A small message waits 40 ms for the acknowledgement of the one before it, unless TCP is
# told not to delay it.
_CONFIGURATION = """\
listener {port} {host}
allow_anonymous true
set_tcp_nodelay true
max_inflight_messages 100
persistence false
log_type error
"""


@dataclass(frozen=True)
class Broker:
    port: int
    process_id: int

    @property
    def cpu_seconds(self) -> float:
        return cpu_seconds(Path(f"/proc/{self.process_id}"))

    @classmethod
    @contextmanager
    def started(cls, directory: Path, core: int | None) -> Iterator[Broker]:
        program = shutil.which("mosquitto", path=f"{os.environ['PATH']}:/usr/sbin")
        if program is None:
            raise RuntimeError("mosquitto is missing: install it (Debian: apt-get install mosquitto)")
        port = _free_port()
        file = directory / "mosquitto.conf"
        file.write_text(_CONFIGURATION.format(port=port, host=HOST), encoding="ascii")
        process = subprocess.Popen([program, "-c", str(file)])  # noqa: S603 - found above
        try:
            if core is not None:
                os.sched_setaffinity(process.pid, {core})
            _wait_until_it_listens(process, port)
            yield cls(port, process.pid)
        finally:
            process.terminate()
            process.wait(_STOP_SECONDS)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        port: int = probe.getsockname()[1]
        return port


def _wait_until_it_listens(process: subprocess.Popen[bytes], port: int) -> None:
    deadline = time.monotonic() + _START_SECONDS
    while process.poll() is None and time.monotonic() < deadline:
        try:
            socket.create_connection((HOST, port), _LOOK_SECONDS).close()
        except OSError:
            time.sleep(_LOOK_SECONDS)
        else:
            return
    raise RuntimeError("mosquitto did not start")
