"""The floor: the bytes of a recorded delivery, exchanged with canned replies by the least code that asyncio allows.

    python -m benchmarks.floor < JOB

Connect; write each recorded request, and wait until as many bytes have come as its recorded reply had; close. Nothing
is understood, checked or limited in time. What a DLMS client costs above this is its own work.
"""

from __future__ import annotations

import asyncio
from typing import cast

from benchmarks.measure import HOST, Sale, read_job, run_async


class _Replies(asyncio.Protocol):
    """Counts what comes in."""

    def __init__(self) -> None:
        loop = asyncio.get_running_loop()
        self.closed = loop.create_future()
        self._arrived = loop.create_future()
        self._missing = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        self._missing -= len(data)
        if self._missing == 0:
            self._arrived.set_result(None)

    def connection_lost(self, error: Exception | None) -> None:
        self.closed.set_result(None)

    def ask(self, request: bytes, reply_size: int) -> asyncio.Future[None]:
        self._arrived = asyncio.get_running_loop().create_future()
        self._missing = reply_size
        self.transport.write(request)
        return self._arrived


def main() -> None:
    job = read_job()
    exchanges = [(bytes.fromhex(request), len(bytes.fromhex(reply))) for request, reply in job.recording]

    async def by_protocol(sale: Sale) -> None:
        _, replies = await asyncio.get_running_loop().create_connection(_Replies, HOST, sale.port)
        for request, reply_size in exchanges:
            arrived = replies.ask(request, reply_size)
            if reply_size:
                await arrived
        replies.transport.close()
        await replies.closed

    async def by_streams(sale: Sale) -> None:
        reader, writer = await asyncio.open_connection(HOST, sale.port)
        for request, reply_size in exchanges:
            writer.write(request)
            if reply_size:
                await reader.readexactly(reply_size)
        writer.close()
        await writer.wait_closed()

    run_async(job, by_streams if job.kind == "streams" else by_protocol)


if __name__ == "__main__":
    main()
