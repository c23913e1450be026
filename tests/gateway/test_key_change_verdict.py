"""``judge_set`` and ``key_shown``: the table of docs/verdicts.md for key-change sets, and every small evidence."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cosem_objects.errors import SettingError
from cosem_objects.payment import KEY_ATTRIBUTES, KeyAttributes
from cosem_objects.profile import KeyChangeProof, MeterProfile
from cosem_objects.sts_token import Token, TokenClass
from gateway.key_change import KeyChange, KeyShown, is_partly_new, key_shown
from gateway.key_change_verdict import PASSES_MAX, SetEvidence, judge_set
from gateway.verdict import SECTION_STORED, Credited, NextStep, Obstacle, Outcome, Verdict

YES, NO, UNKNOWN = Credited.YES, Credited.NO, Credited.UNKNOWN
NEW, OLD, OTHER, SILENT = KeyShown.NEW, KeyShown.OLD, KeyShown.OTHER, KeyShown.SILENT
UNREAD, UNASKED = KeyShown.UNREAD, KeyShown.UNASKED

OFFLINE = Obstacle("offline", "cannot connect")
CONFIG = Obstacle("config", "association refused", is_configuration=True)
WRONG = Obstacle("wrong-meter", "another serial")

# Verdicts on a section, as ``verdict.judge`` gives them.
EXECUTED = Verdict(Outcome.ACCEPTED, YES, None, "3")
REFUSED = Verdict(Outcome.REJECTED, NO, "crc", "5")
WAITING = Verdict(Outcome.ACCEPTED, YES, None, "3", evidence=SECTION_STORED)
LOST = Verdict(Outcome.IN_DOUBT, UNKNOWN, "pending", "4", NextStep.RECONNECT)
NOT_SHOWN = Verdict(Outcome.IN_DOUBT, UNKNOWN, "not-shown", "6", NextStep.ENTER)
BUSY = Verdict(Outcome.IN_DOUBT, UNKNOWN, "busy", "10")
DENIED = Verdict(Outcome.HELD, UNKNOWN, "config", "10")


def first(shown: KeyShown, section: Verdict | None = None, **more: object) -> SetEvidence:
    """The first section of the first pass."""
    return replace(SetEvidence(shown=shown, passes=1, section=section), **more)


def last(shown: KeyShown, section: Verdict = EXECUTED, **more: object) -> SetEvidence:
    """The last section of the first pass."""
    return replace(first(shown, section, position=1), **more)


ASKED = SetEvidence(shown=NEW, was_new=True)
"""Class 116 shows what was stated before anything was sent."""

ALL_REFUSED = last(NEW, REFUSED, refused=2)

ROWS: list[tuple[str, SetEvidence, Outcome, Credited, str | None, NextStep]] = [
    ("K6: new before anything was sent", ASKED, Outcome.UNREACHED, NO, "not-tried", NextStep.ENTER),
    ("K1: and refused", replace(ALL_REFUSED, was_new=True), Outcome.ACCEPTED, YES, None, NextStep.STOP),
    ("K1: and taken all the same", last(NEW, was_new=True, is_told=True), Outcome.ACCEPTED, YES, None, NextStep.STOP),
    (
        "K11: and an answer was lost",
        first(NEW, was_new=True),
        Outcome.IN_DOUBT,
        UNKNOWN,
        "key-not-changed",
        NextStep.ENTER,
    ),
    (
        "K2: and the meter takes no such sets",
        replace(ASKED, obstacle=CONFIG),
        Outcome.HELD,
        UNKNOWN,
        "config",
        NextStep.STOP,
    ),
    (
        "K5: it came too early",
        first(NEW, REFUSED, position=1, is_mixed=True),
        Outcome.HELD,
        UNKNOWN,
        "key-mismatch",
        NextStep.STOP,
    ),
    (
        "K8: one alone refused",
        first(NEW, REFUSED, refused=1, was_new=True),
        Outcome.REJECTED,
        UNKNOWN,
        "crc",
        NextStep.STOP,
    ),
    (
        "K11: one refused, the other taken",
        last(NEW, EXECUTED, refused=1, was_new=True),
        Outcome.IN_DOUBT,
        UNKNOWN,
        "key-not-changed",
        NextStep.ENTER,
    ),
    ("K11: it waits for more", last(UNASKED, WAITING), Outcome.IN_DOUBT, UNKNOWN, "key-not-changed", NextStep.ENTER),
    ("K1: new after all sections", last(NEW), Outcome.ACCEPTED, YES, None, NextStep.STOP),
    ("K1: new after a refusal", first(NEW, REFUSED), Outcome.ACCEPTED, YES, None, NextStep.STOP),
    ("K1: new after a doubt", SetEvidence(shown=NEW, doubt=True), Outcome.ACCEPTED, YES, None, NextStep.STOP),
    (
        "K2: nobody there",
        SetEvidence(shown=UNREAD, obstacle=OFFLINE),
        Outcome.UNREACHED,
        NO,
        "offline",
        NextStep.STOP,
    ),
    (
        "K2: only a person can mend it",
        SetEvidence(shown=UNREAD, obstacle=CONFIG),
        Outcome.HELD,
        NO,
        "config",
        NextStep.STOP,
    ),
    (
        "K2: another meter",
        SetEvidence(shown=UNREAD, obstacle=WRONG),
        Outcome.UNREACHED,
        NO,
        "wrong-meter",
        NextStep.STOP,
    ),
    ("K3: lost", first(UNREAD, obstacle=OFFLINE), Outcome.IN_DOUBT, UNKNOWN, "offline", NextStep.RECONNECT),
    (
        "K3: another meter after a doubt",
        first(UNREAD, obstacle=WRONG),
        Outcome.HELD,
        UNKNOWN,
        "wrong-meter",
        NextStep.STOP,
    ),
    ("K4: it does not say, nothing was sent", SetEvidence(shown=SILENT), Outcome.HELD, NO, "config", NextStep.STOP),
    ("K4: it does not say any more", last(SILENT), Outcome.HELD, UNKNOWN, "config", NextStep.STOP),
    ("K5: neither old nor new", last(OTHER), Outcome.HELD, UNKNOWN, "key-mismatch", NextStep.STOP),
    ("K6: nothing was sent", SetEvidence(shown=OLD), Outcome.UNREACHED, NO, "not-tried", NextStep.ENTER),
    (
        "K6: nothing was sent, and nobody asks",
        SetEvidence(shown=UNASKED),
        Outcome.UNREACHED,
        NO,
        "not-tried",
        NextStep.ENTER,
    ),
    ("K7: the statuses have to do", last(UNASKED), Outcome.ACCEPTED, YES, None, NextStep.STOP),
    ("K8: refused at once", first(OLD, REFUSED), Outcome.REJECTED, NO, "crc", NextStep.STOP),
    (
        "K8: refused at once, and some of the new key is shown",
        first(OLD, REFUSED, is_partly_new=True),
        Outcome.REJECTED,
        UNKNOWN,
        "crc",
        NextStep.STOP,
    ),
    ("K8: refused at once, and nobody asks", first(UNASKED, REFUSED), Outcome.REJECTED, UNKNOWN, "crc", NextStep.STOP),
    (
        "K9: refused after a doubt, and nobody asks",
        first(UNASKED, REFUSED, passes=2, doubt=True),
        Outcome.HELD,
        UNKNOWN,
        "crc",
        NextStep.STOP,
    ),
    ("K10: busy", first(OLD, BUSY), Outcome.IN_DOUBT, UNKNOWN, "busy", NextStep.STOP),
    ("K10: denied", first(OLD, DENIED), Outcome.HELD, UNKNOWN, "config", NextStep.STOP),
    ("K10: still pending", first(OLD, LOST), Outcome.IN_DOUBT, UNKNOWN, "pending", NextStep.RECONNECT),
    (
        "K11: all stored, and the key is the old one",
        last(OLD),
        Outcome.IN_DOUBT,
        UNKNOWN,
        "key-not-changed",
        NextStep.ENTER,
    ),
    ("K11: a later section is refused", last(OLD, REFUSED), Outcome.IN_DOUBT, UNKNOWN, "crc", NextStep.ENTER),
    (
        "K11: the first is refused in the second pass",
        first(OLD, REFUSED, passes=2),
        Outcome.IN_DOUBT,
        UNKNOWN,
        "crc",
        NextStep.ENTER,
    ),
    ("K11: not shown", first(OLD, NOT_SHOWN), Outcome.IN_DOUBT, UNKNOWN, "not-shown", NextStep.ENTER),
    (
        "K11: after a doubt the old key",
        SetEvidence(shown=OLD, doubt=True),
        Outcome.IN_DOUBT,
        UNKNOWN,
        "key-not-changed",
        NextStep.ENTER,
    ),
    ("K11: too often", last(OLD, passes=3), Outcome.HELD, UNKNOWN, "key-not-changed", NextStep.STOP),
]


@pytest.mark.parametrize(
    ("name", "evidence", "outcome", "credited", "reason", "step"), ROWS, ids=[row[0] for row in ROWS]
)
def test_each_row_of_the_table(
    name: str, evidence: SetEvidence, outcome: Outcome, credited: Credited, reason: str | None, step: NextStep
) -> None:
    verdict = judge_set(evidence)
    assert (verdict.outcome, verdict.credited, verdict.reason, verdict.next_step) == (outcome, credited, reason, step)
    assert verdict.row == name.split(":", maxsplit=1)[0]


def test_every_acceptance_says_what_it_stands_on() -> None:
    assert judge_set(replace(ALL_REFUSED, was_new=True)).evidence == "already-new-key"
    assert judge_set(last(NEW)).evidence == "class-116"
    assert judge_set(last(UNASKED)).evidence == "status"


# Every small evidence.


def every_evidence() -> Iterator[SetEvidence]:
    for shown, partly, was_new, is_mixed, refused, passes, doubt, sections, section, obstacle in itertools.product(
        KeyShown,
        (False, True),
        (False, True),
        (False, True),
        (0, 1, 2),
        range(PASSES_MAX + 1),
        (False, True),
        (1, 2, 4),
        (None, EXECUTED, WAITING, REFUSED, LOST, NOT_SHOWN, BUSY, DENIED),
        (None, OFFLINE, CONFIG, WRONG),
    ):
        if section is not None and not passes:
            continue
        for position in range(sections) if section else [0]:
            yield SetEvidence(
                shown=shown,
                is_partly_new=partly,
                was_new=was_new,
                is_mixed=is_mixed,
                refused=refused,
                passes=passes,
                doubt=doubt,
                sections=sections,
                section=section,
                position=position,
                obstacle=obstacle,
            )


RULES: list[tuple[str, Callable[[SetEvidence, Verdict], bool]]] = [
    ("yes only where class 116 shows the new key, or is not asked and every section was executed",
        lambda e, v: v.credited is not YES or e.shown is NEW or (e.shown is UNASKED and e.is_stored)),
    ("a new key that was not there before is always a success",
        lambda e, v: e.shown is not NEW or e.was_new or e.is_mixed or v.outcome is Outcome.ACCEPTED),
    ("a key that came too early is never a success", lambda e, v: not (e.is_mixed and e.shown is NEW)
        or v.outcome is Outcome.HELD),
    ("one that was there before needs a set that was taken, or refused as under another key",
        lambda e, v: not (e.was_new and e.shown is NEW and v.outcome is Outcome.ACCEPTED)
        or (e.is_stored and not e.waits_for_more) or e.refused == 2),
    ("a meter that waits for more has no new key", lambda e, v: not (e.shown is UNASKED and e.section is WAITING)
        or v.outcome is not Outcome.ACCEPTED),
    ("no only if nothing was sent, or the very first section was refused under the old key",
        lambda e, v: v.credited is not NO
        or not e.is_begun
        or (e.shown is OLD and not e.is_partly_new and e.section is REFUSED and e.position == 0
            and e.passes == 1 and not e.doubt)),
    ("accepted and yes go together", lambda e, v: (v.outcome is Outcome.ACCEPTED) == (v.credited is YES)),
    ("what was begun is never unreached", lambda e, v: not e.is_begun or v.outcome is not Outcome.UNREACHED),
    ("the set is sent only where the old key is shown, or nobody asks",
        lambda e, v: v.next_step is not NextStep.ENTER
        or ((e.shown in (OLD, UNASKED) or (e.shown is NEW and e.was_new)) and e.obstacle is None)),
    ("the set is sent three times at most", lambda e, v: v.next_step is not NextStep.ENTER or e.passes < PASSES_MAX),
    ("a refusal is final only before anything else happened", lambda e, v: v.outcome is not Outcome.REJECTED
        or (e.position == 0 and e.passes == 1 and not e.doubt)),
    ("nothing is polled here", lambda e, v: v.next_step is not NextStep.POLL),
    ("one that wants to go on is not final", lambda e, v: v.next_step is NextStep.STOP
        or v.outcome in (Outcome.IN_DOUBT, Outcome.UNREACHED)),
    ("what is not accepted has a reason", lambda e, v: v.outcome is Outcome.ACCEPTED or bool(v.reason)),
]  # fmt: skip


def test_every_small_evidence_has_one_verdict_that_keeps_the_rules() -> None:
    count = 0
    for evidence in every_evidence():
        verdict = judge_set(evidence)
        count += 1
        for name, rule in RULES:
            assert rule(evidence, verdict), (name, evidence, verdict)
    assert count > 10_000


# What class 116 says.

BEFORE = KeyAttributes(
    encryption_algorithm=7,
    supply_group_code=123456,
    tariff_index=1,
    key_revision_number=1,
    key_type=2,
    key_expiry_number=255,
)
KRN_2, SGC = KeyAttributes(key_revision_number=2), KeyAttributes(supply_group_code=654321)

SHOWN: list[tuple[str, KeyAttributes, KeyAttributes | None, KeyAttributes, KeyShown]] = [
    ("the new one", KRN_2, BEFORE, replace(BEFORE, key_revision_number=2), NEW),
    ("as before", KRN_2, BEFORE, BEFORE, OLD),
    ("the first reading is what was before", KRN_2, None, BEFORE, OLD),
    ("another one", KRN_2, BEFORE, replace(BEFORE, key_revision_number=3), OTHER),
    ("what was not asked for changed", KRN_2, BEFORE, replace(BEFORE, tariff_index=2), OTHER),
    ("one of two", replace(KRN_2, tariff_index=2), BEFORE, replace(BEFORE, key_revision_number=2), OTHER),
    ("it does not say", KRN_2, BEFORE, replace(BEFORE, key_revision_number=None), SILENT),
    ("it says one of two", replace(KRN_2, key_type=3), None, KRN_2, SILENT),
    ("0 for the supply group", replace(SGC, key_revision_number=2), BEFORE, replace(KRN_2, supply_group_code=0), NEW),
    ("0 for the supply group alone", SGC, BEFORE, replace(BEFORE, supply_group_code=0), SILENT),
    (
        "0 for it, and the old KRN",
        replace(SGC, key_revision_number=2),
        BEFORE,
        replace(BEFORE, supply_group_code=0),
        OLD,
    ),
    ("the supply group", SGC, BEFORE, replace(BEFORE, supply_group_code=654321), NEW),
    ("nothing was stated, and nothing changed", KeyAttributes(), BEFORE, BEFORE, OLD),
    ("nothing was stated, first reading", KeyAttributes(), None, BEFORE, OLD),
    ("nothing was stated, and KEN changed", KeyAttributes(), BEFORE, replace(BEFORE, key_expiry_number=85), NEW),
    ("nothing was stated, and nothing is said", KeyAttributes(), None, KeyAttributes(), SILENT),
    ("another supply group than 0", SGC, replace(BEFORE, supply_group_code=0), BEFORE, OTHER),
]


@pytest.mark.parametrize(
    ("new_key", "before", "now", "shown"), [row[1:] for row in SHOWN], ids=[row[0] for row in SHOWN]
)
def test_class_116_is_compared_with_what_the_caller_said(
    new_key: KeyAttributes, before: KeyAttributes | None, now: KeyAttributes, shown: KeyShown
) -> None:
    assert key_shown(new_key, before, now) is shown


def keys() -> st.SearchStrategy[KeyAttributes]:
    values = st.one_of(st.none(), st.integers(0, 2))
    return st.builds(KeyAttributes, **dict.fromkeys(KEY_ATTRIBUTES, values))


@given(keys(), st.one_of(st.none(), keys()), keys())
def test_new_is_said_only_of_a_key_that_differs_in_nothing(
    new_key: KeyAttributes, before: KeyAttributes | None, now: KeyAttributes
) -> None:
    expected = [(name, getattr(new_key, name), getattr(now, name)) for name in KEY_ATTRIBUTES]
    said = [(name, value, shown) for name, value, shown in expected if value is not None]
    equal = [name for name, value, shown in said if value == shown and (name, shown) != ("supply_group_code", 0)]
    shown = key_shown(new_key, before, now)
    if shown is NEW and said:
        assert equal
        assert all(name in equal or (name == "supply_group_code" and value in (None, 0)) for name, _, value in said)
    assert is_partly_new(new_key, now) == bool(equal or not said), "who states nothing is told no of nothing"
    assert shown is not OTHER or before is not None


# What a set is.

SECTIONS = tuple(Token.from_block(TokenClass.METER_SPECIFIC_MANAGEMENT, number) for number in range(5))
CREDIT = Token.from_block(TokenClass.CREDIT, 1)
PLAIN = MeterProfile()
WITHOUT = MeterProfile(sts_obis=None)
BY_STATUS = replace(WITHOUT, key_change_proof=KeyChangeProof.STATUS)

REFUSALS: list[tuple[str, tuple[Token, ...], KeyAttributes, MeterProfile]] = [
    ("0 were given", (), KRN_2, PLAIN),
    ("1 were given", SECTIONS[:1], KRN_2, PLAIN),
    ("5 were given", SECTIONS[:5], KRN_2, PLAIN),
    ("1 were given", SECTIONS[:1], KRN_2, BY_STATUS),
    ("class 0", (SECTIONS[0], CREDIT), KRN_2, PLAIN),
    ("new-krn", SECTIONS[:2], KeyAttributes(), PLAIN),
    ("does not carry the supply group", SECTIONS[:2], SGC, PLAIN),
    ("sts_obis", SECTIONS[:2], KRN_2, WITHOUT),
]


@pytest.mark.parametrize(("words", "sections", "new_key", "profile"), REFUSALS)
def test_what_is_no_set_or_cannot_be_proven_is_refused(
    words: str, sections: tuple[Token, ...], new_key: KeyAttributes, profile: MeterProfile
) -> None:
    with pytest.raises(SettingError, match=words):
        KeyChange(sections, new_key).check(profile)


@pytest.mark.parametrize(
    ("count", "new_key", "profile"),
    [(2, KRN_2, PLAIN), (3, SGC, PLAIN), (4, SGC, PLAIN), (2, KeyAttributes(), BY_STATUS)],
)
def test_what_can_be_proven_is_a_set(count: int, new_key: KeyAttributes, profile: MeterProfile) -> None:
    key_change = KeyChange(SECTIONS[:count], new_key)
    key_change.check(profile)
    assert len(key_change.sections) == count
