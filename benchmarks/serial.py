"""One delivery on a serial line, against the line's own limit.

    python -m benchmarks.serial [--baud 9600] [--count 5]

A delivery is all that a token needs: the counter read as public client, then the association with HLS-GMAC, the
readings, ``enter``, the readings again, and the release. The limit is what its bytes, counted on the line, take at 10
bits each. The meter is a process of its own behind a pseudo-terminal at the pace of the line, and does not think.
"""

from __future__ import annotations

import asyncio
import sys
import tempfile
import time
from argparse import ArgumentParser
from collections.abc import Callable
from dataclasses import dataclass
from statistics import median

from benchmarks.measure import Sale, cores, loop_factory
from benchmarks.ours import PROFILE, NotAcceptedError
from benchmarks.stock import SECURITIES, Meters
from cosem_objects.dlms.settings import SecuritySettings
from cosem_objects.sts_token import Token
from gateway.delivery import Delivery
from gateway.events import Event
from gateway.meters import Meter
from gateway.verdict import Outcome
from transports.calling import Calling
from transports.channel import Link
from transports.endpoint import Endpoint
from transports.serial.link import share_serial
from transports.stream import ByteStream, OnBytes, OnClosed, PassingStream

SECURITY = "hls-gmac"
RATIO_MAX = 1.15
"""The bar: of the line's own limit."""
_BITS_PER_OCTET = 10


@dataclass(frozen=True)
class SerialDelivery:
    """What one delivery took."""

    baud: int
    octets: int
    """On the line, both ways."""
    seconds: float

    @property
    def limit_seconds(self) -> float:
        return self.octets * _BITS_PER_OCTET / self.baud

    @property
    def ratio(self) -> float:
        return self.seconds / self.limit_seconds


async def deliver_on_serial(baud: int, count: int) -> list[SerialDelivery]:
    """``count`` deliveries, one after the other; each is proved by the meter's account."""
    with tempfile.TemporaryDirectory() as directory:
        first = f"pty://{directory}/line?baud={baud}"
        with Meters.listening(first, SECURITY, 1, cores()[1], sleepy=True) as meters:
            await meters.begin()
            (sales,) = meters.sell(count)
            deliveries = [await _deliver(sale, baud) for sale in sales]
            await meters.check_accepted(count)
            return deliveries


async def _deliver(sale: Sale, baud: int) -> SerialDelivery:
    endpoint = Endpoint.parse(sale.url)
    meter = Meter(endpoint=endpoint, profile=PROFILE, security=SecuritySettings.parse(SECURITIES[SECURITY]))
    counter = _Counter()
    token = Token.parse(sale.token.decode("ascii"))
    began = time.perf_counter()
    shared = await share_serial(endpoint, Calling(hdlc=meter.hdlc, through=counter.count))

    async def lease(meter: Meter) -> Link:
        return shared.lease(meter.endpoint, meter.hdlc, None)

    try:
        (judged,) = await Delivery(meter, _forget, connect=lease).run([token])
        seconds = time.perf_counter() - began
    finally:
        await shared.close()
    if judged.verdict.outcome is not Outcome.ACCEPTED:
        raise NotAcceptedError(str(judged))
    return SerialDelivery(baud, counter.octets, seconds)


class _Counter:
    """Of the octets that pass."""

    def __init__(self) -> None:
        self.octets = 0

    def count(self, stream: ByteStream) -> ByteStream:
        return _Counted(stream, self._add)

    def _add(self, data: bytes) -> None:
        self.octets += len(data)


class _Counted(PassingStream):
    def __init__(self, inner: ByteStream, add: Callable[[bytes], None]) -> None:
        super().__init__(inner)
        self._add = add

    def start(self, on_bytes: OnBytes, on_closed: OnClosed) -> None:
        def arrived(data: bytes) -> None:
            self._add(data)
            on_bytes(data)

        self._inner.start(arrived, on_closed)

    def write(self, data: bytes) -> None:
        self._inner.write(data)
        self._add(data)


async def _forget(_event: Event) -> None:
    """The benchmark keeps no story."""


def report(deliveries: list[SerialDelivery]) -> str:
    """One line, and whether the bar is met."""
    middle = median(delivery.ratio for delivery in deliveries)
    one = deliveries[0]
    return (
        f"serial, {one.baud} baud: {one.octets} octets, {one.limit_seconds:.3f} s on the line; "
        f"a delivery takes {median(delivery.seconds for delivery in deliveries):.3f} s, {middle:.3f} x "
        f"(bar {RATIO_MAX}: {'met' if middle <= RATIO_MAX else 'missed'})"
    )


def main() -> int:
    parser = ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--baud", type=int, default=9600, help="speed of the line (default 9600)")
    parser.add_argument("--count", type=int, default=5, help="deliveries, of which the median counts (default 5)")
    options = parser.parse_args()
    with asyncio.Runner(loop_factory=loop_factory(uses_uvloop=True)) as runner:
        deliveries = runner.run(deliver_on_serial(options.baud, options.count))
    print(report(deliveries))
    return 0 if median(delivery.ratio for delivery in deliveries) <= RATIO_MAX else 1


if __name__ == "__main__":
    sys.exit(main())
