"""EA07 and EA11 for many blocks at once, each under its own key: arrays instead of numbers, the same tables.

What a step of a cipher means, ``sta`` and ``misty1`` say; here each step is taken by all blocks before the next.
"""

from __future__ import annotations

from functools import cache
from operator import itemgetter

import numpy as np
from numpy.typing import NDArray

from sim_meters.sts.ciphers.misty1 import DECRYPTION_STEPS, ENCRYPTION_STEPS, fi_look_ups
from sim_meters.sts.ciphers.sta import OPERATIONAL_TABLES, OctetTables, octet_rounds

Blocks = NDArray[np.uint64]
Words = NDArray[np.uint16]


# EA07. A key is one number.


def sta_encrypt(blocks: Blocks, keys: Blocks) -> Blocks:
    """``Sta(key).encrypt(block)`` for each."""
    forward = _sta_tables().forward
    turned = _turned_left(~keys, 52)
    for _ in range(16):
        blocks = _layer(forward, blocks, turned)
        turned = _turned_left(turned, 1)
    return blocks


def sta_decrypt(blocks: Blocks, keys: Blocks) -> Blocks:
    """``Sta(key).decrypt(block)`` for each."""
    tables = _sta_tables()
    turned = _turned_left(~keys, 52 + 15)
    blocks = _layer(tables.move_back, blocks, turned)
    for _ in range(15):
        blocks = _layer(tables.backward, blocks, turned)
        turned = _turned_left(turned, 63)
    return _layer(tables.replace_back, blocks, turned)


class _StaTables:
    """Of each round the look-ups of the eight octet places, 1024 each: found by choice and octet."""

    def __init__(self) -> None:
        rounds = octet_rounds(OPERATIONAL_TABLES)
        self.forward, self.backward = self._rows(rounds.forward), self._rows(rounds.backward)
        self.replace_back, self.move_back = self._rows(rounds.replace_back), self._rows(rounds.move_back)

    @staticmethod
    def _rows(tables: OctetTables) -> list[Blocks]:
        return [np.array(place, dtype=np.uint64).reshape(-1) for place in tables]


_sta_tables = cache(_StaTables)
# NumPy's types let an unsigned array stay one only with an unsigned number beside it.
_U = np.uint64
_BITS_3, _BITS_7 = _U(0x0101_0101_0101_0101), _U(0x0202_0202_0202_0202)
_EVEN_OCTETS, _ODD_OCTETS = _U(0x00FF_00FF_00FF_00FF), _U(0xFF00_FF00_FF00_FF00)


def _layer(tables: list[Blocks], blocks: Blocks, turned: Blocks) -> Blocks:
    """One round. In each octet of the turned key, bits 3 and 7 choose for the lower and the upper nibble."""
    choices = turned >> _U(3) & _BITS_3 | turned >> _U(6) & _BITS_7
    # An octet, and above it its choice, are a number of 16 bits; there is room for four of them in 64.
    even = _quarters(blocks & _EVEN_OCTETS | (choices & _EVEN_OCTETS) << _U(8))
    odd = _quarters(blocks >> _U(8) & _EVEN_OCTETS | choices & _ODD_OCTETS)
    moved = np.zeros_like(blocks)
    for place in range(4):
        moved |= tables[2 * place].take(even[place::4], mode="clip")
        moved |= tables[2 * place + 1].take(odd[place::4], mode="clip")
    return moved


def _quarters(numbers: Blocks) -> Words:
    """The 16-bit parts of all of them, one after the other, the least significant first."""
    return numbers.astype("<u8", copy=False).view("<u2")


def _turned_left(keys: Blocks, count: int) -> Blocks:
    return keys << _U(count % 64) | keys >> _U(-count % 64)


# EA11. A key is a row of two numbers, the upper half first.


def misty1_encrypt(blocks: Blocks, keys: Blocks) -> Blocks:
    """``Misty1(key).encrypt(block)`` for each."""
    subkeys = _subkeys(keys)
    left, right = _halves(blocks)
    for places in ENCRYPTION_STEPS:
        step = itemgetter(*places)(subkeys)
        left, right = _masked(left, *step[0:2]), _masked(right, *step[2:4])
        if len(step) > 4:
            right = _mixed(right, left, step[4:11])
            left = _mixed(left, right, step[11:18])
    return _joined(right, left)


def misty1_decrypt(blocks: Blocks, keys: Blocks) -> Blocks:
    """``Misty1(key).decrypt(block)`` for each."""
    subkeys = _subkeys(keys)
    right, left = _halves(blocks)
    for places in DECRYPTION_STEPS:
        step = itemgetter(*places)(subkeys)
        right, left = _unmasked(right, *step[0:2]), _unmasked(left, *step[2:4])
        if len(step) > 4:
            left = _mixed(left, right, step[4:11])
            right = _mixed(right, left, step[11:18])
    return _joined(left, right)


_Half = tuple[Words, Words]


@cache
def _fi_tables() -> tuple[Words, Words]:
    before, after = fi_look_ups()
    return np.array(before, dtype=np.uint16), np.array(after, dtype=np.uint16)


def _fi(words: Words, subkeys: Words) -> Words:
    before, after = _fi_tables()
    return after.take(before.take(words, mode="clip") ^ subkeys, mode="clip")


def _subkeys(keys: Blocks) -> list[Words]:
    words = [*_words(keys[:, 0]), *_words(keys[:, 1])]
    return words + [_fi(word, following) for word, following in zip(words, words[1:] + words[:1], strict=True)]


def _masked(half: _Half, and_mask: Words, or_mask: Words) -> _Half:
    left, right = half
    right = right ^ left & and_mask
    return left ^ (right | or_mask), right


def _unmasked(half: _Half, and_mask: Words, or_mask: Words) -> _Half:
    left, right = half
    left = left ^ (right | or_mask)
    return left, right ^ left & and_mask


def _mixed(half: _Half, other: _Half, subkeys: tuple[Words, ...]) -> _Half:
    """A half with ``FO`` of the other one mixed in."""
    k1, i1, k2, i2, k3, i3, k4 = subkeys
    left, right = other
    x = _fi(left ^ k1, i1) ^ right
    y = _fi(right ^ k2, i2) ^ x
    return half[0] ^ y ^ k4, half[1] ^ _fi(x ^ k3, i3) ^ y


def _words(numbers: Blocks) -> list[Words]:
    return [(numbers >> _U(shift)).astype(np.uint16) for shift in (48, 32, 16, 0)]


def _halves(blocks: Blocks) -> tuple[_Half, _Half]:
    first, second, third, fourth = _words(blocks)
    return (first, second), (third, fourth)


def _joined(left: _Half, right: _Half) -> Blocks:
    words: list[Blocks] = [word.astype(np.uint64) for word in (*left, *right)]
    joined: Blocks = words[0] << _U(48) | words[1] << _U(32) | words[2] << _U(16) | words[3]
    return joined
