"""The service of ``stsgate demo``: a child process with its own data directory, to be killed and started again."""

from __future__ import annotations

import asyncio
import os
import socket
import sys
from asyncio.subprocess import PIPE, Process
from pathlib import Path
from types import TracebackType
from typing import IO, Self

from gateway.cli.lab import LabError
from gateway.cli.service.options import BOOTSTRAP_KEY_FILE, DEFAULT_SERVER
from gateway.client.service_client import ServiceAddress

_START_TIMEOUT_SECONDS = 30
_STOP_TIMEOUT_SECONDS = 30
_ANY_PORT = "127.0.0.1:0"


def _environment(inbound_url: str) -> dict[str, str]:
    """Ours, without settings of another service; orders are traced, and meters may call in."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("STSGATE_")}
    return {**kept, "STSGATE_TRACE_ORDERS_KEPT": "100", "STSGATE_INBOUND_LISTEN": inbound_url}


def _free_port() -> int:
    """Free a moment ago: meters have to be told before the service listens."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class LabService:
    """``stsgate serve`` on this machine; ends it when it is left."""

    def __init__(self, data_dir: Path) -> None:
        self.data_dir = data_dir
        self.url = ""
        self.inbound_url = f"tcp://127.0.0.1:{_free_port()}"
        """Where meters call in."""
        self._process: Process | None = None
        self._log: IO[bytes] | None = None

    @property
    def log_file(self) -> Path:
        return self.data_dir / "service.log"

    @property
    def address(self) -> ServiceAddress:
        """With the key that the service made at its first start."""
        key = (self.data_dir / BOOTSTRAP_KEY_FILE).read_text(encoding="ascii").strip()
        return ServiceAddress(url=self.url, api_key=key)

    async def start(self) -> None:
        """At the usual address if it is free, else at any; the second time where it was. Raises ``LabError``."""
        usual = DEFAULT_SERVER.partition("//")[2]
        for http in [self.url.partition("//")[2]] if self.url else [usual, _ANY_PORT]:
            if await self._start(http):
                return
        raise LabError(f"the service does not start: {self._said()}")

    async def _start(self, http: str) -> bool:
        self._log = self._log or self.log_file.open("ab")
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "gateway", "serve", "--data-dir", str(self.data_dir), "--http", http),
            env=_environment(self.inbound_url),
            stdout=PIPE,
            stderr=self._log,
            start_new_session=True,  # Ctrl-C is for the demo, which ends it in its turn
        )
        self._process = process
        assert process.stdout is not None
        try:
            async with asyncio.timeout(_START_TIMEOUT_SECONDS):
                async for line in process.stdout:
                    word, _, url = line.decode().strip().partition(" ")
                    if word == "serving":
                        self.url = url
                        return True
        except TimeoutError:
            await self.kill()
        return False

    async def kill(self) -> None:
        """A power cut: it has no time for a last word."""
        if self._process is not None and self._process.returncode is None:
            self._process.kill()
            await self._process.wait()

    def _said(self) -> str:
        lines = self.log_file.read_text(encoding="utf-8", errors="replace").strip().splitlines()
        return lines[-1] if lines else "it says nothing"

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        process = self._process
        if process is not None and process.returncode is None:
            process.terminate()
            try:
                async with asyncio.timeout(_STOP_TIMEOUT_SECONDS):
                    await process.wait()
            except TimeoutError:
                await self.kill()
        if self._log is not None:
            self._log.close()
