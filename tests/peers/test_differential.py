"""Thousands of our APDUs, of every kind, through the codecs of both peers: they read what we wrote, and write it again.

Each APDU is read by the peer and compared with ours field by field; where the fields are alike, what the peer writes
for them must be our octets. What is not alike stands in disagreements.py, row by row, with who is right.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

import pytest

from cosem_objects import axdr
from cosem_objects.axdr import Data
from tests.peers.conftest import ROOT, Codec, Event
from tests.peers.corpus import KINDS, corpus
from tests.peers.disagreements import ROWS, SENT_ROWS, Disagreement, Outcome, Peer, Side, expected
from tests.peers.fields import describe, gurux_lines, lines_of_data, plain_value

SIDES: list[Side] = ["reads", "writes"]
COUNT = 150
"""Of each kind; more would only repeat them."""
DLMS_COSEM_KINDS = {
    "get-request",
    "get-response",
    "set-request",
    "set-response",
    "action-request",
    "action-response",
    "data",
    "data-notification",
    "exception-response",
    "confirmed-service-error",
    "initiate-request",
    "initiate-response",
    "aarq",
    "aare",
    "rlrq",
    "rlre",
}


def octets_of(thing: Any) -> bytes:
    encoded = axdr.encode(thing) if isinstance(thing, Data) else thing.encode()
    assert isinstance(encoded, bytes)
    return encoded


def operation(peer: Peer, kind: str) -> str | None:
    """What the peer's script calls this kind; None where the peer does not know it at all."""
    if peer == "gurux":
        return "data" if kind == "data" else "pdu"
    known = [name for name in DLMS_COSEM_KINDS if kind == name or kind.startswith(f"{name}-")]
    return max(known, key=len, default=None)


def reading(peer: Peer, thing: Any, answer: Event) -> Outcome:
    if not answer["ok"]:
        return "refused"
    if peer == "dlms-cosem":
        if isinstance(thing, Data):
            return "alike" if answer["fields"]["value"] == plain_value(thing) else "otherwise"
        return "alike" if answer["fields"] == describe(thing) else "otherwise"
    if isinstance(thing, Data):
        return "alike" if answer["lines"] == lines_of_data(thing) else "otherwise"
    return "alike" if (answer["form"], answer["lines"]) == gurux_lines(thing) else "otherwise"


def writing(thing: Any, answer: Event) -> Outcome | None:
    """None where the peer does not write what it has read."""
    if "again" not in answer:
        return None
    if answer["again"] is None:
        return "refused"
    return "alike" if answer["again"] == octets_of(thing).hex() else "otherwise"


PEERS: list[Peer] = ["dlms-cosem", "gurux"]
CASES = [(peer, kind) for peer in PEERS for kind in KINDS if operation(peer, kind)]


def ask(codec: Codec, peer: Peer, kind: str) -> list[tuple[Any, Event]]:
    things = corpus(kind, COUNT)
    name = operation(peer, kind)
    assert name
    return list(zip(things, codec.ask([(name, octets_of(thing).hex()) for thing in things]), strict=True))


def check(row: Disagreement | None, observed: Outcome, thing: Any, answer: Event) -> None:
    outcome = row.outcome if row else "alike"
    agrees = observed != "alike" if outcome == "misread" else observed == outcome
    name = row.name if row else "no disagreement"
    assert agrees, f"{name} is expected, but it is {observed}\n{thing}\n{octets_of(thing).hex()}\n{answer}"


@pytest.mark.parametrize(("peer", "kind"), CASES)
def test_a_peer_reads_and_writes_an_apdu_as_we_do_or_as_listed(codecs: dict[str, Codec], peer: Peer, kind: str) -> None:
    for thing, answer in ask(codecs[peer], peer, kind):
        observed = reading(peer, thing, answer)
        check(expected(peer, "reads", kind, thing), observed, thing, answer)
        written = writing(thing, answer)
        if observed == "alike" and written is not None:
            row = expected(peer, "writes", kind, thing)
            check(row, written, thing, answer)
            if row and row.written:
                assert answer["again"] == row.written(thing).hex(), row.name


def test_every_listed_disagreement_can_still_show() -> None:
    shown = {
        row.name
        for peer, kind in CASES
        for thing in corpus(kind, COUNT)
        for side in SIDES
        if (row := expected(peer, side, kind, thing))
    }
    assert shown == {row.name for row in ROWS}


def test_the_corpus_is_large_enough_and_the_same_every_time() -> None:
    assert COUNT * len(CASES) >= 10_000
    assert corpus("data", 50) == corpus("data", 50)


def table(rows: Iterable[Disagreement]) -> str:
    """The rows as docs/disagreements.md shows them."""
    head = "| name | about | we | they | right |\n|---|---|---|---|---|\n"
    return head + "".join(
        f"| `{row.name}` ({row.side}: {row.outcome}) | {row.what} | {row.ours} | {row.theirs} | {row.right} |\n"
        for row in rows
    )


@pytest.mark.parametrize("peer", PEERS)
def test_the_document_lists_the_same_rows(peer: Peer) -> None:
    document = (ROOT / "docs/disagreements.md").read_text(encoding="utf-8")
    assert table(row for row in [*ROWS, *SENT_ROWS] if row.peer == peer) in document


def test_the_document_lists_no_row_twice_and_none_that_is_gone() -> None:
    document = (ROOT / "docs/disagreements.md").read_text(encoding="utf-8")
    listed = re.findall(r"^\| `([a-z0-9-]+)` \((?:reads|writes|sends): ", document, re.MULTILINE)
    assert sorted(listed) == sorted(row.name for row in [*ROWS, *SENT_ROWS])
