"""A service to measure, and the load on it: orders over HTTP with as little work on this side as possible."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.measure import HOST, cpu_seconds

_START_SECONDS = 30
_STOP_SECONDS = 60
_API_KEY = "benchmark-key-not-a-secret-000"


@dataclass(frozen=True)
class Cpu:
    """CPU seconds that a process has used, and those of its busiest thread."""

    total: float
    loop: float

    def since(self, before: Cpu) -> Cpu:
        return Cpu(self.total - before.total, self.loop - before.loop)


class RunningService:
    """``stsgate serve`` in a process of its own, on one core."""

    def __init__(self, process: subprocess.Popen[str], url: str) -> None:
        self._process = process
        self.host, self.port = url.rpartition("//")[2].split(":")

    @classmethod
    @contextmanager
    def started(cls, data_dir: Path, core: int | None, **settings: str) -> Iterator[RunningService]:
        environment = {
            **os.environ,
            "STSGATE_BOOTSTRAP_API_KEY": _API_KEY,
            "STSGATE_API_REQUESTS_PER_SECOND": "1000000",
            "STSGATE_LOG_LEVEL": "warning",
            **settings,
        }
        pinned = [] if core is None else ["taskset", "--cpu-list", str(core)]
        process = subprocess.Popen(  # noqa: S603 - ourselves
            [*pinned, sys.executable, "-m", "gateway", "serve", "--data-dir", str(data_dir), "--http", f"{HOST}:0"],
            env=environment,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert process.stdout is not None
        try:
            for line in process.stdout:
                word, _, url = line.strip().partition(" ")
                if word == "serving":
                    yield cls(process, url)
                    break
            else:
                raise RuntimeError("the service did not start")
        finally:
            process.terminate()
            try:
                process.wait(_STOP_SECONDS)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait(_STOP_SECONDS)

    @property
    def cpu(self) -> Cpu:
        seconds = [cpu_seconds(path) for path in Path(f"/proc/{self._process.pid}/task").iterdir()]
        return Cpu(sum(seconds), max(seconds))

    @property
    def memory_octets(self) -> int:
        """Resident now."""
        pages = int(Path(f"/proc/{self._process.pid}/statm").read_text(encoding="ascii").split()[1])
        return pages * os.sysconf("SC_PAGE_SIZE")


class Connection:
    """One HTTP connection that is kept alive. Speaks just enough HTTP for answers with a length."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    @classmethod
    async def open(cls, service: RunningService) -> Connection:
        return cls(*await asyncio.open_connection(service.host, int(service.port), limit=1 << 24))

    async def ask(self, method: str, path: str, body: bytes = b"", kind: str = "application/json") -> tuple[int, bytes]:
        """Status and body."""
        return await self.send(request(method, path, body, kind))

    async def answer(self) -> tuple[int, bytes]:
        head = await self._reader.readuntil(b"\r\n\r\n")
        status = int(head.split(b" ", 2)[1])
        lower = head.lower()
        if b"transfer-encoding: chunked" in lower:
            return status, await self._chunks()
        size = int(lower.partition(b"content-length:")[2].split(b"\r\n", 1)[0] or b"0")
        return status, await self._reader.readexactly(size)

    async def lines(self, method: str, path: str) -> AsyncIterator[bytes]:
        """Of an answer that does not end."""
        self._writer.write(request(method, path))
        while line := await self._reader.readline():
            yield line

    async def send(self, octets: bytes) -> tuple[int, bytes]:
        """A whole request that was made before; status and body."""
        self._writer.write(octets)
        return await self.answer()

    async def _chunks(self) -> bytes:
        octets = b""
        while size := int(await self._reader.readline(), 16):
            octets += await self._reader.readexactly(size)
            await self._reader.readline()
        await self._reader.readline()
        return octets

    def close(self) -> None:
        self._writer.close()


def request(method: str, path: str, body: bytes = b"", kind: str = "application/json") -> bytes:
    """The octets of one request."""
    head = f"{method} {path} HTTP/1.1\r\nHost: benchmark\r\nAuthorization: Bearer {_API_KEY}\r\n"
    return (head + f"Content-Type: {kind}\r\nContent-Length: {len(body)}\r\n\r\n").encode() + body


def order_body(order_id: str, meter: str, digits: str, **more: Any) -> bytes:
    return json.dumps({"id": order_id, "meter": meter, "tokens": [digits], **more}).encode()


async def put_meters(service: RunningService, bodies: dict[str, dict[str, Any]]) -> None:
    connection = await Connection.open(service)
    for meter, body in bodies.items():
        status, answer = await connection.ask("PUT", f"/v1/meters/{meter}", json.dumps(body).encode())
        if status not in (200, 201):
            raise RuntimeError(f"PUT of a meter: {status} {answer[:200]!r}")
    connection.close()


async def post_batch(service: RunningService, orders: Sequence[bytes], rows: int = 5000) -> None:
    """All orders in batches, one after the other."""
    connection = await Connection.open(service)
    for first in range(0, len(orders), rows):
        body = b"\n".join(orders[first : first + rows])
        status, answer = await connection.ask("POST", "/v1/orders:batch", body, "application/x-ndjson")
        if status != 200 or answer.count(b'"status":202') + answer.count(b'"status": 202') != body.count(b"\n") + 1:
            raise RuntimeError(f"a batch was answered with {status}: {answer[:300]!r}")
    connection.close()


async def post_singly(service: RunningService, orders: Sequence[bytes], connections: int = 50) -> None:
    """Each order in a request of its own, so many at a time."""
    left = iter([request("POST", "/v1/orders", order) for order in orders])

    async def work() -> None:
        connection = await Connection.open(service)
        for octets in left:
            status, answer = await connection.send(octets)
            if status != 202:
                raise RuntimeError(f"an order was answered with {status}: {answer[:300]!r}")
        connection.close()

    await asyncio.gather(*(work() for _ in range(connections)))


async def wait_until_settled(service: RunningService, meters: Sequence[str], each: str) -> None:
    """Until no order of ``each`` meter's last one is open: asks for the last order of every meter."""
    connection = await Connection.open(service)
    for meter in meters:
        while True:
            _, answer = await connection.ask("GET", f"/v1/orders/{each.format(meter=meter)}")
            if json.loads(answer)["state"] in ("accepted", "rejected", "held", "expired", "cancelled"):
                break
            await asyncio.sleep(0.02)
    connection.close()


async def listen(service: RunningService, name: str, on_heard: Callable[[str], None]) -> None:
    """Tell ``on_heard`` the order of each event of this name, without end."""
    connection = await Connection.open(service)
    try:
        async for line in connection.lines("GET", "/v1/events"):
            if line.startswith(b"data:") and name in (event := json.loads(line[5:])).values():
                on_heard(event["order"])
    finally:
        connection.close()
