"""What the contenders need: meters, fresh tokens for them, canned replies, and the proof that tokens were accepted."""

from __future__ import annotations

import asyncio
import json
import secrets
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Self
from unittest.mock import patch

from benchmarks.measure import COUNTERS_PER_DELIVERY, Sale
from benchmarks.ours import Contender, NotAcceptedError, recorded_challenge
from benchmarks.recorder import Recorder, Recording
from sim_meters.meter_config import lab_config
from sim_meters.sts.tokens import Commodity, credit_kind, encode_credit

EK, AK = "000102030405060708090A0B0C0D0E0F", "D0D1D2D3D4D5D6D7D8D9DADBDCDDDEDF"
SECURITIES: dict[str, dict[str, str]] = {
    "none": {},
    "lls": {"mechanism": "lls", "password": "12345678"},
    "hls-gmac": {"mechanism": "hls-gmac", "ek": EK, "ak": AK, "client_system_title": "5354534741544501"},
}
METER_OPTIONS = {"none": [], "lls": ["--password", "12345678"], "hls-gmac": ["--ek", EK, "--ak", AK]}
KINDS = ("bare", "session", "delivery")

_FIRST_TID = 6_000_000
_KIND = credit_kind(Commodity.ELECTRICITY, currency=False)
_START_SECONDS = 60


@dataclass(frozen=True)
class Delivered:
    """A real delivery, and all that went over the wire."""

    sale: Sale
    recording: Recording


class OtherSide:
    """A process of ``benchmarks.other_side``. It never sleeps by itself, so it is stopped while another is needed."""

    def __init__(self, core: int | None, arguments: list[str]) -> None:
        self._process = subprocess.Popen(  # noqa: S603 - ourselves
            [sys.executable, "-m", "benchmarks.other_side", "any" if core is None else str(core), *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )

    @classmethod
    @contextmanager
    def started(cls, core: int | None, arguments: list[str], told: str, ports: int) -> Iterator[tuple[Self, list[str]]]:
        """The process, stopped, and the lines in which it named its ports."""
        side = cls(core, arguments)
        try:
            lines = side._start(told, ports)
            side._process.send_signal(signal.SIGSTOP)
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
        self._process.send_signal(signal.SIGCONT)
        try:
            yield
        finally:
            self._process.send_signal(signal.SIGSTOP)


class Meters:
    """Simulated meters of one wire and security, the tokens sold for them, and what their accounts must show."""

    def __init__(self, wire: str, security: str, side: OtherSide, ports: list[int]) -> None:
        self.side = side
        self._contender = Contender(wire, SECURITIES[security])
        self._wire, self._security = wire, security
        self._ports = ports
        self._keys = [lab_config(number).decoder_key for number in range(len(ports))]
        self._sold = 0
        self._visits = 0
        self._credit = 0
        self._balances: list[int] = []

    @classmethod
    @contextmanager
    def listening(cls, wire: str, security: str, count: int, core: int | None) -> Iterator[Meters]:
        options = ["--meters", str(count), "--listen", f"{wire}://127.0.0.1:0"]
        options += ["--security", security, *METER_OPTIONS[security]]
        with OtherSide.started(core, ["meters", "run", *options], "", count) as (side, lines):
            yield cls(wire, security, side, [int(line.rpartition(":")[2]) for line in lines])

    def sell(self, each: int) -> list[list[Sale]]:
        """``each`` fresh tokens for each meter."""
        sold, self._sold = self._sold, self._sold + each
        visits, self._visits = self._visits, self._visits + each
        return [
            [Sale(port, self._token(meter, sold + number), self._counter(visits + number)) for number in range(each)]
            for meter, port in enumerate(self._ports)
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
            contender = Contender(self._wire, SECURITIES[self._security], recorder.connect)
            with patch.object(secrets, "token_bytes", recorded_challenge):
                await contender.form(kind)(sale)
            recorded[kind] = Delivered(sale, recorder.exchanges())
        self._balances = await self._read_balances()
        self._credit = (self._balances[0] - before) // len(KINDS)
        assert self._credit > 0, "a token changed nothing"
        return recorded

    async def check_accepted(self, each: int) -> None:
        """Raises ``NotAcceptedError`` unless every account rose by ``each`` tokens since the last time."""
        balances = await self._read_balances()
        for before, now in zip(self._balances, balances, strict=True):
            if now - before != each * self._credit:
                raise NotAcceptedError(f"{(now - before) / self._credit:g} tokens were credited, {each} delivered")
        self._balances = balances

    async def _read_balances(self) -> list[int]:
        visits, self._visits = self._visits, self._visits + 1
        sales = [Sale(port, b"", self._counter(visits)) for port in self._ports]
        return list(await asyncio.gather(*map(self._contender.balance, sales)))


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
        return [[Sale(self.ports[kind], sale.token, sale.counter)] * each] * lanes
