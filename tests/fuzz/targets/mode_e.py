"""Mode E of IEC 62056-21, both halves: whatever is on the line, in pieces of any size."""

from __future__ import annotations

from tests.fuzz.properties import Choices, assert_harmless
from transports.channel import ChannelGarbled
from transports.serial.mode_e import (
    BAUD_CODES,
    LINE_OCTETS_MAX,
    Identification,
    ModeEClient,
    ModeEMeter,
    acknowledgement,
    request,
)

SIZE_MAX = 300
_METER = Identification("SIM", 9600, "SIMULATED")


def seeds() -> list[bytes]:
    answers = (b"/LGZ5\\2ZMD3104407.B24\r\n", b"/EMH5\\@\\201LZQJL0013F\r\n", b"/LGZ5ZMD\r\n", b"/LGZ7\\2x\r\n")
    streams = [request(), request("12345"), acknowledgement(9600), *answers, request() + acknowledgement(300)]
    parity = [bytes(octet | (octet.bit_count() % 2) << 7 for octet in stream) for stream in streams]
    return [bytes((step,)) + stream for step in (0, 3) for stream in (*streams, *parity, b"\xff\0/" + answers[0])]


def one_input(octets: bytes) -> None:
    choices = Choices(octets)
    step = choices.octet() + 1
    stream = choices.rest()
    pieces = [stream[start : start + step] for start in range(0, len(stream), step)]
    assert _as_client([stream]) == _as_client(pieces)
    _as_meter(pieces)


def _as_client(pieces: list[bytes]) -> tuple[list[Identification | int], str]:
    client = ModeEClient()
    heard: list[Identification | int] = []
    for piece in pieces:
        try:
            heard += client.receive(piece)
        except ChannelGarbled as error:
            assert_harmless(error)
            return [], str(error)
    for one in heard:
        baud = one.baud_max if isinstance(one, Identification) else one
        assert baud in BAUD_CODES
        assert acknowledgement(baud)
        if isinstance(one, Identification):
            assert one.manufacturer.isalpha()
            assert one.name.isascii()
    return heard, ""


def _as_meter(pieces: list[bytes]) -> None:
    meter = ModeEMeter(_METER, "12345")
    for piece in pieces:
        replies = meter.receive(piece)
        assert all(reply.octets in (_METER.encode(), acknowledgement(reply.baud or 300)) for reply in replies)
        assert all(reply.baud is None for reply in replies[:-1])
        assert len(meter._lines._line) <= LINE_OCTETS_MAX
