"""A payment meter as one would explain it to a friend: what is in it, and what each token does to that.

It opens no token: who made one tells it what the token says. It shares nothing with ``sim_meters`` but the names of
results, and is written to be read beside IEC 62055-41, not to be fast.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime, timedelta

MAY_FOLLOW = {0: {0, 1, 2}, 1: {1, 2}, 2: {1, 2}, 3: {1, 3}}
"""Key type -> types of keys that may replace it; none of these meters takes a common key (3)."""
WRONG_DIGITS = ("CRC_ERROR", "MFR_CODE_ERROR")
BOTTOM, TOP = -(2**31), 2**31 - 1


@dataclass(frozen=True)
class Key:
    """A decoder key, in a meter."""

    octets: bytes
    kt: int
    krn: int
    ti: int
    sgc: int
    ken: int


@dataclass(frozen=True)
class Section:
    """What a section of a key-change set says. ``rest``: of the first KRN, RO, 3KCT, KT and KENHO; of the second TI and
    KENLO; of the others the 44 bits after the subclass."""

    number: int
    rest: tuple[int, ...]
    word: bytes = b""


@dataclass(frozen=True)
class Said:
    """What a token says."""

    what: str
    """``credit``, ``foreign``, ``limit``, ``clear``, ``untamper``, ``control``, ``section`` or ``test``."""
    key: bytes | None = None
    """Under which it was made; ``None``: under none."""
    tid: int = 0
    value: int = 0
    section: Section | None = None


@dataclass
class PlainMeter:
    """Its settings, and what is in it."""

    key: Key
    own_register: int
    owed_at_first: int
    part_kept: int
    """Of every credit, in parts of 10000."""
    advance: int
    raw_per_unit: int
    sections_supported: int
    """0: as the key has it."""
    tids_max: int
    tids: list[int] = field(default_factory=lambda: [0])
    balance: int = 0
    collected: int = 0
    advance_owed: int = 0
    limit: int | None = None
    controls: dict[int, int] = field(default_factory=dict)
    is_tampered: bool = False
    is_held_open: bool = False
    sections: dict[int, Section] = field(default_factory=dict)
    sections_end: datetime | None = None
    held_lately: set[bytes] = field(default_factory=set)
    held_before: set[bytes] = field(default_factory=set)
    wrong_in_a_row: int = 0
    locked_until: datetime | None = None

    @property
    def debt(self) -> int:
        return self.owed_at_first - self.collected

    @property
    def is_closed(self) -> bool:
        return self.balance > 0 and not self.is_tampered and not self.is_held_open

    @property
    def has_long_key(self) -> bool:
        return len(self.key.octets) == 16

    @property
    def supported(self) -> int:
        return self.sections_supported or (4 if self.has_long_key else 3)

    # What happens.

    def lose_power(self) -> None:
        self.wrong_in_a_row, self.locked_until = 0, None

    def take_advance(self) -> bool:
        if self.advance == 0 or self.balance > 0 or self.advance_owed:
            return False
        self.balance += self.advance
        self.advance_owed = self.advance
        return True

    def keypad_is_locked(self, said: Said, now: datetime) -> bool:
        return self.locked_until is not None and now < self.locked_until and said.what not in ("test", "foreign test")

    def work_on(self, said: Said, time: datetime, *, is_keypad: bool) -> str:
        """The result, by its name."""
        result = self._result(said, time)
        if is_keypad or result not in WRONG_DIGITS:
            self._count(result, said, time)
        return result

    def _count(self, result: str, said: Said, time: datetime) -> None:
        if result in WRONG_DIGITS:
            self.wrong_in_a_row += 1
            if self.wrong_in_a_row >= 3:
                self.locked_until = time + timedelta(seconds=min(10 * 2 ** (self.wrong_in_a_row - 3), 1280))
            else:
                self.locked_until = None
        elif (result == "ACCEPT" or result.endswith("_SECTION")) and said.what != "test":
            self.wrong_in_a_row, self.locked_until = 0, None

    def _result(self, said: Said, time: datetime) -> str:
        if said.what == "test":
            return "ACCEPT"
        if said.what == "foreign test":
            return "MFR_CODE_ERROR"
        if said.key != self.key.octets:
            return "CRC_ERROR"
        if said.section is not None:
            return self._take_section(said.section, time)
        refusal = self._refusal(said)
        if refusal:
            return refusal
        if said.what == "credit" and not self._book(said.value):
            return "OVERFLOW_ERROR"
        self.tids = sorted([*self.tids, said.tid])[-self.tids_max :]
        self._obey(said)
        return "ACCEPT"

    def _refusal(self, said: Said) -> str:
        if said.what == "foreign":
            return "FUNCTION_ERROR"
        if said.what == "credit" and self.key.kt == 1:
            return "DDTK_ERROR"
        if said.tid // 65536 > self.key.ken:
            return "KEY_EXPIRED_ERROR"
        if said.tid in self.tids:
            return "USED_ERROR"
        if self.tids and said.tid < min(self.tids):
            return "OLD_ERROR"
        if said.what == "clear" and said.value not in (self.own_register, 0xFFFF):
            return "FUNCTION_ERROR" if said.value < 8 else "RANGE_ERROR"
        if said.what == "control" and said.value // 1024 != 0:
            return "FUNCTION_ERROR"
        return ""

    def _book(self, units: int) -> bool:
        repaid = max(0, min(units, self.advance_owed))
        kept = max(0, min((units - repaid) * self.part_kept // 10_000, self.debt)) if units > 0 else 0
        balance, advance_owed = self.balance + units - repaid - kept, self.advance_owed - repaid
        if not all(BOTTOM <= shown * self.raw_per_unit <= TOP for shown in (balance, balance - advance_owed)):
            return False
        self.balance, self.advance_owed = balance, advance_owed
        self.collected += kept
        return True

    def _obey(self, said: Said) -> None:
        if said.what == "limit":
            self.limit = said.value
        elif said.what == "clear":
            self.balance = self.advance_owed
        elif said.what == "untamper":
            self.is_tampered = False
        elif said.what == "control":
            self.controls[said.value // 1024] = said.value % 1024

    # Key changes.

    def _take_section(self, section: Section, time: datetime) -> str:
        if section.number > self.supported:
            return "FUNCTION_ERROR"
        if section.number == 3 and self.supported == 3 and section.rest[0] % (1 << 20):
            return "RANGE_ERROR"
        if section.number == 1 and section.rest[2] and (self.supported < 3 or self.has_long_key):
            return "FUNCTION_ERROR"
        if self.sections_end is not None and time >= self.sections_end:
            self.sections = {}
        self.sections[section.number] = section
        self.sections_end = time + timedelta(seconds=600)
        wanted = self._wanted()
        if not wanted <= set(self.sections):
            return ("FIRST", "SECOND", "THIRD", "FOURTH")[section.number - 1] + "_KEY_CHANGE_SECTION"
        held, self.sections, self.sections_end = self.sections, {}, None
        return self._change_key(held, wanted)

    def _wanted(self) -> set[int]:
        first = self.sections.get(1)
        if first is not None and first.rest[2]:
            return {1, 2, 3}
        return {1, 2, 3, 4} if self.supported == 4 else {1, 2}

    def _change_key(self, held: dict[int, Section], wanted: set[int]) -> str:
        krn, rollover, _, kt, ken_high = held[1].rest
        ti, ken_low = held[2].rest
        octets, sgc = held[1].word + held[2].word, self.key.sgc
        if wanted == {1, 2, 3}:
            sgc = held[3].rest[0] >> 20
        if 4 in wanted:
            third, fourth = held[3].rest[0], held[4].rest[0]
            words = [(bits & 0xFFFFFFFF).to_bytes(4, "big") for bits in (third, fourth)]
            octets, sgc = held[1].word + words[0] + words[1] + held[2].word, fourth >> 32 << 12 | third >> 32
        if sgc > 999_999:
            return "RANGE_ERROR"
        if kt not in MAY_FOLLOW[self.key.kt] or (rollover and octets == self.key.octets):
            return "KEY_TYPE_ERROR"
        if octets in self.held_before or (rollover and octets in self.held_lately):
            return "KEY_TYPE_ERROR"
        self.held_lately.add(self.key.octets)
        if rollover:
            self.tids = [0]
            self.held_before |= self.held_lately
            self.held_lately = set()
        self.key = Key(octets, kt, krn, ti, sgc, ken_high * 16 + ken_low)
        return "ACCEPT"
