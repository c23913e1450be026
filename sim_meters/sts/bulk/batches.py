"""Tokens by the million, with NumPy: credit for many meters, keys for many meters, and which tokens a key accepts.

For a laboratory that fills a whole town with tokens, or measures what the check sum catches. It makes what
``clear_token.encode_credit`` and ``clear_token.encode`` make one at a time, from the same table of token types.

NumPy comes with the extra ``lab``: ``pip install "stsgate[lab]"``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from cosem_objects.errors import SettingError

try:
    import numpy as np
except ImportError:
    missing = 'bulk tokens: expected NumPy, which the extra "lab" of stsgate installs; it is missing'
    raise SettingError(missing) from None
from numpy.typing import NDArray

from cosem_objects.sts_token import TokenClass
from sim_meters.sts.bulk.bulk_blocks import (
    INT64_MAX,
    Blocks,
    Classes,
    Digits,
    Numbers,
    crc_fields,
    digits_of,
    packed,
    read_numbers,
    uses_crc_c,
)
from sim_meters.sts.bulk.bulk_ciphers import misty1_decrypt, misty1_encrypt, sta_decrypt, sta_encrypt
from sim_meters.sts.ciphers.algorithms import algorithm_of
from sim_meters.sts.keys.decoder_key import DecoderKey, HmacSha256, VendingKey, derive_decoder_key, dkga04_message
from sim_meters.sts.keys.identity import MeterPan
from sim_meters.sts.keys.key_attributes import KeyAttributes
from sim_meters.sts.tid import TID_MAX
from sim_meters.sts.tokens.amount import AMOUNT16_MAX
from sim_meters.sts.tokens.crc import CrcRule
from sim_meters.sts.tokens.token_kind import TokenKind

Flags = NDArray[np.bool_]

_U = np.uint64

_CHUNK = 8192
"""So many tokens go through all steps before the next: their arrays stay in a processor's second cache."""


@dataclass(frozen=True, slots=True, repr=False)
class KeyBatch:
    """Decoder keys of one encryption algorithm: a number for each (EA07), or a row of two, upper half first (EA11)."""

    ea: int
    keys: Blocks

    def __post_init__(self) -> None:
        numbers = algorithm_of(self.ea).key_bytes // 8
        shape = (len(self.keys),) if numbers == 1 else (len(self.keys), numbers)
        if self.keys.dtype != np.uint64 or self.keys.shape != shape:
            raise SettingError(
                f"keys: EA{self.ea:02d} takes {numbers} of uint64 a key; got the shape {self.keys.shape}"
            )

    @classmethod
    def of(cls, decoder_keys: Sequence[DecoderKey]) -> KeyBatch:
        """Keys at hand; at least one, and all for the same algorithm. Raises ``SettingError``."""
        algorithms = {key.ea for key in decoder_keys}
        if len(algorithms) != 1:
            raise SettingError(f"keys: expected one encryption algorithm; got {len(algorithms)}")
        return cls.of_octets(algorithms.pop(), b"".join(key.octets for key in decoder_keys))

    @classmethod
    def of_octets(cls, ea: int, octets: bytes) -> KeyBatch:
        """Keys one after the other, each big-endian."""
        numbers = np.frombuffer(octets, ">u8").astype(np.uint64)
        return cls(ea, numbers if algorithm_of(ea).key_bytes == 8 else numbers.reshape(-1, 2))

    def __len__(self) -> int:
        return len(self.keys)


@dataclass(frozen=True, slots=True, repr=False)
class TokenBatch:
    """Tokens, each as its class and its 64-bit block without the class (encrypted, but for class 1)."""

    classes: Classes
    blocks: Blocks

    @property
    def digits(self) -> Digits:
        """The 20 digits of each: ``S20``. They are money, as one token's are."""
        digits = np.empty(len(self), "S20")
        for part in _parts(len(self)):
            digits[part] = digits_of(self.classes[part], self.blocks[part])
        return digits

    def __len__(self) -> int:
        return len(self.blocks)


def derive_keys(vending_key: VendingKey, attributes: KeyAttributes, pans: Sequence[MeterPan]) -> KeyBatch:
    """Generate the keys of meters that have all attributes but the PAN in common; that of ``attributes`` is not used.

    Raises ``SettingError`` for what DKGA04, the only one here, does not allow.
    """
    if attributes.dkga != 4:
        raise SettingError(f"dkga: expected 04 for many keys at once; got {attributes.dkga:02d}")
    key_bytes = len(derive_decoder_key(vending_key, attributes).octets)
    before, after = dkga04_message(attributes)
    digest = HmacSha256.under(vending_key).digest
    keys = [digest(before + pan.digits.encode("ascii") + after)[:key_bytes] for pan in pans]
    return KeyBatch.of_octets(attributes.ea, b"".join(keys))


def encode_credits(kind: TokenKind, units: Numbers, tids: Numbers, rnds: Numbers | None, keys: KeyBatch) -> TokenBatch:
    """A credit token of one type for each key. Raises ``SettingError`` naming what is out of range.

    ``units`` are token units, and stay below 2^63 even in currency. ``rnds`` (0 to 15) are for tokens in units only.
    """
    values = {"tid": tids, kind.value.name: units} | ({} if rnds is None else {"rnd": rnds})
    _check_values(kind, values, len(keys))
    encrypt = _CIPHERS[keys.ea].encrypt
    blocks = np.empty(len(keys), np.uint64)
    for part in _parts(len(keys)):
        upper = packed(kind, {name: numbers[part] for name, numbers in values.items()})
        crc = crc_fields(np.full(len(upper), kind.token_class, np.uint8), upper, kind.crc_rule)
        blocks[part] = encrypt(upper << _U(16) | crc, keys.keys[part])
    return TokenBatch(np.full(len(keys), kind.token_class, np.uint8), blocks)


def read_digits(digits: Digits) -> tuple[TokenBatch, Flags]:
    """The tokens behind 20 digits each, and whether they are any: 20 digits that fit in 66 bits.

    Where they do not, class and block mean nothing. Raises ``SettingError`` for another dtype than ``S20``.
    """
    if digits.dtype != "S20":
        raise SettingError(f"digits: expected an array of S20; got {digits.dtype}")
    classes, blocks = np.empty(len(digits), np.uint8), np.empty(len(digits), np.uint64)
    is_token = np.empty(len(digits), np.bool_)
    for part in _parts(len(digits)):
        classes[part], blocks[part], is_token[part] = read_numbers(digits[part])
    return TokenBatch(classes, blocks), is_token


def accepted(tokens: TokenBatch, keys: KeyBatch) -> Flags:
    """Of each token, whether its CRC fits when it is opened with its key; never for the reserved class 3.

    ``clear_token.decode`` asks the same first. What the fields say, and whether the meter can do it, is not asked.
    """
    if len(tokens) != len(keys):
        raise SettingError(f"keys: expected one for each of {len(tokens)} tokens; got {len(keys)}")
    decrypt = _CIPHERS[keys.ea].decrypt
    fits = np.empty(len(tokens), np.bool_)
    for part in _parts(len(tokens)):
        classes, blocks = tokens.classes[part], tokens.blocks[part]
        is_encrypted = classes != TokenClass.NON_METER_SPECIFIC_MANAGEMENT
        clear = np.where(is_encrypted, decrypt(blocks, keys.keys[part]), blocks)
        upper = clear >> _U(16)
        crc, crc_c = (crc_fields(classes, upper, rule) for rule in (CrcRule.CRC, CrcRule.CRC_C))
        expected = np.where(uses_crc_c()[classes, clear >> _U(60)], crc_c, crc)
        fits[part] = (expected == clear & _U(0xFFFF)) & (classes != TokenClass.RESERVED)
    return fits


class _Cipher(NamedTuple):
    encrypt: Callable[[Blocks, Blocks], Blocks]
    decrypt: Callable[[Blocks, Blocks], Blocks]


_CIPHERS = {7: _Cipher(sta_encrypt, sta_decrypt), 11: _Cipher(misty1_encrypt, misty1_decrypt)}


def _parts(count: int) -> Iterator[slice]:
    return (slice(start, start + _CHUNK) for start in range(0, count, _CHUNK))


# Fields


def _check_values(kind: TokenKind, values: dict[str, Numbers], count: int) -> None:
    money = kind.amount and kind.is_currency
    limits = {
        "tid": (0, TID_MAX),
        "rnd": (0, 15),
        kind.value.name: (-INT64_MAX, INT64_MAX) if money else (0, AMOUNT16_MAX),
    }
    wanted = {field.name for field in kind.layout}
    if wanted != set(values):
        raise SettingError(f"{kind.name}: expected {', '.join(sorted(wanted))}; got {', '.join(sorted(values))}")
    for name, numbers in values.items():
        least, most = limits[name]
        if numbers.shape != (count,):
            raise SettingError(f"{name}: expected one for each of {count} keys; got the shape {numbers.shape}")
        wrong = numbers[(numbers < least) | (numbers > most)]
        if len(wrong):
            raise SettingError(f"{name}: expected {least} to {most}; got {wrong[0]}")
