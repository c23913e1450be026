"""What meters say and do unasked, as a part of the running service: they call in, push, and come online."""

from __future__ import annotations

import logging
from contextlib import AsyncExitStack

from gateway.calling_in.identify import sender_of
from gateway.calling_in.texts import brokers
from gateway.hints import HintRules, PushHints, Sender
from gateway.serving.metrics import Metrics
from gateway.settings.inbound import inbound_settings
from gateway.settings.sections import HintsSection, Settings
from gateway.store.store import Meters
from transports.calling_in.called_in import CalledInMeters, InboundEvents
from transports.calling_in.listener import listen_inbound
from transports.endpoint import Endpoint
from transports.mqtt.watch import MqttWatch
from transports.wire_settings import WireSettings

logger = logging.getLogger(__name__)


class Unasked:
    """Listens for meters, and watches brokers, from ``open`` to the end of its stack."""

    def __init__(self, settings: Settings, wires: WireSettings, store: Meters, metrics: Metrics) -> None:
        self.hints = PushHints(store, hint_rules(settings.hints), on_outcome=metrics.hint_taken)
        self._settings = settings
        self._wires = wires
        self._metrics = metrics

    async def open(self, stack: AsyncExitStack, called_in: CalledInMeters) -> None:
        """Raises ``EndpointError``, ``SettingError`` for settings that cannot be used on this machine."""
        inbound, hints = self._settings.inbound, self._settings.hints
        for broker in brokers(hints.brokers):
            await stack.enter_async_context(self._watch(broker))
            logger.info("pushes and states are heard at %s://%s", broker.scheme, broker.authority)
        if not inbound.listen:
            return
        events = InboundEvents(
            on_called_in=lambda title: self.hints.present(_called_in(title)),
            on_push=lambda title, apdu: self.hints.pushed(_called_in(title, sender_of(apdu)), apdu),
            on_caller=self._metrics.caller_came,
        )
        listener = await listen_inbound(Endpoint.parse(inbound.listen), inbound_settings(inbound), events, called_in)
        await stack.enter_async_context(listener)
        self._metrics.watch_callers(lambda: (len(called_in), listener.unidentified))
        logger.info("meters call in at %s", listener.url)

    def _watch(self, broker: Endpoint) -> MqttWatch:
        def sender(site: str, meter: str) -> Sender:
            return Sender(str(Endpoint(broker.scheme, broker.host, broker.port, f"{site}/{meter}")))

        def on_presence(site: str, meter: str, is_online: bool) -> None:
            if is_online:
                self.hints.present(sender(site, meter))

        return MqttWatch(
            broker,
            lambda site, meter, apdu: self.hints.pushed(sender(site, meter), apdu),
            on_presence,
            wires=self._wires,
            shared_group=self._settings.hints.shared_group,
        )


def hint_rules(section: HintsSection) -> HintRules:
    return HintRules(
        believe_plain=section.believe_plain,
        push_interval_seconds=section.push_interval_seconds,
        presence_interval_seconds=section.presence_interval_seconds,
    )


def _called_in(title: bytes, sender: bytes | None = None) -> Sender:
    """By the connection, and by what the message itself says: behind a concentrator they differ."""
    return Sender(str(Endpoint("inbound", system_title=title)), sender or title)
