"""The meter's token machine: one token in, one result out, and the machine as it is afterwards.

How to think about it: a machine is a value. ``execute`` judges a token and changes nothing; what a token changed is
then applied by ``with_tid``, ``with_section`` and ``with_entry``. A meter applies them when it books a token, and again
when it reads its ledger at the start, so it is the same machine after a power failure. Credit, limits and registers
are the meter's own; the machine only says which of them a token may touch.

The order of checks is that of IEC 62055-41; where it says nothing, it is a guess and marked so.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

from cosem_objects.sts_token import Token, TokenClass
from sim_meters.sts.keys.key_attributes import KeyType
from sim_meters.sts.keys.key_expiry import is_expired
from sim_meters.sts.keys.key_type_rules import is_permitted
from sim_meters.sts.machine.lock_out import WRONG_ENTRIES, LockOut
from sim_meters.sts.machine.machine_settings import LockOutScope, MachineSettings, SgcAfterTwo
from sim_meters.sts.machine.tid_store import TidStore
from sim_meters.sts.results import SECTION_RESULTS, TokenResult
from sim_meters.sts.tokens.clear_token import ClearToken, DecodeFailure, decode
from sim_meters.sts.tokens.coding import ControlIndex
from sim_meters.sts.tokens.key_change import NUMBER_OF_SECTION, KeySections, MeterKey, NewKey
from sim_meters.sts.tokens.token_kind import TokenKind
from sim_meters.sts.tokens.token_table import (
    CLEAR_CREDIT,
    CLEAR_TAMPER,
    EXTENDED_READ,
    EXTENDED_SET,
    REGISTERS,
    SECTION_3_OF_4,
    SUPPORTED_TESTS,
)

_CREDIT = TokenClass.CREDIT
_TEST = TokenClass.NON_METER_SPECIFIC_MANAGEMENT
_ALL_REGISTERS = REGISTERS["all"]

CARRIERS = (2, 8)
"""Token carrier types (TCT) of these meters. 02 is the keypad; guess: 08 is DLMS/COSEM, whose number only edition 3 of
IEC 62055-41 states."""

Refusal = tuple[TokenResult, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Execution:
    """What came of one token."""

    result: TokenResult
    reason: str
    """The result as a sentence for people."""
    token: ClearToken | None = None
    """What the token said; ``None`` if it could not be opened."""

    section: ClearToken | None = None
    """A key-change section that the machine took in: it waits, completes a set, or spoils one."""
    numbers: tuple[int, ...] = ()
    """With a section: which ones wait now, it included; or which ones the set consists of."""


@dataclass(frozen=True, slots=True)
class TokenMachine:
    """What a meter needs to judge tokens: its key, what it takes, and the TIDs it has seen."""

    key: MeterKey
    kinds: frozenset[TokenKind]
    """The token types this meter acts on, beside tests and key changes; every other one is FunctionError."""
    tids: TidStore
    manufacturer_code: int = 0
    settings: MachineSettings = field(default_factory=MachineSettings)
    sections: KeySections = field(default_factory=KeySections)
    sections_until: datetime | None = None
    lock_out: LockOut = field(default_factory=LockOut)
    held_keys: frozenset[bytes] = field(default=frozenset(), repr=False)
    """Keys that the meter held before the present one, since its TID store was cleared last."""
    former_keys: frozenset[bytes] = field(default=frozenset(), repr=False)
    """Those from before that."""

    @classmethod
    def new(
        cls,
        key: MeterKey,
        kinds: frozenset[TokenKind],
        manufacture_tid: int,
        *,
        manufacturer_code: int = 0,
        settings: MachineSettings | None = None,
    ) -> TokenMachine:
        """The machine of a new meter. Raises ``SettingError``."""
        settings = settings or MachineSettings()
        return cls(key, kinds, TidStore.new(manufacture_tid, settings.tid_depth), manufacturer_code, settings)

    # Judging.

    def execute(
        self, token: Token, now: datetime, credit_fits: Callable[[ClearToken], bool], *, is_keypad: bool = False
    ) -> Execution:
        """Judge one token. ``credit_fits`` is asked last, and only about credit that would otherwise be accepted. A
        token that is refused for it is not consumed."""
        if self.is_locked(token.token_class, now, is_keypad=is_keypad):
            return Execution(result=TokenResult.LOCKOUT, reason="locked after wrong entries, for a while")
        decoded = decode(token, self.key.decoder_key)
        if isinstance(decoded, DecodeFailure):
            return Execution(result=decoded.result, reason=decoded.reason)
        if decoded.kind in NUMBER_OF_SECTION:
            return self._execute_section(decoded, now)
        refusal = self._test_refusal(decoded) if decoded.kind.token_class is _TEST else self._refusal(decoded)
        if refusal is None and decoded.kind.token_class is _CREDIT and not credit_fits(decoded):
            refusal = TokenResult.OVERFLOW_ERROR, "the credit register would overflow"
        result, reason = refusal or (TokenResult.ACCEPT, "accepted")
        return Execution(result=result, reason=reason, token=decoded)

    def is_locked(self, token_class: TokenClass | None, now: datetime, *, is_keypad: bool) -> bool:
        """Whether an entry would be turned away unseen, after wrong ones. ``token_class``: ``None`` for no token."""
        return self._locks(is_keypad=is_keypad) and self.lock_out.holds(now, token_class)

    def _test_refusal(self, token: ClearToken) -> Refusal | None:
        code, control = token["mfr_code"], token["control"]
        # guess: code 0 is for every manufacturer; all published tokens carry it.
        if code != self.manufacturer_code and not (code == 0 and self.settings.takes_code_zero):
            return TokenResult.MFR_CODE_ERROR, f"manufacturer code {code} is not this meter's"
        is_known = control & SUPPORTED_TESTS
        if token.kind is EXTENDED_READ:
            is_known = ControlIndex.index(control) in self.settings.control_indexes
        return None if is_known else (TokenResult.FUNCTION_ERROR, "this meter knows nothing of what is asked for")

    def _refusal(self, token: ClearToken) -> Refusal | None:
        # guess: that "not taken here" comes first, and the order of default key and expiry; no source states them.
        if token.kind not in self.kinds:
            return TokenResult.FUNCTION_ERROR, f"this meter does not take {token.kind.name}"
        if self.key.kt is KeyType.DEFAULT and token.kind.token_class is _CREDIT:
            return TokenResult.DDTK_ERROR, "no credit under a default key (KT 1)"
        assert token.tid is not None
        if self.settings.checks_ken and is_expired(self.key.ken, token.tid):
            return (
                TokenResult.KEY_EXPIRED_ERROR,
                f"the key expired (KEN {self.key.ken}) before this token was issued",
            )
        refusal = self.tids.refusal(token.tid)
        if refusal is not None:
            return refusal, _TID_REASONS[refusal]
        return self._value_refusal(token)

    def _value_refusal(self, token: ClearToken) -> Refusal | None:
        if token.kind is CLEAR_CREDIT:
            register = token["register"]
            if register not in REGISTERS.values():
                return TokenResult.RANGE_ERROR, f"there is no register {register}"
            if register != _ALL_REGISTERS and register not in self._registers:
                return TokenResult.FUNCTION_ERROR, f"this meter has no register {register}"
        if token.kind is CLEAR_TAMPER and token["pad"]:
            return TokenResult.RANGE_ERROR, "ClearTamperCondition carries the value 0"
        if token.kind is EXTENDED_SET and token["extended_value"] >> 10 not in self.settings.control_indexes:
            return TokenResult.FUNCTION_ERROR, f"this meter does not know {token.words}"
        return None

    @property
    def _registers(self) -> frozenset[int]:
        # A register has the number of the subclass that credits it.
        return frozenset(kind.subclass for kind in self.kinds if kind.token_class is _CREDIT)

    # Key changes.

    def _execute_section(self, section: ClearToken, now: datetime) -> Execution:
        refusal = self._section_refusal(section)
        if refusal is not None:
            return Execution(result=refusal[0], reason=refusal[1], token=section)
        held = self._held(now).plus(section)
        new = held.complete(takes_four=self._takes_four)
        if new is None:
            number = NUMBER_OF_SECTION[section.kind]
            stored = ", ".join(map(str, held.numbers))
            reason = f"section {number} stored (held: {stored}); the rest of the set is needed"
            return Execution(
                result=SECTION_RESULTS[number - 1],
                reason=reason,
                token=section,
                section=section,
                numbers=held.numbers,
            )
        refusal = self._key_refusal(new)
        result, reason = refusal or (TokenResult.ACCEPT, f"the new key is in force (KRN {new.krn})")
        return Execution(result=result, reason=reason, token=section, section=section, numbers=new.numbers)

    def _section_refusal(self, section: ClearToken) -> Refusal | None:
        """What a section says about itself alone."""
        number = NUMBER_OF_SECTION[section.kind]
        supported = self.sections_supported
        if number > supported:
            return TokenResult.FUNCTION_ERROR, f"this meter's key-change sets have {supported} sections"
        if section.kind is SECTION_3_OF_4 and supported < 4:
            return TokenResult.RANGE_ERROR, "the third of three sections ends in zeros"
        if number == 1 and not 1 <= section["krn"] <= 9:
            return TokenResult.RANGE_ERROR, f"there is no KRN {section['krn']}"
        if number == 1 and section["three_kct"] and (supported < 3 or self.key.decoder_key.ea == 11):
            return TokenResult.FUNCTION_ERROR, "this meter takes no sets of three sections"
        if number == 2 and section["ti"] > 99:
            return TokenResult.RANGE_ERROR, f"there is no TI {section['ti']}"
        return None

    def _key_refusal(self, new: NewKey) -> Refusal | None:
        present = self.key.decoder_key
        if new.sgc is not None and new.sgc > 999_999:
            return TokenResult.RANGE_ERROR, "the set's supply group code has more than six digits"
        if not is_permitted(self.key.kt, new.kt, CARRIERS):
            return TokenResult.KEY_TYPE_ERROR, f"a key of type {self.key.kt:d} may not be replaced by one of {new.kt:d}"
        # guess: refused, as every token accepted before could be entered again.
        if new.rollover and new.decoder_key == present:
            return TokenResult.KEY_TYPE_ERROR, "a rollover needs another key than the present one"
        digest = new.decoder_key.digest
        is_former = digest in self.former_keys or (new.rollover and digest in self.held_keys)
        if self.settings.refuses_former_keys and is_former:
            return TokenResult.KEY_TYPE_ERROR, "tokens under this former key would work a second time"
        return None

    @property
    def sections_supported(self) -> int:
        """How many sections the meter's key-change sets have at most."""
        return self.settings.sections_supported(self.key.decoder_key.ea)

    @property
    def _takes_four(self) -> bool:
        return self.sections_supported == 4

    def sections_held(self, now: datetime) -> tuple[int, ...]:
        """The numbers of the key-change sections that wait for the rest of their set."""
        return self._held(now).numbers

    def _held(self, now: datetime) -> KeySections:
        """The sections that are not forgotten yet."""
        is_over = self.sections_until is not None and now >= self.sections_until
        return KeySections() if is_over else self.sections

    # What a token changes.

    def with_tid(self, tid: int) -> TokenMachine:
        """After a token with this TID was accepted."""
        return replace(self, tids=self.tids.with_tid(tid))

    def with_section(
        self, section: ClearToken, now: datetime, result: TokenResult, numbers: tuple[int, ...]
    ) -> TokenMachine:
        """After a section was taken in, see ``Execution``: with one more, or with another key, or with none if its set
        was refused. What was decided then counts, and not today's settings: a ledger may have been written under
        others. Raises ``ValueError`` for sections that make no key."""
        held = self.sections.plus(section).only(numbers)
        if result.section is not None:
            until = now + timedelta(seconds=self.settings.section_timeout_seconds)
            return replace(self, sections=held, sections_until=until)
        emptied = replace(self, sections=KeySections(), sections_until=None)
        if result is not TokenResult.ACCEPT:
            return emptied
        new = held.complete(takes_four=4 in numbers)
        if new is None:
            raise ValueError(f"the sections {held.numbers} make no key")
        sgc = new.sgc
        if sgc is None:
            sgc = self.key.sgc if self.settings.sgc_after_two_sections is SgcAfterTwo.KEEP else 0
        key = MeterKey(decoder_key=new.decoder_key, kt=new.kt, krn=new.krn, ti=new.ti, sgc=sgc, ken=new.ken)
        held_keys = self.held_keys | {self.key.decoder_key.digest}
        if not new.rollover:
            return replace(emptied, key=key, held_keys=held_keys)
        # The base date changes, and new TIDs begin low again.
        return replace(
            emptied, key=key, tids=self.tids.cleared(), held_keys=frozenset(), former_keys=self.former_keys | held_keys
        )

    def with_entry(
        self, result: TokenResult, token_class: TokenClass | None, now: datetime, *, is_keypad: bool
    ) -> TokenMachine:
        """After an entry with this result, right or wrong. ``token_class``: ``None`` for what was no token."""
        if result in WRONG_ENTRIES and not self._locks(is_keypad=is_keypad):
            return self
        return replace(self, lock_out=self.lock_out.after(result, token_class, now, self.settings.lock_out_rule))

    def powered_up(self) -> TokenMachine:
        """After a power failure: the lock-out is forgotten, and nothing else."""
        # As one manufacturer's manual has it (CLOU); guess: others do alike.
        return replace(self, lock_out=LockOut())

    def _locks(self, *, is_keypad: bool) -> bool:
        scope = self.settings.lock_out
        return scope is LockOutScope.ALL or (scope is LockOutScope.KEYPAD and is_keypad)


_TID_REASONS = {
    TokenResult.USED_ERROR: "a token with this TID was accepted before",
    TokenResult.OLD_ERROR: "the TID is older than all that the meter remembers",
}
