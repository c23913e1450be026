"""A serial port for the peer clients: pyserial's, or the bare device; and the handshake of an optical head.

The handshake is the client's half of mode E, written from IEC 62056-21 alone: 300 baud, request, identification,
acknowledgement, pause, the other speed. A pseudo-terminal has eight bits and no parity, so 7E1 is made by hand.
"""

import os
import select
import time

import serial
from peer_wire import PeerError, emit

SPEEDS = {"0": 300, "1": 600, "2": 1200, "3": 2400, "4": 4800, "5": 9600, "6": 19200}
ANSWER_SECONDS = 10  # a limit for busy machines; meters answer within 1.5 s
REPEAT_SECONDS = 2  # the same; some never repeat the acknowledgement
PAUSE_SECONDS = 0.25


class PySerialPort:
    """pyserial's port, as most programs in Python use one."""

    def __init__(self, path, baud):
        self._path = path
        self._port = serial.Serial(path, baud, timeout=0)

    def sendall(self, octets):
        self._port.write(octets)
        self._port.flush()

    def recv(self, timeout):
        """What is there; nothing after `timeout` seconds."""
        self._port.timeout = timeout
        return self._port.read(1) + self._port.read(self._port.in_waiting)

    def switch(self, baud):
        self._port.baudrate = baud

    def close(self):
        self._port.close()


class BarePort:
    """The device and nothing else: no speed, no mode, as a program opens it that expects somebody else to care."""

    def __init__(self, path, _baud):
        self._descriptor = os.open(path, os.O_RDWR | os.O_NOCTTY)

    def sendall(self, octets):
        while octets:
            octets = octets[os.write(self._descriptor, octets) :]

    def recv(self, timeout):
        ready, _, _ = select.select([self._descriptor], [], [], timeout)
        return os.read(self._descriptor, 4096) if ready else b""

    def switch(self, _baud):
        pass

    def close(self):
        os.close(self._descriptor)


def open_port(options):
    """The port, ready for HDLC."""
    port_class = BarePort if options.port_kind == "bare" else PySerialPort
    mode_e = options.mode_e
    if mode_e is None:
        return port_class(options.device, options.baud)
    port = port_class(options.device, 300)
    try:
        baud = sign_on(port, mode_e)
        if mode_e.get("reopens"):  # as Gurux' own examples change the speed
            port.close()
            time.sleep(PAUSE_SECONDS)
            return port_class(options.device, baud)
        time.sleep(PAUSE_SECONDS)
        port.switch(baud)
    except BaseException:
        port.close()
        raise
    return port


def sign_on(port, settings):
    """Agree on HDLC; the speed. `settings`: address, parity (bits), wake_up (hex), speed (at most)."""
    parity = settings.get("parity", False)
    port.sendall(bytes.fromhex(settings.get("wake_up", "")))
    port.sendall(_coded(f"/?{settings.get('address', '')}!\r\n", parity))
    identification = _line(port, "/", ANSWER_SECONDS)
    if identification is None:
        raise PeerError("no identification")
    emit("identified", identification=identification)
    if "\\2" not in identification:
        raise PeerError("the meter does not offer mode E")
    speed = min(identification[4], settings.get("speed", "6"))
    wanted = f"\x062{speed}2"
    port.sendall(_coded(wanted + "\r\n", parity))
    emit("acknowledged", repeated=_line(port, "\x06", REPEAT_SECONDS) == wanted)
    return SPEEDS[speed]


def _coded(text, parity):
    octets = text.encode("ascii")
    return bytes(octet | (octet.bit_count() & 1) << 7 for octet in octets) if parity else octets


def _line(port, start, limit_seconds):
    """The next line that begins so, without its end; None if there is none in time."""
    heard, deadline = b"", time.monotonic() + limit_seconds
    while (left := deadline - time.monotonic()) > 0:
        heard += bytes(octet & 0x7F for octet in port.recv(left))
        while b"\n" in heard:
            line, _, heard = heard.partition(b"\n")
            text = line.decode("ascii").rstrip("\r")
            if start in text:
                return text[text.index(start) :]
    return None
