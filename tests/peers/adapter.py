"""Stands between a wire and meters that speak TCP, as serial device servers, couplers, modems and optical heads do.

    adapter.py '{"front": "pty", "place": "/tmp/line", "meters": [4059, 4060], "mode_e": {"baud": "5"}}'

Written for these tests from IEC 62056-21 and the standard library alone; it knows no DLMS beyond where an HDLC frame
ends. `front` is what the tool under test sees; `meters` are TCP ports behind it, which all hear the same octets:

* `pty`: a serial line at `place`. Nobody's coming or going is noticed on it, as on a real one.
* `tcp`, `tls`: a socket at port `place`; each connection has connections of its own to the meters.
* `call`: a modem that calls port `place`, says `first`, waits for `answer`, and hands on.

Prints `listening PLACE`, then JSON lines: `signed_on`, `deaf`, `wrong_speed`, `called`, `ended`. Lines on standard
input are hexadecimal octets, which the front is told unasked.

`mode_e` makes an optical head of the pty. Like a real one it hears nothing at another speed than its own, which it
reads off the terminal, nothing while it switches, and asks for the handshake again after DISC.
"""

import contextlib
import os
import pty
import select
import socket
import ssl
import sys
import termios
import time
import tty
from pathlib import Path

from peer_wire import cut_hdlc, emit, limit_lifetime, read_options, run, say

DEFAULTS = {
    "front": "tcp",
    "place": 0,
    "meters": [],
    "meters_tls": None,  # the meters' sockets speak TLS: CA file
    "certificate": None,  # of the front: [certificate file, key file]
    "first": "",  # hex; what is said first, with `call`
    "answer": "",  # hex; what is waited for then
    "chunk": 0,  # hand on what comes from the meters in pieces of so many octets
    "noise": "",  # hex, before whatever comes from the meters
    "between": {},  # {"3": hex}: said before the third thing that comes from the meters
    "echo": False,  # give back what is heard
    "mode_e": None,  # {"identification": "/XYZ5\\2NAME", "parity": bool, "repeats": bool, "noise": hex}
    "lifetime_seconds": 120,
}
SPEEDS = {"0": 300, "1": 600, "2": 1200, "3": 2400, "4": 4800, "5": 9600, "6": 19200}
SPEED_NAMES = {getattr(termios, f"B{baud}"): baud for baud in SPEEDS.values()}
SWITCH_SECONDS = 0.2  # IEC 62056-21: the new speed counts after 200 to 300 ms
DISC, UA, DM = 0x53, 0x73, 0x1F


class Meters:
    """The sockets behind: what is written goes to all of them."""

    def __init__(self, options):
        self._sockets = [_connect(port, options.meters_tls) for port in options.meters]

    def waited_for(self):
        return self._sockets

    def write(self, octets):
        for each in self._sockets:
            each.sendall(octets)

    @staticmethod
    def read(each):
        return each.recv(4096)

    def close(self):
        for each in self._sockets:
            each.close()


def _connect(port, ca_file):
    plain = socket.create_connection(("127.0.0.1", port), timeout=10)
    plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    if not ca_file:
        return plain
    return ssl.create_default_context(cafile=ca_file).wrap_socket(plain, server_hostname="localhost")


class SocketFront:
    """A connection, in clear or with TLS."""

    def __init__(self, connection):
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._connection = connection

    def fileno(self):
        return self._connection.fileno()

    def read(self):
        octets = self._connection.recv(4096)
        while isinstance(self._connection, ssl.SSLSocket) and self._connection.pending():
            octets += self._connection.recv(4096)
        return octets

    def write(self, octets):
        self._connection.sendall(octets)

    def close(self):
        self._connection.close()


class LineFront:
    """A pseudo-terminal with a link to it. Its far end is held open here, so that a line has no end."""

    def __init__(self, path):
        self._own, self._far = pty.openpty()
        tty.setraw(self._far)
        Path(path).symlink_to(os.ttyname(self._far))

    def fileno(self):
        return self._own

    def speed(self):
        return SPEED_NAMES.get(termios.tcgetattr(self._far)[5])

    def read(self):
        return os.read(self._own, 4096)

    def write(self, octets):
        os.write(self._own, octets)

    def close(self):
        os.close(self._own)
        os.close(self._far)


class OpticalHead:
    """Mode E on a LineFront, the meter's side, at the speeds that the terminal is set to."""

    def __init__(self, line, settings):
        self._line = line
        self._identification = settings.get("identification", "/XYZ5\\2FOREIGN-METER")
        self._parity = settings.get("parity", False)
        self._repeats = settings.get("repeats", True)
        self._noise = bytes.fromhex(settings.get("noise", ""))
        self._heard = bytearray()
        self._frames = bytearray()
        self._speed = None  # in HDLC
        self._deaf_until = 0.0
        self._leaves = False

    def fileno(self):
        return self._line.fileno()

    def read(self):
        """What is HDLC; None for what is not, or is not heard."""
        octets = self._line.read()
        expected = self._speed or 300
        if self._line.speed() != expected:
            emit("wrong_speed", expected=expected, found=self._line.speed(), octets=octets.hex())
        elif time.monotonic() < self._deaf_until:
            emit("deaf", octets=octets.hex())
        elif self._speed:
            self._frames += octets
            while frame := cut_hdlc(self._frames):
                self._leaves = _control(frame) == DISC
            return octets
        else:
            self._heard += octets
            while b"\n" in self._heard:
                line, _, rest = bytes(self._heard).partition(b"\n")
                self._heard = bytearray(rest)
                self._hear(bytes(octet & 0x7F for octet in line).decode("ascii") + "\n")
        return None

    def write(self, octets):
        self._line.write(octets)
        if self._leaves:
            self._leaves = False
            self._speed = None
            self._frames.clear()

    def close(self):
        self._line.close()

    def _hear(self, line):
        if line == "/?!\r\n":
            self._line.write(self._noise)
            self._say(self._identification + "\r\n")
        elif len(line) == 6 and line[:2] == "\x062" and line[3:] == "2\r\n" and line[2] <= self._identification[4]:
            if self._repeats:
                self._say(line)
            self._speed = SPEEDS[line[2]]
            self._deaf_until = time.monotonic() + SWITCH_SECONDS
            emit("signed_on", speed=self._speed)
        else:
            emit("refused", why="not a sign-on", line=line)

    def _say(self, text):
        octets = text.encode("ascii")
        self._line.write(bytes(octet | (octet.bit_count() & 1) << 7 for octet in octets) if self._parity else octets)


def _control(frame):
    position = 3
    for _ in range(2):
        while not frame[position] & 1:
            position += 1
        position += 1
    return frame[position]


def hand_on(options, front, meters):
    """Until one of the sides ends; which one."""
    asked, answers = [sys.stdin], 0
    while True:
        ready, _, _ = select.select([front, *meters.waited_for(), *asked], [], [])
        for each in ready:
            if each is sys.stdin:
                line = os.read(0, 65536)
                if not line:
                    asked = []
                    continue
                front.write(bytes.fromhex(line.decode()))
            elif each is front:
                octets = front.read()
                if octets == b"":
                    return "front"
                if octets is not None:
                    if options.echo:
                        front.write(octets)
                    meters.write(octets)
            else:
                answers += 1
                front.write(bytes.fromhex(options.between.get(str(answers), "")))
                if not say_on(options, front, Meters.read(each)):
                    return "meter"


def say_on(options, front, octets):
    if octets and options.noise:
        octets = bytes.fromhex(options.noise) + octets
    step = options.chunk or len(octets) or 1
    for start in range(0, len(octets), step):
        front.write(octets[start : start + step])
        if options.chunk:
            time.sleep(0.0002)  # so that pieces travel alone; nothing waits for it
    return bool(octets)


def serve_line(options):
    front = LineFront(options.place)
    if options.mode_e is not None:
        front = OpticalHead(front, options.mode_e)
    say(f"listening {options.place}")
    while True:
        meters = Meters(options)
        hand_on(options, front, meters)  # a meter that hung up is back at once
        meters.close()


def serve_sockets(options):
    listener = socket.create_server(("127.0.0.1", options.place))
    context = None
    if options.front == "tls":
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(*options.certificate)
    say(f"listening {options.place}")
    while True:
        connection, _ = listener.accept()
        with contextlib.suppress(OSError):
            if context:
                connection = context.wrap_socket(connection, server_side=True)
            hand_on_once(options, SocketFront(connection))
        connection.close()


def hand_on_once(options, front):
    meters = Meters(options)
    try:
        emit("ended", by=hand_on(options, front, meters))
    finally:
        meters.close()
        front.close()


def call(options):
    front = SocketFront(_connect_soon(options.place))
    front.write(bytes.fromhex(options.first))
    expected, heard = bytes.fromhex(options.answer), b""
    while len(heard) < len(expected):
        heard += front.read()
    if heard != expected:
        raise ValueError(f"expected {expected!r}, heard {heard!r}")
    say("listening")
    emit("called")
    hand_on_once(options, front)


def _connect_soon(port):
    deadline = time.monotonic() + 20
    while True:
        try:
            return _connect(port, None)
        except ConnectionRefusedError:  # who is called is still on its way
            if time.monotonic() > deadline:
                raise
            time.sleep(0.01)


def main():
    options = read_options(DEFAULTS)
    limit_lifetime(options.lifetime_seconds)
    {"pty": serve_line, "tcp": serve_sockets, "tls": serve_sockets, "call": call}[options.front](options)


run(main)
