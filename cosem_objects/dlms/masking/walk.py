"""A walk through one APDU, on which octets are overwritten."""

from __future__ import annotations

import re
from contextlib import suppress

from cosem_objects import axdr
from cosem_objects.axdr import DEPTH_MAX, DataType
from cosem_objects.dlms.apdu.descriptors import read_count
from cosem_objects.dlms.masking.places import Cover
from cosem_objects.errors import RemoteProtocolError, TokenFormatError
from cosem_objects.octets import OctetReader
from cosem_objects.token_gateway import TokenEncoding

MASK = b"*"

# Tokens have 9, 10 or 20 octets in the encodings that are known here; a maker may have found others. 12 octets are a
# date-time, and stand in every row of a log.
_TOKEN_SIZE_MIN = 8
_DATE_TIME_SIZE = 12

_DIGITS = re.compile(rb"(?<!\d)\d(?:[ -]?\d){19,}")
# Of a piece: what the piece before or after may make 20 digits of. Fewer than four may as well be a number.
_DIGITS_AT_END = re.compile(rb"\A[ -]?\d(?:[ -]?\d){3,}|\d(?:[ -]?\d){3,18}[ -]?\Z|\A[ -]*\d[\d -]*\Z")

_STRINGS = frozenset({DataType.OCTET_STRING, DataType.VISIBLE_STRING, DataType.UTF8_STRING, DataType.BIT_STRING})
_TREES = frozenset({DataType.ARRAY, DataType.STRUCTURE})


def _is_coded_token(octets: bytes) -> bool:
    """Whether these octets are a token in one of its codings. Ten ASCII digits are rather a serial number than BCD."""
    if len(octets) not in (9, 10, 20) or octets.isdigit():
        return False
    for encoding in TokenEncoding:
        with suppress(TokenFormatError):
            encoding.from_octets(octets)
            return True
    return False


class Walk:
    """The APDU, how far it was read, and what is to be shown of it. All may raise ``RemoteProtocolError``."""

    __slots__ = ("apdu", "masked", "reader")

    def __init__(self, apdu: bytes) -> None:
        self.apdu = apdu
        self.masked = bytearray(apdu)
        self.reader = OctetReader(apdu, "APDU")

    def hide(self, start: int, end: int) -> None:
        self.masked[start:end] = MASK * (end - start)

    def hide_next(self, size: int) -> None:
        start = self.reader.position
        self.reader.take(size)
        self.hide(start, start + size)

    def hide_value(self, cover: Cover, depth: int = 0) -> None:
        """In the COSEM value that stands here. Tags, lengths and numbers of elements stay."""
        reader = self.reader
        tag = reader.peek()
        if tag in _TREES:
            if depth >= DEPTH_MAX:
                raise RemoteProtocolError(f"{reader.what}: nested deeper than {DEPTH_MAX}")
            reader.octet()
            count = read_count(reader)
            axdr.count_values(reader, count)
            for _ in range(count):
                self.hide_value(cover, depth + 1)
            return
        start = self._after_tag_and_length()
        size = reader.position - start
        may_be_token = size >= _TOKEN_SIZE_MIN and size != _DATE_TIME_SIZE
        is_hidden = (
            cover is Cover.ALL
            or (cover is Cover.STRINGS and (tag in _STRINGS or size >= _TOKEN_SIZE_MIN))
            or (cover is Cover.TOKENS and may_be_token)
            or (
                cover is Cover.DIGITS
                and tag == DataType.OCTET_STRING
                and _is_coded_token(self.apdu[start : start + size])
            )
        )
        if is_hidden:
            self.hide(start, reader.position)
        elif cover is not Cover.NOTHING:
            self._hide_digits(_DIGITS, start)

    def hide_piece(self, cover: Cover) -> None:
        """A block of an answer, behind its length. It may begin and end in the middle of a value: where more than
        digits has to be hidden, all of it is."""
        size = self.reader.length()
        if cover > Cover.DIGITS:
            self.hide_next(size)
            return
        start = self.reader.position
        self.reader.take(size)
        if cover is Cover.DIGITS:
            self._hide_digits(_DIGITS, start)
            self._hide_digits(_DIGITS_AT_END, start)

    def _hide_digits(self, digits: re.Pattern[bytes], start: int) -> None:
        """Wherever they stand between ``start`` and here."""
        for found in digits.finditer(self.apdu[start : self.reader.position]):
            self.hide(start + found.start(), start + found.end())

    def hide_result(self, cover: Cover) -> None:
        """In a value, or the reason why there is none."""
        choice = self.choice(0, 1)
        if choice:
            self.reader.octet()
        else:
            self.hide_value(cover)

    def choice(self, *known: int) -> int:
        choice = self.reader.octet()
        if choice not in known:
            raise RemoteProtocolError(f"{self.reader.what}: choice {choice} is not known")
        return choice

    def selection(self) -> None:
        """Selective access: from when to when, which columns; tokens have no business there."""
        if self.reader.flag():
            self.reader.octet()
            self.hide_value(Cover.TOKENS)

    def _after_tag_and_length(self) -> int:
        """Read a value that is no array or structure; where its contents begin."""
        reader = self.reader
        tag = reader.peek()
        start = reader.position + 1
        if tag in _STRINGS:
            reader.octet()
            length = reader.length()
            start = reader.position
            reader.take((length + 7) // 8 if tag == DataType.BIT_STRING else length)
        else:
            axdr.read(reader)
        return start
