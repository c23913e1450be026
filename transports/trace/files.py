"""Where a trace is written: files for people and programs, and files for Wireshark."""

from __future__ import annotations

import os
import select
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import BinaryIO, TextIO

from transports.trace.pcapng import DLMS_PORT, datagram, enhanced_packet, interface_description, section_header
from transports.trace.trace import Direction, Knowledge, Layer, Sink, Trace, TraceEvent

STANDARD_ERROR = "-"
_APPLICATION = "stsgate"
_READER_WAIT_SECONDS = 0.5
"""How long one event may wait for who reads standard error; the delivery waits as long."""

# RFC 5737, TEST-NET-1.
_CLIENT_ADDRESS = bytes((192, 0, 2, 1))
_METER_ADDRESS = bytes((192, 0, 2, 2))
_CLIENT_PORT_FIRST = 49_152  # of the dynamic ports (RFC 6335): one for each link
_CLIENT_PORTS = 16_384


class TraceTargetError(ValueError):
    """A trace cannot be written there; the message says why."""


class JsonLines(Sink):
    """One line for each event, to a file or stream."""

    def __init__(self, file: TextIO, name: str, *, closes: bool = True) -> None:
        self.name = name
        self._file = file
        self._closes = closes

    def take(self, event: TraceEvent, line: str) -> None:
        self._file.write(line + "\n")
        self._file.flush()

    def close(self) -> None:
        if self._closes:
            with suppress(OSError, ValueError):
                self._file.close()


class StandardError(Sink):
    """One line for each event. Where nobody reads them any more, no more are written: a pipe that is full must not
    stop a delivery. That is said at the end, if somebody reads again."""

    name = "standard error"

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._lost = 0

    def take(self, event: TraceEvent, line: str) -> None:
        if self._lost or not self._write(line.encode("ascii") + b"\n", _READER_WAIT_SECONDS):
            self._lost += 1

    def close(self) -> None:
        if self._lost:
            words = f"\nthe trace to standard error ended early: nobody read it, {self._lost} events are lost\n"
            with suppress(OSError, ValueError):
                self._write(words.encode("ascii"), 0)
            self._lost = 0

    def _write(self, octets: bytes, wait_seconds: float) -> bool:
        """Whether all of it was taken in time. In pieces that a pipe takes whole, without waiting, once it is ready."""
        until = time.monotonic() + wait_seconds
        while octets:
            left = max(0.0, until - time.monotonic())
            if not select.select([], [self._descriptor], [], left)[1]:
                return False
            octets = octets[os.write(self._descriptor, octets[: select.PIPE_BUF]) :]
        return True


class Pcapng(Sink):
    """Frames as packets, each with a comment in words. A link is known by the port of its client."""

    def __init__(self, file: BinaryIO, name: str, *, closes: bool = True) -> None:
        self.name = name
        self._file = file
        self._closes = closes
        self._write(section_header(_APPLICATION) + interface_description(_APPLICATION))

    def take(self, event: TraceEvent, line: str) -> None:
        if event.layer is not Layer.FRAME or event.octets is None or event.direction is None:
            return
        is_outbound = event.direction is Direction.SENT
        client = (_CLIENT_ADDRESS, _CLIENT_PORT_FIRST + event.link.number % _CLIENT_PORTS)
        meter = (_METER_ADDRESS, DLMS_PORT)
        source, destination = (client, meter) if is_outbound is not event.link.is_meter else (meter, client)
        packet = datagram(source, destination, event.octets)
        self._write(enhanced_packet(0, event.time, packet, _comment(event), is_outbound=is_outbound))

    def close(self) -> None:
        if self._closes:
            with suppress(OSError, ValueError):
                self._file.close()

    def _write(self, block: bytes) -> None:
        self._file.write(block)
        self._file.flush()


def _comment(event: TraceEvent) -> str:
    """``link 1 127.0.0.1:4059, sent, wrapper, client_sap 1, server_sap 1, get-request``, and what the APDU says."""
    words = [f"link {event.link.number} {event.link.peer}", str(event.direction), str(event.details["framing"])]
    words += [
        name if value is True else f"{name} {value}"
        for name, value in event.details.items()
        if value is not False and name not in ("framing", "size")
    ]
    said = "" if event.description is None else "\n" + event.description.to_text()
    return ", ".join(words) + said


def open_trace(
    targets: Sequence[str],
    knowledge: Knowledge,
    *,
    now: Callable[[], datetime] | None = None,
    more: Sequence[Sink] = (),
) -> Trace:
    """A trace to all ``targets``: ``FILE.jsonl`` or ``FILE.pcapng``, overwritten, or ``-`` for JSON lines on standard
    error. Raises ``TraceTargetError``; nothing stays open then."""
    with ExitStack() as opened:
        sinks = list(more)
        for target in targets:
            sink = _open(target)
            opened.callback(sink.close)
            sinks.append(sink)
        opened.pop_all()
    return Trace(knowledge, now or _now, sinks)


def _open(target: str) -> Sink:
    if target == STANDARD_ERROR:
        if sys.stderr is None:
            raise TraceTargetError("standard error is closed: no trace can be written there")
        return _to_standard_error(sys.stderr)
    path = Path(target)
    if path.suffix not in (".jsonl", ".pcapng"):
        raise TraceTargetError(f"expected FILE.jsonl, FILE.pcapng or -; got {target!r}")
    if path.exists() and not path.is_file():
        raise TraceTargetError(f"cannot write {target}: it is no regular file")  # a pipe may keep a delivery waiting
    try:
        if path.suffix == ".jsonl":
            return JsonLines(open(path, "w", encoding="ascii", opener=_for_owner_only), target)
        return Pcapng(open(path, "wb", opener=_for_owner_only), target)
    except OSError as error:
        raise TraceTargetError(f"cannot write {target}: {error.strerror}") from None


def _to_standard_error(stream: TextIO) -> Sink:
    try:
        return StandardError(stream.fileno())
    except (OSError, ValueError):  # replaced by something that has no descriptor
        return JsonLines(stream, "standard error", closes=False)


def _for_owner_only(path: str, flags: int) -> int:
    """Even a masked trace tells who was spoken to, and when. No pipe that has taken the file's place is waited for."""
    return os.open(path, flags | os.O_NONBLOCK, 0o600)


def _now() -> datetime:
    return datetime.now(UTC)
