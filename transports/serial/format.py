"""How octets go over a serial line: speed, bits, parity; and the time-outs of HDLC that follow from them. Pure."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

from transports.hdlc.connection import HdlcSettings

Parity = Literal["none", "even", "odd"]

BAUD_DEFAULT = 9600
"""What meters start with in HDLC (IEC 62056-46; class 23, attribute 2)."""

# Flags, format, longest addresses, control, both check sums (IEC 62056-46, frame format type 3).
_FRAME_OCTETS = 14

# A frame whose octets stop for longer is broken off (IEC 62056-46, inter-octet time-out; class 23, attribute 7).
_INTER_OCTET_SECONDS = 0.025
# guess: octets reach us in batches, and with pauses that the line does not have: 16 ms in USB adapters, tens of
# milliseconds over Bluetooth, more when this machine is busy. Traces of real adapters would settle it. Waiting too
# long costs nothing unless octets were lost, so it may be generous; the client's repetition comes much later.
_BATCHING_SECONDS = 0.2
_LATE_OCTETS = 4


@dataclass(frozen=True, slots=True)
class SerialFormat:
    """One way to put octets on a line; all have one start bit and one stop bit."""

    baud: int = BAUD_DEFAULT
    parity: Parity = "none"
    data_bits: Literal[7, 8] = 8

    @property
    def octet_seconds(self) -> float:
        """How long one octet is on the line."""
        return (1 + self.data_bits + (self.parity != "none") + 1) / self.baud

    def __str__(self) -> str:
        return f"{self.baud} baud {self.data_bits}{self.parity[0].upper()}1"


def serial_hdlc(settings: HdlcSettings, line: SerialFormat) -> HdlcSettings:
    """The same settings with the time-outs that this line needs.

    The response time-out runs from the moment when the system took our frames, so the time that the longest request
    and the longest answer spend on the line comes on top of what the meter is allowed to think.
    """
    octets = 2 * settings.window_max * (settings.info_max + _FRAME_OCTETS)
    return replace(
        settings,
        response_timeout_seconds=settings.response_timeout_seconds + octets * line.octet_seconds,
        inter_octet_timeout_seconds=_INTER_OCTET_SECONDS + _BATCHING_SECONDS + _LATE_OCTETS * line.octet_seconds,
    )
