"""A small client for tests of simulated meters: our client core, pumped over any channel. And meters to ask."""

from __future__ import annotations

import asyncio
import random
import re
import socket
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

from cosem_objects import axdr, token_gateway
from cosem_objects.axdr import Data
from cosem_objects.dlms.apdu import (
    ActionRequest,
    ActionResponse,
    AttributeDescriptor,
    GetRequest,
    GetResponse,
    MethodDescriptor,
    Response,
    SetRequest,
    SetResponse,
)
from cosem_objects.dlms.client import Associated, ClientAssociation, Released
from cosem_objects.dlms.security import InvocationCounters
from cosem_objects.dlms.settings import SecuritySettings
from cosem_objects.obis import ObisCode
from cosem_objects.sts_token import Token
from cosem_objects.token_gateway import TokenStatus
from sim_meters.clock import VirtualClock
from sim_meters.meter import SimMeter
from sim_meters.meter_config import MeterConfig, lab_config
from sim_meters.sts.tokens.clear_token import encode_credit
from sim_meters.sts.tokens.token_kind import TokenKind
from transports.channel import ApduChannel, Link
from transports.endpoint import Endpoint
from transports.loopback import LoopbackListener
from transports.registry import open_link

TIMEOUT_SECONDS = 20.0
NOW = datetime(2026, 11, 21, 12, 30, 15, 250_000, tzinfo=UTC)

# Keys of the Green Book's examples: published, worthless.
EK, AK = "000102030405060708090A0B0C0D0E0F", "D0D1D2D3D4D5D6D7D8D9DADBDCDDDEDF"
CLIENT_TITLE, METER_TITLE = "5354534741544501", "53494D0000000001"
HLS = SecuritySettings.parse(
    {
        "mechanism": "hls-gmac",
        "ek": EK,
        "ak": AK,
        "client_system_title": CLIENT_TITLE,
        "meter_system_title": METER_TITLE,
    }
)
NONE = SecuritySettings()


class Clock(VirtualClock):
    """A meter's clock that stands still until it is moved, and keeps its zone."""

    def __init__(self, now: datetime = NOW) -> None:
        super().__init__(now)
        self._zone = now.tzinfo

    def now(self) -> datetime:
        return super().now().astimezone(self._zone)

    def move(self, seconds: float) -> None:
        self.advance(seconds)


def a_meter(config: MeterConfig | None = None, **made: object) -> SimMeter:
    """A lab meter whose clock stands still."""
    made.setdefault("clock", Clock())
    return SimMeter(config or lab_config(), **made)  # type: ignore[arg-type]


def credit(config: MeterConfig, units: int = 256, tid: int = 6_000_000, kind: TokenKind | None = None) -> Token:
    """A credit token under this meter's key, of its own kind unless said otherwise."""
    kind = kind or config.unit.kind
    return encode_credit(config.decoder_key, kind, units, tid, None if kind.is_currency else 5)


@dataclass
class Client:
    """An open association."""

    channel: ApduChannel
    association: ClientAssociation

    async def get(
        self, class_id: int, obis: ObisCode | str, attribute: int, selection: tuple[int, Data] | None = None
    ) -> Data | int:
        place = obis if isinstance(obis, ObisCode) else ObisCode.parse(obis)
        response = await self.ask(GetRequest(AttributeDescriptor(class_id, place, attribute), selection))
        assert isinstance(response, GetResponse)
        return response.result

    async def value(self, class_id: int, obis: ObisCode | str, attribute: int) -> Data:
        result = await self.get(class_id, obis, attribute)
        assert isinstance(result, Data), f"{class_id} {obis} {attribute}: {result}"
        return result

    async def set(self, class_id: int, obis: str, attribute: int, data: Data) -> int:
        response = await self.ask(SetRequest(AttributeDescriptor(class_id, ObisCode.parse(obis), attribute), data))
        assert isinstance(response, SetResponse)
        return response.result

    async def act(self, class_id: int, obis: str, method: int, data: Data | None) -> ActionResponse:
        response = await self.ask(ActionRequest(MethodDescriptor(class_id, ObisCode.parse(obis), method), data))
        assert isinstance(response, ActionResponse)
        return response

    async def enter(self, token: Token | bytes) -> int:
        """Enter a token, as ``ascii20`` unless it comes as octets; the action-result."""
        response = await self.ask(enter_request(token))
        assert isinstance(response, ActionResponse)
        return response.result

    async def gateway(self, attribute: int) -> Data:
        return await self.value(token_gateway.CLASS_ID, token_gateway.DEFAULT_OBIS, attribute)

    async def status(self) -> TokenStatus:
        return TokenStatus.from_data(await self.gateway(6))

    async def balance(self) -> int:
        """The raw number of Account attribute 5."""
        return (await self.value(111, "0-0:19.0.0.255", 5)).integer

    async def ask(self, request: GetRequest | SetRequest | ActionRequest) -> Response:
        await self.channel.send(self.association.request(request))
        event = self.association.receive(await self.channel.receive(TIMEOUT_SECONDS))
        assert isinstance(event, Response)
        return event

    async def release(self) -> None:
        await self.channel.send(self.association.release())
        assert isinstance(self.association.receive(await self.channel.receive(TIMEOUT_SECONDS)), Released)


def enter_request(token: Token | bytes) -> ActionRequest:
    octets = token.digits.encode() if isinstance(token, Token) else token
    method = MethodDescriptor(token_gateway.CLASS_ID, token_gateway.DEFAULT_OBIS, token_gateway.METHOD_ENTER)
    return ActionRequest(method, axdr.octet_string(octets))


async def associate(
    channel: ApduChannel, settings: SecuritySettings = NONE, counters: InvocationCounters | None = None
) -> Client:
    """Associate over a channel; raises what the client core raises."""
    association = ClientAssociation(settings, counters or InvocationCounters(), b"a client's chance")
    await channel.open(TIMEOUT_SECONDS)
    await channel.send(association.associate())
    while True:
        event = association.receive(await channel.receive(TIMEOUT_SECONDS))
        if isinstance(event, Associated):
            return Client(channel, association)
        assert isinstance(event, bytes)
        await channel.send(event)


@asynccontextmanager
async def link_to(meter: SimMeter) -> AsyncIterator[Link]:
    """A loopback to a meter in this process."""
    async with LoopbackListener(meter.serve, meter.config.is_for_us) as listener:
        yield listener.open_link()


@asynccontextmanager
async def client_of(
    meter: SimMeter, client_sap: int = 1, counters: InvocationCounters | None = None
) -> AsyncIterator[Client]:
    """An association with a meter in this process, with the meter's own security."""
    settings = meter.config.security if client_sap != 16 else NONE
    if settings.needs_keys:
        settings = replace(settings, client_system_title=bytes.fromhex(CLIENT_TITLE))
    async with link_to(meter) as link:
        yield await associate(link.channel(client_sap, meter.config.server_sap), settings, counters)


def free_ports(count: int = 1) -> int:
    """The first of so many free ports, below those that the system gives to outgoing connections."""
    rng = random.Random()
    for _ in range(200):
        first = rng.randrange(20_000, 32_000)
        try:
            for port in range(first, first + count):
                with socket.socket() as probe:
                    probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                    probe.bind(("127.0.0.1", port))
        except OSError:
            continue
        return first
    raise RuntimeError("no free ports between 20000 and 32000")


class MeterProcess:
    """A real ``simmeters run``."""

    def __init__(self, process: asyncio.subprocess.Process, urls: list[str], lines: list[str]) -> None:
        self.process = process
        self.urls = urls
        self.lines = lines
        """Standard output up to the last ``listening``."""

    async def client(
        self,
        client_sap: int = 1,
        settings: SecuritySettings = NONE,
        counters: InvocationCounters | None = None,
        *,
        meter: int = 0,
        physical: int | None = None,
    ) -> Client:
        link = await open_link(Endpoint.parse(self.urls[meter]), connect_timeout_seconds=TIMEOUT_SECONDS)
        return await associate(link.channel(client_sap, 1, physical), settings, counters)

    async def stop(self) -> tuple[int, str]:
        """Ask it to end; exit code and standard error."""
        self.process.terminate()
        return await self.ended()

    async def ended(self) -> tuple[int, str]:
        async with asyncio.timeout(TIMEOUT_SECONDS):
            _, errors = await self.process.communicate()
        assert self.process.returncode is not None
        return self.process.returncode, errors.decode()


@asynccontextmanager
async def running(*options: str, meters: int = 1) -> AsyncIterator[MeterProcess]:
    """``simmeters run`` with these options, ready; killed at the end if it is still there."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        *("-m", "sim_meters", "run", *options),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        cwd=Path(__file__).parents[2],
    )
    try:
        assert process.stdout is not None
        lines: list[str] = []
        async with asyncio.timeout(TIMEOUT_SECONDS):
            while sum(line.startswith("listening ") for line in lines) < meters:
                line = await process.stdout.readline()
                assert line, f"it ended: {await process.communicate()}"
                lines.append(line.decode().rstrip("\n"))
        urls = [match[1] for line in lines if (match := re.fullmatch(r"listening (\S+)", line))]
        yield MeterProcess(process, urls, lines)
    finally:
        if process.returncode is None:
            process.kill()
            await process.communicate()


async def simmeters(*options: str) -> tuple[int, str, str]:
    """A ``simmeters`` command that ends by itself: exit code, standard output and error."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        *("-m", "sim_meters", *options),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        cwd=Path(__file__).parents[2],
    )
    ending = asyncio.create_task(process.communicate())
    await asyncio.wait((ending,), timeout=TIMEOUT_SECONDS)
    if not ending.done():
        process.kill()  # it was not refused: the exit code will tell
    out, errors = await ending
    assert process.returncode is not None
    return process.returncode, out.decode(), errors.decode()
