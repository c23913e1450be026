"""A simple model of the token machine, told what is in each token instead of opening it.

It keeps everything that ever happened in plain lists and looks it all up anew each time. A *span* is the time from one
clearing of the TID store to the next; within it, a TID works once.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

from cosem_objects.sts_token import Token
from sim_meters.sts.keys.key_attributes import KeyType
from sim_meters.sts.results import SECTION_RESULTS, TokenResult
from sim_meters.sts.tokens.key_change import MeterKey
from tests.sim_meters.lab_tokens import MADE

ROOM = 20_000
MANUFACTURER_CODE = 7
DEPTH = 5
_TIMEOUT = timedelta(minutes=10)
_MAY_FOLLOW = {KeyType.UNIQUE: (KeyType.UNIQUE, KeyType.DEFAULT), KeyType.DEFAULT: (KeyType.UNIQUE, KeyType.DEFAULT)}


@dataclass(frozen=True)
class Issued:
    """A token and what is in it."""

    token: Token
    key: bytes = b""
    """That it is encrypted under."""
    tid: int = -1
    credit: int | None = None
    clears_credit: bool = False
    mfr_code: int = -1
    section: Section | None = None

    @property
    def is_test(self) -> bool:
        return self.mfr_code >= 0


@dataclass(frozen=True)
class Section:
    """One token of the set that brings ``new``; ``size`` tokens in all."""

    number: int
    size: int
    new: MeterKey
    rollover: bool

    @property
    def words(self) -> list[bytes]:
        octets = self.new.decoder_key.octets
        return [octets[place : place + 4] for place in range(0, len(octets), 4)]

    @property
    def bits(self) -> int:
        """What a third section carries above its CRC, read as a number of 44 bits."""
        if self.size == 3:
            return self.new.sgc << 20
        return (self.new.sgc & 0xFFF) << 32 | int.from_bytes(self.words[1], "big")


@dataclass
class Model:
    """The meter as it should be."""

    key: MeterKey
    sections_supported: int
    now: datetime
    balance: int = 0
    floor: int = MADE
    accepted: list[int] = field(default_factory=list)
    """TIDs of this span."""
    spans: list[set[bytes]] = field(default_factory=lambda: [set()])
    """The keys that were in force in each span."""
    held: dict[int, Section] = field(default_factory=dict)
    held_until: datetime | None = None
    failures: int = 0
    locked_until: datetime | None = None

    def __post_init__(self) -> None:
        self.spans[-1].add(self.octets)

    @property
    def octets(self) -> bytes:
        return self.key.decoder_key.octets

    @property
    def supported(self) -> int:
        return self.sections_supported or (4 if len(self.octets) == 16 else 3)

    def enter(self, issued: Issued, *, is_keypad: bool) -> TokenResult:
        """The result that the meter should show; the model is afterwards as the meter should be."""
        if is_keypad and not issued.is_test and self.locked_until is not None and self.now < self.locked_until:
            return TokenResult.LOCKOUT
        result = self._result(issued)
        if result in (TokenResult.CRC_ERROR, TokenResult.MFR_CODE_ERROR):
            if is_keypad:
                self.failures += 1
                seconds = min(10 * 2 ** (self.failures - 3), 1280) if self.failures >= 3 else 0
                self.locked_until = self.now + timedelta(seconds=seconds) if seconds else None
        elif not issued.is_test and result in (TokenResult.ACCEPT, *SECTION_RESULTS):
            self.power_up()
        return result

    def power_up(self) -> None:
        self.failures, self.locked_until = 0, None

    def _result(self, issued: Issued) -> TokenResult:
        if issued.is_test:
            is_ours = issued.mfr_code in (0, MANUFACTURER_CODE)
            return TokenResult.ACCEPT if is_ours else TokenResult.MFR_CODE_ERROR
        if issued.key != self.octets:
            return TokenResult.CRC_ERROR
        if issued.section is not None:
            return self._section(issued.section)
        return self._tid_token(issued)

    def _tid_token(self, issued: Issued) -> TokenResult:
        kept = sorted([self.floor] * DEPTH + self.accepted)[-DEPTH:]
        if issued.credit is not None and self.key.kt is KeyType.DEFAULT:
            return TokenResult.DDTK_ERROR
        if issued.tid // 65536 > self.key.ken:
            return TokenResult.KEY_EXPIRED_ERROR
        if issued.tid in kept:
            return TokenResult.USED_ERROR
        if issued.tid < kept[0]:
            return TokenResult.OLD_ERROR
        if issued.credit is not None and self.balance + issued.credit > ROOM:
            return TokenResult.OVERFLOW_ERROR
        self.accepted.append(issued.tid)
        self.balance = 0 if issued.clears_credit else self.balance + (issued.credit or 0)
        return TokenResult.ACCEPT

    def _section(self, section: Section) -> TokenResult:
        if section.number > self.supported:
            return TokenResult.FUNCTION_ERROR
        if (section.number, section.size) == (1, 3) and (self.supported < 3 or len(self.octets) == 16):
            return TokenResult.FUNCTION_ERROR
        if (section.number, section.size) == (3, 4) and self.supported < 4:
            return TokenResult.RANGE_ERROR
        if self.held_until is not None and self.now >= self.held_until:
            self.held = {}
        self.held[section.number] = section
        self.held_until = self.now + _TIMEOUT
        needed = (
            {1, 2, 3} if 1 in self.held and self.held[1].size == 3 else {1, 2, 3, 4} if self.supported == 4 else {1, 2}
        )
        if not needed <= set(self.held):
            return SECTION_RESULTS[section.number - 1]
        complete, self.held, self.held_until = self.held, {}, None
        return self._change_key(complete, len(needed))

    def _change_key(self, held: dict[int, Section], size: int) -> TokenResult:
        first, second = held[1], held[2]
        sgc, middle = self.key.sgc, b""
        if size == 3:
            sgc = held[3].bits >> 20
        if size == 4:
            sgc = held[4].new.sgc >> 12 << 12 | held[3].bits >> 32
            middle = (held[3].bits & 0xFFFFFFFF).to_bytes(4, "big") + held[4].words[2]
        octets = first.words[0] + middle + second.words[-1]
        if sgc > 999_999:
            return TokenResult.RANGE_ERROR
        # A key is in force within one span alone: in another one, its tokens would work a second time.
        spans = self.spans if first.rollover else self.spans[:-1]
        if first.new.kt not in _MAY_FOLLOW[self.key.kt] or any(octets in span for span in spans):
            return TokenResult.KEY_TYPE_ERROR
        self.key = replace(
            first.new,
            decoder_key=type(self.key.decoder_key)(octets, 11 if size == 4 else 7),
            ti=second.new.ti,
            sgc=sgc,
            ken=first.new.ken // 16 * 16 + second.new.ken % 16,
        )
        if first.rollover:
            self.spans.append(set())
            self.accepted, self.floor = [], 0
        self.spans[-1].add(octets)
        return TokenResult.ACCEPT
