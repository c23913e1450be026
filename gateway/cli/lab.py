"""The other end of the wire for ``stsgate demo``: simulated meters and lab tokens, from ``simmeters`` child processes.

The head-end never imports ``sim_meters``: keys and ciphers stay on that side. LAB keys only.
"""

from __future__ import annotations

import asyncio
import json
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from tempfile import TemporaryFile
from types import TracebackType
from typing import IO, Any, Self

# Published test values (STS531-1 compliance tests, DLMS Green Book examples): worthless, everybody has them.
LAB_VENDING_KEY = "abababababababab949494949494949401234567"
LAB_EK = "000102030405060708090A0B0C0D0E0F"
LAB_AK = "D0D1D2D3D4D5D6D7D8D9DADBDCDDDEDF"
LAB_PASSWORD = "12345678"  # noqa: S105 - a lab password

_START_TIMEOUT_SECONDS = 20
_STOP_TIMEOUT_SECONDS = 5


def key_options(pan: str, krn: int = 1, base_date: int = 2014) -> tuple[str, ...]:
    """The options of ``simmeters`` that say under which key a meter's tokens are made."""
    key = (f"--vending-key={LAB_VENDING_KEY}", "--dkga=04", f"--base-date={base_date}", "--sgc=201457", f"--krn={krn}")
    return (*key, "--pan", pan)


class LabError(Exception):
    """The simulated meters do not start, or the lab makes no token."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LabMeter:
    """What the demo wants to meet: a name for the story, a wire, a security, an STS identity."""

    id: str
    name: str
    where: tuple[str, ...] = ("--listen", "tcp://127.0.0.1:0")
    """On which wire: ``{directory}`` is the demo's, ``{head_end}`` where the service lets meters call in."""
    security: tuple[str, ...]
    pan: str
    system_title: str
    base_date: int = 2014
    more: tuple[str, ...] = ()

    @property
    def secrets(self) -> dict[str, str]:
        """The secrets of this security mechanism, named alike in the service's API and in ``simmeters run``."""
        if "lls" in self.security:
            return {"password": LAB_PASSWORD}
        return {"ek": LAB_EK, "ak": LAB_AK} if "hls-gmac" in self.security else {}

    @property
    def key_options(self) -> tuple[str, ...]:
        """Which key its tokens are made under, at first."""
        return key_options(self.pan, base_date=self.base_date)

    def run_options(self, directory: Path, head_end: str) -> tuple[str, ...]:
        where = [word.format(directory=directory, head_end=head_end) for word in self.where]
        secrets = [word for name, secret in self.secrets.items() for word in (f"--{name}", secret)]
        identity = ("--system-title", self.system_title, "--profile", "sim", *self.key_options)
        return (*where, *identity, *self.security, *secrets, *self.more)


class Lab:
    """The running simulated meters; ends them when it is left."""

    def __init__(self, directory: Path, head_end: str) -> None:
        """``directory`` for serial lines, ``head_end`` for meters that call in."""
        self._directory = directory
        self._head_end = head_end
        self._processes: list[Process] = []
        self._errors: IO[bytes] = TemporaryFile()  # noqa: SIM115 - closed in __aexit__

    async def start(self, meters: Sequence[LabMeter]) -> list[str]:
        """Start all, each in a process of its own, and give their endpoints. Raises ``LabError``."""
        return list(await asyncio.gather(*map(self._start, meters)))

    async def _start(self, meter: LabMeter) -> str:
        options = meter.run_options(self._directory, self._head_end)
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "sim_meters", "run", *options, stdout=PIPE, stderr=self._errors
        )
        self._processes.append(process)
        assert process.stdout is not None
        try:
            async with asyncio.timeout(_START_TIMEOUT_SECONDS):
                async for line in process.stdout:
                    word, _, url = line.decode().strip().partition(" ")
                    if word == "listening":
                        return url
                    if word == "calling":
                        return f"inbound:{meter.system_title}"
        except TimeoutError:
            pass
        raise LabError(f"{meter.name} does not start: {self._said()}")

    async def token(self, key: Sequence[str], unit: str, amount: str, *, minutes_ago: int = 0) -> str:
        """A fresh credit token under a key (``key_options``): 20 digits. Two of one meter need different minutes of
        issue. Raises ``LabError``."""
        issued = datetime.now(UTC) - timedelta(minutes=minutes_ago)
        made = await self._encode(
            "credit", "--amount", amount, "--unit", unit, "--issued-at", f"{issued:%Y-%m-%dT%H:%M}", *key
        )
        return str(made["token"])

    async def key_change_set(self, key: Sequence[str], *new: str) -> list[str]:
        """The tokens that bring a meter from this key to another one (``--new-…``). Raises ``LabError``."""
        made = await self._encode("key-change", *new, *key)
        return list(made["tokens"])

    async def _encode(self, *options: str) -> dict[str, Any]:
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "sim_meters", "sts", "encode", *options, "--json", stdout=PIPE, stderr=self._errors
        )
        self._processes.append(process)
        out, _ = await process.communicate()
        if process.returncode:
            raise LabError(f"the lab makes no token: {self._said()}")
        made: dict[str, Any] = json.loads(out)
        return made

    def _said(self) -> str:
        self._errors.seek(0)
        return self._errors.read().decode(errors="replace").strip() or "it says nothing"

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        running = [process for process in self._processes if process.returncode is None]
        for process in running:
            process.terminate()
        for process in running:
            try:
                async with asyncio.timeout(_STOP_TIMEOUT_SECONDS):
                    await process.wait()
            except TimeoutError:
                process.kill()
                await process.wait()
        self._errors.close()
