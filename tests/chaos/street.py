"""The meters of a chaos run: real ``simmeters run`` processes with ledgers on disk, killed and started again."""

from __future__ import annotations

import asyncio
import os
import re
import signal
import sys
from dataclasses import dataclass, field, replace
from pathlib import Path
from random import Random
from typing import Any

from cosem_objects.sts_token import Token
from sim_meters.lab import LAB_PAN, LAB_SYSTEM_TITLE
from sim_meters.meter_config import MeterConfig, lab_config, title_plus
from sim_meters.sts.keys.identity import MeterPan
from sim_meters.sts.tokens.clear_token import encode_credit
from tests.sim_meters.meter_client import AK, EK

ROOT = Path(__file__).parents[2]
FIRST_TID = 6_000_000
_READY_SECONDS_MAX = 60.0
_GMAC = {"mechanism": "hls-gmac", "ek": EK, "ak": AK}


@dataclass(frozen=True, kw_only=True)
class MeterGroup:
    """Meters of one kind, in one process."""

    name: str
    count: int
    scheme: str = "tcp"
    security: dict[str, str] = field(default_factory=dict)
    """As in ``PUT /v1/meters``."""
    options: tuple[str, ...] = ()
    """Of ``simmeters run``."""
    link: str | None = None
    concurrency: int | None = None
    """Of the link."""
    rate_per_second: float | None = None
    burst: int = 1

    def limits(self) -> dict[str, float | None]:
        """For ``PUT /v1/links/{id}``."""
        return {"concurrency": self.concurrency, "rate_per_second": self.rate_per_second, "burst": self.burst}


GROUPS = (
    MeterGroup(name="open", count=4, options=("--fault", "hang-up-after-enter:8%")),
    MeterGroup(
        name="concentrator",
        count=6,
        security=_GMAC,
        options=("--fault", "hang-up-after-enter:6%", "--fault", "hang-up-before-enter:6%"),
        link="dcu",
        concurrency=2,
        rate_per_second=40.0,
        burst=4,
    ),
    MeterGroup(
        name="line",
        count=4,
        scheme="hdlc+tcp",
        security={"mechanism": "lls", "password": "12345678"},
        options=("--fault", "hang-up-after-enter:6%", "--fault", "refuse-association:5%"),
        link="modem",
        concurrency=1,
    ),
    MeterGroup(name="ciphered", count=3, security={**_GMAC, "ciphering": "general-glo"}),
    MeterGroup(name="slow", count=3, security=_GMAC, options=("--status-delay", "0.4")),
)
PATIENT = (
    MeterGroup(name="mute", count=2, options=("--fault", "drop-answer-after-enter:10%")),
    MeterGroup(name="stale", count=1, options=("--fault", "stale-status:5%", "--fault", "hang-up-after-enter:10%")),
)
"""Each silence costs a time-out of ten seconds, each stale status one of sixty: for long runs."""
FEW = tuple(replace(group, count=min(group.count, 3)) for group in GROUPS)


@dataclass
class StreetMeter:
    """One meter: where it listens itself, where the wire in front of it listens, and what it can be sold."""

    id: str
    group: MeterGroup
    config: MeterConfig
    port: int
    wire_port: int
    tokens_made: int = 0

    def body(self) -> dict[str, Any]:
        """For ``PUT /v1/meters/{id}``."""
        body: dict[str, Any] = {
            "endpoint": f"{self.group.scheme}://127.0.0.1:{self.wire_port}",
            "profile": "sim",
            "security": dict(self.group.security),
            "sts": {"pan": self.config.pan.digits},
        }
        if self.group.link is not None:
            body["link"] = self.group.link
        return body

    def token(self, *, is_bad: bool = False) -> Token:
        """A new one, each with a TID of its own; a bad one is made under another meter's key."""
        self.tokens_made += 1
        key = lab_config(5000).decoder_key if is_bad else self.config.decoder_key
        units = 1 + self.tokens_made % 500
        return encode_credit(key, self.config.unit.kind, units, FIRST_TID + self.tokens_made, 5)


class MeterProcess:
    """One ``simmeters run``. Its ports and its ledgers stay when it is killed."""

    def __init__(self, group: MeterGroup, first: int, directory: Path, seed: int, port: int) -> None:
        """``first`` counts meters over all groups. The ports from ``port`` on are theirs, then those of their wires."""
        self.group = group
        self._first = first
        self._state = directory / "meters" / group.name
        self._log = directory / f"meters-{group.name}.log"
        self._seed = seed
        self._starts = 0
        self._process: asyncio.subprocess.Process | None = None
        self.port = port
        self.meters = [
            StreetMeter(
                f"{group.name}-{number + 1}",
                group,
                lab_config(first + number),
                port + number,
                port + group.count + number,
            )
            for number in range(group.count)
        ]

    @property
    def is_running(self) -> bool:
        return self._process is not None and self._process.returncode is None

    async def start(self) -> None:
        """Until all of them listen. Raises ``RuntimeError``."""
        self._starts += 1
        arguments = [
            *("--listen", f"{self.group.scheme}://127.0.0.1:{self.port}", "--meters", str(self.group.count)),
            *("--pan", MeterPan.parse(LAB_PAN).plus(self._first).digits),
            *("--system-title", title_plus(LAB_SYSTEM_TITLE, self._first).hex()),
            *("--state-dir", str(self._state), "--seed", str(self._seed * 1000 + self._starts)),
            *_security_options(self.group.security),
            *self.group.options,
        ]
        with self._log.open("ab") as log:
            self._process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-m", "sim_meters", "run", *arguments),
                stdout=asyncio.subprocess.PIPE,
                stderr=log,
                cwd=ROOT,
            )
        assert self._process.stdout is not None
        listening = 0
        async with asyncio.timeout(_READY_SECONDS_MAX):
            while listening < self.group.count:
                line = await self._process.stdout.readline()
                if not line:
                    raise RuntimeError(f"meters {self.group.name} ended: see {self._log}")
                listening += bool(re.match(rb"listening ", line))

    async def end(self, number: signal.Signals) -> None:
        """Once more does no harm."""
        process, self._process = self._process, None
        if process is None:
            return
        if process.returncode is None:
            process.send_signal(number)
        try:
            async with asyncio.timeout(10):
                await process.communicate()
        except TimeoutError:
            process.kill()
            await process.communicate()

    async def kill_and_start(self, rng: Random) -> None:
        """A power cut of a second or less."""
        await self.end(signal.SIGKILL)
        await asyncio.sleep(rng.random())
        await self.start()

    def kill_now(self) -> None:
        """Without waiting: for who is being interrupted."""
        if self._process is not None and self._process.returncode is None:
            os.kill(self._process.pid, signal.SIGKILL)


def _security_options(security: dict[str, str]) -> list[str]:
    names = {"mechanism": "--security", "password": "--password", "ek": "--ek", "ak": "--ak"}
    return [word for name, value in security.items() if name in names for word in (names[name], value)]


def ports_of(groups: tuple[MeterGroup, ...]) -> int:
    """How many ports a street needs, with the wires in front of it."""
    return 2 * sum(group.count for group in groups)


def street(directory: Path, seed: int, groups: tuple[MeterGroup, ...], port: int) -> list[MeterProcess]:
    """All groups, none of them started yet."""
    processes, first = [], 0
    for group in groups:
        processes.append(MeterProcess(group, first, directory, seed, port + 2 * first))
        first += group.count
    return processes
