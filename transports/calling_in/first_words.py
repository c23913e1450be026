"""Who calls: the first words on a connection that a meter opened, and the keep-alive bytes of its modem. Pure.

A caller may say who it is in one of these ways; the first byte tells which:

    login line    a text of the modem, ended by LF or CR LF, with the system title or a name in it
    wrapper       00 01: the source wPort, where a table says whose it is, or what the first APDU says of its sender
    HDLC          7E: what the APDU in the first UI frame says of its sender

What an APDU says of its sender is the business of ``identify``, which is handed in. A system title so claimed is no
proof of anything.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from transports.channel import ChannelGarbled
from transports.endpoint import parse_system_title
from transports.hdlc.connection import apdu_of_unasked
from transports.hdlc.frame import FLAG
from transports.hdlc.receiver import FrameReceiver
from transports.wrapper import HEADER, VERSION

Identify = Callable[[bytes], bytes | None]
"""APDU -> the system title of its sender, if it names one."""

LOGIN_LINE_SIZE_MAX = 256
FIRST_SIZE_MAX = 4096
"""Of all that is said before it is known who calls. guess: pushes have some hundred bytes."""


@dataclass(frozen=True, slots=True)
class FirstWords:
    """What callers may say first."""

    identify: Identify = field(repr=False)
    login: re.Pattern[str] | None = None
    """The whole line without its end; with a group ``title`` (16 hex digits), or ``name`` (a key of ``names``)."""
    login_answer: bytes = field(default=b"", repr=False)
    names: Mapping[str, bytes] = field(default_factory=dict, repr=False)
    """Name in a login line -> system title."""
    wports: Mapping[int, bytes] = field(default_factory=dict, repr=False)
    """Source wPort -> system title."""
    speaks_hdlc: bool = False
    """Otherwise the wrapper."""
    keep_alive: bytes = field(default=b"", repr=False)
    """Means nothing, wherever a message could begin."""


class Caller(NamedTuple):
    """It is known who calls."""

    title: bytes
    answer: bytes
    """To be sent back at once; often nothing."""
    rest: bytes
    """What has come already and is for the framing: all but login line and keep-alives."""

    def __repr__(self) -> str:
        return f"<Caller {self.title.hex().upper()}>"


class FirstReader:
    """Reads until it is known who calls."""

    def __init__(self, words: FirstWords) -> None:
        self._words = words
        self._bytes = bytearray()
        self._frames = FrameReceiver()
        self._framed = 0
        """How much of it the receiver of frames has."""

    def receive(self, data: bytes) -> Caller | None:
        """None = more is needed. Raises ``ChannelGarbled`` for callers who say something else."""
        self._bytes += data
        caller = self._read()
        if caller is None and len(self._bytes) > FIRST_SIZE_MAX:
            raise ChannelGarbled(f"{FIRST_SIZE_MAX} bytes came that do not say who calls")
        return caller

    def _read(self) -> Caller | None:
        words, said = self._words, self._bytes
        while True:
            if not self._framed:
                drop_keep_alives(said, words.keep_alive)
            if not said or (words.keep_alive and words.keep_alive.startswith(said)):
                return None
            if words.login is not None and said[0] not in {VERSION >> 8, FLAG}:
                return self._read_login(words.login)
            if words.speaks_hdlc:
                return self._read_frame()
            if not self._begins_empty():
                return self._read_message()
            del said[: HEADER.size]

    def _read_login(self, pattern: re.Pattern[str]) -> Caller | None:
        end = self._bytes.find(b"\n", 0, LOGIN_LINE_SIZE_MAX)
        if end < 0:
            if len(self._bytes) >= LOGIN_LINE_SIZE_MAX:
                raise ChannelGarbled(f"a login line has less than {LOGIN_LINE_SIZE_MAX} bytes")
            return None
        # The line itself is shown nowhere: somebody's password may stand in it.
        line = bytes(self._bytes[:end]).removesuffix(b"\r").decode("latin-1")
        found = pattern.fullmatch(line)
        if found is None:
            raise ChannelGarbled("the login line is none that is expected")
        groups = found.groupdict()
        known = parse_system_title(groups.get("title") or "") or self._words.names.get(groups.get("name") or "")
        if known is None:
            raise ChannelGarbled("the login line names nobody that is known")
        return Caller(known, self._words.login_answer, bytes(self._bytes[end + 1 :]))

    def _begins_empty(self) -> bool:
        """With a header that nothing follows: some modems keep the connection open with it."""
        if len(self._bytes) < HEADER.size:
            return False
        version, source, _, size = HEADER.unpack_from(self._bytes)
        return version == VERSION and size == 0 and source not in self._words.wports

    def _read_message(self) -> Caller | None:
        said = self._bytes
        if not VERSION.to_bytes(2, "big").startswith(said[:2]):
            raise ChannelGarbled(
                f"the first bytes are no wrapper header{' or login line' if self._words.login else ''}"
            )
        if len(said) < HEADER.size:
            return None
        _, source, _, size = HEADER.unpack_from(said)
        known = self._words.wports.get(source)
        if known is not None:
            return Caller(known, b"", bytes(said))
        end = HEADER.size + size
        if end > FIRST_SIZE_MAX:
            raise ChannelGarbled(f"the first message has {size} bytes: too many to tell by it who calls")
        return None if len(said) < end else self._identified(bytes(said[HEADER.size : end]), f"wPort {source}")

    def _read_frame(self) -> Caller | None:
        fresh, self._framed = bytes(self._bytes[self._framed :]), len(self._bytes)
        for frame in self._frames.receive(fresh):
            apdu = apdu_of_unasked(frame)
            if apdu is not None:
                return self._identified(apdu, f"HDLC address {frame.source.logical}")
        return None

    def _identified(self, apdu: bytes, sender: str) -> Caller:
        title = self._words.identify(apdu)
        if title is None:
            raise ChannelGarbled(f"the first message (from {sender}) does not say whose it is")
        return Caller(title, b"", bytes(self._bytes))


def drop_keep_alives(said: bytearray, keep_alive: bytes) -> int:
    """Take them away from the beginning. How many."""
    count = 0
    if keep_alive:
        while said.startswith(keep_alive, count * len(keep_alive)):
            count += 1
        del said[: count * len(keep_alive)]
    return count


class KeepAliveFilter:
    """Takes keep-alive bytes out of a stream of wrapper messages, wherever a message could begin."""

    def __init__(self, keep_alive: bytes) -> None:
        self._keep_alive = keep_alive
        self._left = 0
        """Bytes of the message that has begun."""
        self._start = bytearray()
        """What cannot be told yet: part of a header, or of a keep-alive."""

    def receive(self, data: bytes) -> tuple[bytes, int]:
        """What is left, and how many keep-alives there were. A stream that is no wrapper's passes from there on as it
        is: whoever reads it will say so."""
        if len(data) <= self._left:
            self._left -= len(data)
            return data, 0
        kept, at, count = bytearray(data[: self._left]), self._left, 0
        self._left = 0
        start = self._start
        start += data[at:]
        while start:
            count += drop_keep_alives(start, self._keep_alive)
            if self._keep_alive.startswith(start) or (start[0] == VERSION >> 8 and len(start) < HEADER.size):
                break
            size = HEADER.size + HEADER.unpack_from(start)[3] if len(start) >= HEADER.size else len(start)
            taken = min(size, len(start))
            self._left = size - taken
            kept += start[:taken]
            del start[:taken]
        return bytes(kept), count
