"""EA11, MISTY1: 64-bit blocks, 128-bit keys, 8 rounds (RFC 2994; for STS, IEC 62055-41 edition 3).

How to think about it. The block is two halves of 32 bits, each of two words of 16. A round mixes one half into the
other (``FO``, which is three times the word function ``FI``); before each two rounds, and after the last, both halves
go through ``FL``, which only masks. Backwards, the same rounds run in the other order, with the inverse of ``FL``.

``FI`` replaces the upper 9 and the lower 7 bits of a word through S9 and S7, takes a subkey in by XOR, and replaces 9
bits again. What happens before the subkey and what happens after it depend on one word each, and so each is a look-up
among 65,536: ``FI(word, subkey)`` is ``after[before[word] ^ subkey]``. All is written out in one loop, because a call
costs Python as much as an ``FI``.
"""

from __future__ import annotations

import struct
from array import array
from functools import cache
from operator import itemgetter

# fmt: off
# RFC 2994, section 2.2
S7 = (
     27,  50,  51,  90,  59,  16,  23,  84,  91,  26, 114, 115, 107,  44, 102,  73,
     31,  36,  19, 108,  55,  46,  63,  74,  93,  15,  64,  86,  37,  81,  28,   4,
     11,  70,  32,  13, 123,  53,  68,  66,  43,  30,  65,  20,  75, 121,  21, 111,
     14,  85,   9,  54, 116,  12, 103,  83,  40,  10, 126,  56,   2,   7,  96,  41,
     25,  18, 101,  47,  48,  57,   8, 104,  95, 120,  42,  76, 100,  69, 117,  61,
     89,  72,   3,  87, 124,  79,  98,  60,  29,  33,  94,  39, 106, 112,  77,  58,
      1, 109, 110,  99,  24, 119,  35,   5,  38, 118,   0,  49,  45, 122, 127,  97,
     80,  34,  17,   6,  71,  22,  82,  78, 113,  62, 105,  67,  52,  92,  88, 125,
)
S9 = (
    451, 203, 339, 415, 483, 233, 251,  53, 385, 185, 279, 491, 307,   9,  45, 211,
    199, 330,  55, 126, 235, 356, 403, 472, 163, 286,  85,  44,  29, 418, 355, 280,
    331, 338, 466,  15,  43,  48, 314, 229, 273, 312, 398,  99, 227, 200, 500,  27,
      1, 157, 248, 416, 365, 499,  28, 326, 125, 209, 130, 490, 387, 301, 244, 414,
    467, 221, 482, 296, 480, 236,  89, 145,  17, 303,  38, 220, 176, 396, 271, 503,
    231, 364, 182, 249, 216, 337, 257, 332, 259, 184, 340, 299, 430,  23, 113,  12,
     71,  88, 127, 420, 308, 297, 132, 349, 413, 434, 419,  72, 124,  81, 458,  35,
    317, 423, 357,  59,  66, 218, 402, 206, 193, 107, 159, 497, 300, 388, 250, 406,
    481, 361, 381,  49, 384, 266, 148, 474, 390, 318, 284,  96, 373, 463, 103, 281,
    101, 104, 153, 336,   8,   7, 380, 183,  36,  25, 222, 295, 219, 228, 425,  82,
    265, 144, 412, 449,  40, 435, 309, 362, 374, 223, 485, 392, 197, 366, 478, 433,
    195, 479,  54, 238, 494, 240, 147,  73, 154, 438, 105, 129, 293,  11,  94, 180,
    329, 455, 372,  62, 315, 439, 142, 454, 174,  16, 149, 495,  78, 242, 509, 133,
    253, 246, 160, 367, 131, 138, 342, 155, 316, 263, 359, 152, 464, 489,   3, 510,
    189, 290, 137, 210, 399,  18,  51, 106, 322, 237, 368, 283, 226, 335, 344, 305,
    327,  93, 275, 461, 121, 353, 421, 377, 158, 436, 204,  34, 306,  26, 232,   4,
    391, 493, 407,  57, 447, 471,  39, 395, 198, 156, 208, 334, 108,  52, 498, 110,
    202,  37, 186, 401, 254,  19, 262,  47, 429, 370, 475, 192, 267, 470, 245, 492,
    269, 118, 276, 427, 117, 268, 484, 345,  84, 287,  75, 196, 446, 247,  41, 164,
     14, 496, 119,  77, 378, 134, 139, 179, 369, 191, 270, 260, 151, 347, 352, 360,
    215, 187, 102, 462, 252, 146, 453, 111,  22,  74, 161, 313, 175, 241, 400,  10,
    426, 323, 379,  86, 397, 358, 212, 507, 333, 404, 410, 135, 504, 291, 167, 440,
    321,  60, 505, 320,  42, 341, 282, 417, 408, 213, 294, 431,  97, 302, 343, 476,
    114, 394, 170, 150, 277, 239,  69, 123, 141, 325,  83,  95, 376, 178,  46,  32,
    469,  63, 457, 487, 428,  68,  56,  20, 177, 363, 171, 181,  90, 386, 456, 468,
     24, 375, 100, 207, 109, 256, 409, 304, 346,   5, 288, 443, 445, 224,  79, 214,
    319, 452, 298,  21,   6, 255, 411, 166,  67, 136,  80, 351, 488, 289, 115, 382,
    188, 194, 201, 371, 393, 501, 116, 460, 486, 424, 405,  31,  65,  13, 442,  50,
     61, 465, 128, 168,  87, 441, 354, 328, 217, 261,  98, 122,  33, 511, 274, 264,
    448, 169, 285, 432, 422, 205, 243,  92, 258,  91, 473, 324, 502, 173, 165,  58,
    459, 310, 383,  70, 225,  30, 477, 230, 311, 506, 389, 140, 143,  64, 437, 190,
    120,   0, 172, 272, 350, 292,   2, 444, 162, 234, 112, 508, 278, 348,  76, 450,
)
# fmt: on

_KEY_WORDS = struct.Struct(">8H")
_BLOCK_WORDS = struct.Struct(">4H")

Schedule = list[tuple[int, ...]]
"""Of each two rounds the subkeys in the order of their use; last, the masks that come after all rounds."""


class Misty1:
    """The cipher under one key. Blocks and keys are big-endian numbers of 64 and 128 bits."""

    __slots__ = ("_decryption", "_encryption", "_look_ups", "_subkeys")

    def __init__(self, key: int) -> None:
        before, after = self._look_ups = fi_look_ups()
        words = _KEY_WORDS.unpack(key.to_bytes(16, "big"))
        mixed = [after[before[word] ^ following] for word, following in zip(words, words[1:] + words[:1], strict=True)]
        self._subkeys = (*words, *mixed)
        # Each is made when it is first used: a meter only decrypts, and who issues tokens only encrypts.
        self._encryption: Schedule = []
        self._decryption: Schedule = []

    def encrypt(self, block: int) -> int:
        """One block, in no mode and with no initial value: STS needs none."""
        if not self._encryption:
            self._encryption = [choose(self._subkeys) for choose in _ENCRYPTION]
        *rounds, last = self._encryption
        before, after = self._look_ups
        words: tuple[int, int, int, int] = _BLOCK_WORDS.unpack(block.to_bytes(8, "big"))
        l0, l1, r0, r1 = words
        for l_and, l_or, r_and, r_or, k1, i1, k2, i2, k3, i3, k4, m1, j1, m2, j2, m3, j3, m4 in rounds:
            l1 ^= l0 & l_and
            l0 ^= l1 | l_or
            r1 ^= r0 & r_and
            r0 ^= r1 | r_or
            x = after[before[l0 ^ k1] ^ i1] ^ l1
            y = after[before[l1 ^ k2] ^ i2] ^ x
            r0 ^= y ^ k4
            r1 ^= after[before[x ^ k3] ^ i3] ^ y
            x = after[before[r0 ^ m1] ^ j1] ^ r1
            y = after[before[r1 ^ m2] ^ j2] ^ x
            l0 ^= y ^ m4
            l1 ^= after[before[x ^ m3] ^ j3] ^ y
        l_and, l_or, r_and, r_or = last
        l1 ^= l0 & l_and
        l0 ^= l1 | l_or
        r1 ^= r0 & r_and
        r0 ^= r1 | r_or
        return r0 << 48 | r1 << 32 | l0 << 16 | l1

    def decrypt(self, block: int) -> int:
        """Undo ``encrypt``: the halves come in changed places, and go out in their own."""
        if not self._decryption:
            self._decryption = [choose(self._subkeys) for choose in _DECRYPTION]
        *rounds, last = self._decryption
        before, after = self._look_ups
        words: tuple[int, int, int, int] = _BLOCK_WORDS.unpack(block.to_bytes(8, "big"))
        r0, r1, l0, l1 = words
        for r_and, r_or, l_and, l_or, k1, i1, k2, i2, k3, i3, k4, m1, j1, m2, j2, m3, j3, m4 in rounds:
            r0 ^= r1 | r_or
            r1 ^= r0 & r_and
            l0 ^= l1 | l_or
            l1 ^= l0 & l_and
            x = after[before[r0 ^ k1] ^ i1] ^ r1
            y = after[before[r1 ^ k2] ^ i2] ^ x
            l0 ^= y ^ k4
            l1 ^= after[before[x ^ k3] ^ i3] ^ y
            x = after[before[l0 ^ m1] ^ j1] ^ l1
            y = after[before[l1 ^ m2] ^ j2] ^ x
            r0 ^= y ^ m4
            r1 ^= after[before[x ^ m3] ^ j3] ^ y
        r_and, r_or, l_and, l_or = last
        r0 ^= r1 | r_or
        r1 ^= r0 & r_and
        l0 ^= l1 | l_or
        l1 ^= l0 & l_and
        return l0 << 48 | l1 << 32 | r0 << 16 | r1


@cache
def fi_look_ups() -> tuple[array[int], array[int]]:
    """``FI`` up to its subkey, and from there on, for every word; arrays, which stay in the processor's cache."""
    return array("H", map(_before, range(1 << 16))), array("H", map(_after, range(1 << 16)))


def _before(word: int) -> int:
    low = word & 0x7F
    nine = S9[word >> 7] ^ low
    return (S7[low] ^ nine & 0x7F) << 9 | nine


def _after(word: int) -> int:
    seven = word >> 9
    return seven << 9 | S9[word & 0x1FF] ^ seven


# Where in the sixteen subkeys, K0 to K7 and then K'0 to K'7, those of a step stand (RFC 2994, sections 2.3 and 2.4).


def _masks_of(step: int) -> tuple[int, int]:
    half = step // 2
    return (_mixed(half + 2), _plain(half + 4)) if step % 2 else (_plain(half), _mixed(half + 6))


def _round_of(step: int) -> tuple[int, ...]:
    return (
        *(_plain(step), _mixed(step + 5)),
        *(_plain(step + 2), _mixed(step + 1)),
        *(_plain(step + 7), _mixed(step + 3)),
        _plain(step + 4),
    )


def _plain(index: int) -> int:
    return index % 8


def _mixed(index: int) -> int:
    return index % 8 + 8


ENCRYPTION_STEPS = (
    *((*_masks_of(i), *_masks_of(i + 1), *_round_of(i), *_round_of(i + 1)) for i in (0, 2, 4, 6)),
    (*_masks_of(8), *_masks_of(9)),
)
DECRYPTION_STEPS = (
    *((*_masks_of(i), *_masks_of(i - 1), *_round_of(i - 2), *_round_of(i - 3)) for i in (9, 7, 5, 3)),
    (*_masks_of(1), *_masks_of(0)),
)
_ENCRYPTION = [itemgetter(*places) for places in ENCRYPTION_STEPS]
_DECRYPTION = [itemgetter(*places) for places in DECRYPTION_STEPS]
