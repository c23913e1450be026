"""Commands as processes of their own: what others see of them, and how they end when they are told to."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from tests.gateway.running_service import TIMEOUT_SECONDS, TOKENS, RunningService, running

ONE = TOKENS[0]
ROOT = Path(__file__).parents[2]


@asynccontextmanager
async def stsgate(service: RunningService, *arguments: str) -> AsyncIterator[Process]:
    environment = {**os.environ, "STSGATE_SERVER": service.url, "STSGATE_API_KEY": service.key.text}
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "gateway", *arguments),
        cwd=ROOT,
        env=environment,
        stdin=PIPE,
        stdout=PIPE,
        stderr=PIPE,
    )
    try:
        async with asyncio.timeout(TIMEOUT_SECONDS):
            yield process
            await process.wait()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


async def entered(service: RunningService) -> None:
    async with stsgate(service, "meters", "put", "M-1", "--endpoint", "tcp://127.0.0.1:1") as process:
        _, err = await process.communicate()
    assert (process.returncode, err) == (0, b"")


async def test_a_watch_that_is_stopped_says_that_the_order_goes_on(tmp_path: Path) -> None:
    async with running(tmp_path, with_engine=False) as service:
        await entered(service)
        async with stsgate(service, "push", "M-1", "-", "--id", "A-1", "--watch") as process:
            assert process.stdin is not None
            assert process.stdout is not None
            process.stdin.write(f"{ONE.digits}\n".encode())
            process.stdin.close()
            assert await process.stdout.readline() == b"order A-1\n"
            assert b"taken" in await process.stdout.readline()
            seen = Path(f"/proc/{process.pid}/cmdline").read_bytes()  # noqa: ASYNC240 - a file without a disk
            process.send_signal(signal.SIGINT)
            _, err = await process.communicate()
        assert await service.store.orders.get("A-1") is not None
    assert process.returncode == 130
    assert err.decode().splitlines() == [
        "stsgate push: the order goes on in the service: stsgate orders show A-1",
        "stsgate push: interrupted",
    ]
    for secret in (ONE.digits, service.key.text):
        assert secret.encode() not in seen


@pytest.mark.parametrize("command", [["meters", "export", "--json"], ["meters", "export"], ["meters"]], ids=" ".join)
async def test_a_reader_that_has_seen_enough_is_no_error(tmp_path: Path, command: list[str]) -> None:
    async with running(tmp_path, with_engine=False) as service:
        await entered(service)
        async with stsgate(service, *command) as process:
            assert process.stdout is not None
            process.stdout._transport.close()  # type: ignore[attr-defined]
            assert process.stderr is not None
            err = await process.stderr.read()
    assert (process.returncode, err) == (0, b"")


async def test_orders_of_a_file_come_over_a_pipe(tmp_path: Path) -> None:
    row = f'{{"id": "A-1", "meter": "M-1", "tokens": ["{ONE.digits}"]}}\n'
    async with running(tmp_path, with_engine=False) as service:
        await entered(service)
        async with stsgate(service, "orders", "import", "-", "--json") as process:
            out, err = await process.communicate(row.encode())
        assert await service.store.orders.get("A-1") is not None
    assert (process.returncode, err) == (0, b"")
    assert b'"status": 202' in out
