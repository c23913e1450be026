"""The other end of the wire, in a process of its own on a core of its own: simulated meters, or canned replies.

    python -m benchmarks.other_side CORE awake meters run OPTIONS OF SIMMETERS
    python -m benchmarks.other_side CORE awake canned < RECORDINGS

Awake, it never sleeps. Waking a process that does costs the one who writes to it some 20 us an exchange on a virtual
machine, which would be booked as CPU of the client, and of a slow client more often than of a fast one. Where it shares
its core with somebody, such as a broker, it is to be ``sleepy`` instead of ``awake``, and wait like everybody.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
from argparse import ArgumentParser
from collections.abc import Callable, Coroutine
from typing import Any, cast

from benchmarks.measure import HOST
from sim_meters.run import add_run_command

Exchange = tuple[int, bytes]
"""Size of a request, and the reply to it."""


class _Canned(asyncio.Protocol):
    """One connection: as many bytes as the next recorded request had are answered with its recorded reply."""

    def __init__(self, exchanges: list[Exchange]) -> None:
        self._left = iter(exchanges)
        self._arrived = 0
        self._next = next(self._left, None)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        self._arrived += len(data)
        while self._next is not None and self._arrived >= self._next[0]:
            size, reply = self._next
            self._arrived -= size
            self._next = next(self._left, None)
            self._transport.write(reply)


async def _serve_canned(recordings: dict[str, list[list[str]]]) -> int:
    """A port for each recording; prints ``KIND PORT`` for each."""
    loop = asyncio.get_running_loop()
    for kind, recording in recordings.items():
        exchanges = [(len(bytes.fromhex(request)), bytes.fromhex(reply)) for request, reply in recording]
        server = await loop.create_server(_protocol(exchanges), HOST, 0, backlog=1000)
        sys.stdout.write(f"{kind} {server.sockets[0].getsockname()[1]}\n")
    sys.stdout.flush()
    await asyncio.Event().wait()
    return 0


def _protocol(exchanges: list[Exchange]) -> Callable[[], _Canned]:
    return lambda: _Canned(exchanges)


async def _awake(command: Coroutine[Any, Any, int]) -> int:
    loop = asyncio.get_running_loop()

    def turn() -> None:
        loop.call_soon(turn)

    turn()
    return await command


def _sleepy(command: Coroutine[Any, Any, int]) -> Coroutine[Any, Any, int]:
    return command


def _run(command: Coroutine[Any, Any, int]) -> int:
    factory: Callable[[], asyncio.AbstractEventLoop] = asyncio.new_event_loop
    try:
        import uvloop  # noqa: PLC0415 - optional
    except ImportError:
        pass
    else:
        factory = uvloop.new_event_loop
    with asyncio.Runner(loop_factory=factory) as runner:
        return runner.run(command)


def main() -> int:
    core, manner, what, *rest = sys.argv[1:]
    behave = _awake if manner == "awake" else _sleepy
    if core != "any":
        os.sched_setaffinity(0, {int(core)})
    if what == "canned":
        return _run(behave(_serve_canned(json.loads(sys.stdin.read()))))
    parser = ArgumentParser()
    add_run_command(parser.add_subparsers(required=True), lambda command: _run(behave(command)))
    options = parser.parse_args(rest)
    code: int = options.func(options)
    return code


if __name__ == "__main__":
    sys.exit(main())
