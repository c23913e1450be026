"""The meter's token machine: one token in, one result out, and the machine as it is afterwards.

A machine is a value. It can be made again at any time from its configuration and the TIDs it has consumed, in order;
that is how a meter with an append-only ledger starts. Classes 1 and 2 are not covered yet: such tokens get
FunctionError, like class 3.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace

from cosem_objects.errors import SettingError
from cosem_objects.sts_token import Token
from sim_meters.sts.decoder_key import DecoderKey
from sim_meters.sts.key_attributes import KeyType
from sim_meters.sts.results import TokenResult
from sim_meters.sts.tid_store import DEPTH, TidStore
from sim_meters.sts.tokens import DecodedToken, DecodeFailure, TokenKind, decode

KEN_NEVER = 255
"""The key expiry number of a key that never expires; also for a meter that does not check it."""


@dataclass(frozen=True, slots=True)
class TokenMachine:
    """What a meter needs to judge tokens: its key, what it sells, and the TIDs it has seen."""

    decoder_key: DecoderKey
    key_type: KeyType
    kinds: frozenset[TokenKind]
    """The token types this meter acts on; every other one is FunctionError."""
    tids: TidStore
    ken: int = KEN_NEVER
    """Key expiry number, 0 to 255, compared with the upper eight bits of a TID."""

    def __post_init__(self) -> None:
        if not 0 <= self.ken <= 255:
            raise SettingError(f"ken: expected 0 to 255; got {self.ken}")

    @classmethod
    def new(
        cls,
        decoder_key: DecoderKey,
        kinds: Iterable[TokenKind],
        manufacture_tid: int,
        *,
        consumed: Iterable[int] = (),
        key_type: KeyType = KeyType.UNIQUE,
        ken: int = KEN_NEVER,
        tid_depth: int = DEPTH,
    ) -> TokenMachine:
        """The machine of a meter that has consumed these TIDs, in this order, since it was made."""
        return cls(decoder_key, key_type, frozenset(kinds), TidStore.new(manufacture_tid, tid_depth, consumed), ken)

    def execute(self, token: Token, credit_fits: Callable[[DecodedToken], bool]) -> Execution:
        """Judge one token. ``credit_fits`` is asked last, and only about a token that would otherwise be accepted.

        The TID is consumed in ``Execution.machine`` if and only if the result is ACCEPT, so storing it and crediting
        the amount can be one step for the caller.
        """
        decoded = decode(token, self.decoder_key)
        if isinstance(decoded, DecodeFailure):
            return Execution(decoded.result, None, self, decoded.reason)
        refusal = self._refusal(decoded)
        if refusal is not None:
            result, reason = refusal
            return Execution(result, decoded, self, reason)
        if not credit_fits(decoded):
            return Execution(TokenResult.OVERFLOW_ERROR, decoded, self, "the credit register would overflow")
        return Execution(TokenResult.ACCEPT, decoded, replace(self, tids=self.tids.with_tid(decoded.tid)), "accepted")

    def _refusal(self, decoded: DecodedToken) -> tuple[TokenResult, str] | None:
        # guess: the order of the default-key and expiry checks among themselves; no source states it.
        if decoded.kind not in self.kinds:
            return TokenResult.FUNCTION_ERROR, f"this meter does not take {decoded.kind.name}"
        if self.key_type is KeyType.DEFAULT:
            return TokenResult.DDTK_ERROR, "no credit under a default key (KT 1)"
        if decoded.tid >> 16 > self.ken:
            return TokenResult.KEY_EXPIRED_ERROR, f"the key expired (KEN {self.ken}) before this token was issued"
        refusal = self.tids.refusal(decoded.tid)
        if refusal is TokenResult.USED_ERROR:
            return refusal, "a token with this TID was accepted before"
        if refusal is TokenResult.OLD_ERROR:
            return refusal, "the TID is older than all that the meter remembers"
        return None


@dataclass(frozen=True, slots=True)
class Execution:
    """What came of one token."""

    result: TokenResult
    token: DecodedToken | None
    """What the token said; ``None`` if it could not be opened."""
    machine: TokenMachine
    """The machine to go on with."""
    reason: str
    """The result as a sentence for people."""
