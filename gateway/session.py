"""One association with one meter, over one channel: opens it, asks, waits with a limit, releases.

The protocol's rules are in ``cosem_objects.dlms.client``; here its bytes meet a channel. After any error that ``ask``
raises, the session is of no further use: close it, and begin a new one.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Awaitable, Callable, Sequence
from types import TracebackType
from typing import Self

from cosem_objects.association_ln import PUBLIC_CLIENT_SAP
from cosem_objects.axdr import Data
from cosem_objects.dlms.apdu import (
    ActionRequest,
    ActionResponse,
    AttributeDescriptor,
    DataAccessResult,
    GetRequest,
    GetRequestWithList,
    GetResponse,
    GetResponseWithList,
    MethodDescriptor,
    Notification,
    Request,
    Response,
)
from cosem_objects.dlms.client import Associated, ClientAssociation, Event, Released
from cosem_objects.dlms.hls import new_challenge
from cosem_objects.dlms.refusals import ServiceRefused
from cosem_objects.dlms.security import DecipheringError, InvocationCounters, ReplayedCounterError
from cosem_objects.dlms.settings import SecuritySettings
from cosem_objects.errors import LocalProtocolError, RemoteProtocolError, RemoteRefusal
from cosem_objects.names import spell
from cosem_objects.obis import ObisCode
from gateway.forwarding import ForwardingChannel
from gateway.meters import Meter
from transports.channel import ApduChannel, ChannelClosed, ChannelError, Link, NotSentError
from transports.link_pool import LinkPool
from transports.registry import open_link
from transports.trace.trace import Trace

DATA_CLASS_ID = 1
_BLOCKS_MAX = 0xFFFF
"""Blocks of one answer, as many as general block transfer can count."""
_BLOCKS_SECONDS_MAX = 600.0
"""How long all blocks of one exchange may take. guess: half a megabyte at 9600 baud."""
_NOTIFICATIONS_MAX = 100
"""Unasked messages taken between a question and its answer, so that a talkative meter cannot hold us for ever."""

Connect = Callable[[Meter], Awaitable[Link]]


async def connect(meter: Meter, trace: Trace | None = None) -> Link:
    """The link to a meter by its endpoint."""
    return await open_link(meter.endpoint, hdlc=meter.hdlc, trace=trace)


def connect_through(pool: LinkPool) -> Callable[..., Awaitable[Link]]:
    """Like ``connect``, over links that are opened once for all who share them."""

    async def connect(meter: Meter, trace: Trace | None = None) -> Link:
        return await pool.open_link(meter.endpoint, hdlc=meter.hdlc, trace=trace)

    return connect


class ExchangeStopped(ChannelError):
    """We could not go on with an exchange whose request had left, such as for want of an invocation counter."""


class CounterUnreadable(RemoteRefusal):
    """The public client could not read the invocation counter."""


class WrongKeys(RemoteProtocolError):
    """One side's first ciphered words cannot be opened by the other: the keys are not the same."""


class CounterReset(RemoteProtocolError):
    """A new association begins below a counter of the meter that we have seen: it lost its memory, or is another."""


class Session:
    """An open association. Made by ``open_session``."""

    def __init__(
        self,
        link: Link,
        channel: ApduChannel,
        association: ClientAssociation,
        timeout_seconds: float,
        *,
        says_goodbye: bool,
        use_lists: bool,
    ) -> None:
        self._link = link
        self._channel = channel
        self._association = association
        self._timeout_seconds = timeout_seconds
        self._says_goodbye = says_goodbye
        self._use_lists = use_lists
        self.meter_system_title = b""
        self.list_size_max = 1
        """How many attributes one GET may ask for."""

    async def get(self, class_id: int, obis: ObisCode, attribute: int) -> Data | int:
        """The value of an attribute, or the meter's data-access-result. Raises ``ChannelError``,
        ``RemoteProtocolError``."""
        request = GetRequest(AttributeDescriptor(class_id, obis, attribute))
        response = await self._exchange(self._association.request(request))
        assert isinstance(response, GetResponse)
        return response.result

    async def get_many(self, attributes: Sequence[AttributeDescriptor]) -> list[Data | int]:
        """The values of several attributes, in their order: in GETs with list where the meter agreed to that, else one
        by one."""
        results: list[Data | int] = []
        while len(results) < len(attributes):
            some = attributes[len(results) : len(results) + self.list_size_max]
            if len(some) == 1:
                results.append(await self.get(some[0].class_id, some[0].obis, some[0].attribute))
                continue
            listed = await self._get_list(some)
            if listed is None:  # from now on they are asked for one by one
                self.list_size_max = 1
            else:
                results += listed
        return results

    async def _get_list(self, attributes: Sequence[AttributeDescriptor]) -> tuple[Data | int, ...] | None:
        """None if the meter, which agreed to lists, cannot do them after all: some refuse them as a whole, some write
        answers that nobody can read (Gurux' servers do when one object is missing, or the answer is long)."""
        try:
            response = await self.ask(GetRequestWithList(tuple([(attribute, None) for attribute in attributes])))
        except RemoteProtocolError:
            self._association.give_up_reading()
            return None
        return response.results if isinstance(response, GetResponseWithList) else None

    async def action(self, class_id: int, obis: ObisCode, method: int, data: Data) -> ActionResponse:
        """Invoke a method. Raises ``NotSentError`` only if no byte left; then ``ChannelError``,
        ``RemoteProtocolError``."""
        request = ActionRequest(MethodDescriptor(class_id, obis, method), data)
        response = await self._exchange(self._association.request(request))
        assert isinstance(response, ActionResponse)
        return response

    async def ask(self, request: Request) -> Response:
        """Send one request and wait for its answer."""
        event = await self._exchange(self._association.request(request))
        assert isinstance(event, Response)
        return event

    @property
    def frame_repeats(self) -> int:
        """Frames and blocks that were sent again so far: each may have reached the meter twice."""
        return self._channel.repeats + self._association.repeats

    async def release(self) -> None:
        """Say good-bye (RLRQ, if the meter knows it), and close. What it makes of that changes nothing for us."""
        try:
            if self._says_goodbye:
                await self._exchange(self._association.release())
        except (ChannelError, RemoteProtocolError, LocalProtocolError):
            pass  # the association is over either way, even if no counter is left to say so
        finally:
            await self.close()

    async def close(self) -> None:
        await self._channel.close()
        await self._link.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def _associate(self) -> None:
        await self._channel.open(self._timeout_seconds)
        try:
            event = await self._exchange(self._association.associate())
        except ServiceRefused as refused:
            if refused.says_wrong_keys:
                raise WrongKeys(str(refused)) from refused
            raise
        except DecipheringError as error:
            raise WrongKeys(f"the meter's answer cannot be deciphered ({error}): check the keys") from error
        except ReplayedCounterError as error:
            raise CounterReset(f"the meter's own counter fell ({error}): it was reset, or replaced") from error
        assert isinstance(event, Associated)
        self.meter_system_title = event.meter_system_title
        if self._use_lists:
            self.list_size_max = self._association.list_size_max

    async def _exchange(self, octets: bytes) -> Associated | Response | Released:
        """Send, and receive until the association has an event for us; what it wants to say itself is sent."""
        channel, receive, now = self._channel, self._association.receive, asyncio.get_running_loop().time
        await channel.send(octets)
        deadline = now() + self._timeout_seconds
        last_deadline = deadline + _BLOCKS_SECONDS_MAX
        left = self._timeout_seconds
        blocks = notifications = 0
        while blocks < _BLOCKS_MAX and notifications < _NOTIFICATIONS_MAX:
            octets = await channel.receive(left)
            try:
                event: Event = receive(octets)
                if isinstance(event, bytes):
                    await channel.send(event)
            # The request is out: that what was to follow it did not leave says nothing about the request.
            except NotSentError as error:
                raise ChannelClosed(f"the exchange could not go on: {error}") from error
            except LocalProtocolError as error:
                raise ExchangeStopped(f"the exchange could not go on: {error}") from error
            if event is None or isinstance(event, bytes):
                blocks += 1
            elif isinstance(event, Notification):
                notifications += 1
            else:
                return event
            if isinstance(event, bytes):
                deadline = min(now() + self._timeout_seconds, last_deadline)
            # One limit for each answer, however many notifications come before it, and one for all blocks together.
            left = max(0.0, deadline - now())
        raise RemoteProtocolError("the meter sends blocks or notifications without end instead of an answer")


async def _all_may_be_used(counters: InvocationCounters) -> None:
    """For counters that are kept nowhere."""


async def open_session(
    meter: Meter,
    counters: InvocationCounters,
    connect: Connect = connect,
    ensure: Callable[[InvocationCounters], Awaitable[None]] = _all_may_be_used,
) -> Session:
    """Associate with a meter. Raises ``ChannelError``, ``RemoteProtocolError``.

    If the meter says that our counter is behind, ours jumps forward once, within the profile's limit. ``ensure`` is
    called before counters are used: whoever keeps them on disk reserves enough of them there.
    """
    await ensure(counters)
    try:
        return await _open(meter, meter.security, meter.client_sap, counters, connect)
    except ServiceRefused as refused:
        expected = refused.expected_counter
        if expected is None or expected <= counters.next_own:
            raise
        if not counters.jump_to(expected, meter.profile.counter_jump_max):
            raise
    await ensure(counters)
    await asyncio.sleep(meter.profile.wait_between_associations_seconds)
    return await _open(meter, meter.security, meter.client_sap, counters, connect)


async def read_counters(meter: Meter, connect: Connect = connect) -> InvocationCounters:
    """Our counters for this meter: as configured, or asked for as public client, without security.

    The answer is not authenticated: it can only make us start higher, never lower than 1.
    """
    if not meter.security.needs_keys:
        return InvocationCounters()
    if meter.invocation_counter is not None:
        return InvocationCounters(meter.invocation_counter)
    try:
        last = await _read_counter(meter, connect)
    except RemoteRefusal as refusal:
        advice = "give it as a setting (--invocation-counter)"
        raise CounterUnreadable(
            f"as public client {PUBLIC_CLIENT_SAP}, for the counter: {refusal}; {advice}"
        ) from refusal
    await asyncio.sleep(meter.profile.wait_between_associations_seconds)
    return InvocationCounters(last + 1)


async def _read_counter(meter: Meter, connect: Connect) -> int:
    obis, believed_max = meter.profile.counter_obis, meter.profile.counter_read_max
    session = await _open(meter, SecuritySettings(), PUBLIC_CLIENT_SAP, InvocationCounters(), connect)
    async with session:
        result = await session.get(DATA_CLASS_ID, obis, 2)
        await session.release()
    if not isinstance(result, Data):
        raise RemoteRefusal(f"{obis} is answered with {spell(DataAccessResult, result)}")
    if not 0 <= result.integer <= believed_max:
        raise RemoteRefusal(f"{result.integer} is above the {believed_max} that is believed without a proof")
    return result.integer


async def _open(
    meter: Meter, security: SecuritySettings, client_sap: int, counters: InvocationCounters, connect: Connect
) -> Session:
    profile = meter.profile
    link = await connect(meter)
    try:
        channel = link.channel(client_sap, meter.server_sap, meter.physical)
        if meter.behind is not None:
            channel = ForwardingChannel(channel, meter.behind)
        association = ClientAssociation(
            security,
            counters,
            new_challenge(secrets.token_bytes),
            association_obis=profile.association_obis,
            pdu_size_max=profile.pdu_size_max,
            offered=profile.conformance,
            dedicated_key=secrets.token_bytes(len(security.ek)) if security.ciphering.is_dedicated else b"",
            restart_dedicated_counter=profile.restart_dedicated_counter,
            dedicated_key_in_hls=profile.dedicated_key_in_hls,
        )
        session = Session(
            *(link, channel, association, meter.answer_timeout_seconds),
            says_goodbye=profile.use_rlrq,
            use_lists=profile.use_get_list,
        )
        await session._associate()  # noqa: SLF001 - only ``open_session`` may
    except BaseException:
        await link.close()
        raise
    return session
