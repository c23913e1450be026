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
from aiohttp import web

from gateway.store.records import OrderFilter
from tests.gateway.running_service import TIMEOUT_SECONDS, TOKENS, RunningService, running
from tests.transports.wires import free_port

ONE = TOKENS[0]
UUID = "550e8400-e29b-41d4-a716-446655440000"
"""The most frequent kind of order ids; it is shown whole, though it looks like a key."""
ROOT = Path(__file__).parents[2]


@asynccontextmanager
async def stsgate(service: RunningService, *arguments: str, stdout: int = PIPE) -> AsyncIterator[Process]:
    environment = {**os.environ, "STSGATE_SERVER": service.url, "STSGATE_API_KEY": service.key.text}
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "gateway", *arguments),
        cwd=ROOT,
        env=environment,
        stdin=PIPE,
        stdout=stdout,
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
        async with stsgate(service, "push", "M-1", "-", "--id", UUID, "--watch") as process:
            assert process.stdin is not None
            assert process.stdout is not None
            process.stdin.write(f"{ONE.digits}\n".encode())
            process.stdin.close()
            assert await process.stdout.readline() == f"order {UUID}\n".encode()
            assert b"taken" in await process.stdout.readline()
            seen = Path(f"/proc/{process.pid}/cmdline").read_bytes()  # noqa: ASYNC240 - a file without a disk
            process.send_signal(signal.SIGINT)
            _, err = await process.communicate()
        assert await service.store.orders.get(UUID) is not None
    assert process.returncode == 130
    assert err.decode().splitlines() == [
        f"stsgate push: the order goes on in the service: stsgate orders show {UUID}",
        "stsgate push: interrupted",
    ]
    for secret in (ONE.digits, service.key.text):
        assert secret.encode() not in seen


@pytest.mark.parametrize(
    "command", [["meters", "export", "--json"], ["meters", "export"], ["links", "export"], ["meters"]], ids=" ".join
)
async def test_a_reader_that_has_seen_enough_is_no_error(tmp_path: Path, command: list[str]) -> None:
    async with running(tmp_path, with_engine=False) as service:
        await entered(service)
        async with stsgate(service, *command) as process:
            assert process.stdout is not None
            process.stdout._transport.close()  # type: ignore[attr-defined]
            assert process.stderr is not None
            err = await process.stderr.read()
    assert (process.returncode, err) == (0, b"")


FULL = [
    (["orders"], 3, "stsgate orders: standard output cannot be written (No space left on device)"),
    (
        ["push", "M-1", ONE.digits],
        2,
        "stsgate push: standard output cannot be written (No space left on device); nothing was sent",
    ),
]


@pytest.mark.parametrize(("command", "code", "line"), FULL, ids=[row[0][0] for row in FULL])
async def test_a_full_disk_is_said_in_one_line(tmp_path: Path, command: list[str], code: int, line: str) -> None:
    async with running(tmp_path, with_engine=False) as service:
        await entered(service)
        with Path("/dev/full").open("w") as full:  # noqa: ASYNC230 - a file without a disk
            async with stsgate(service, *command, stdout=full.fileno()) as process:
                _, err = await process.communicate()
        assert not await service.store.orders.list(OrderFilter(), limit=1)
    assert (process.returncode, err.decode().splitlines()) == (code, [line])


async def test_an_import_does_not_wait_for_more_rows_when_the_service_has_ended_it(tmp_path: Path) -> None:
    """The row that was sent is reported; others may still come over the pipe, and would find nobody."""

    async def answer(request: web.BaseRequest) -> web.StreamResponse:
        assert await request.content.readany()
        response = web.StreamResponse(headers={"Content-Type": "application/x-ndjson"})
        response.force_close()
        await response.prepare(request)
        await response.write(b'{"row": 1, "id": "A-1", "status": 202}\n')
        return response

    async with running(tmp_path, with_engine=False) as service:
        runner = web.ServerRunner(web.Server(answer, access_log=None, lingering_time=0.0))
        await runner.setup()
        port = free_port()
        await web.TCPSite(runner, "127.0.0.1", port).start()
        other = ["--server", f"http://127.0.0.1:{port}"]
        async with stsgate(service, "orders", "import", "-", *other) as process:
            assert process.stdin is not None
            assert process.stderr is not None
            process.stdin.write(b'{"id": "A-1"}\n')
            await process.stdin.drain()
            err = await process.stderr.read()  # the pipe stays open
        await runner.cleanup()
    assert process.returncode == 3
    assert b"send the same rows again" in err


async def test_orders_of_a_file_come_over_a_pipe(tmp_path: Path) -> None:
    row = f'{{"id": "A-1", "meter": "M-1", "tokens": ["{ONE.digits}"]}}\n'
    async with running(tmp_path, with_engine=False) as service:
        await entered(service)
        async with stsgate(service, "orders", "import", "-", "--json") as process:
            out, err = await process.communicate(row.encode())
        assert await service.store.orders.get("A-1") is not None
    assert (process.returncode, err) == (0, b"")
    assert b'"status": 202' in out
