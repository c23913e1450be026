"""What the contenders need: meters, fresh tokens for them, canned replies, and the proof that tokens were accepted."""

from __future__ import annotations

import asyncio
import json
import secrets
import signal
import subprocess
import sys
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import repeat
from pathlib import Path
from typing import Self, TypeVar
from unittest.mock import patch

from benchmarks.measure import COUNTERS_PER_DELIVERY, Sale, cpu_seconds
from benchmarks.ours import Contender, NotAcceptedError, recorded_challenge
from benchmarks.recorder import Recorder, Recording
from gateway.session import connect_through
from sim_meters.meter_config import lab_config
from sim_meters.sts.tokens.clear_token import encode_credit
from sim_meters.sts.tokens.token_kind import Commodity
from sim_meters.sts.tokens.token_table import credit_kind
from transports.link_pool import LinkPool

EK, AK = "000102030405060708090A0B0C0D0E0F", "D0D1D2D3D4D5D6D7D8D9DADBDCDDDEDF"
SECURITIES: dict[str, dict[str, str]] = {
    "none": {},
    "lls": {"mechanism": "lls", "password": "12345678"},
    "hls-gmac": {"mechanism": "hls-gmac", "ek": EK, "ak": AK, "client_system_title": "5354534741544501"},
}
METER_OPTIONS = {"none": [], "lls": ["--password", "12345678"], "hls-gmac": ["--ek", EK, "--ak", AK]}
KINDS = ("bare", "session", "delivery")

T = TypeVar("T")

_FIRST_TID = 6_000_000
_KIND = credit_kind(Commodity.ELECTRICITY, currency=False)
_START_SECONDS = 60
_FIRST_PHYSICAL = 17
_SHARED = """\
[[group]]
name = "meter"
count = {count}
listen = "hdlc+tcp://127.0.0.1:0"
share = {share}
physical = 17

[group.security]
mechanism = "{security}"
ek = "{ek}"
ak = "{ak}"
"""


@dataclass(frozen=True)
class Delivered:
    """A real delivery, and all that went over the wire."""

    sale: Sale
    recording: Recording


class OtherSide:
    """A process of ``benchmarks.other_side``. If it never sleeps by itself, it is stopped while another is needed."""

    def __init__(self, core: int | None, arguments: list[str], *, sleepy: bool = False) -> None:
        where = "any" if core is None else str(core)
        self._sleepy = sleepy
        self._process = subprocess.Popen(  # noqa: S603 - ourselves
            [sys.executable, "-m", "benchmarks.other_side", where, "sleepy" if sleepy else "awake", *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )

    @classmethod
    @contextmanager
    def started(
        cls, core: int | None, arguments: list[str], told: str, ports: int, *, sleepy: bool = False
    ) -> Iterator[tuple[Self, list[str]]]:
        """The process, stopped unless it is sleepy, and the lines in which it named its ports."""
        side = cls(core, arguments, sleepy=sleepy)
        try:
            lines = side._start(told, ports)
            side._signal(signal.SIGSTOP)
            yield side, lines
        finally:
            side._process.kill()
            side._process.wait(_START_SECONDS)

    def _start(self, told: str, ports: int) -> list[str]:
        process = self._process
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(told)
        process.stdin.close()
        named: list[str] = []
        for line in process.stdout:
            named += [line.strip()] if line.split(" ", 1)[0] in ("listening", *KINDS) else []
            if len(named) == ports:
                return named
        raise RuntimeError("the other side did not start")

    @contextmanager
    def running(self) -> Iterator[None]:
        self._signal(signal.SIGCONT)
        try:
            yield
        finally:
            self._signal(signal.SIGSTOP)

    @property
    def cpu_seconds(self) -> float:
        return cpu_seconds(Path(f"/proc/{self._process.pid}"))

    def _signal(self, number: int) -> None:
        if not self._sleepy:
            self._process.send_signal(number)


class Meters:
    """Simulated meters of one wire and security, the tokens sold for them, and what their accounts must show."""

    def __init__(self, security: str, side: OtherSide, urls: list[str], physicals: Sequence[int | None] = ()) -> None:
        self.side = side
        self._security = SECURITIES[security]
        self._places = list(zip(urls, physicals or repeat(None), strict=False))
        self._keys = [lab_config(number).decoder_key for number in range(len(urls))]
        self._sold = 0
        self._visits = 0
        self._credit = 0
        self._balances: list[int] = []

    @classmethod
    @contextmanager
    def listening(
        cls, first: str, security: str, count: int, core: int | None, *, sleepy: bool = False
    ) -> Iterator[Meters]:
        """``first``: the URL of the first meter."""
        options = ["--meters", str(count), "--listen", first, "--security", security, *METER_OPTIONS[security]]
        with OtherSide.started(core, ["meters", "run", *options], "", count, sleepy=sleepy) as (side, lines):
            yield cls(security, side, [line.removeprefix("listening ") for line in lines])

    @classmethod
    @contextmanager
    def sharing(cls, security: str, count: int, share: int, core: int | None, directory: Path) -> Iterator[Meters]:
        """``share`` meters behind each socket of HDLC over TCP."""
        file = directory / "shared.toml"
        file.write_text(_SHARED.format(count=count, share=share, security=security, ek=EK, ak=AK), encoding="ascii")
        command = ["meters", "run", "--fleet", str(file)]
        with OtherSide.started(core, command, "", -(-count // share), sleepy=True) as (side, lines):
            urls = [lines[number // share].removeprefix("listening ") for number in range(count)]
            yield cls(security, side, urls, [_FIRST_PHYSICAL + number % share for number in range(count)])

    def sell(self, each: int) -> list[list[Sale]]:
        """``each`` fresh tokens for each meter."""
        sold, self._sold = self._sold, self._sold + each
        visits, self._visits = self._visits, self._visits + each
        return [
            [
                Sale(url, self._token(meter, sold + number), self._counter(visits + number), physical)
                for number in range(each)
            ]
            for meter, (url, physical) in enumerate(self._places)
        ]

    def _token(self, meter: int, number: int) -> bytes:
        token = encode_credit(self._keys[meter], _KIND, 1, _FIRST_TID + number, rnd=5)
        return str(token.number).zfill(20).encode("ascii")

    @staticmethod
    def _counter(visit: int) -> int:
        return 1 + visit * COUNTERS_PER_DELIVERY

    async def record(self) -> dict[str, Delivered]:
        """One delivery of each kind, with the challenge of the canned replies. The first tokens of all."""
        recorded = {}
        before = (await self._read_balances())[0]
        for kind, sale in zip(KINDS, self.sell(len(KINDS))[0], strict=True):
            recorder = Recorder()
            contender = Contender(self._security, recorder.connect)
            with patch.object(secrets, "token_bytes", recorded_challenge):
                await contender.form(kind)(sale)
            recorded[kind] = Delivered(sale, recorder.exchanges())
        self._balances = await self._read_balances()
        self._credit = (self._balances[0] - before) // len(KINDS)
        assert self._credit > 0, "a token changed nothing"
        return recorded

    async def begin(self) -> None:
        """One token for each meter, to know what a token is worth."""
        before = await self._read_balances()
        await self._each(Contender.delivery, [sale for (sale,) in self.sell(1)])
        self._balances = await self._read_balances()
        self._credit = self._balances[0] - before[0]
        assert self._credit > 0, "a token changed nothing"

    async def check_accepted(self, each: int) -> None:
        """Raises ``NotAcceptedError`` unless every account rose by ``each`` tokens since the last time."""
        balances = await self._read_balances()
        for before, now in zip(self._balances, balances, strict=True):
            if now - before != each * self._credit:
                raise NotAcceptedError(f"{(now - before) / self._credit:g} tokens were credited, {each} delivered")
        self._balances = balances

    async def _read_balances(self) -> list[int]:
        visits, self._visits = self._visits, self._visits + 1
        counter = self._counter(visits)
        return await self._each(
            Contender.balance, [Sale(url, b"", counter, physical) for url, physical in self._places]
        )

    async def _each(self, act: Callable[[Contender, Sale], Awaitable[T]], sales: list[Sale]) -> list[T]:
        """With all meters at once."""
        pool = LinkPool()
        contender = Contender(self._security, connect_through(pool))
        try:
            return list(await asyncio.gather(*(act(contender, sale) for sale in sales)))
        finally:
            await pool.close()


@dataclass(frozen=True)
class CannedReplies:
    """The replies of one recorded delivery of each kind, given to whoever sends as many bytes as were recorded."""

    side: OtherSide
    deliveries: dict[str, Delivered]
    ports: dict[str, int]

    @classmethod
    @contextmanager
    def listening(cls, deliveries: dict[str, Delivered], core: int | None) -> Iterator[CannedReplies]:
        recordings = {kind: delivered.recording for kind, delivered in deliveries.items()}
        with OtherSide.started(core, ["canned"], json.dumps(recordings), len(recordings)) as (side, lines):
            yield cls(side, deliveries, {kind: int(port) for kind, port in (line.split() for line in lines)})

    def sell(self, kind: str, each: int, lanes: int) -> list[list[Sale]]:
        """The recorded sale, again and again."""
        sale = self.deliveries[kind].sale
        url = f"{sale.url.rpartition(':')[0]}:{self.ports[kind]}"
        return [[Sale(url, sale.token, sale.counter)] * each] * lanes
