"""The service of a chaos run: a real ``stsgate serve``, started again after whatever became of the last one."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import time
from pathlib import Path

from tests.chaos.callers import Door
from tests.chaos.failpoints import ARMED, REACHED, Failpoint
from tests.chaos.street import ROOT

API_KEY = "chaos-" + "0123456789abcdef" * 2
_READY_SECONDS_MAX = 60.0
CONFIG = """\
[service]
drain_seconds = 15.0
[delivery]
first_wait_seconds = 0.2
longest_wait_seconds = 1.0
doubt_first_wait_seconds = 0.2
doubt_longest_wait_seconds = 1.0
expire_interval_seconds = 0.5
counter_block = 400
[webhooks]
first_wait_seconds = 0.3
longest_wait_seconds = 1.0
attempts_max = 1000
[health]
disk_free_mib_min = 0
"""


class HeadEnd:
    """One data directory, one life after the other."""

    def __init__(self, directory: Path, port: int, *, second_port: int) -> None:
        self.directory = directory
        self.data = directory / "data"
        self.port = port
        self._second_port = second_port
        self.log = directory / "service.log"
        self._config = directory / "gateway.toml"
        self._config.write_text(CONFIG)
        self._reached = directory / "reached"
        self.process: asyncio.subprocess.Process | None = None
        self.starts = 0

    async def start(self, failpoint: Failpoint | None = None, occurrence: int = 1) -> None:
        """Only started: it may die before it is ready."""
        self._reached.unlink(missing_ok=True)
        self.starts += 1
        # The checker counts connections, and one that waits for its next use is one, too.
        environment = {**os.environ, "STSGATE_BOOTSTRAP_API_KEY": API_KEY, "STSGATE_LINKS_LINGER_SECONDS": "0"}
        if failpoint is not None:
            environment |= {ARMED: f"{failpoint}:{occurrence}:{self.starts}", REACHED: str(self._reached)}
        self.process = await self._spawn(self.port, environment)

    async def _spawn(self, port: int, environment: dict[str, str]) -> asyncio.subprocess.Process:
        with self.log.open("ab") as log:
            log.write(f"--- start {self.starts}\n".encode())
            log.flush()
            return await asyncio.create_subprocess_exec(
                *(sys.executable, "-m", "tests.chaos.service_with_failpoints"),
                *("--config", str(self._config), "--data-dir", str(self.data), "--http", f"127.0.0.1:{port}"),
                stdout=log,
                stderr=log,
                stdin=asyncio.subprocess.DEVNULL,
                env=environment,
                cwd=ROOT,
            )

    async def ready(self, door: Door) -> bool:
        """False if it died before. Raises ``RuntimeError`` if it neither works nor dies."""
        assert self.process is not None
        deadline = time.monotonic() + _READY_SECONDS_MAX
        while time.monotonic() < deadline:
            if self.process.returncode is not None:
                return False
            answer = await door.ask("GET", "/readyz")
            if answer is not None and answer.status == 200:
                return True
            await asyncio.sleep(0.05)
        raise RuntimeError(f"the service is not ready after {_READY_SECONDS_MAX:g} s: see {self.log}")

    async def second_is_refused(self) -> bool:
        """Whether another process is refused the data directory of the one that runs, or stands still."""
        second = await self._spawn(self._second_port, dict(os.environ))
        try:
            async with asyncio.timeout(30):
                return await second.wait() not in (0, -signal.SIGKILL)
        except TimeoutError:
            second.kill()
            await second.wait()
            return False

    def signal(self, number: signal.Signals) -> None:
        if self.process is not None and self.process.returncode is None:
            self.process.send_signal(number)

    async def ended(self, seconds: float) -> int | None:
        """Its exit code; None if it still runs then."""
        assert self.process is not None
        try:
            async with asyncio.timeout(seconds):
                return await self.process.wait()
        except TimeoutError:
            return None

    async def kill(self) -> None:
        self.signal(signal.SIGKILL)
        await self.ended(10)

    @property
    def reached(self) -> Failpoint | None:
        """The fail-point at which it died."""
        return Failpoint(self._reached.read_text()) if self._reached.exists() else None

    def kill_now(self) -> None:
        """Without waiting: for who is being interrupted."""
        if self.process is not None and self.process.returncode is None:
            os.kill(self.process.pid, signal.SIGKILL)
