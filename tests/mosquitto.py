"""A real mosquitto for tests and benchmarks: on a free port, in a directory of its own, to be killed and restarted."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

from tests.transports.wires import free_port

START_SECONDS = 10.0
STOP_SECONDS = 5.0

PLAIN = ("allow_anonymous true",)
"""Everybody may do everything."""


class Mosquitto:
    """One broker process. ``with Mosquitto(tmp_path) as broker: ... broker.port``; it stands until ``stop``."""

    def __init__(
        self, directory: Path, settings: Sequence[str] = PLAIN, *, listener: Sequence[str] = (), whole: str = ""
    ) -> None:
        """``settings`` are lines of mosquitto.conf for the whole broker, ``listener`` those below its listener;
        ``whole`` is a file in which ``PORT`` stands for the port."""
        self.directory = directory
        self.port = 0
        self._settings = tuple(settings)
        self._listener = tuple(listener)
        self._whole = whole
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"mqtt://127.0.0.1:{self.port}"

    @property
    def log(self) -> str:
        return (self.directory / "mosquitto.log").read_text(encoding="utf-8", errors="replace")

    def start(self) -> None:
        """Start it, the first time on a free port, afterwards on the same again."""
        self.directory.mkdir(parents=True, exist_ok=True)
        if self.port:
            self._launch()
            return
        for _ in range(10):
            self.port = free_port()
            try:
                self._launch()
            except RuntimeError:
                if "Address already in use" not in self.log:
                    raise
            else:
                return
        raise RuntimeError("no free port was found for mosquitto")

    def restart(self) -> None:
        """As ``kill`` and ``start``: what it did not write to disk is lost."""
        self.kill()
        self.start()

    def stop(self) -> None:
        """Ask it to end (SIGTERM), and wait for it."""
        self._end(signal.SIGTERM)

    def kill(self) -> None:
        """End it at once (SIGKILL)."""
        self._end(signal.SIGKILL)

    def pause(self) -> None:
        """It stands still; its sockets stay."""
        self._send(signal.SIGSTOP)

    def go_on(self) -> None:
        self._send(signal.SIGCONT)

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.kill()

    def _launch(self) -> None:
        program = shutil.which("mosquitto", path=f"{os.environ.get('PATH', '')}:/usr/sbin:/usr/local/sbin")
        assert program is not None, "mosquitto is not installed"
        configuration = self.directory / "mosquitto.conf"
        configuration.write_text("\n".join(self._lines()) + "\n", encoding="utf-8")
        with (self.directory / "mosquitto.log").open("wb") as log:
            self._process = subprocess.Popen(
                [program, "-c", str(configuration)], stdout=log, stderr=log, cwd=self.directory
            )
        self._wait_until_it_listens(self._process)

    def _lines(self) -> list[str]:
        # As root mosquitto would become another user, who may not read this directory.
        user = ["user root"] if os.geteuid() == 0 else []
        if self._whole:
            return [*user, "log_dest stderr", self._whole.replace("PORT", str(self.port))]
        common = ["set_tcp_nodelay true", "log_dest stderr", f"listener {self.port} 127.0.0.1"]
        return [*user, *self._settings, *common, *self._listener]

    def _wait_until_it_listens(self, process: subprocess.Popen[bytes]) -> None:
        deadline = time.monotonic() + START_SECONDS
        while process.poll() is None and time.monotonic() < deadline:
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", self.port)) == 0:
                    return
            time.sleep(0.005)
        self.kill()
        raise RuntimeError(f"mosquitto did not start: {self.log}")

    def _send(self, number: signal.Signals) -> None:
        assert self._process is not None, "mosquitto does not run"
        self._process.send_signal(number)

    def _end(self, number: signal.Signals) -> None:
        if self._process is not None:
            process, self._process = self._process, None
            process.send_signal(number)
            if number is not signal.SIGKILL:
                process.send_signal(signal.SIGCONT)
            try:
                process.wait(STOP_SECONDS)
            except subprocess.TimeoutExpired:  # seen once, on a machine with too much to do
                process.kill()
                process.wait()
