"""Settings, as each part of the service wants them. Pure."""

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
        link_concurrency={"tcp": settings.links.tcp_concurrency, "hdlc+tcp": settings.links.hdlc_tcp_concurrency},
        expire_seconds=delivery.expire_interval_seconds,
        repair_seconds=delivery.repair_interval_seconds,
        purge_seconds=retention.purge_interval_seconds,
        keep_closed=timedelta(days=retention.days) if retention.days else None,
        readback_wait_seconds=delivery.readback_wait_seconds,
        traces_kept=settings.trace.orders_kept,
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
