"""The first words of callers, and their keep-alives: pure."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from transports.calling_in.first_words import (
    FIRST_SIZE_MAX,
    LOGIN_LINE_SIZE_MAX,
    Caller,
    FirstReader,
    FirstWords,
    KeepAliveFilter,
)
from transports.calling_in.meter import login_line, push_message
from transports.channel import Address, ChannelGarbled
from transports.wrapper import wrap

TITLE = bytes.fromhex("4C41420000000001")
APDU = b"\x0f" + TITLE + b"\x7e\x00\x01" * 5
LOGIN = re.compile("METER (?P<title>[0-9A-F]{16})|MODEM (?P<name>[a-z0-9-]+)")
EMPTY_MESSAGE = bytes.fromhex("00 01 00 05 00 01 00 00")


def named_in_it(apdu: bytes) -> bytes | None:
    return apdu[1:9] if apdu[:1] == b"\x0f" and len(apdu) >= 9 else None


WORDS = FirstWords(named_in_it, LOGIN, b"OK\r\n", {"modem-7": TITLE}, {300: TITLE}, keep_alive=b"PING\r\n")
HDLC_WORDS = FirstWords(named_in_it, LOGIN, names={"modem-7": TITLE}, speaks_hdlc=True, keep_alive=b"PING\r\n")
UI = push_message(APDU, Address(1, 1, 17), speaks_hdlc=True)

CALLS = [
    (WORDS, login_line(f"METER {TITLE.hex().upper()}"), b"OK\r\n", b""),
    (WORDS, f"METER {TITLE.hex().upper()}\n".encode(), b"OK\r\n", b""),
    (WORDS, b"PING\r\nPING\r\n" + login_line("MODEM modem-7"), b"OK\r\n", b""),
    (WORDS, wrap(1, 1, APDU), b"", wrap(1, 1, APDU)),
    (WORDS, wrap(300, 1, b"whatever"), b"", wrap(300, 1, b"whatever")[:8]),
    (WORDS, EMPTY_MESSAGE + b"PING\r\n" + wrap(1, 1, APDU), b"", wrap(1, 1, APDU)),
    (WORDS, wrap(300, 1, b"x")[:6] + b"\0\0", b"", wrap(300, 1, b"x")[:6] + b"\0\0"),
    (HDLC_WORDS, UI, b"", UI),
    (HDLC_WORDS, b"PING\r\n" + UI, b"", UI),
    (HDLC_WORDS, login_line("MODEM modem-7"), b"", b""),
]


@pytest.mark.parametrize(("words", "said", "answer", "kept"), CALLS)
@given(data=st.data())
def test_who_calls_is_told_however_the_bytes_come_and_none_of_the_rest_is_lost(
    words: FirstWords, said: bytes, answer: bytes, kept: bytes, data: st.DataObject
) -> None:
    whole = said + data.draw(st.binary(max_size=40))
    cuts = sorted(data.draw(st.lists(st.integers(1, len(whole)), max_size=6)))
    reader, caller, given_up_to = FirstReader(words), None, 0
    for cut in [*cuts, len(whole)]:
        caller = reader.receive(whole[given_up_to:cut])
        given_up_to = cut
        if caller is not None:
            break
    assert isinstance(caller, Caller)
    assert (caller.title, caller.answer) == (TITLE, answer)
    # What came until then and is no login line or keep-alive, and with what comes later it is all of it.
    rest = caller.rest + whole[given_up_to:]
    assert rest.startswith(kept)
    assert whole.endswith(rest)
    assert len(rest) == len(whole) - len(said) + len(kept) or rest.startswith(wrap(300, 1, b"whatever")[:8])


@pytest.mark.parametrize(("words", "said", "_answer", "_kept"), CALLS)
def test_byte_by_byte_is_enough(words: FirstWords, said: bytes, _answer: bytes, _kept: bytes) -> None:
    reader = FirstReader(words)
    callers = []
    for byte in said:
        callers.append(reader.receive(bytes([byte])))
        if callers[-1] is not None:
            break
    assert callers[-1] is not None
    assert callers[-1].title == TITLE


@pytest.mark.parametrize(
    ("words", "said", "message"),
    [
        (WORDS, b"HELLO secret-password\r\n", "the login line is none that is expected"),
        (WORDS, b"MODEM modem-8\r\n", "the login line names nobody that is known"),
        (WORDS, b"A" * LOGIN_LINE_SIZE_MAX, "a login line has less than 256 bytes"),
        (WORDS, b"\x00\x02\x00\x01\x00\x01\x00\x01x", "the first bytes are no wrapper header or login line"),
        (WORDS, b"\x00\x02", "the first bytes are no wrapper header or login line"),
        (WORDS, EMPTY_MESSAGE + b"\x00\x02", "the first bytes are no wrapper header or login line"),
        (FirstWords(named_in_it), b"GET / HTTP/1.1\r\n", "the first bytes are no wrapper header$"),
        (WORDS, wrap(2, 1, b"\x61abc"), r"the first message \(from wPort 2\) does not say whose it is"),
        (WORDS, b"\x00\x01\x00\x01\x00\x01\xff\xff", "65535 bytes: too many"),
        (HDLC_WORDS, b"\x7e" * (FIRST_SIZE_MAX + 1), f"{FIRST_SIZE_MAX} bytes came that do not say who calls"),
        (
            HDLC_WORDS,
            push_message(b"\x61abc", Address(1, 1, 17), speaks_hdlc=True),
            r"the first message \(from HDLC address 1\) does not say whose it is",
        ),
    ],
)
def test_callers_who_say_something_else_are_told_apart_and_their_words_are_not_repeated(
    words: FirstWords, said: bytes, message: str
) -> None:
    with pytest.raises(ChannelGarbled, match=message) as raised:
        FirstReader(words).receive(said)
    assert "secret-password" not in str(raised.value)


@given(st.lists(st.binary(max_size=300), max_size=20), st.booleans())
def test_whatever_is_said_is_a_caller_a_refusal_or_not_enough(pieces: list[bytes], speaks_hdlc: bool) -> None:
    reader = FirstReader(HDLC_WORDS if speaks_hdlc else WORDS)
    said = b""
    for piece in pieces:
        said += piece
        try:
            caller = reader.receive(piece)
        except ChannelGarbled:
            return
        if caller is not None:
            assert said.endswith(caller.rest)
            return
        assert len(said.replace(b"PING\r\n", b"").replace(EMPTY_MESSAGE, b"")) <= FIRST_SIZE_MAX + 300


@given(st.lists(st.one_of(st.binary(min_size=1, max_size=40), st.none()), max_size=8), st.data())
def test_keep_alives_between_messages_are_taken_away_and_nothing_else(
    parts: list[bytes | None], data: st.DataObject
) -> None:
    keep_alive = b"PING\r\n"
    stream = b"".join(keep_alive if part is None else wrap(7, 1, part + keep_alive) for part in parts)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(stream)), max_size=8)))
    filtered, kept, count, start = KeepAliveFilter(keep_alive), b"", 0, 0
    for cut in [*cuts, len(stream)]:
        some, more = filtered.receive(stream[start:cut])
        kept, count, start = kept + some, count + more, cut
    assert kept == b"".join(wrap(7, 1, part + keep_alive) for part in parts if part is not None)
    assert count == parts.count(None)


@given(st.lists(st.binary(max_size=60), max_size=10))
def test_of_a_stream_that_is_no_wrappers_nothing_is_held_back_for_long(pieces: list[bytes]) -> None:
    filtered = KeepAliveFilter(b"PING\r\n")
    given_up, kept = 0, 0
    for piece in pieces:
        some, count = filtered.receive(piece)
        given_up += len(piece)
        kept += len(some) + 6 * count
        assert 0 <= given_up - kept < 8
