"""Key-change sets: a new decoder key, and what belongs to it, in two, three or four tokens under the present key.

| set | new key | brings the SGC | sections (subclass) |
|---|---|---|---|
| 2 tokens | 64 bits, EA07 | no | 1st (3), 2nd (4) |
| 3 tokens | 64 bits, EA07 | yes | 1st with 3KCT = 1 (3), 2nd (4), 3rd (8) |
| 4 tokens | 128 bits, EA11 | yes | 1st (3), 2nd (4), 3rd (8), 4th (9) |

The sections carry no TID and no RND: the set works under one key only, so entering it again after it worked does
nothing. IEC 62055-41; all three sets are confirmed by compliance tokens (STS531-1, CTSA05, CTSA15, CTSA19).
"""

from __future__ import annotations

from dataclasses import dataclass

from cosem_objects.errors import SettingError
from cosem_objects.sts_token import Token
from sim_meters.sts.keys.decoder_key import DecoderKey
from sim_meters.sts.keys.key_attributes import KeyType
from sim_meters.sts.keys.key_expiry import KEN_NEVER
from sim_meters.sts.tokens.clear_token import ClearToken, clear_token, encode
from sim_meters.sts.tokens.token_kind import TokenKind
from sim_meters.sts.tokens.token_table import SECTION_1, SECTION_2, SECTION_3_OF_3, SECTION_3_OF_4, SECTION_4

_LONG_KEY_BYTES = 16

NUMBER_OF_SECTION = {SECTION_1: 1, SECTION_2: 2, SECTION_3_OF_3: 3, SECTION_3_OF_4: 3, SECTION_4: 4}


@dataclass(frozen=True, slots=True, kw_only=True)
class MeterKey:
    """A decoder key, and the attributes that live and die with it in a meter: what class 116 shows."""

    decoder_key: DecoderKey
    kt: KeyType
    krn: int
    """Key revision number, 1 to 9."""
    ti: int
    """Tariff index, 0 to 99."""
    sgc: int
    """Supply group code, 0 to 999999."""
    ken: int = KEN_NEVER
    """Key expiry number, 0 to 255, compared with the upper eight bits of a TID."""

    def __post_init__(self) -> None:
        for name, number, low, high in (
            ("krn", self.krn, 1, 9),
            ("ti", self.ti, 0, 99),
            ("sgc", self.sgc, 0, 999_999),
            ("ken", self.ken, 0, 255),
        ):
            if not low <= number <= high:
                raise SettingError(f"{name}: expected {low} to {high}; got {number}")


def sections_of(new: MeterKey, *, rollover: bool, with_sgc: bool = True) -> tuple[ClearToken, ...]:
    """The sections that bring a key, in the sequence of their numbers: four for a key of 128 bits, else three, or two
    without the SGC. ``rollover``: RO, which clears the meter's TID store; for a new base date."""
    octets = new.decoder_key.octets
    words = [int.from_bytes(octets[place : place + 4], "big") for place in range(0, len(octets), 4)]
    is_long = len(octets) == _LONG_KEY_BYTES
    first = {
        "ken_high": new.ken >> 4,
        "krn": new.krn,
        "ro": int(rollover),
        "three_kct": int(with_sgc and not is_long),
        "kt": int(new.kt),
        "key_word": words[0],
    }
    second = {"ken_low": new.ken & 0xF, "ti": new.ti, "key_word": words[-1]}
    sections = [clear_token(SECTION_1, first), clear_token(SECTION_2, second)]
    if is_long:
        # The 3rd section carries the second word of the key and the 4th the third, whatever their names in sources.
        sections.append(clear_token(SECTION_3_OF_4, {"sgc_low": new.sgc & 0xFFF, "key_word": words[1]}))
        sections.append(clear_token(SECTION_4, {"sgc_high": new.sgc >> 12, "key_word": words[2]}))
    elif with_sgc:
        sections.append(clear_token(SECTION_3_OF_3, {"sgc": new.sgc}))
    return tuple(sections)


def key_change_set(present: DecoderKey, new: MeterKey, *, rollover: bool, with_sgc: bool = True) -> tuple[Token, ...]:
    """The tokens that bring a meter from its present key to a new one; see ``sections_of``."""
    return tuple(encode(section, present) for section in sections_of(new, rollover=rollover, with_sgc=with_sgc))


@dataclass(frozen=True, slots=True)
class NewKey:
    """What a complete set says. Not checked: a set may say nonsense."""

    decoder_key: DecoderKey
    kt: KeyType
    krn: int
    ti: int
    sgc: int | None
    """``None``: a set of two does not say."""
    ken: int
    rollover: bool
    numbers: tuple[int, ...]
    """The sections that said so."""


@dataclass(frozen=True, slots=True, repr=False)
class KeySections:
    """The sections that a meter holds of a set that is not complete yet. They may come in any order; one that comes
    again replaces the one before."""

    first: ClearToken | None = None
    second: ClearToken | None = None
    third: ClearToken | None = None
    fourth: ClearToken | None = None

    @property
    def numbers(self) -> tuple[int, ...]:
        """Those that are held."""
        held = (self.first, self.second, self.third, self.fourth)
        return tuple(number for number, section in enumerate(held, 1) if section is not None)

    def plus(self, section: ClearToken) -> KeySections:
        """With one more."""
        held = [self.first, self.second, self.third, self.fourth]
        held[NUMBER_OF_SECTION[section.kind] - 1] = section
        return KeySections(*held)

    def only(self, numbers: tuple[int, ...]) -> KeySections:
        """Without all others."""
        held = (self.first, self.second, self.third, self.fourth)
        return KeySections(*(section if number in numbers else None for number, section in enumerate(held, 1)))

    def complete(self, *, takes_four: bool) -> NewKey | None:
        """The key that the sections make, once all of their set are there. ``takes_four``: the meter's sets have four
        sections, unless the first says that it is one of three (3KCT)."""
        if self.first is None or self.second is None:
            return None
        outer = self.first["key_word"], self.second["key_word"]
        if self.first["three_kct"]:
            return None if self.third is None else self._made(outer, _read_again(self.third, SECTION_3_OF_3)["sgc"])
        if not takes_four:
            return self._made(outer, None)
        if self.third is None or self.fourth is None:
            return None
        third = _read_again(self.third, SECTION_3_OF_4)
        words = (outer[0], third["key_word"], self.fourth["key_word"], outer[1])
        return self._made(words, self.fourth["sgc_high"] << 12 | third["sgc_low"])

    def _made(self, words: tuple[int, ...], sgc: int | None) -> NewKey:
        first, second = self.first, self.second
        assert first is not None
        assert second is not None
        octets = b"".join(word.to_bytes(4, "big") for word in words)
        return NewKey(
            decoder_key=DecoderKey(octets, 11 if len(octets) == _LONG_KEY_BYTES else 7),
            kt=KeyType(first["kt"]),
            krn=first["krn"],
            ti=second["ti"],
            sgc=sgc,
            ken=first["ken_high"] << 4 | second["ken_low"],
            rollover=bool(first["ro"]),
            numbers=(1, 2, 3, 4) if len(octets) == _LONG_KEY_BYTES else (1, 2) if sgc is None else (1, 2, 3),
        )

    def __repr__(self) -> str:
        return f"<KeySections {self.numbers}>"


def _read_again(third: ClearToken, kind: TokenKind) -> ClearToken:
    """A third section as what its set makes of it: two types share its subclass."""
    return ClearToken(kind, third.upper)
