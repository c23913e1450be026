"""A TCP proxy that can be cut, fall silent, be away, or carry only so many bytes."""

from __future__ import annotations

import asyncio
import socket
import struct
from collections.abc import Callable
from typing import cast

from tests.wires.tap import Carried

_RESET_AT_ONCE = struct.pack("ii", 1, 0)  # SO_LINGER: what was not delivered is dropped, and RST is sent

Change = Callable[[bytes], bytes]
"""What becomes of the bytes of one direction."""


class Proxy:
    """Between callers and one port of this machine. ``up`` is from the caller, ``down`` to it."""

    def __init__(self, port: int = 0) -> None:
        self.port = port
        """Of the other side; may be set later."""
        self.own_port = 0
        self.away = 0
        """So many callers more are cut off as soon as they call."""
        self.carried = Carried()
        self.new_changes: Callable[[], tuple[Change, Change]] = lambda: (bytes, bytes)
        """Gives what changes the bytes of a new connection, up and down."""
        self._pairs: set[_Pair] = set()
        self._server: asyncio.Server | None = None

    async def __aenter__(self) -> Proxy:
        # The system's choice: it never listens anew, so nobody can take its port meanwhile.
        self._server = await asyncio.get_running_loop().create_server(lambda: _Side(_Pair(self), "up"), "127.0.0.1", 0)
        self.own_port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_error: object) -> None:
        assert self._server is not None
        self._server.close()
        await self.cut_and_wait()
        await self._server.wait_closed()

    def cut(self) -> None:
        """Break all connections."""
        for pair in tuple(self._pairs):
            pair.cut()

    async def cut_and_wait(self) -> None:
        """Break all connections, until none is left on this side."""
        self.cut()
        await asyncio.gather(*[pair.gone for pair in self._pairs])

    def fall_silent(self) -> None:
        """The connections that stand carry nothing any more, and nobody is told."""
        for pair in self._pairs:
            pair.is_silent = True

    def hold(self, *directions: str) -> None:
        """What the connections that stand carry from now on comes late."""
        for pair in self._pairs:
            pair.held = dict.fromkeys(directions, b"")

    def release(self) -> None:
        """Now it comes."""
        for pair in tuple(self._pairs):
            pair.release()

    def say(self, direction: str, data: bytes) -> None:
        """Something that nobody sent, or not now."""
        for pair in tuple(self._pairs):
            pair.say(direction, data)

    def joined(self, pair: _Pair) -> None:
        self._pairs.add(pair)

    def parted(self, pair: _Pair) -> None:
        self._pairs.discard(pair)


class _Pair:
    """One connection: its two sides."""

    def __init__(self, proxy: Proxy) -> None:
        self.proxy = proxy
        self.is_silent = False
        self.held: dict[str, bytes] = {}
        """Direction -> what is held back."""
        self.gone: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.changes = dict(zip(("up", "down"), proxy.new_changes(), strict=True))
        self._sides: dict[str, _Side] = {}
        self._early = b""
        self._calling: asyncio.Task[None] | None = None
        self._open = 0

    def made(self, side: _Side) -> None:
        self._sides[side.direction] = side
        self._open += 1
        if side.direction == "down":
            early, self._early = self._early, b""
            if early:
                self._pass("up", early)
            return
        self.proxy.joined(self)
        if self.proxy.away > 0:
            self.proxy.away -= 1
            self.cut()
        else:
            self._calling = asyncio.get_running_loop().create_task(self._call())

    async def _call(self) -> None:
        try:
            await asyncio.get_running_loop().create_connection(
                lambda: _Side(self, "down"), "127.0.0.1", self.proxy.port
            )
        except OSError:
            self.cut()

    def lost(self, side: _Side) -> None:
        self._open -= 1
        for other in self._sides.values():
            if other is not side and not self.is_silent and not self.held:
                other.end()
        if self._calling is not None and "down" not in self._sides:
            self._calling.cancel()
        if not self._open and not self.gone.done():
            self.gone.set_result(None)
            self.proxy.parted(self)

    def came(self, direction: str, data: bytes) -> None:
        if self.is_silent:
            return
        data = self.changes[direction](data)
        if direction in self.held:
            self.held[direction] += data
        elif direction == "up" and "down" not in self._sides:
            self._early += data
        else:
            self._pass(direction, data)

    def release(self) -> None:
        held, self.held = self.held, {}
        for direction, data in held.items():
            self._pass(direction, data)

    def say(self, direction: str, data: bytes) -> None:
        self._pass(direction, data)

    def _pass(self, direction: str, data: bytes) -> None:
        data, breaks = self.proxy.carried.pass_on(direction, data)
        self._sides["down" if direction == "up" else "up"].write(data)
        if breaks:
            # What was let through has to be read before the connection breaks: a reset would take it back.
            self.cut(after_delivery=True)

    def cut(self, *, after_delivery: bool = False) -> None:
        for side in tuple(self._sides.values()):
            side.cut(after_delivery=after_delivery)


class _Side(asyncio.Protocol):
    def __init__(self, pair: _Pair, direction: str) -> None:
        self.direction = direction
        self._pair = pair
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        self._pair.made(self)

    def data_received(self, data: bytes) -> None:
        self._pair.came(self.direction, data)

    def connection_lost(self, error: Exception | None) -> None:
        self._transport = None
        self._pair.lost(self)

    def write(self, data: bytes) -> None:
        if self._transport is not None and data:
            self._transport.write(data)

    def end(self) -> None:
        if self._transport is not None:
            self._transport.close()

    def cut(self, *, after_delivery: bool) -> None:
        if self._transport is None:
            return
        if after_delivery:
            self._transport.close()
            return
        taken = self._transport.get_extra_info("socket")
        taken.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_AT_ONCE)
        self._transport.abort()
