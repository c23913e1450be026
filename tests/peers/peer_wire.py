"""What the peer scripts share: options, JSON lines, sockets with a limit, cutting frames out of a stream.

The scripts beside this file run other people's DLMS stacks, each in a process of its own and with the
interpreter of the peers' virtual environment. This module imports nothing but the standard library, and
nothing of the project: an oracle that shared our code would agree with us about our mistakes.

Standard output carries JSON lines and nothing else. The stacks like to print there, so `sys.stdout` is
pointed at standard error on import, and `emit` writes to the real one.
"""

import contextlib
import json
import resource
import signal
import socket
import sys
import time
from dataclasses import dataclass

_stdout = sys.stdout
sys.stdout = sys.stderr

PUBLIC_CLIENT_SAP = 16
GATEWAY = (115, "0.0.19.40.0.255")
ACCOUNT = (111, "0.0.19.0.0.255")
STS = (116, "0.0.19.60.0.255")
COUNTER = (1, "0.0.43.1.0.255")
DEVICE_NAME = (1, "0.0.42.0.0.255")


class PeerError(Exception):
    """The conversation did not go as it should; the message is for the reader of the test."""


def emit(event, **fields):
    """Print one JSON line."""
    say(json.dumps({"event": event, **fields}, default=to_json))


def say(line):
    """Print one line as it is."""
    _stdout.write(line + "\n")
    _stdout.flush()


def to_json(value):
    """Turn what the libraries hand out into something JSON knows."""
    if isinstance(value, (bytes, bytearray)):
        return bytes(value).hex()
    return str(value)


def read_options(defaults):
    """Merge the one JSON argument into `defaults`; names that are not among them are a usage error."""
    if len(sys.argv) != 2 or sys.argv[1] in {"-h", "--help"}:
        usage = f"usage: {sys.argv[0]} '{{JSON options}}'; options and defaults:\n{json.dumps(defaults, indent=2)}\n"
        sys.stderr.write(usage)
        raise SystemExit(0 if len(sys.argv) == 2 else 2)
    options = json.loads(sys.argv[1])
    unknown = sorted(set(options) - set(defaults))
    if unknown:
        sys.stderr.write(f"unknown options: {', '.join(unknown)}\n")
        raise SystemExit(2)
    return Options({**defaults, **options})


class Options:
    """Options as attributes; hexadecimal ones through `octets`."""

    def __init__(self, values):
        self.__dict__.update(values)

    def octets(self, name):
        text = getattr(self, name)
        return bytes.fromhex(text) if text else None

    @property
    def ciphered(self):
        return bool(self.ek)


def run(main):
    """Run a script's `main`; any failure ends in a `failed` line, a message on standard error and exit code 1."""
    try:
        main()
    except SystemExit:
        raise
    except BaseException as error:
        emit("failed", reason=f"{type(error).__name__}: {error}")
        if not isinstance(error, PeerError):
            import traceback  # noqa: PLC0415 - only for the unexpected

            traceback.print_exc()
        sys.stderr.write(f"{type(error).__name__}: {error}\n")
        raise SystemExit(1) from error


def limit_lifetime(seconds):
    """No script outlives its test, not even when its parent was killed: the kernel ends it with SIGALRM."""
    signal.alarm(int(seconds))


def limit_memory(octets):
    """What asks for more gets MemoryError: the libraries believe the lengths that they are told."""
    resource.setrlimit(resource.RLIMIT_AS, (octets, octets))


class TooLong(Exception):
    """A library did not come to an end with an input."""


def limit_each(seconds):
    """Context manager: what takes longer, in CPU time of this process, ends in TooLong."""

    def stop(_signal, _frame):
        raise TooLong(f"no end within {seconds} s of CPU time")

    @contextlib.contextmanager
    def limited():
        signal.signal(signal.SIGVTALRM, stop)
        signal.setitimer(signal.ITIMER_VIRTUAL, seconds)
        try:
            yield
        finally:
            signal.setitimer(signal.ITIMER_VIRTUAL, 0)

    return limited()


# --- token codings ---


def encode_token(digits, encoding):
    if encoding == "ascii20":
        return digits.encode("ascii")
    if encoding == "bcd10":
        return bytes.fromhex(digits)
    if encoding == "digits20":
        return bytes(int(digit) for digit in digits)
    if encoding == "binary9":
        return int(digits).to_bytes(9, "big")
    raise PeerError(f"unknown token encoding {encoding}")


def decode_token(octets):
    """Tell the coding by its length, as ascii20 or bcd10; None when it is neither."""
    if len(octets) == 20 and octets.isdigit():
        return octets.decode("ascii")
    if len(octets) == 10 and octets.hex().isdigit():
        return octets.hex()
    return None


# --- COSEM data, decoded without any library ---

_INTEGERS = {5: (4, True), 6: (4, False), 15: (1, True), 16: (2, True), 17: (1, False), 18: (2, False)}
_INTEGERS |= {20: (8, True), 21: (8, False), 22: (1, False)}
_FIXED = {23: 4, 24: 8, 25: 12, 26: 5, 27: 4}


def decode_data(octets):
    """One COSEM data value, whole: bit-strings as '0101', octet-strings as hex, structures as lists."""
    value, rest = _decode(octets)
    if rest:
        raise PeerError(f"{len(rest)} octets after the data: {octets.hex()}")
    return value


def _length(octets):
    if octets[0] < 0x80:
        return octets[0], octets[1:]
    size = octets[0] & 0x7F
    return int.from_bytes(octets[1 : 1 + size], "big"), octets[1 + size :]


def _decode(octets):
    tag, rest = octets[0], octets[1:]
    if tag == 0:
        return None, rest
    if tag in {1, 2}:
        count, rest = _length(rest)
        items = []
        for _ in range(count):
            item, rest = _decode(rest)
            items.append(item)
        return items, rest
    if tag == 3:
        return rest[0] != 0, rest[1:]
    if tag == 4:
        count, rest = _length(rest)
        size = (count + 7) // 8
        return "".join(f"{octet:08b}" for octet in rest[:size])[:count], rest[size:]
    if tag in _INTEGERS:
        size, signed = _INTEGERS[tag]
        return int.from_bytes(rest[:size], "big", signed=signed), rest[size:]
    size, rest = (_FIXED[tag], rest) if tag in _FIXED else _length(rest)
    if len(rest) < size:
        raise PeerError(f"data ends early: {octets.hex()}")
    text = rest[:size]
    return (text.decode("utf-8") if tag in {10, 12} else text.hex()), rest[size:]


# --- addresses ---


@dataclass(frozen=True)
class ServerAddress:
    """HDLC server address in 1, 2 or 4 octets (IEC 62056-46, 6.4.2.2)."""

    logical: int
    physical: int | None
    size: int

    @classmethod
    def choose(cls, logical, physical, size):
        if size == "auto":
            longer = 2 if max(logical, physical or 0) < 0x80 else 4
            size = 1 if physical is None and logical < 0x80 else longer
        return cls(logical, physical, int(size))

    def octets(self):
        if self.size == 1:
            return bytes([self.logical << 1 | 1])
        physical = self.physical or 0
        if self.size == 2:
            return bytes([self.logical << 1, physical << 1 | 1])
        parts = (self.logical >> 7, self.logical & 0x7F, physical >> 7, physical & 0x7F)
        return bytes([part << 1 for part in parts[:3]] + [parts[3] << 1 | 1])


# --- streams ---


def cut_hdlc(buffer):
    """Take one frame off the front of `buffer`, found by its length field and not by looking for 7E."""
    while buffer[:1] and (buffer[0] != 0x7E or buffer[1:2] == b"\x7e"):
        del buffer[0]
    if len(buffer) < 3:
        return None
    size = int.from_bytes(buffer[1:3], "big") & 0x7FF
    if len(buffer) < size + 2:
        return None
    frame = bytes(buffer[: size + 2])
    if frame[-1] != 0x7E or frame[1] >> 4 != 0xA:
        raise PeerError(f"not an HDLC frame: {frame.hex()}")
    del buffer[: size + 1]  # one 7E may close a frame and open the next
    return frame


def cut_wrapper(buffer):
    """Take one header and APDU (IEC 62056-47) off the front of `buffer`."""
    if len(buffer) < 8:
        return None
    if buffer[:2] != b"\x00\x01":
        raise PeerError(f"not a wrapper header: {bytes(buffer[:8]).hex()}")
    size = 8 + int.from_bytes(buffer[6:8], "big")
    if len(buffer) < size:
        return None
    frame = bytes(buffer[:size])
    del buffer[:size]
    return frame


class Line:
    """A wire to a meter that hands out whole frames, and checks who sent them.

    The stacks do not look at the addresses of a reply (Gurux' comparison is always true, dlms-cosem has none),
    so a meter that answers in somebody else's name would go unnoticed without the check here.
    """

    def __init__(self, options, client_sap, server):
        self.hdlc = options.framing == "hdlc"
        self._timeout = options.timeout_seconds
        self._buffer = bytearray()
        self._trace = options.trace
        if self.hdlc:
            self._from = bytes([client_sap << 1 | 1]) + server.octets()
        else:
            self._from = server.logical.to_bytes(2, "big") + client_sap.to_bytes(2, "big")
        self._wire = open_wire(options)

    def send(self, octets):
        if self._trace:
            sys.stderr.write(f"> {bytes(octets).hex()}\n")
        self._wire.sendall(bytes(octets))

    def receive(self):
        """The next frame; PeerError when none came in time."""
        cut = cut_hdlc if self.hdlc else cut_wrapper
        deadline = time.monotonic() + self._timeout
        while (frame := cut(self._buffer)) is None:
            left = deadline - time.monotonic()
            if left <= 0:
                raise PeerError(f"no reply within {self._timeout} s (received so far: {self._buffer.hex()})")
            self._buffer += self._wire.recv(left)
        if self._trace:
            sys.stderr.write(f"< {frame.hex()}\n")
        start = 3 if self.hdlc else 2
        if frame[start : start + len(self._from)] != self._from:
            raise PeerError(f"a reply with foreign addresses: {frame.hex()}, expected {self._from.hex()}")
        return frame

    def close(self):
        self._wire.close()


def open_wire(options):
    """What octets go through: a socket, or with `device` a serial port."""
    if options.device:
        import peer_serial  # noqa: PLC0415 - pyserial is a matter of those who have a line

        return peer_serial.open_port(options)
    return Socket(options)


class Socket:
    """A TCP connection to a meter."""

    def __init__(self, options):
        try:
            self._socket = socket.create_connection((options.host, options.port), timeout=options.timeout_seconds)
        except OSError as error:
            raise PeerError(f"cannot connect to {options.host}:{options.port}: {error}") from error
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def sendall(self, octets):
        self._socket.sendall(octets)

    def recv(self, timeout):
        """What is there; nothing after `timeout` seconds."""
        self._socket.settimeout(timeout)
        try:
            octets = self._socket.recv(4096)
        except TimeoutError:
            return b""
        except OSError as error:
            raise PeerError(f"the connection broke: {error}") from error
        if not octets:
            raise PeerError("the meter closed the connection")
        return octets

    def close(self):
        self._socket.close()


def client_defaults():
    """Options that both client scripts take."""
    return {
        "host": "127.0.0.1",
        "port": 0,
        "device": None,  # a serial one, instead of host and port
        "port_kind": "pyserial",  # or bare
        "baud": 9600,
        "mode_e": None,  # {"address": text, "parity": bool, "wake_up": hex, "speed": "5", "reopens": bool}
        "framing": "wrapper",  # or hdlc
        "client_sap": 1,
        "server_sap": 1,
        "physical": None,
        "address_bytes": "auto",  # or 1, 2, 4 (HDLC)
        "hdlc_info_max": 128,
        "hdlc_window": 1,  # frames in a row, up to 7 (Gurux only)
        "security": "none",  # or lls, hls-gmac, hls-sha256 (Gurux only, its secret is the password)
        "ciphering": "general-glo",  # Gurux: or service-glo, general-ded, service-ded; done when `ek` is given
        "protection": "both",  # or auth, enc (Gurux only)
        "password": None,
        "ek": None,
        "ak": None,
        "system_title": "4D4D4D0000000001",
        "meter_system_title": None,  # checked when given
        "invocation_counter": "read",
        "max_pdu": 65535,
        "tokens": [],
        "token_encoding": "ascii20",
        "read_objects": False,
        "read_list": False,
        "read_log": None,  # [OBIS of a Profile generic, first, last]: entry numbers (Gurux) or moments (dlms-cosem)
        "transfer_keys": None,  # [[key id, key in hex], …] for class 64 (Gurux only)
        "master_key": None,
        "release": "plain",  # RLRQ bare, `ciphered` with user-information, or `none`
        "timeout_seconds": 10,
        "lifetime_seconds": 60,
        "trace": False,
    }


def read_and_enter(read, enter, options):
    """The delivery both clients make: read everything, enter each token, read again.

    `read(class_id, obis, attribute)` gives ("data", octets) or ("error", data-access-result);
    `enter(octets)` gives (action-result, octets or None).
    """
    summary = {}

    def show(class_id, obis, attribute, when):
        kind, answer = read(class_id, obis, attribute)
        names = {"class_id": class_id, "obis": obis, "attribute": attribute, "when": when}
        if kind == "error":
            emit("attribute", **names, error=int(answer))
            return None
        value = decode_data(bytes(answer))
        emit("attribute", **names, raw=bytes(answer).hex(), value=value)
        return value

    def show_gateway(when):
        values = {attribute: show(*GATEWAY, attribute, when) for attribute in range(2, 7)}
        summary[when] = {
            "token": values[2],
            "token_time": values[3],
            "delivery_method": values[5],
            "status_code": values[6][0] if values[6] else None,
            "data_value": values[6][1] if values[6] else None,
            "available_credit": show(*ACCOUNT, 5, when),
        }

    show_gateway("before")
    summary["currency"] = show(*ACCOUNT, 15, "before")
    summary["sts"] = {attribute: show(*STS, attribute, "before") for attribute in range(2, 13)}
    summary["entered"] = []
    for digits in options.tokens:
        result, returned = enter(encode_token(digits, options.token_encoding))
        emit("entered", token=digits, result=int(result), returned=returned)
        show_gateway("after")
        summary["entered"].append({"digits": digits, "result": int(result), **summary["after"]})
    return summary
