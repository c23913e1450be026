"""Deliveries per second and client CPU per delivery, one meter process on the other core.

    python -m benchmarks.delivery [COUNT] [CONCURRENCY]

Each delivery is a whole one: connect, associate, read the Token gateway and the account, record the intent, enter, read
back, release. The counter is given, so the public client is not asked. Wall-clock figures are this machine's; compare
rows of one run only.
"""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from cosem_objects.dlms.settings import SecuritySettings
from cosem_objects.profile import MeterProfile
from cosem_objects.sts_token import Token
from cosem_objects.token_gateway import DataValueMap
from gateway.delivery import Delivery
from gateway.events import Event
from gateway.meters import Meter
from gateway.verdict import Outcome
from sim_meters.meter_config import lab_config
from sim_meters.sts.tokens import Commodity, credit_kind, encode_credit
from transports.endpoint import Endpoint

EK, AK = "000102030405060708090A0B0C0D0E0F", "D0D1D2D3D4D5D6D7D8D9DADBDCDDDEDF"
SECURITIES = {
    "none": {},
    "lls": {"mechanism": "lls", "password": "12345678"},
    "hls-gmac": {"mechanism": "hls-gmac", "ek": EK, "ak": AK, "client_system_title": "5354534741544501"},
}


@dataclass(frozen=True)
class Figures:
    wall_seconds: float
    cpu_seconds: float
    count: int

    def __str__(self) -> str:
        return (
            f"{self.count / self.wall_seconds:8.0f}/s wall {self.count / self.cpu_seconds:8.0f}/s of one core "
            f"{self.cpu_seconds / self.count * 1000:7.3f} ms CPU"
        )


@asynccontextmanager
async def running_meters(count: int, scheme: str, security: str) -> AsyncIterator[list[str]]:
    secrets = {"none": [], "lls": ["--password", "12345678"], "hls-gmac": ["--ek", EK, "--ak", AK]}[security]
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        *("-m", "sim_meters", "run", "--meters", str(count), "--listen", f"{scheme}://127.0.0.1:0"),
        *("--security", security, *secrets),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
    )
    assert process.stdout is not None
    try:
        urls: list[str] = []
        while len(urls) < count:
            line = (await asyncio.wait_for(process.stdout.readline(), 30)).decode()
            if line.startswith("listening "):
                urls.append(line.split()[1])
        yield urls
    finally:
        process.terminate()
        await process.wait()


async def measure(scheme: str, security: str, count: int, concurrency: int) -> Figures:
    """``concurrency`` meters, each served by one task that delivers one token after the other."""
    each = count // concurrency
    kind = credit_kind(Commodity.ELECTRICITY, currency=False)
    tokens = [
        [encode_credit(lab_config(n).decoder_key, kind, 1, 6_000_000 + number, rnd=5) for number in range(each)]
        for n in range(concurrency)
    ]
    async with running_meters(concurrency, scheme, security) as urls:
        wall, cpu = time.perf_counter(), time.process_time()
        await asyncio.gather(
            *(_serve(url, security, mine) for url, mine in zip(urls, tokens, strict=True)),
        )
        return Figures(time.perf_counter() - wall, time.process_time() - cpu, each * concurrency)


async def _serve(url: str, security: str, tokens: list[Token]) -> None:
    counter = 1
    for token in tokens:
        meter = Meter(
            endpoint=Endpoint.parse(url),
            profile=MeterProfile(data_value_map=DataValueMap.ONEHOT16),
            security=SecuritySettings.parse(SECURITIES[security]),
            invocation_counter=counter,
        )
        (judged,) = await Delivery(meter, _forget).run([token])
        assert judged.verdict.outcome is Outcome.ACCEPTED, judged
        counter += 100  # more than one delivery uses


async def _forget(_event: Event) -> None:
    """The benchmark keeps no story."""


def main() -> None:
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 1000
    concurrencies = [int(sys.argv[2])] if len(sys.argv) > 2 else [1, 50]
    try:
        import uvloop  # noqa: PLC0415 - optional

        factory = uvloop.new_event_loop
    except ImportError:
        factory = asyncio.new_event_loop
    print(f"{count} deliveries each, event loop {factory.__module__}")
    for concurrency in concurrencies:
        for scheme in ("tcp", "hdlc+tcp"):
            for security in SECURITIES:
                with asyncio.Runner(loop_factory=factory) as runner:
                    figures = runner.run(measure(scheme, security, count, concurrency))
                print(f"{scheme:9} {security:9} concurrency {concurrency:3}  {figures}", flush=True)


if __name__ == "__main__":
    main()
