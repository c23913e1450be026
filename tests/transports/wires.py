"""Wires for tests: free ports, streams in small pieces, a loop whose time jumps."""

from __future__ import annotations

import asyncio
import random
import selectors
import socket
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

from transports.channel import ApduChannel, Listener, OnChannel
from transports.endpoint import Endpoint, EndpointError
from transports.registry import listen
from transports.stream import ByteStream, OnBytes, OnClosed, PassingStream

T = TypeVar("T")


def free_port() -> int:
    """A port below the range that systems hand out by themselves; free a moment ago."""
    while True:
        port = random.randint(20_000, 32_000)
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port


async def listen_somewhere(scheme: str, on_channel: OnChannel, **options: Any) -> Listener:
    while True:
        try:
            return await listen(Endpoint(scheme, "127.0.0.1", free_port()), on_channel, **options)
        except EndpointError:
            continue  # somebody was faster


async def echo(channel: ApduChannel) -> None:
    """A meter that says everything back, backwards."""
    while True:
        await channel.send((await channel.receive(None))[::-1])


async def mute(channel: ApduChannel) -> None:
    while True:
        await channel.receive(None)


class SmallPieces(PassingStream):
    """Delivers what arrives in pieces of 1 to 3 bytes."""

    def __init__(self, inner: ByteStream) -> None:
        super().__init__(inner)
        self._sizes = random.Random(1)

    def start(self, on_bytes: OnBytes, on_closed: OnClosed) -> None:
        def arrived(data: bytes) -> None:
            while data:
                size = self._sizes.randint(1, 3)
                on_bytes(data[:size])
                data = data[size:]

        self._inner.start(arrived, on_closed)


class _JumpingSelector(selectors.SelectSelector):
    """Instead of waiting for a while, says how long it would have waited."""

    def __init__(self) -> None:
        super().__init__()
        self.waited = 0.0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        events = super().select(0)
        if not events and timeout is None:
            raise RuntimeError("everybody waits, and nothing will ever happen")
        if not events and timeout is not None:
            self.waited += max(0.0, timeout)
        return events


class VirtualTimeLoop(asyncio.SelectorEventLoop):
    """When nothing is left to do now, it is at once the time of the next thing to do. Not for real sockets."""

    def __init__(self) -> None:
        self._jumping = _JumpingSelector()
        super().__init__(self._jumping)

    def time(self) -> float:
        return self._jumping.waited


def in_virtual_time(story: Callable[[], Coroutine[Any, Any, T]]) -> T:
    with asyncio.Runner(loop_factory=VirtualTimeLoop) as runner:
        return runner.run(story())
