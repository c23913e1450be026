"""The association with one meter: begun when it is needed, with the right meter at its end, and given up when it fails.

Nothing here knows of verdicts: what goes wrong is raised, one of ``OBSTRUCTIONS``.
"""

from __future__ import annotations

from typing import Protocol

from cosem_objects.dlms.security import InvocationCounters
from cosem_objects.errors import LocalProtocolError, RemoteProtocolError
from cosem_objects.profile import MeterProfile
from gateway.events import Reached, Record
from gateway.meters import Meter
from gateway.obstacles import WrongMeter
from gateway.readback import MeterState, Readback
from gateway.session import Connect, Session, open_session, read_counters
from transports.channel import ChannelError
from transports.endpoint import EndpointError

OBSTRUCTIONS = (ChannelError, RemoteProtocolError, LocalProtocolError, EndpointError)
"""What may be raised on the way to a meter and back."""


class CounterKeeper(Protocol):
    """Where our invocation counters for one meter come from, and where they are kept."""

    async def open(self) -> InvocationCounters:
        """Raises ``ChannelError``, ``RemoteProtocolError``: the meter may have to be asked."""

    async def ensure(self, counters: InvocationCounters) -> None:
        """Enough of them may be used for what comes next."""


class AskedCounters:
    """Counters as configured or as the meter says, kept nowhere."""

    def __init__(self, meter: Meter, connect: Connect) -> None:
        self._meter = meter
        self._connect = connect

    async def open(self) -> InvocationCounters:
        return await read_counters(self._meter, self._connect)

    async def ensure(self, counters: InvocationCounters) -> None:
        """All of them may be used."""


class Contact:
    """One association at a time, with one meter. One task."""

    def __init__(self, meter: Meter, record: Record, connect: Connect, keeper: CounterKeeper | None) -> None:
        self._meter = meter
        self._record = record
        self._connect = connect
        self._keeper = keeper or AskedCounters(meter, connect)
        self._counters: InvocationCounters | None = None
        self._session: Session | None = None
        self._readback = Readback(meter.profile)
        self._fresh_state: MeterState | None = None

    @property
    def is_open(self) -> bool:
        return self._session is not None

    async def reach(self, *, key: bool = False) -> Session:
        """The open session, or a new one with the right meter at its end. ``key``: class 116 will be wanted."""
        if self._session is not None:
            return self._session
        if self._counters is None:
            self._counters = await self._keeper.open()
        session = await open_session(self._meter, self._counters, self._connect, self._keeper.ensure)
        self._session = session
        serial, pan = self._meter.serial, self._meter.pan
        identity, state = await self._readback.identity_and_state(session, serial=bool(serial), pan=bool(pan), key=key)
        unchecked = _check_identity((serial, identity.serial, "device name"), (pan, identity.pan, "MeterPAN"))
        self._fresh_state = state
        await self._record(Reached(session.meter_system_title, state.account, unchecked))
        return session

    async def state(self, session: Session, *, key: bool = False) -> MeterState:
        """What the meter shows now; the first time, what was read together with who it is. ``key``: with class 116."""
        state, self._fresh_state = self._fresh_state, None
        if state is not None and (state.key is not None or not key):
            return state
        await self.ensure_counters()
        return await self._readback.state(session, key=key)

    async def ensure_counters(self) -> None:
        """Enough of them may be used for the next exchanges."""
        if self._counters is not None:
            await self._keeper.ensure(self._counters)

    async def release(self) -> None:
        """Say good-bye to the meter, if it is associated."""
        session, self._session = self._session, None
        if session is not None:
            await session.release()

    async def drop(self) -> None:
        """Let go of the link, whatever state it is in."""
        session, self._session, self._fresh_state = self._session, None, None
        if session is not None:
            await session.close()


def doubt_wait(rounds: int, profile: MeterProfile) -> float:
    """Growing waits between the rounds of a doubt: the meter may be busy with just our token."""
    growing = min(profile.poll_first_seconds * (1 << rounds), profile.inactivity_seconds / 2)
    return max(growing, profile.wait_between_associations_seconds)


def _check_identity(*expectations: tuple[str, str | None, str]) -> tuple[str, ...]:
    """Serial and MeterPAN; the system title was checked by the association. What the meter does not have is skipped,
    and returned. Raises ``WrongMeter``."""
    unchecked = []
    for expected, found, what in expectations:
        if expected and found is None:
            unchecked.append(what)
        elif expected and found != expected:
            raise WrongMeter(f"the meter's {what} is {found}, {expected} was expected")
    return tuple(unchecked)
