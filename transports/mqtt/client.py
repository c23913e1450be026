"""MqttClient: one connection to a broker, from CONNECT to its end. It never reconnects, and never sends twice.

Nobody but this file and ``bounded_gmqtt`` knows gmqtt (why that library: docs/mqtt.md). What counts here is to know
exactly what has left and what has not. A message that ``publish`` took goes to the socket in the same turn of the loop,
and counts as sent; a session lives as long as its connection, and what gmqtt would send again after a reconnection is
given to a storage that forgets. So a request that was not answered before the connection broke is in doubt, and whoever
asked finds out what became of it.

Some of gmqtt's private parts are touched, each where it says why; its version is bounded in pyproject.toml.
"""

from __future__ import annotations

import asyncio
import logging
import ssl
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import Any

import gmqtt

from transports.channel import ChannelClosed, ChannelError, NotSentError, again
from transports.endpoint import Endpoint
from transports.mqtt.bounded_gmqtt import Forgetful, Gathering, OnceClient
from transports.mqtt.message import PACKET_SIZE_MAX, Acknowledgement, Message, TopicFilter, reason_name
from transports.stream import CLOSE_TIMEOUT_SECONDS, Congestion
from transports.tcp import reason_of
from transports.wire_settings import MqttProtocol, MqttSettings

SUBSCRIBE_TIMEOUT_SECONDS = 10.0
WAITING_MAX = 10_000
"""Messages that wait because the broker takes no more before it has acknowledged some."""
IN_FLIGHT_MAX = 1_000
"""Messages that may be unacknowledged at a time, if the broker does not set a lower limit (receive maximum)."""
CONGESTED_AT = 100
"""Messages that wait, before whoever writes has to wait as well."""
_NO_RECONNECTION = -2
"""gmqtt: -1 is for ever, and 0 would still be once."""

OnMessage = Callable[[Message], None]
OnClosed = Callable[[ChannelError], None]
OnAcknowledged = Callable[[Acknowledgement], None]

# It would log topics, payloads among them, and every lost connection as a warning; we say ourselves what happens.
_silent = logging.getLogger("gmqtt")
_silent.setLevel(logging.CRITICAL + 1)


def _nothing(_what: object) -> None:
    """For what nobody wants to know."""


@dataclass(frozen=True, slots=True)
class BrokerLogin:
    """Who we are to a broker."""

    client_id: str
    is_5: bool = True
    username: str = ""
    password: str = ""
    keep_alive_seconds: int = 30
    will: Message | None = None
    receive_maximum: int = 0xFFFF
    """How many messages the broker may send us before we acknowledge one."""

    @classmethod
    def of(
        cls, mqtt: MqttSettings, client_id: str, *, will: Message | None = None, receive_maximum: int = 0xFFFF
    ) -> BrokerLogin:
        """As settings say, under this name."""
        is_5 = mqtt.protocol is MqttProtocol.MQTT_5
        return cls(client_id, is_5, mqtt.username, mqtt.password, mqtt.keep_alive_seconds, will, receive_maximum)

    def __repr__(self) -> str:
        return f"<BrokerLogin {self.client_id!r}>"


class Publication:
    """A message with QoS 1 on its way to the broker."""

    __slots__ = ("_on_acknowledged", "is_cancelled", "message")

    def __init__(self, message: Message, on_acknowledged: OnAcknowledged) -> None:
        self.message = message
        self.is_cancelled = False
        self._on_acknowledged = on_acknowledged

    def cancel(self) -> None:
        """If it still waits it never leaves; and nobody wants to know any more what became of it."""
        self.is_cancelled = True
        self._on_acknowledged = _nothing

    def acknowledge(self, acknowledgement: Acknowledgement) -> None:
        self._on_acknowledged(acknowledgement)


class MqttClient:
    """One connection. Made by ``connect_broker``."""

    def __init__(self, name: str, login: BrokerLogin, on_message: OnMessage) -> None:
        self.name = name
        self.is_5 = login.is_5
        self.ended: ChannelError | None = None
        """Why nothing more will come or go."""
        self._login = login
        self._on_message = on_message
        self._on_closed: OnClosed = _nothing
        self._loop = asyncio.get_running_loop()
        self._store = Forgetful()
        self._client = self._make_client()
        self._handler = self._make_handler()
        self._in_flight_max = IN_FLIGHT_MAX
        self._packet_size_max = PACKET_SIZE_MAX
        self._qos_max = 2
        self._congestion = Congestion()
        self._unacknowledged: dict[int, Publication] = {}
        self._waiting: deque[Publication] = deque()
        self._asked: dict[int, asyncio.Future[tuple[int, ...]]] = {}
        self._drained: asyncio.Future[None] | None = None
        self._gone: asyncio.Future[None] = self._loop.create_future()

    def _make_client(self) -> OnceClient:
        login = self._login
        will = login.will and gmqtt.Message(login.will.topic, login.will.payload, qos=1, retain=login.will.retain)
        properties = {"receive_maximum": login.receive_maximum, "maximum_packet_size": PACKET_SIZE_MAX}
        client = OnceClient(
            self._on_gone,
            login.client_id.encode(),  # as octets: gmqtt counts the characters of a text
            clean_session=True,
            will_message=will,
            persistent_storage=self._store,
            logger=_silent,
            **(properties if login.is_5 else {}),
        )
        client.reconnect_retries = _NO_RECONNECTION
        if login.username:
            client.set_auth_credentials(login.username, login.password or None)
        client.on_connect = self._on_connect
        client.on_message = self._on_publish
        client.on_disconnect = self._on_disconnect
        client.on_subscribe = self._on_answer
        return client

    def _make_handler(self) -> Any:
        handler = self._client._package_handler  # noqa: SLF001 - gmqtt leaves out what a PUBACK says
        self._forget_id = handler._handle_puback_packet  # noqa: SLF001
        handler._handle_puback_packet = self._on_puback  # noqa: SLF001
        return handler

    # What links call.

    async def connect(self, endpoint: Endpoint, context: ssl.SSLContext | None, on_closed: OnClosed) -> None:
        """Raises ``NotSentError``, ``OSError``; then it is of no further use."""
        version = gmqtt.constants.MQTTv50 if self.is_5 else gmqtt.constants.MQTTv311
        connecting = asyncio.ensure_future(
            self._client.connect(
                endpoint.host,
                endpoint.port,
                ssl=context or False,
                keepalive=self._login.keep_alive_seconds,
                version=version,
            )
        )
        try:
            # A broker that hangs up instead of answering: gmqtt would wait for ever.
            await asyncio.wait((connecting, self._gone), return_when=asyncio.FIRST_COMPLETED)
            if connecting.done():
                connecting.result()
        except gmqtt.mqtt.handler.MQTTConnectError as error:
            raise NotSentError(f"the broker {self.name} refused us: {reason_name(error._code)}") from None  # noqa: SLF001
        finally:
            connecting.cancel()
            await asyncio.wait((connecting,))
        if self.ended is not None:
            raise NotSentError(str(self.ended))
        if self._qos_max < 1:
            raise NotSentError(f"the broker {self.name} offers QoS 0 only, and QoS 1 is needed")
        self._on_closed = on_closed
        connection = self._client._connection  # noqa: SLF001 - where gmqtt writes
        connection._transport = connection._protocol._transport = Gathering(connection._transport)  # noqa: SLF001
        self._handler._permanent_failure = True  # noqa: SLF001 - or the end would begin with a try to come back

    @property
    def congested(self) -> bool:
        return self._congestion.on

    async def drain(self) -> None:
        """Wait until no longer congested. Raises ``ChannelClosed``, or ``ChannelTimeout`` after 30 s."""
        if self._congestion.on and self.ended is None:
            await self._congestion.wait(self.name)
        if self.ended is not None:
            raise again(self.ended)

    def publish(self, message: Message, on_acknowledged: OnAcknowledged = _nothing) -> Publication:
        """Send with QoS 1, now or when the broker takes more. Raises ``NotSentError``.

        ``on_acknowledged`` is told what the broker says. At the end of the connection nothing is told, and what still
        waited is forgotten.
        """
        if self.ended is not None or not self._client.is_connected:
            raise NotSentError(f"no connection to the broker: {self.ended or 'it is closing'}")
        if message.size > self._packet_size_max:
            raise NotSentError(
                f"the broker {self.name} takes packets of {self._packet_size_max} bytes, not of {message.size}"
            )
        publication = Publication(message, on_acknowledged)
        if not self._waiting and len(self._unacknowledged) < self._in_flight_max:
            self._publish(publication)
        elif len(self._waiting) >= WAITING_MAX:
            raise NotSentError(f"{WAITING_MAX} messages wait for the broker {self.name} already")
        else:
            self._waiting.append(publication)
            if len(self._waiting) >= CONGESTED_AT:
                self._congestion.begin()
        return publication

    async def subscribe(self, filters: Sequence[TopicFilter]) -> tuple[int, ...]:
        """Subscribe; the broker's answer for each: from 0x80 on refused. Raises ``ChannelError``."""
        wanted = [_subscription(one, is_5=self.is_5) for one in filters]
        reasons = await self._ask(partial(self._client.subscribe, wanted))
        if len(reasons) != len(filters):
            raise ChannelClosed(f"the broker {self.name} answered a SUBSCRIBE of {len(filters)} with something else")
        return reasons

    async def acknowledged(self) -> None:
        """Wait until the broker has acknowledged all that was published. Raises ``ChannelClosed``."""
        try:
            async with asyncio.timeout(SUBSCRIBE_TIMEOUT_SECONDS):
                await self._all_acknowledged()
        except TimeoutError:
            raise ChannelClosed(f"the broker {self.name} acknowledges nothing") from None
        if self.ended is not None:
            raise again(self.ended)

    async def close(self) -> None:
        """Wait until the broker has acknowledged everything, then say DISCONNECT. Never raises, never waits longer
        than 2 s."""
        if self.ended is None:
            with suppress(TimeoutError):
                async with asyncio.timeout(CLOSE_TIMEOUT_SECONDS):
                    await self._all_acknowledged()
        self._end(ChannelClosed("closed on this side"))
        try:
            with suppress(OSError):  # TimeoutError is one
                async with asyncio.timeout(CLOSE_TIMEOUT_SECONDS):
                    await self._client.disconnect()
        finally:
            self._abort()
            await self.gone()

    def hang_up(self) -> None:
        """End at once and without a word: the broker publishes our last will."""
        self._end(ChannelClosed("closed on this side"))
        self._abort()

    async def gone(self) -> None:
        """Wait until the socket is closed, which takes some turns of the loop after ``hang_up``."""
        if self._client._connection is not None:  # noqa: SLF001
            await asyncio.wait((self._gone,), timeout=CLOSE_TIMEOUT_SECONDS)

    # What gmqtt calls.

    def _on_connect(self, _client: object, _flags: int, _result: int, _properties: object) -> None:
        said_by_broker = self._handler._connack_properties  # noqa: SLF001 - elsewhere ours stand before the broker's

        def said(name: str, default: int) -> int:
            value: int = said_by_broker.get(name, (default,))[0]
            return value

        # gmqtt raises where the broker takes no more; here it waits, so gmqtt need not count.
        self._in_flight_max = min(IN_FLIGHT_MAX, said("receive_maximum", 0xFFFF) or 1)
        self._handler.id_generator._max = 0xFFFF  # noqa: SLF001
        self._packet_size_max = said("maximum_packet_size", PACKET_SIZE_MAX)
        self._qos_max = said("max_qos", 2)

    def _on_publish(
        self, _client: object, topic: str | bytes, payload: bytes, qos: int, properties: dict[str, Any]
    ) -> None:
        if self.ended is None and isinstance(topic, str):
            self._on_message(_message(topic, payload, qos, properties))

    def _on_disconnect(self, _client: object, packet: object, _error: object = None) -> None:
        if isinstance(packet, bytes) and packet:
            reason = f"ended the connection: {reason_name(packet[0])}"
        else:
            reason = "closed the connection"
        self._end(ChannelClosed(f"the broker {self.name} {reason}"))
        self._abort()

    def _on_gone(self) -> None:
        self._end(ChannelClosed(f"the broker {self.name} closed the connection"))
        if not self._gone.done():
            self._gone.set_result(None)

    def _on_answer(self, _client: object, mid: int, reasons: Iterable[int], _properties: object = None) -> None:
        asked = self._asked.pop(mid, None)
        if asked is not None and not asked.done():
            asked.set_result(tuple(reasons))

    def _on_puback(self, command: int, packet: bytes) -> None:
        self._forget_id(command, packet)
        publication = self._unacknowledged.pop(int.from_bytes(packet[:2], "big"), None)
        if publication is None:
            return
        self._send_waiting()
        publication.acknowledge(Acknowledgement(packet[2] if len(packet) > 2 else 0))
        if self._drained is not None and not self._unacknowledged:
            self._let_go_on()

    # Within.

    def _publish(self, publication: Publication) -> None:
        message = publication.message
        self._client.publish(message.topic, message.payload, qos=1, retain=message.retain, **_properties(message))
        self._unacknowledged[self._store.last_id] = publication

    def _send_waiting(self) -> None:
        waiting = self._waiting
        while waiting and len(self._unacknowledged) < self._in_flight_max and self._client.is_connected:
            publication = waiting.popleft()
            if not publication.is_cancelled:
                self._publish(publication)
        if self._congestion.on and len(waiting) < CONGESTED_AT:
            self._congestion.end()

    async def _ask(self, ask: Callable[[], int]) -> tuple[int, ...]:
        if self.ended is not None or not self._client.is_connected:
            raise again(self.ended or ChannelClosed(f"the connection to the broker {self.name} is closing"))
        future: asyncio.Future[tuple[int, ...]] = self._loop.create_future()
        mid = ask()
        self._asked[mid] = future
        try:
            async with asyncio.timeout(SUBSCRIBE_TIMEOUT_SECONDS):
                return await future
        except TimeoutError:
            error = ChannelClosed(f"the broker {self.name} did not answer within {SUBSCRIBE_TIMEOUT_SECONDS:g} s")
            self._end(error)
            self._abort()
            raise again(error) from None
        finally:
            self._asked.pop(mid, None)

    async def _all_acknowledged(self) -> None:
        if self._unacknowledged or self._waiting:
            self._drained = self._drained or self._loop.create_future()
            await asyncio.shield(self._drained)

    def _let_go_on(self) -> None:
        if self._drained is not None:
            drained, self._drained = self._drained, None
            drained.set_result(None)

    def _end(self, error: ChannelError) -> None:
        if self.ended is not None:
            return
        self.ended = error
        for asked in self._asked.values():
            if not asked.done():
                asked.set_exception(again(error))
        self._unacknowledged.clear()
        self._waiting.clear()
        self._let_go_on()
        self._congestion.end()
        on_closed, self._on_message, self._on_closed = self._on_closed, _nothing, _nothing
        on_closed(error)

    def _abort(self) -> None:
        connection = self._client._connection  # noqa: SLF001 - gmqtt has no way to hang up without DISCONNECT
        if connection is not None:
            connection._keep_connection_callback.cancel()  # noqa: SLF001
            connection._transport.abort()  # noqa: SLF001


async def connect_broker(
    endpoint: Endpoint,
    login: BrokerLogin,
    context: ssl.SSLContext | None,
    timeout_seconds: float,
    *,
    on_message: OnMessage,
    on_closed: OnClosed,
) -> MqttClient:
    """Raises ``NotSentError``; ``on_closed`` is not called then."""
    name = endpoint.authority
    client = MqttClient(name, login, on_message)
    try:
        async with asyncio.timeout(timeout_seconds):
            await client.connect(endpoint, context, on_closed)
    except BaseException as error:
        client.hang_up()
        await client.gone()
        if isinstance(error, TimeoutError) and not error.errno:
            reason = f"no connection within {timeout_seconds:g} s"
            raise NotSentError(f"cannot connect to the broker {name}: {reason}") from error
        if isinstance(error, OSError):
            raise NotSentError(f"cannot connect to the broker {name}: {reason_of(error)}") from error
        raise
    return client


def _subscription(one: TopicFilter, *, is_5: bool) -> gmqtt.Subscription:
    """Retained messages that are unwanted are not sent in 5.0, and those that their publisher meant to be kept are
    marked (MQTT 5.0, 3.8.3.1); in 3.1.1 they come, marked."""
    if one.wants_retained or not is_5:
        return gmqtt.Subscription(one.text, qos=1)
    return gmqtt.Subscription(one.text, qos=1, retain_as_published=True, retain_handling_options=2)


def _properties(message: Message) -> dict[str, Any]:
    properties: dict[str, Any] = {}
    if message.expiry_seconds is not None:
        properties["message_expiry_interval"] = message.expiry_seconds
    if message.content_type:
        properties["content_type"] = message.content_type
    if message.response_topic:
        properties["response_topic"] = message.response_topic
    if message.correlation:
        properties["correlation_data"] = message.correlation
    if message.user:
        properties["user_property"] = message.user
    return properties


def _message(topic: str, payload: bytes, qos: int, properties: dict[str, Any]) -> Message:
    def first(name: str, default: Any) -> Any:
        values = properties.get(name)
        return values[0] if values else default

    return Message(
        topic,
        payload,
        qos,
        retain=bool(properties.get("retain")),
        expiry_seconds=first("message_expiry_interval", None),
        content_type=first("content_type", ""),
        response_topic=first("response_topic", ""),
        correlation=first("correlation_data", b""),
        user=tuple(properties.get("user_property", ())),
    )
