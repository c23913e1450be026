"""``stsgate serve``: the head-end as a service, until it is stopped."""

from __future__ import annotations

import argparse
import asyncio
import logging
import os
import resource
import signal
import sys
from collections.abc import Callable, Mapping
from contextlib import suppress
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from random import Random

from gateway.serving.logs import configure_logs
from gateway.serving.opened_store import StartError
from gateway.serving.server import PartEnded, Server
from gateway.settings.loading import SettingsInvalid, load_settings
from gateway.settings.sections import Settings
from gateway.shown import without_secrets

DESCRIPTION = """\
Takes orders by HTTP, delivers them to their meters, and tells what became of each. Everything is on disk before it is
answered or sent. `serving URL` on standard output says that it is ready; the log goes to standard error.

Every option stands in for a setting; docs/configuration.md lists all of them, and config/gateway.toml shows them.

SIGTERM or SIGINT lets meters that are being spoken to come to a point, then ends; a second one ends at once. SIGHUP
reads the settings again.

Exit code: 0 stopped as it was told to; 1 it cannot be started; 2 wrong usage or settings; 3 it cannot go on."""

_FILES_BESIDE_METERS = 500
"""Files and sockets for everything but meters. guess: API, webhooks, store and log need fewer."""
_FILES_MAX = 1 << 16

logger = logging.getLogger(__name__)


def add_command(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = commands.add_parser(
        "serve",
        help="run the service",
        description=DESCRIPTION,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--config", metavar="FILE", help="settings, TOML")
    parser.add_argument("--data-dir", metavar="DIR", help="what the service keeps (service.data_dir)")
    parser.add_argument("--http", metavar="HOST:PORT", help="where the API listens (service.http); port 0 = any")
    parser.add_argument("--database", metavar="URL", help="not supported yet: SQLite in the data directory is used")
    parser.add_argument(
        "--insecure", action="store_true", default=None, help="plain HTTP on other than loopback addresses"
    )
    parser.set_defaults(func=serve, command="serve")


def serve(args: argparse.Namespace) -> int:
    options = {
        "service.data_dir": args.data_dir,
        "service.http": args.http,
        "service.insecure": args.insecure,
        "database.url": args.database,
    }
    overrides = {key: value for key, value in options.items() if value is not None}
    path = None if args.config is None else Path(args.config)
    load = partial(load_settings, path, os.environ, overrides)
    try:
        settings = load()
    except SettingsInvalid as error:
        for problem in error.problems:
            _say(str(problem))
        return 2
    configure_logs(settings.log.level, settings.log.format)
    _raise_file_limit(settings.delivery.in_flight_max + _FILES_BESIDE_METERS)
    try:
        args.run_async(_run(settings, os.environ, load))
    except StartError as error:
        _say(str(error))
        return 1
    except PartEnded as error:
        _say(f"cannot go on: {error}")
        return 3
    return 0


async def _run(settings: Settings, environment: Mapping[str, str], load: Callable[[], Settings]) -> None:
    server = Server(settings, environment, load=load, now=lambda: datetime.now(UTC), rng=Random())  # noqa: S311 - waits
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, server.stop)
    loop.add_signal_handler(signal.SIGHUP, server.reload)
    await server.run(_ready)


def _ready(url: str) -> None:
    with suppress(OSError, ValueError):  # nobody has to read it
        print(f"serving {url}", flush=True)


def _say(text: str) -> None:
    with suppress(OSError, ValueError):
        print(f"stsgate serve: {without_secrets(text)}", file=sys.stderr, flush=True)


def _raise_file_limit(needed: int) -> None:
    """Each meter is a socket; what a shell allows by itself is made for other programs."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    most = _FILES_MAX if hard == resource.RLIM_INFINITY else min(hard, _FILES_MAX)
    if soft != resource.RLIM_INFINITY and soft < most:
        with suppress(OSError, ValueError):  # a sandbox may forbid it
            resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))
            soft = most
    if soft != resource.RLIM_INFINITY and soft < needed:
        logger.warning("this process may open %d files; with delivery.in_flight_max it may need %d", soft, needed)
