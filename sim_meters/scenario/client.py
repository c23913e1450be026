"""A small DLMS client for the lab: associates, enters one token, reads back, and says what it saw.

It judges nothing and repeats nothing, unlike ``stsgate deliver``: one association, one ``enter``. So a case shows what
a meter does, and not what a patient head-end makes of it.
"""

from __future__ import annotations

import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace

from cosem_objects import axdr, token_gateway
from cosem_objects.association_ln import PUBLIC_CLIENT_SAP
from cosem_objects.axdr import Data
from cosem_objects.dlms.apdu import (
    ActionRequest,
    ActionResponse,
    ActionResult,
    AttributeDescriptor,
    GetRequest,
    GetResponse,
    MethodDescriptor,
    Notification,
    Response,
)
from cosem_objects.dlms.client import Associated, ClientAssociation, Released
from cosem_objects.dlms.hls import new_challenge
from cosem_objects.dlms.security import InvocationCounters
from cosem_objects.dlms.settings import SecuritySettings
from cosem_objects.errors import LocalProtocolError, RemoteProtocolError
from cosem_objects.names import spell
from cosem_objects.obis import ObisCode
from cosem_objects.profile import MeterProfile, TokenReadback
from cosem_objects.token_gateway import FAILURES, StatusCode
from sim_meters.scenario.snapshot import Snapshot, take_snapshot
from transports.channel import ApduChannel, ChannelError, NotSentError
from transports.endpoint import Endpoint, EndpointError
from transports.hdlc.connection import HDLC_DEFAULTS, HdlcSettings
from transports.registry import open_link
from transports.trace.trace import Trace
from transports.wire_settings import WIRE_DEFAULTS, MqttPayload, WireSettings

_EVENTS_MAX = 0xFFFF
"""Blocks and unasked messages of one exchange, so that a talkative meter cannot hold us for ever."""

FAILED = (ChannelError, RemoteProtocolError, LocalProtocolError, EndpointError)
"""What may be raised on the way to a meter and back."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MeterAccess:
    """Where a meter is, and how a client speaks to it."""

    endpoint: Endpoint
    security: SecuritySettings
    profile: MeterProfile
    client_sap: int = 1
    server_sap: int = 1
    physical: int | None = None
    hdlc: HdlcSettings = HDLC_DEFAULTS
    wires: WireSettings = WIRE_DEFAULTS
    trace: Trace | None = field(default=None, repr=False)

    @property
    def answer_timeout_seconds(self) -> float:
        """How long one answer may take, with all repetitions of the data link."""
        once = self.profile.response_timeout_seconds
        told = self.endpoint.speaks_hdlc
        is_hdlc = self.wires.mqtt.payload is MqttPayload.HDLC if told is None else told
        return once + (self.hdlc.response_timeout_seconds * (self.hdlc.retries + 1) if is_hdlc else 0.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Entered:
    """What came of one ``enter``, as the client saw it."""

    result: str
    """accepted, rejected, pending, refused, in_doubt, unreached"""
    detail: str = ""
    action_result: int | None = None
    before: Snapshot = field(default_factory=Snapshot)
    after: Snapshot = field(default_factory=Snapshot)


class Client:
    """An open association."""

    def __init__(self, channel: ApduChannel, association: ClientAssociation, timeout_seconds: float) -> None:
        self._channel = channel
        self._association = association
        self._timeout_seconds = timeout_seconds

    async def associate(self) -> None:
        await self._channel.open(self._timeout_seconds)
        await self._exchange(self._association.associate())

    async def get(self, class_id: int, obis: ObisCode, attribute: int) -> Data | int:
        """The value of an attribute, or the meter's data-access-result."""
        request = GetRequest(AttributeDescriptor(class_id, obis, attribute))
        response = await self._exchange(self._association.request(request))
        assert isinstance(response, GetResponse)
        return response.result

    async def enter(self, obis: ObisCode, octets: bytes) -> int:
        """The action-result. Raises ``NotSentError`` only if no byte left."""
        method = MethodDescriptor(token_gateway.CLASS_ID, obis, token_gateway.METHOD_ENTER)
        request = ActionRequest(method, axdr.octet_string(octets))
        response = await self._exchange(self._association.request(request))
        assert isinstance(response, ActionResponse)
        return response.result

    async def release(self) -> None:
        await self._exchange(self._association.release())

    async def _exchange(self, octets: bytes) -> Associated | Response | Released:
        await self._channel.send(octets)
        for _ in range(_EVENTS_MAX):
            event = self._association.receive(await self._channel.receive(self._timeout_seconds))
            if isinstance(event, bytes):
                await self._go_on(event)
            elif event is not None and not isinstance(event, Notification):
                return event
        raise RemoteProtocolError("the meter sends blocks or notifications without end instead of an answer")

    async def _go_on(self, octets: bytes) -> None:
        try:
            await self._channel.send(octets)
        except NotSentError as error:  # the request itself is out
            raise ChannelError(f"the exchange could not go on: {error}") from error


@asynccontextmanager
async def associated(access: MeterAccess) -> AsyncIterator[Client]:
    """An association with a meter, released at the end. Raises ``FAILED``."""
    counters = InvocationCounters()
    if access.security.needs_keys:
        counters = InvocationCounters(await _last_counter(access) + 1)
    async with _opened(access, counters) as client:
        yield client
        if access.profile.use_rlrq:
            await client.release()


async def _last_counter(access: MeterAccess) -> int:
    """The last counter that the meter received, by the public client: only ever a reason to begin higher."""
    public = replace(access, security=SecuritySettings(), client_sap=PUBLIC_CLIENT_SAP)
    async with _opened(public, InvocationCounters()) as client:
        found = await client.get(1, access.profile.counter_obis, 2)
    if not isinstance(found, Data) or not 0 <= found.integer <= access.profile.counter_read_max:
        raise RemoteProtocolError(f"the public client cannot read the invocation counter: {found}")
    return found.integer


@asynccontextmanager
async def _opened(access: MeterAccess, counters: InvocationCounters) -> AsyncIterator[Client]:
    profile, security = access.profile, access.security
    link = await open_link(access.endpoint, hdlc=access.hdlc, wires=access.wires, trace=access.trace)
    async with link, link.channel(access.client_sap, access.server_sap, access.physical) as channel:
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
        client = Client(channel, association, access.answer_timeout_seconds)
        await client.associate()
        yield client


async def enter(access: MeterAccess, octets: bytes) -> Entered:
    """Enter a token, as the octets that it has for this meter, and read back. Every failure is an answer."""
    profile = access.profile
    seen = Entered(result="unreached")
    try:
        async with associated(access) as client:
            seen = replace(seen, before=await take_snapshot(client.get, profile))
            seen = replace(seen, result="in_doubt")  # from here on it may have left
            try:
                action_result = await client.enter(profile.gateway_obis, octets)
            except NotSentError:
                seen = replace(seen, result="unreached")
                raise
            seen = replace(seen, action_result=action_result)
            seen = replace(seen, after=await take_snapshot(client.get, profile))
            seen = _judged(seen, octets, profile)
    except FAILED as error:
        # After a judgement only the good-bye can have failed, which changes nothing.
        return seen if seen.after.status is not None else replace(seen, detail=str(error))
    return seen


def _judged(seen: Entered, octets: bytes, profile: MeterProfile) -> Entered:
    after = seen.after
    if seen.action_result != ActionResult.SUCCESS:
        assert seen.action_result is not None
        return replace(seen, result="refused", detail=f"action-result {spell(ActionResult, seen.action_result)}")
    if after.status is None:
        return replace(seen, detail="the meter does not show the status")
    if profile.token_readback is not TokenReadback.HIDDEN and not _is_shown(after.token, octets, profile):
        return replace(seen, detail="the Token gateway shows another token")
    code = profile.status_code(after.status.code)
    if code is StatusCode.EXECUTION_OK:
        return replace(seen, result="accepted")
    return replace(seen, result="rejected" if code in FAILURES else "pending", detail=after.status.words)


def _is_shown(shown: bytes | None, octets: bytes, profile: MeterProfile) -> bool:
    if shown is None:
        return False
    try:
        return profile.readback_octets_match(shown, octets)
    except ValueError:  # what was entered is no token in this profile's coding
        return shown == octets
