"""The links of one command: opened as its options say, kept between its associations, closed at its end."""

from __future__ import annotations

import argparse
import re
import sys
from types import TracebackType
from typing import Self

from cosem_objects.errors import SettingError
from gateway.calling_in.identify import sender_of
from gateway.calling_in.texts import TITLE_LINE, login_pattern
from gateway.cli.parser import seconds
from gateway.meters import Meter
from transports.calling_in.called_in import NO_EVENTS, CalledInMeters, InboundSettings
from transports.calling_in.first_words import FirstWords
from transports.calling_in.listener import listen_inbound
from transports.channel import Link, Listener
from transports.endpoint import Endpoint
from transports.link_pool import LinkPool
from transports.trace.trace import Trace
from transports.wire_options import add_wire_options, wire_settings_from


def add_link_options(parser: argparse.ArgumentParser) -> None:
    """How wires are used, and where a meter may call in."""
    add_wire_options(parser)
    inbound = parser.add_argument_group("a meter that calls in, with --endpoint inbound:SYSTEMTITLE")
    inbound.add_argument(
        "--inbound-listen",
        metavar="URL",
        help="where the meter calls in: tcp://host:port or tcps://host:port; the latter with --tls-certificate",
    )
    inbound.add_argument(
        "--inbound-login",
        metavar="REGEX",
        default=TITLE_LINE,
        help="the meter's first line, if it says one, with a group (?P<title>...) for its system title (default: the "
        "title alone); else its first message says who calls",
    )
    inbound.add_argument(
        "--inbound-wait",
        type=seconds(1, 86_400),
        default=300.0,
        metavar="SECONDS",
        help="how long it is waited for (default %(default)g)",
    )


class CommandLinks:
    """What the sessions of one command connect with. Raises ``SettingError``, ``EndpointError`` for options that
    cannot be."""

    def __init__(self, args: argparse.Namespace, trace: Trace | None = None) -> None:
        wires = wire_settings_from(args)
        self._meters = CalledInMeters()
        self._pool = LinkPool(wires, called_in=self._meters.shared_link)
        self._trace = trace
        self._inbound: tuple[Endpoint, InboundSettings] | None = None
        self._wait_seconds: float = args.inbound_wait
        self._listener: Listener | None = None
        if Endpoint.parse(args.endpoint).scheme == "inbound":
            if args.inbound_listen is None:
                raise SettingError("inbound-listen: a meter that calls in needs a place to call, tcp://host:port")
            words = FirstWords(identify=sender_of, login=_login(args.inbound_login))
            self._inbound = Endpoint.parse(args.inbound_listen), InboundSettings(words=words, tls=wires.tls)

    async def connect(self, meter: Meter) -> Link:
        """Raises like ``transports.registry.open_link``; a meter that calls in is waited for."""
        if self._inbound is not None:
            await self._meters.wait(meter.endpoint.system_title, self._wait_seconds)
        return await self._pool.open_link(meter.endpoint, hdlc=meter.hdlc, trace=self._trace)

    async def __aenter__(self) -> Self:
        if self._inbound is not None:
            endpoint, settings = self._inbound
            self._listener = await listen_inbound(endpoint, settings, NO_EVENTS, self._meters)
            print(f"listening {self._listener.url}", file=sys.stderr, flush=True)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._pool.close()
        if self._listener is not None:
            await self._listener.close()


def _login(text: str) -> re.Pattern[str]:
    try:
        return login_pattern(text)
    except ValueError as error:
        raise SettingError(f"inbound-login: {error}") from None
