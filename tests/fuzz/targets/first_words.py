"""The first words of a caller, whole and in pieces, and keep-alives between what follows. The first octets of an input
say where to cut, and how callers may speak."""

from __future__ import annotations

import re

from cosem_objects.dlms.settings import TITLE_SIZE
from gateway.calling_in.identify import sender_of
from tests.fuzz.properties import Choices, assert_harmless
from transports.calling_in.first_words import FIRST_SIZE_MAX, Caller, FirstReader, FirstWords, KeepAliveFilter
from transports.calling_in.meter import push_message
from transports.channel import Address, ChannelGarbled
from transports.wrapper import HEADER, wrap

SIZE_MAX = 700
TITLE = bytes.fromhex("4C41420000000001")
KEEP_ALIVE = b"PING"
LOGIN = re.compile("M (?P<title>[0-9A-Fa-f]*)|N (?P<name>[a-z]+)")
PASSWORD = b"correct-horse"
_PUSH = b"\xdb\x08" + TITLE + b"\x05\x30\x00\x00\x00\x01"


def seeds() -> list[bytes]:
    said = [
        b"M 4C41420000000001\r\n",
        b"N seven\nrest",
        b"N eight\n",
        b"X " + PASSWORD + b"\n",
        b"M " + bytes(300),
        wrap(300, 1, b"x"),
        wrap(1, 1, _PUSH) + wrap(1, 1, b"more"),
        HEADER.pack(1, 1, 1, 0) + wrap(1, 1, _PUSH),
        wrap(1, 1, b"\x61"),
        b"\x00\x02",
        push_message(_PUSH, Address(1, 1, 17), speaks_hdlc=True),
    ]
    lines = [part for words in said for part in (words, KEEP_ALIVE + words, words + KEEP_ALIVE + b"P")]
    return [bytes((3, how)) + line for how in range(4) for line in lines]


def one_input(octets: bytes) -> None:
    choices = Choices(octets)
    step, how = choices.octet() + 1, choices.octet()
    said = choices.rest()
    words = FirstWords(
        sender_of,
        LOGIN if how & 1 else None,
        names={"seven": TITLE},
        wports={300: TITLE},
        speaks_hdlc=bool(how & 2),
        keep_alive=KEEP_ALIVE,
    )
    in_pieces, used = _ask(FirstReader(words), said, step)
    whole, _ = _ask(FirstReader(words), said, len(said) + 1)
    if isinstance(in_pieces, Caller):
        assert len(in_pieces.title) == TITLE_SIZE
        assert said[:used].endswith(in_pieces.rest)
        # More at once can only bring up what is wrong with it later on: that nobody has looked at yet.
        assert isinstance(whole, Caller)
        assert whole.title == in_pieces.title
        assert whole.rest == in_pieces.rest + said[used:]
    if not how & 2:
        _filter(said, step)


def _ask(reader: FirstReader, said: bytes, step: int) -> tuple[Caller | ChannelGarbled | None, int]:
    """What came of it, and after how many octets."""
    for start in range(0, len(said), step):
        try:
            caller = reader.receive(said[start : start + step])
        except ChannelGarbled as error:
            assert_harmless(error, [PASSWORD])
            return error, start
        if caller is not None:
            return caller, min(start + step, len(said))
        assert len(reader._bytes) <= FIRST_SIZE_MAX
    return None, len(said)


def _filter(said: bytes, step: int) -> None:
    """Nothing is held back but what may be a beginning, and nothing is added."""
    pieces = KeepAliveFilter(KEEP_ALIVE)
    held = 0
    for start in range(0, len(said), step):
        piece = said[start : start + step]
        kept, count = pieces.receive(piece)
        held += len(piece) - len(kept) - count * len(KEEP_ALIVE)
        assert 0 <= held < HEADER.size
