"""Damaged APDUs: what we take and no peer does, and what we refuse and every peer takes.

Both peers are lenient: most of what follows the octets they need, or is missing at the end of them, they do not see.
Each difference falls under a rule below, which says why; a difference that falls under none fails the run.
"""

from __future__ import annotations

import random
import re
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import pytest

from cosem_objects import axdr
from cosem_objects.dlms import acse, apdu
from cosem_objects.errors import RemoteProtocolError
from tests.peers.conftest import ROOT, Codec
from tests.peers.corpus import KINDS, corpus
from tests.peers.test_differential import PEERS, octets_of, operation

COUNT = 100
ACSE = {"aarq", "aare", "rlrq", "rlre"}


@dataclass(frozen=True)
class Rule:
    name: str
    taken_by: Literal["us", "peers"]
    reason: str
    covers: Callable[[str, str], bool]
    """Of (kind, words): our words of refusal, or the peers' where we take it."""
    must_show: bool = True


def says(pattern: str, *kinds: str) -> Callable[[str, str], bool]:
    return lambda kind, words: (not kinds or kind in kinds) and re.search(pattern, words) is not None


RULES = [
    Rule(
        "octets-after-the-end",
        "peers",
        "An APDU fills its octets. What follows was not meant, or what came before was not read as it was meant.",
        says(r"octets too many"),
    ),
    Rule(
        "octets-missing",
        "peers",
        "A length or a count is believed when its octets are there. dlms-cosem keeps data as octets unseen, Gurux "
        "stops where they end.",
        says(r"octets expected at|one more octet was expected|elements announced"),
    ),
    Rule(
        "no-type-of-data",
        "peers",
        "Data has a tag that the standard knows. dlms-cosem keeps data as octets unseen, Gurux reads over it.",
        says(r"is no COSEM data type"),
    ),
    Rule(
        "conformance-of-24-bits",
        "peers",
        "The conformance block has 24 bits and no unused ones (IEC 62056-5-3); the peers skip its header unseen.",
        says(r"24 bits"),
    ),
    Rule(
        "lengths-of-at-most-four-octets",
        "peers",
        "A length of more than 4 octets (81 to 84) is none: Gurux alone knows the prefixes, and shows nothing of E6.",
        says(r"length of \d+ octets"),
    ),
    Rule(
        "a-release-reason-is-one-octet",
        "peers",
        "A release has one reason; the peers take the first or the last octet of a longer one.",
        says(r"a reason of \d+ octets", "rlrq", "rlre"),
    ),
    Rule(
        "a-service-that-they-do-not-know",
        "us",
        "Blocks and lists of SET and ACTION, delta types: see the rows of disagreements.py.",
        says(r"NotImplementedError|Invalid data type|Invalid Command|has no attribute 'AppendLine'"),
    ),
    Rule(
        "a-number-that-they-do-not-know",
        "us",
        "Results, reasons, classes, mechanisms and errors without a name are kept as numbers: a meter may be newer.",
        says(
            r"is not a valid \w+|of \d+ is not valid|vaa-name|Invalid VAA|Invalid tag|KeyError: \d|can only concatenate"
            r"|KeyError: b|^ValueError: \d+$|access descriptor"
        ),
    ),
    Rule(
        "a-time-that-is-none",
        "us",
        "The time of a notification is kept as octets; whether it is one is asked where it is needed (clock.py).",
        says(r"hours=24|is out of range|must be in|day is out", "data-notification", "event-notification-request"),
    ),
    Rule(
        "an-apdu-behind-a-prefix",
        "us",
        "Behind E6 and E7 stands what is the meter's; it is read when it is asked for, not with the prefix.",
        says(r"", "gateway-response", "gateway-request"),
    ),
    Rule(
        "a-quality-of-service",
        "us",
        "An optional octet, which both peers misread: see the rows of disagreements.py.",
        says(r"conformance tag", "initiate-request", "initiate-response"),
    ),
    Rule(
        "user-information-is-read-later",
        "us",
        "An ACSE APDU carries its user-information as octets, ciphered or not; the association opens and reads them.",
        says(r"conformance tag|Could not find object|Octetstring is not", *ACSE),
    ),
]


def ours(kind: str, octets: bytes) -> str | None:
    """Our words of refusal; None where we take it."""
    decode: Callable[[bytes], Any] = apdu.decode
    if kind == "data" or kind in ACSE:
        decode = axdr.decode if kind == "data" else acse.decode
    try:
        decode(octets)
    except RemoteProtocolError as error:
        return str(error)
    return None


def damage(draw: random.Random, octets: bytes) -> bytes:
    """Cut, lengthened, or with an octet set, taken out, doubled or one bit turned; the first octet stays."""
    now = bytearray(octets[1:])
    for _ in range(draw.choice([1, 1, 1, 2])):
        at = draw.randrange(len(now)) if now else 0
        match draw.choice(["cut", "append", "set", "delete", "insert", "flip"]):
            case "cut":
                del now[at:]
            case "append":
                now += draw.randbytes(draw.randrange(1, 4))
            case "set":
                now[at : at + 1] = bytes((draw.choice([0, 1, 2, 0x7F, 0x80, 0x84, 0xFF]),))
            case "delete":
                del now[at : at + 1]
            case "insert":
                now[at:at] = draw.randbytes(1)
            case _:
                now[at : at + 1] = bytes(octet ^ 1 << draw.randrange(8) for octet in now[at : at + 1])
    return octets[:1] + bytes(now)


BY_HAND = {"rlrq": [bytes.fromhex("620480020001")], "rlre": [bytes.fromhex("630480020001")]}
"""What chance would need too long for: two reasons."""


def damaged(kind: str) -> list[bytes]:
    draw = random.Random(f"damaged {kind}")
    return [damage(draw, octets_of(thing)) for thing in corpus(kind, COUNT)] + BY_HAND.get(kind, [])


@pytest.fixture(scope="module")
def differences(codecs: dict[str, Codec]) -> list[tuple[str, str, bytes, str]]:
    """(who takes it, kind, octets, words of those who refuse) for all that only one side takes."""
    found = []
    for kind in KINDS:
        octets = damaged(kind)
        asked = [(peer, name) for peer in PEERS if (name := operation(peer, kind))]
        answers = [codecs[peer].ask([(name, each.hex()) for each in octets]) for peer, name in asked]
        for each, *told in zip(octets, *answers, strict=True):
            refused = ours(kind, each)
            taken = [answer["ok"] for answer in told]
            if refused is not None and all(taken):
                found.append(("peers", kind, each, refused))
            if refused is None and not any(taken):
                found.append(("us", kind, each, " / ".join(answer["error"] for answer in told)))
    return found


def rule_for(taken_by: str, kind: str, words: str) -> Rule | None:
    return next((rule for rule in RULES if rule.taken_by == taken_by and rule.covers(kind, words)), None)


def test_what_only_one_side_takes_falls_under_a_rule(differences: list[tuple[str, str, bytes, str]]) -> None:
    unexplained = [
        (taken_by, kind, octets.hex(), words)
        for taken_by, kind, octets, words in differences
        if rule_for(taken_by, kind, words) is None
    ]
    assert unexplained == []


def test_every_rule_shows(differences: list[tuple[str, str, bytes, str]]) -> None:
    shown = Counter(
        rule.name
        for taken_by, kind, _octets, words in differences
        if (rule := rule_for(taken_by, kind, words)) is not None
    )
    assert set(shown) >= {rule.name for rule in RULES if rule.must_show}, shown


def test_the_document_lists_the_same_rules() -> None:
    document = (ROOT / "docs/disagreements.md").read_text(encoding="utf-8")
    listed = re.findall(r"^\| `([a-z0-9-]+)` \| (us|peers) \| (.*) \|$", document, re.MULTILINE)
    assert listed == [(rule.name, rule.taken_by, rule.reason) for rule in RULES]
