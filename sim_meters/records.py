"""What happens to a meter, one record for each: the entries of its ledger, and how they are written there."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, TypeAlias

from cosem_objects.security_setup import KeyId
from cosem_objects.sts_token import Token, TokenClass
from cosem_objects.token_gateway import DeliveryMethod, TokenStatus
from sim_meters.sts.results import TokenResult
from sim_meters.sts.tokens.clear_token import ClearToken
from sim_meters.sts.tokens.token_table import kind_of

_KEY_DIGEST_DIGITS = 16


@dataclass(frozen=True, slots=True, repr=False)
class TokenEntry:
    """One token that was entered, whatever came of it; if ``result`` is ACCEPT, it is also the booking."""

    time: datetime
    delivery: DeliveryMethod
    octets: bytes
    """As received: what attribute 2 of the Token gateway shows."""
    status: TokenStatus
    result: TokenResult | None = None
    """What the STS checks said; ``None`` if the octets were no token at all."""
    tid: int | None = None
    units: int | None = None
    """Token units that the token is worth (negative with a currency token that takes back), or what a ClearCredit
    took away, as a negative number; only if accepted."""
    collected: int = 0
    """Of these, what a Charge kept to pay a debt back."""
    repaid: int = 0
    """Of these, what paid emergency credit back. The balance changed by the rest."""
    token_class: TokenClass = TokenClass.CREDIT
    sections: tuple[int, ...] = ()
    """With a key-change section: which ones waited from then on, or which ones the set consisted of."""
    management: ClearToken | None = None
    """A class 2 token that changed something, in clear: with a key-change section, a part of a key."""
    masked: str = ""
    digest: str = ""
    """SHA-256 of the 20 digits, so that a token can be looked for without comparing digits."""
    description: str = ""
    shown: bool = True
    """False if the Token gateway went on to show the token before (a scripted fault)."""

    @property
    def is_accepted(self) -> bool:
        return self.result is TokenResult.ACCEPT

    @property
    def balance_change(self) -> int:
        """By how many token units the balance moved."""
        return (self.units or 0) - self.collected - self.repaid if self.is_accepted else 0

    def __repr__(self) -> str:  # the octets are the token
        return f"<TokenEntry {self.masked or 'no token'} status {self.status.code}>"


@dataclass(frozen=True, slots=True)
class Switched:
    """The load switch was told to open or to close by a client."""

    connect: bool


@dataclass(frozen=True, slots=True)
class EmergencyTaken:
    """The customer took emergency credit: so many token units, to be paid back."""

    units: int


@dataclass(frozen=True, slots=True)
class Tampered:
    """Somebody opened the meter's cover."""


StateRecord: TypeAlias = TokenEntry | Switched | EmergencyTaken | Tampered
"""What the meter's state is made of, in the sequence in which it happened."""


@dataclass(frozen=True, slots=True)
class CountersKept:
    """Invocation counters of a unicast encryption key, for the next start."""

    received: int
    """The highest one received: only higher ones will be accepted."""
    sent_limit: int
    """Ours below this may have been used: the next start begins here."""
    key_digest: str = ""
    """Which key they belong to, see ``digest_of_key``. Empty in ledgers from before keys could change."""


@dataclass(frozen=True, slots=True, repr=False)
class KeysTransferred:
    """Global keys were replaced, all of them with this one record."""

    keys: Mapping[KeyId, bytes]

    def __repr__(self) -> str:
        return f"<KeysTransferred {', '.join(key_id.name.lower() for key_id in self.keys)}>"


Record: TypeAlias = StateRecord | CountersKept | KeysTransferred


def token_digest(token: Token) -> str:
    """What stands for a token where its digits may not stand."""
    return hashlib.sha256(token.digits.encode()).hexdigest()


def digest_of_key(key: bytes) -> str:
    """What stands for a key; empty for none."""
    return hashlib.sha256(key).hexdigest()[:_KEY_DIGEST_DIGITS] if key else ""


def to_fields(record: Record) -> dict[str, Any]:
    """As it stands in a ledger, in JSON."""
    match record:
        case CountersKept():
            return {
                "kind": "counters",
                "received": record.received,
                "sent_limit": record.sent_limit,
                "key": record.key_digest,
            }
        case KeysTransferred():
            return {"kind": "keys", "keys": {str(int(key_id)): key.hex() for key_id, key in record.keys.items()}}
        case Switched():
            return {"kind": "switch", "connect": record.connect}
        case EmergencyTaken():
            return {"kind": "emergency", "units": record.units}
        case Tampered():
            return {"kind": "tamper"}
        case TokenEntry():
            return {
                "kind": "token",
                "time": record.time.isoformat(),
                "delivery": int(record.delivery),
                "octets": record.octets.hex(),
                "status": record.status.code,
                "data_value": record.status.data_value,
                "result": None if record.result is None else record.result.name,
                "tid": record.tid,
                "units": record.units,
                "collected": record.collected,
                "repaid": record.repaid,
                "class": int(record.token_class),
                "sections": list(record.sections),
                "management": None if record.management is None else f"{record.management.upper:012x}",
                "masked": record.masked,
                "digest": record.digest,
                "description": record.description,
                "shown": record.shown,
            }


def from_fields(fields: Mapping[str, Any]) -> Record:
    """Read again. Raises ``ValueError``, ``LookupError`` or ``TypeError`` for what no meter wrote."""
    match fields["kind"]:
        case "counters":
            return CountersKept(fields["received"], fields["sent_limit"], fields.get("key", ""))
        case "keys":
            return KeysTransferred({KeyId(int(name)): bytes.fromhex(key) for name, key in fields["keys"].items()})
        case "switch":
            return Switched(fields["connect"])
        case "emergency":
            return EmergencyTaken(fields["units"])
        case "tamper":
            return Tampered()
        case "token":
            return TokenEntry(
                time=datetime.fromisoformat(fields["time"]),
                delivery=DeliveryMethod(fields["delivery"]),
                octets=bytes.fromhex(fields["octets"]),
                status=TokenStatus(fields["status"], fields["data_value"]),
                result=None if fields["result"] is None else TokenResult[fields["result"]],
                tid=fields["tid"],
                units=fields["units"],
                collected=fields.get("collected", 0),
                repaid=fields.get("repaid", 0),
                token_class=TokenClass(fields.get("class", 0)),
                sections=tuple(fields.get("sections", ())),
                management=_management(fields.get("management")),
                masked=fields["masked"],
                digest=fields["digest"],
                description=fields["description"],
                shown=fields["shown"],
            )
        case unknown:
            raise ValueError(f"a record of unknown kind {unknown!r}")


def as_kept(upper: int) -> ClearToken:
    """A class 2 token as a record holds it, from the bits that its line holds. Raises ``ValueError``.

    Of the two types that share a subclass it is always the same one: only the rest of its set could tell.
    """
    kind = kind_of(TokenClass.METER_SPECIFIC_MANAGEMENT, upper >> 44, ea=11)
    if kind is None:
        raise ValueError("a token of an unknown type")
    return ClearToken(kind, upper)


def _management(text: str | None) -> ClearToken | None:
    return None if text is None else as_kept(int(text, 16))
