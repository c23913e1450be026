"""A real ``stsgate serve`` in a process of its own, started, asked and ended by tests."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp

from gateway.serving.first_start import KEY_FILE
from tests.transports.wires import free_port

ROOT = Path(__file__).parents[2]
TIMEOUT_SECONDS = 30


def clean_environment(more: Mapping[str, str]) -> dict[str, str]:
    """This one, without settings of whoever runs the tests."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("STSGATE_", "NOTIFY_"))}
    return {**kept, "PYTHONPATH": str(ROOT), **more}


@dataclass(frozen=True)
class Ended:
    """How it ended, and what it said."""

    code: int
    out: str
    err: str


@dataclass
class Served:
    """A service that runs."""

    process: Process
    url: str
    data_dir: Path
    api_key: str
    said: list[str] = field(default_factory=list)
    """Lines of its log that were read so far."""

    async def ask(self, method: str, path: str, body: Any = None, *, key: str | None = None) -> tuple[int, Any]:
        """Status and JSON (or text) of one answer."""
        headers = {"Authorization": f"Bearer {self.api_key if key is None else key}"}
        async with (
            aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=TIMEOUT_SECONDS)) as session,
            session.request(method, self.url + path, json=body, headers=headers) as response,
        ):
            is_json = "json" in response.content_type
            return response.status, await (response.json(content_type=None) if is_json else response.text())

    async def line(self, text: str) -> str:
        """The next line of its log with this text in it."""
        assert self.process.stderr is not None
        async with asyncio.timeout(TIMEOUT_SECONDS):
            async for octets in self.process.stderr:
                self.said.append(octets.decode())
                if text in self.said[-1]:
                    return self.said[-1]
        raise AssertionError(f"it never said {text!r}: {''.join(self.said)}")

    def signal(self, number: signal.Signals) -> None:
        self.process.send_signal(number)

    async def end(self) -> Ended:
        """Wait until it ends."""
        async with asyncio.timeout(TIMEOUT_SECONDS):
            out, err = await self.process.communicate()
        assert self.process.returncode is not None
        return Ended(self.process.returncode, out.decode(), "".join(self.said) + err.decode())

    async def stop(self) -> Ended:
        self.signal(signal.SIGTERM)
        return await self.end()


async def start(data_dir: Path, *options: str, **environment: str) -> Process:
    """Not waited for. ``--http`` is a free port unless it is given."""
    http = () if "--http" in options else ("--http", f"127.0.0.1:{free_port()}")
    return await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "gateway", "serve", "--data-dir", str(data_dir), *http, *options),
        cwd=data_dir.parent,
        env=clean_environment(environment),
        stdout=PIPE,
        stderr=PIPE,
    )


async def refused(data_dir: Path, *options: str, **environment: str) -> Ended:
    """A start that comes to nothing."""
    process = await start(data_dir, *options, **environment)
    return await Served(process, "", data_dir, "").end()


@asynccontextmanager
async def served(data_dir: Path, *options: str, **environment: str) -> AsyncIterator[Served]:
    """A service that is ready; ended, if nobody did, when it is left."""
    process = await start(data_dir, *options, **environment)
    try:
        assert process.stdout is not None
        async with asyncio.timeout(TIMEOUT_SECONDS):
            line = (await process.stdout.readline()).decode()
        assert line.startswith("serving "), (await process.communicate())[1].decode()
        key_file = data_dir / KEY_FILE
        key = environment.get("STSGATE_BOOTSTRAP_API_KEY") or key_file.read_text(encoding="ascii").strip()
        yield Served(process, line.split()[1], data_dir, key)
    finally:
        if process.returncode is None:
            process.kill()
            await process.communicate()
