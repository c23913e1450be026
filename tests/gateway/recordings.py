"""What really goes over a wire when a token is delivered: recorded between a simulated meter and its socket."""

from __future__ import annotations

from dataclasses import replace

from cosem_objects.dlms.settings import SecuritySettings
from cosem_objects.sts_token import Token
from gateway.delivery import Delivery
from gateway.events import Event, Judged
from gateway.meters import Meter
from sim_meters.meter import SimMeter
from sim_meters.meter_config import SIM_PROFILE, lab_config
from tests.transports.wires import listen_somewhere
from transports.endpoint import Endpoint
from transports.hdlc.connection import HdlcSettings
from transports.stream import ByteStream, OnBytes, OnClosed, PassingStream


class RecordingStream(PassingStream):
    """Notes all octets of both directions, in the order in which they pass."""

    def __init__(self, inner: ByteStream, tape: bytearray) -> None:
        super().__init__(inner)
        self._tape = tape

    def start(self, on_bytes: OnBytes, on_closed: OnClosed) -> None:
        def note(data: bytes) -> None:
            self._tape += data
            on_bytes(data)

        self._inner.start(note, on_closed)

    def write(self, data: bytes) -> None:
        self._tape += data
        self._inner.write(data)


async def record_delivery(scheme: str, security: SecuritySettings, token: Token, info_max: int = 128) -> bytes:
    """The octets of a whole delivery: association, reading, ``enter``, reading again, release."""
    title = lab_config().security.meter_system_title
    config = replace(lab_config(), security=replace(security, meter_system_title=title))
    simulated, tape, judged = SimMeter(config), bytearray(), []

    async def note(event: Event) -> None:
        if isinstance(event, Judged):
            judged.append(event)

    async with await listen_somewhere(
        scheme, simulated.serve, accept=config.is_for_us, through=lambda stream: RecordingStream(stream, tape)
    ) as listener:
        profile = replace(SIM_PROFILE, poll_first_seconds=0.01)
        hdlc = HdlcSettings(info_max=info_max)
        meter = Meter(endpoint=Endpoint.parse(listener.url), profile=profile, security=config.security, hdlc=hdlc)
        await Delivery(meter, note).run([token])
    simulated.close()
    assert [event.verdict.outcome for event in judged] == ["accepted"]
    return bytes(tape)
