"""Why a token does not open: which slip of the finger, or which other key, would make its CRC fit. Pure.

The CRC has 16 bits, so every try fits by chance once in 65536; who shows what fits has to say how many were tried.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

from cosem_objects.errors import SettingError, TokenFormatError
from cosem_objects.sts_token import Token, TokenClass
from sim_meters.sts.ciphers.algorithms import ALGORITHMS
from sim_meters.sts.keys.decoder_key import DecoderKey, VendingKey, derive_decoder_key
from sim_meters.sts.keys.key_attributes import KeyAttributes, KeyType
from sim_meters.sts.tid import BaseDate
from sim_meters.sts.tokens.clear_token import ClearToken, decode
from sim_meters.sts.tokens.crc import CrcRule, token_crc
from sim_meters.sts.tokens.token_table import kind_of

_CRC_VALUES = 1 << 16
_NO_KEY = TokenClass.NON_METER_SPECIFIC_MANAGEMENT


@dataclass(frozen=True, slots=True)
class Fit:
    """Something that would make the token open."""

    change: str
    token: ClearToken
    base_date: BaseDate
    """By which the TID is read: a plausible time of issue is what speaks for a fit."""


@dataclass(frozen=True, slots=True)
class Search:
    """What was tried, how often, and what fits."""

    tried: str
    tries: int
    fits: tuple[Fit, ...]

    @property
    def by_chance(self) -> str:
        """How much a fit is worth."""
        return f"by chance one of {self.tries} tries fits in 1 of {_CRC_VALUES // max(self.tries, 1)} cases"


_Try = tuple[str, Token, DecoderKey | None, BaseDate]


def search_digits(token: Token, key: DecoderKey | None, base_date: BaseDate) -> Search:
    """Every other digit at each place, and every exchange of two neighbours. Without a key only class 1 is tried."""
    tries = ((change, other, key, base_date) for change, other in _slips(token, key))
    tried = "another digit at each place, and neighbours exchanged"
    return _search(tried if key is not None else f"{tried}; those that need no key", tries)


def search_keys(token: Token, vending_key: VendingKey, stated: KeyAttributes) -> Search:
    """Other attributes of the key: KRN, KT, base date and EA together, and each TI. The PAN and SGC are as stated."""
    tries = ((change, token, key, other) for change, key, other in _other_keys(vending_key, stated))
    return _search("KRN 1 to 9, KT 1 and 2, base dates and EAs in every combination, and every TI", tries)


def _search(tried: str, tries: Iterable[_Try]) -> Search:
    count, fits = 0, []
    for change, token, key, base_date in tries:
        count += 1
        found = decode(token, key)
        if isinstance(found, ClearToken):
            fits.append(Fit(change, found, base_date))
    return Search(tried, count, tuple(fits))


@dataclass(frozen=True, slots=True)
class CrcCheck:
    """The CRC that stands in a token opened with a key, and the one that belongs to the bits before it."""

    stated: int
    computed: int


def check_crc(token: Token, key: DecoderKey | None) -> CrcCheck:
    """The two sums; ``key`` is needed for all but class 1."""
    block, ea = token.block, 7
    if token.token_class is not _NO_KEY:
        assert key is not None
        block, ea = key.cipher.decrypt(block), key.ea
    kind = kind_of(token.token_class, block >> 60, upper=block >> 16, ea=ea)
    rule = CrcRule.CRC if kind is None else kind.crc_rule
    return CrcCheck(block & 0xFFFF, token_crc(token.token_class, block >> 16, rule))


def _slips(token: Token, key: DecoderKey | None) -> Iterator[tuple[str, Token]]:
    digits = token.digits
    changed = [
        (f"digit {place + 1} is {digit} instead of {digits[place]}", digits[:place] + digit + digits[place + 1 :])
        for place in range(20)
        for digit in "0123456789"
        if digit != digits[place]
    ]
    changed += [
        (
            f"digits {place + 1} and {place + 2} are exchanged",
            digits[:place] + digits[place + 1] + digits[place] + digits[place + 2 :],
        )
        for place in range(19)
        if digits[place] != digits[place + 1]
    ]
    for change, text in changed:
        try:
            other = Token.parse(text)
        except TokenFormatError:  # 66 bits end below some numbers of 20 digits
            continue
        if key is not None or other.token_class is _NO_KEY:
            yield change, other


def _other_keys(vending_key: VendingKey, stated: KeyAttributes) -> Iterator[tuple[str, DecoderKey, BaseDate]]:
    """Each key once, with what makes it another one; not the stated key itself."""
    seen = {derive_decoder_key(vending_key, stated).octets}
    for attributes in _other_attributes(stated):
        try:
            key = derive_decoder_key(vending_key, attributes)
        except SettingError:  # not with this DKGA
            continue
        if key.octets not in seen:
            seen.add(key.octets)
            yield _differences(stated, attributes), key, attributes.base_date


def _other_attributes(stated: KeyAttributes) -> Iterator[KeyAttributes]:
    for ti in range(100):
        yield replace(stated, ti=ti)
    for base_date in BaseDate:
        for ea in ALGORITHMS if stated.dkga == 4 else (stated.ea,):
            for kt in (KeyType.UNIQUE, KeyType.DEFAULT):
                for krn in range(1, 10):
                    yield replace(stated, krn=krn, kt=kt, base_date=base_date, ea=ea)


def _differences(stated: KeyAttributes, other: KeyAttributes) -> str:
    texts = {"krn": "KRN {:d}", "kt": "KT {:d}", "base_date": "base date {:d}", "ea": "EA{:02d}", "ti": "TI {:02d}"}
    changed = [name for name in texts if getattr(stated, name) != getattr(other, name)]
    return ", ".join(texts[name].format(getattr(other, name)) for name in changed)
