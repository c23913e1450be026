"""Mode E of IEC 62056-21: how client and meter agree under an optical head to speak HDLC, and how fast. Pure.

    client                              meter                     at 300 baud, 7E1
    /?!                         ->                                request, here without a device address
                                <-      /XXX5\\2name               who it is; 5: up to 9600 baud; \\2: it knows mode E
    06 2 5 2                    ->                                acknowledgement: HDLC, 9600 baud, binary
                                <-      06 2 5 2                  the meter repeats it; some do not
    SNRM                        ->                                at 9600 baud, 8N1

Each line ends with CR LF. Bytes come in as they are, with parity bits or without, since not every adapter takes them
away; so bit 7 is never looked at. Noise before a message, and the echo of our own, are passed over.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from transports.channel import ChannelGarbled
from transports.serial.format import SerialFormat

SIGN_ON = SerialFormat(300, "even", 7)
"""How both sides begin."""

# Baud rate identification of protocol modes C and E (IEC 62056-21, data messages).
BAUD_CODES = {300: "0", 600: "1", 1200: "2", 2400: "3", 4800: "4", 9600: "5", 19_200: "6"}
_BAUDS = {code: baud for baud, code in BAUD_CODES.items()}

# The longest message is the identification: "/", 3 letters, baud, some pairs of "\" and a character, 16 characters.
LINE_OCTETS_MAX = 64

_IDENTIFICATION = re.compile(r"/([A-Za-z]{3})([ -~])((?:\\[ -.0-~])*)([^/!\\]{0,32})$")
_REQUEST = re.compile(r"/\?([ -.0-~]{0,32})!$")
_ACKNOWLEDGEMENT = re.compile(r"\x06([ -~])([ -~])([ -~])$")


class _Lines:
    """Finds what stands before each line feed. More than a message's length is not kept."""

    def __init__(self) -> None:
        self._line = bytearray()

    def receive(self, data: bytes) -> list[str]:
        lines: list[str] = []
        for octet in data:
            character = octet & 0x7F
            if character == 0x0A:
                lines.append(self._line.decode("ascii").rstrip("\r"))
                self._line.clear()
            else:
                self._line.append(character)
                del self._line[:-LINE_OCTETS_MAX]
        return lines


@dataclass(frozen=True, slots=True)
class Identification:
    """Who answered, and how fast it can."""

    manufacturer: str
    """Its three letters (FLAG identification)."""
    baud_max: int
    name: str

    def encode(self) -> bytes:
        return f"/{self.manufacturer}{BAUD_CODES[self.baud_max]}\\2{self.name}\r\n".encode("ascii")


def request(device_address: str = "") -> bytes:
    """To the one meter that is there, or to the one of this address."""
    return f"/?{device_address}!\r\n".encode("ascii")


def acknowledgement(baud: int) -> bytes:
    """'2': HDLC; the speed; '2': binary mode (IEC 62056-21, annex on mode E)."""
    return f"\x062{BAUD_CODES[baud]}2\r\n".encode("ascii")


class ModeEClient:
    """The client's half: what the meter says, understood."""

    def __init__(self) -> None:
        self._lines = _Lines()

    def receive(self, data: bytes) -> list[Identification | int]:
        """Identifications and, as a number, the speed of each acknowledgement that came back.

        Raises ``ChannelGarbled`` for a meter that answers, but does not offer mode E.
        """
        found = [_read_answer(line) for line in self._lines.receive(data)]
        return [one for one in found if one is not None]


def _read_answer(line: str) -> Identification | int | None:
    acknowledged = _ACKNOWLEDGEMENT.search(line)
    if acknowledged is not None:
        return _BAUDS.get(acknowledged[2])
    match = _IDENTIFICATION.search(line)
    if match is None:
        return None
    manufacturer, code, escapes, name = match.groups()
    if "\\2" not in escapes:
        known = "C" if code in _BAUDS else "B" if "A" <= code <= "I" else "A"
        raise ChannelGarbled(f"the meter ({manufacturer}) offers mode {known} only, not mode E")
    if code not in _BAUDS:
        raise ChannelGarbled(f"the meter ({manufacturer}) offers mode E at an unknown speed")
    return Identification(manufacturer, _BAUDS[code], name)


@dataclass(frozen=True, slots=True)
class Reply:
    """What the meter's half says."""

    octets: bytes = field(repr=False)
    baud: int | None = None
    """HDLC begins, at this speed, when the octets are out."""


class ModeEMeter:
    """The meter's half. It answers when it is meant, and is silent otherwise."""

    def __init__(self, identification: Identification, device_address: str = "") -> None:
        """``device_address``: empty, it answers to all."""
        self._identification = identification
        self._device_address = device_address
        self._lines = _Lines()
        self._is_asked = False

    def receive(self, data: bytes) -> list[Reply]:
        """What to say, in order. After an agreement (``Reply.baud``) what follows in the same bytes is dropped."""
        replies: list[Reply] = []
        for line in self._lines.receive(data):
            reply = self._answer(line)
            if reply is not None:
                replies.append(reply)
                if reply.baud is not None:
                    break
        return replies

    def _answer(self, line: str) -> Reply | None:
        asked = _REQUEST.search(line)
        if asked is not None:
            self._is_asked = self._is_meant(asked[1])
            return Reply(self._identification.encode()) if self._is_asked else None
        chosen = _ACKNOWLEDGEMENT.search(line)
        if chosen is None or not self._is_asked:
            return None
        self._is_asked = False
        protocol, code, mode = chosen.groups()
        baud = _BAUDS.get(code)
        if (protocol, mode) != ("2", "2") or baud is None or baud > self._identification.baud_max:
            return None  # a readout, or something else that is not offered here
        return Reply(acknowledgement(baud), baud)

    def _is_meant(self, address: str) -> bool:
        # Leading zeros do not count (IEC 62056-21, device address).
        return not (self._device_address and address) or address.lstrip("0") == self._device_address.lstrip("0")
