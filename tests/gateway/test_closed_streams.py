"""Both commands where standard streams are closed: no socket takes their place, and nothing ends without a word."""

from __future__ import annotations

import asyncio
import os
import re
import signal
import sys

import pytest

from tests.gateway.test_cli import ONE, ROOT, TIMEOUT_SECONDS, Said, deliver_to, end, meter_at, start

READ_BACK = ["--profile", "sim"]


async def start_without(closed: str, module: str, *arguments: str) -> asyncio.subprocess.Process:
    """``closed``: as a shell says it."""
    return await asyncio.create_subprocess_exec(
        *("sh", "-c", f'exec "$0" "$@" {closed}', sys.executable, "-m", module, *arguments),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        cwd=ROOT,
    )


async def said_without(closed: str, *arguments: str) -> Said:
    return await end(await start_without(closed, "gateway", *arguments))


async def test_a_token_is_delivered_without_a_standard_input() -> None:
    async with meter_at() as (url, meter):
        said = await said_without("<&-", *deliver_to(url, ONE))
        assert meter.ledger.times_credited(ONE) == 1
    assert (said.code, said.err) == (0, "")
    assert "ACCEPTED" in said.out


async def test_a_meter_is_read_without_standard_input_and_error() -> None:
    async with meter_at() as (url, _meter):
        said = await said_without("<&- 2>&-", "readback", "--endpoint", url, *READ_BACK)
    assert said.code == 0
    assert "token" in said.out.casefold()


@pytest.mark.parametrize("closed", [">&-", "<&- >&-"])
@pytest.mark.parametrize("command", ["deliver", "readback", "decode"])
async def test_what_cannot_be_shown_is_refused_in_one_line_and_nothing_is_sent(command: str, closed: str) -> None:
    async with meter_at() as (url, meter):
        arguments = {
            "deliver": deliver_to(url, ONE),
            "readback": ["readback", "--endpoint", url, *READ_BACK],
            "decode": ["dlms", "decode", "C001C100080000010000FF0200"],
        }
        said = await said_without(closed, *arguments[command])
        assert meter.ledger.times_credited(ONE) == 0
    assert said.code == 2
    assert re.fullmatch(r"stsgate[^\n]*: standard output [^\n]+\n", said.err)


@pytest.mark.parametrize(
    "arguments",
    [["dlms", "decode", "-"], ["deliver", "--endpoint", "tcp://127.0.0.1:1", "--token-file", "-"]],
    ids=["decode", "deliver"],
)
async def test_what_cannot_be_read_is_refused_in_one_line(arguments: list[str]) -> None:
    said = await said_without("<&-", *arguments)
    assert said.code == 2
    assert re.fullmatch(r"stsgate[^\n]*: standard input is closed\n", said.err)


@pytest.mark.parametrize("closed", ["<&-", "2>&-", "<&- 2>&-"])
async def test_a_simulated_meter_serves_without_standard_input_and_error(closed: str) -> None:
    process = await start_without(closed, "sim_meters", "run", "--listen", "tcp://127.0.0.1:0")
    assert process.stdout is not None
    try:
        async with asyncio.timeout(TIMEOUT_SECONDS):
            while not (line := (await process.stdout.readline()).decode()).startswith("listening"):
                assert line
        said = await end(await start("readback", "--endpoint", line.split()[1], *READ_BACK))
        assert said.code == 0, said.err
        process.send_signal(signal.SIGTERM)
    finally:
        told = await end(process)
    assert told.code == 0


async def test_a_pipe_that_nobody_reads_does_not_stop_a_delivery() -> None:
    """Of standard error, with a trace: what cannot be written is left out."""
    reading, writing = os.pipe()
    try:
        os.set_blocking(writing, False)
        assert os.write(writing, bytes(1 << 22)) < 1 << 22
        os.set_blocking(writing, True)
        async with meter_at() as (url, meter):
            process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-m", "gateway", *deliver_to(url, ONE), "--trace", "-"),
                stdout=asyncio.subprocess.PIPE,
                stderr=writing,
                cwd=ROOT,
            )
            assert process.stdout is not None
            out, _ = await asyncio.wait_for(process.communicate(), TIMEOUT_SECONDS)
            assert meter.ledger.times_credited(ONE) == 1
        assert process.returncode == 0
        assert "ACCEPTED" in out.decode()
    finally:
        os.close(reading)
        os.close(writing)
