"""Settings, as each part of the service wants them."""

from __future__ import annotations

from datetime import timedelta

from gateway.api.parts import ApiLimits
from gateway.consequence import RetryRules
from gateway.dispatcher import DispatchLimits
from gateway.schedule import Backoff
from gateway.service import ServiceOptions
from gateway.settings.sections import Settings
from gateway.webhooks.retry import RetryRule
from gateway.webhooks.sender import WebhookOptions
from gateway.webhooks.target import TargetRule
from transports.wire_options import read_password
from transports.wire_settings import (
    MqttPayload,
    MqttProtocol,
    MqttSettings,
    SerialSettings,
    TlsSettings,
    WireSettings,
)


def service_options(settings: Settings) -> ServiceOptions:
    delivery, retention = settings.delivery, settings.retention
    return ServiceOptions(
        limits=DispatchLimits(in_flight_max=delivery.in_flight_max, campaign_share=delivery.campaign_share),
        rules=RetryRules(
            backoff=Backoff(
                first_seconds=delivery.first_wait_seconds,
                longest_seconds=delivery.longest_wait_seconds,
            ),
            doubt_backoff=Backoff(
                first_seconds=delivery.doubt_first_wait_seconds,
                longest_seconds=delivery.doubt_longest_wait_seconds,
            ),
            doubt_rounds_max=delivery.doubt_rounds,
        ),
        doubt_rounds_max=delivery.doubt_associations,
        counter_block=delivery.counter_block,
        link_concurrency=_link_concurrency(settings),
        expire_seconds=delivery.expire_interval_seconds,
        repair_seconds=delivery.repair_interval_seconds,
        purge_seconds=retention.purge_interval_seconds,
        keep_closed=timedelta(days=retention.days) if retention.days else None,
        readback_wait_seconds=delivery.readback_wait_seconds,
        traces_kept=settings.trace.orders_kept,
    )


def _link_concurrency(settings: Settings) -> dict[str, int | None]:
    links = settings.links
    over_tcp, over_mqtt, on_serial = links.tcp_concurrency, links.mqtt_concurrency, links.serial_concurrency
    return {
        "tcp": over_tcp,
        "tcps": over_tcp,
        "hdlc+tcp": links.hdlc_tcp_concurrency,
        "serial": on_serial,
        "pty": on_serial,
        "mqtt": over_mqtt,
        "mqtts": over_mqtt,
    }


def wire_settings(settings: Settings) -> WireSettings:
    """Raises ``EndpointError`` for a password that cannot be read."""
    tls, mqtt = settings.tls, settings.mqtt
    return WireSettings(
        tls=TlsSettings(
            ca_file=tls.ca_file or None,
            certificate_file=tls.certificate_file or None,
            key_file=tls.key_file or None,
            check_host=tls.check_host,
        ),
        mqtt=MqttSettings(
            username=mqtt.username,
            password=read_password(mqtt.password_file) if mqtt.password_file else "",
            protocol=MqttProtocol(mqtt.protocol),
            payload=MqttPayload(mqtt.payload),
            topic_root=mqtt.topic_root,
            reply_timeout_seconds=mqtt.reply_timeout_seconds,
        ),
        serial=SerialSettings(echo=settings.serial.echo),
    )


def api_limits(settings: Settings) -> ApiLimits:
    return ApiLimits(**settings.api.model_dump())


def webhook_options(settings: Settings) -> WebhookOptions:
    webhooks = settings.webhooks
    return WebhookOptions(
        installation=webhooks.installation,
        retries=RetryRule(
            attempts_max=webhooks.attempts_max,
            backoff=Backoff(
                first_seconds=webhooks.first_wait_seconds,
                longest_seconds=webhooks.longest_wait_seconds,
            ),
            retry_after_seconds_max=webhooks.retry_after_seconds_max,
        ),
        in_flight_max=webhooks.in_flight_max,
        in_flight_per_webhook_max=webhooks.in_flight_per_webhook_max,
    )


def webhook_targets(settings: Settings) -> TargetRule:
    return TargetRule(
        allow_http=settings.webhooks.allow_http, allow_private_addresses=settings.webhooks.allow_private_addresses
    )
