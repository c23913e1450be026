"""Other people's programs in a scenario, such as ``stsgate deliver``: started, fed, limited, and read."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from sim_meters.scenario.report import StepError

OUTPUT_SIZE_MAX = 1 << 20
"""Octets of each stream that are kept; what comes after is read and forgotten."""
_ENDING_SECONDS = 5.0


@dataclass(frozen=True, slots=True)
class Ended:
    """A program that came to its end."""

    exit_code: int
    stdout: str
    stderr: str


async def run_program(command: Sequence[str], stdin: str, folder: Path, timeout_seconds: float) -> Ended:
    """Run it to its end. Raises ``StepError`` if it cannot be started, or takes too long: then it is killed, with all
    that it started."""
    try:
        process = await asyncio.create_subprocess_exec(
            *command,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            cwd=folder,
            env=_environment(),
            start_new_session=True,
        )
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else str(error)
        raise StepError(f"{command[0]} cannot be started: {reason}") from None
    try:
        async with asyncio.timeout(timeout_seconds):
            _, stdout, stderr, code = await asyncio.gather(
                _feed(process, stdin), _read(process.stdout), _read(process.stderr), process.wait()
            )
    except TimeoutError:
        raise StepError(f"{command[0]} was stopped: it took more than {timeout_seconds:g} s") from None
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        with suppress(TimeoutError):  # who left the group may hold its streams open
            async with asyncio.timeout(_ENDING_SECONDS):
                await process.wait()
    return Ended(code, stdout, stderr)


async def _feed(process: asyncio.subprocess.Process, text: str) -> None:
    assert process.stdin is not None
    with suppress(ConnectionError):  # it need not read what it is given
        process.stdin.write(text.encode())
        await process.stdin.drain()
        process.stdin.close()
        await process.stdin.wait_closed()


async def _read(stream: asyncio.StreamReader | None) -> str:
    assert stream is not None
    kept = bytearray()
    while octets := await stream.read(1 << 16):
        kept += octets[: max(OUTPUT_SIZE_MAX - len(kept), 0)]
    return kept.decode("utf-8", "replace")


def _environment() -> dict[str, str]:
    """That of this process; the commands installed beside this one are found first."""
    own = str(Path(sys.executable).parent)
    return {**os.environ, "PATH": os.pathsep.join((own, os.environ.get("PATH", os.defpath)))}
