"""The process of ``stsgate serve``: a store, the engine, the API, webhooks and metrics, put together, run and ended.

Crash-only: every part runs in a task that is not supposed to end. When one does, all of them are stopped, and the
process ends with what went wrong, to be started again by its supervisor. What was being done is in the store.
"""

from __future__ import annotations

import asyncio
import logging
import resource
from collections.abc import Callable, Coroutine, Mapping
from contextlib import AsyncExitStack, suppress
from datetime import UTC, datetime
from pathlib import Path
from random import Random
from typing import Any

from aiohttp import web

from gateway import __version__
from gateway.api.app import create_app
from gateway.api.parts import ApiParts
from gateway.events import Judged
from gateway.first_start import ensure_admin_key, make_data_dir
from gateway.health import DispatcherState, Health, LoopLag
from gateway.http_address import join_http_address, split_http_address
from gateway.logs import configure_logs
from gateway.metrics import LinkFigures, Metrics
from gateway.metrics_http import counting
from gateway.options import api_limits, service_options, target_rule, webhook_options
from gateway.orders import FINAL_STATES, TRANSITIONS, Change, OrderState
from gateway.reload import differences, reloaded
from gateway.service import Service
from gateway.settings import SettingsInvalid
from gateway.settings_checks import key_source, tls_context
from gateway.settings_sections import Settings
from gateway.store.records import OrderWork
from gateway.store.sqlite.store import SqliteStore
from gateway.store.store import InUse, Store, StoreError
from gateway.supervisor import Supervisor
from gateway.vault import Vault, VaultError
from gateway.webhook_post import WebhookPoster
from gateway.webhooks import Attempt, WebhookSender

logger = logging.getLogger(__name__)

_API_CLOSE_SECONDS = 5.0
"""How long requests that are under way may still take when the process ends."""
_LOOK_SECONDS = 0.01
_FILES_BESIDE_METERS = 500
"""Files and sockets for everything but meters. guess: API, webhooks, store and log need fewer."""


class StartError(Exception):
    """The service cannot be started; one line says why."""


class Stopped(Exception):
    """A part of the service ended that must not: the process cannot go on."""


def utc_now() -> datetime:
    return datetime.now(UTC)
