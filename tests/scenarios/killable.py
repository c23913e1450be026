"""A process that can be killed like ``kill -9``, inside a simulation: at any await, commit, or write to a wire.

Its tasks are those that are made in its context. Each step of each is counted, and so are commits and writes; at the
step that the plan names, the process dies: its wires go dead and its store refuses first, and only then its coroutines
are unwound, so that no ``finally`` of theirs can help. Whatever is not dead belongs to the world: meters, networks,
people.
"""

from __future__ import annotations

import asyncio
import contextvars
from collections import Counter
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from enum import StrEnum
from types import TracebackType
from typing import Any, TypeVar

from transports.channel import ChannelError
from transports.stream import ByteStream, OnBytes, OnClosed

T = TypeVar("T")

_UNWIND_MAX = 50
"""Awaits that a dying coroutine may still come to, in its ``finally`` blocks."""


class Killed(BaseException):
    """The process is dead: nothing in it goes on."""


class Down(Exception):
    """Nobody hears what became of a call: the process died, or was not there."""


class Point(StrEnum):
    """Where a process may be killed."""

    STEP = "step"
    BEFORE_COMMIT = "before-commit"
    AFTER_COMMIT = "after-commit"
    BEFORE_WRITE = "before-write"
    AFTER_WRITE = "after-write"
    BEFORE_INTENT = "before-intent"
    AFTER_INTENT = "after-intent"
    BEFORE_OUTCOME = "before-outcome"
    AFTER_OUTCOME = "after-outcome"


@dataclass(frozen=True, slots=True)
class Doom:
    """The process dies when it comes to this point for the ``count``-th time."""

    point: Point
    count: int


_process: contextvars.ContextVar[Process | None] = contextvars.ContextVar("process", default=None)


class Process:
    """One life of a process. ``on_death`` is called once, in the moment of its death."""

    def __init__(self, name: str, doom: Doom | None, on_death: Callable[[Process], None]) -> None:
        self.name = name
        self.is_dead = False
        self.reached = Counter[Point]()
        self.ports: list[Port] = []
        self._doom = doom
        self._on_death = on_death
        self._tasks: dict[asyncio.Task[Any], None] = {}
        self._context = contextvars.Context()
        self._context.run(_process.set, self)

    def reach(self, point: Point) -> bool:
        """It comes to a point. Whether it is dead there, or by it."""
        if not self.is_dead:
            self.reached[point] += 1
            if self._doom is not None and self._doom == Doom(point, self.reached[point]):
                self.kill()
        return self.is_dead

    def pass_by(self, point: Point) -> None:
        """As ``reach``, in code that a task of this process runs. Raises ``Killed``."""
        if self.reach(point):
            raise Killed

    def kill(self) -> None:
        if self.is_dead:
            return
        self.is_dead = True
        self._on_death(self)
        for port in tuple(self.ports):
            port.die()
        for task in list(self._tasks):
            task.cancel()

    def spare(self) -> None:
        """From now on it lives."""
        self._doom = None

    def spawn(self, coroutine: Coroutine[Any, Any, T], name: str) -> asyncio.Task[T]:
        """A task of this process, begun from outside of it."""
        task = self.run(asyncio.get_running_loop().create_task, coroutine)
        task.set_name(f"{self.name}: {name}")
        return task

    def run(self, function: Callable[..., T], *arguments: Any) -> T:
        """Call it as a part of this process."""
        return self._context.copy().run(function, *arguments)

    async def ask(self, call: Callable[[], Coroutine[Any, Any, T]]) -> T:
        """A call from outside, over a connection that breaks when the process dies. Raises ``Down``, and what the
        call raises."""
        if self.is_dead:
            raise Down
        task = self.spawn(call(), "call")
        await asyncio.wait((task,))
        if task.cancelled():
            raise Down
        return task.result()

    async def gone(self) -> None:
        """Until no task of it is left."""
        while self._tasks:
            await asyncio.wait(list(self._tasks))

    def adopt(self, task: asyncio.Task[Any]) -> None:
        self._tasks[task] = None
        task.add_done_callback(lambda done: self._tasks.pop(done, None))


def task_factory(
    loop: asyncio.AbstractEventLoop, coroutine: Coroutine[Any, Any, Any], context: contextvars.Context | None = None
) -> asyncio.Task[Any]:
    """For ``loop.set_task_factory``: tasks of a process are counted and can be killed, others are as always."""
    process = _process.get() if context is None else context.get(_process)
    if process is None:
        return asyncio.Task(coroutine, loop=loop, context=context)
    task: asyncio.Task[Any] = asyncio.Task(_Stepped(coroutine, process), loop=loop, context=context)
    process.adopt(task)
    return task


def in_the_world(function: Callable[..., T], *arguments: Any) -> T:
    """Call it as nobody's part: what it begins outlives the process that called."""
    return contextvars.Context().run(function, *arguments)


class _Stepped(Coroutine[Any, Any, Any]):
    """A coroutine of a process, step by step."""

    def __init__(self, inner: Coroutine[Any, Any, Any], process: Process) -> None:
        self._inner = inner
        self._process = process

    def send(self, value: Any) -> Any:
        process = self._process
        if not process.reach(Point.STEP):
            try:
                waits_for = self._inner.send(value)
            except BaseException:
                if process.is_dead:
                    raise asyncio.CancelledError from None
                raise
            if not process.is_dead:
                return waits_for
        self._unwind()
        raise asyncio.CancelledError

    def throw(
        self,
        kind: type[BaseException] | BaseException,
        value: BaseException | object = None,
        traceback: TracebackType | None = None,
    ) -> Any:
        process = self._process
        if not process.reach(Point.STEP):
            try:
                waits_for = self._inner.throw(kind if isinstance(kind, BaseException) else kind())
            except BaseException:
                if process.is_dead:
                    raise asyncio.CancelledError from None
                raise
            if not process.is_dead:
                return waits_for
        self._unwind()
        raise asyncio.CancelledError

    def close(self) -> None:
        self._inner.close()

    def __await__(self) -> Any:
        raise NotImplementedError("only a task runs it")

    def _unwind(self) -> None:
        for _ in range(_UNWIND_MAX):
            try:
                self._inner.throw(Killed())
            except BaseException:
                return
        raise AssertionError(f"{self._process.name}: a dead coroutine does not come to its end")


class Ending(StrEnum):
    """What a wire makes of the death of a process."""

    RESET = "reset"
    """It breaks, and what was under way is lost."""
    DRAINED = "drained"
    """What was written arrives, and then the end."""
    SILENT = "silent"
    """What was written arrives, and nobody ever says that it is over."""


class Port(ByteStream):
    """The process's end of a wire. Everything behind it belongs to the world."""

    def __init__(self, wire: ByteStream, process: Process, ending: Ending, on_ended: Callable[[Ending], None]) -> None:
        """``on_ended`` is told once, when the process lets go of the wire: then the wire is the world's alone."""
        self.name = wire.name
        self.wire = wire
        self._process = process
        self._ending = ending
        self._on_ended = on_ended
        self._is_open = True
        process.ports.append(self)

    def start(self, on_bytes: OnBytes, on_closed: OnClosed) -> None:
        process = self._process

        def arrived(data: bytes) -> None:
            if not process.is_dead:
                process.run(on_bytes, data)

        def closed(error: ChannelError) -> None:
            if not process.is_dead:
                process.run(on_closed, error)

        self.wire.start(arrived, closed)

    def write(self, data: bytes) -> None:
        # A process that dies here goes on to its next await, and does no harm on the way.
        if self._process.reach(Point.BEFORE_WRITE):
            return
        in_the_world(self.wire.write, data)
        self._process.reach(Point.AFTER_WRITE)

    @property
    def congested(self) -> bool:
        return self.wire.congested

    async def drain(self) -> None:
        await self.wire.drain()

    def pause_reading(self) -> None:
        self.wire.pause_reading()

    def resume_reading(self) -> None:
        self.wire.resume_reading()

    async def close(self) -> None:
        if not self._process.is_dead:
            closing = in_the_world(asyncio.get_running_loop().create_task, self.wire.close())
            try:
                await asyncio.wait((closing,))
            finally:
                self._end(Ending.DRAINED)

    def hang_up(self) -> None:
        if not self._process.is_dead:
            self._end(Ending.RESET)

    def die(self) -> None:
        """With the process."""
        self._end(self._ending)

    def _end(self, ending: Ending) -> None:
        if self._is_open:
            self._is_open = False
            self._process.ports.remove(self)
            if ending is Ending.RESET:
                in_the_world(self.wire.hang_up)
            in_the_world(self._on_ended, ending)
