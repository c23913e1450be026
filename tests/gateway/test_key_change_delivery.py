"""Key-change sets over real sockets, against a meter that knows its tokens by heart: what is said, and what it did.

Every ``credited`` in this file is compared with the meter's key, in ``deliver``.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import pytest

from cosem_objects.dlms.apdu import DataAccessResult
from cosem_objects.dlms.security import InvocationCounters
from cosem_objects.payment import DEFAULT_STS_OBIS, KEY_ATTRIBUTES, STS_CLASS_ID, KeyAttributes
from cosem_objects.profile import HiddenTokenProof, KeyChangeProof, MeterProfile, TokenReadback
from cosem_objects.sts_token import Token
from cosem_objects.token_gateway import DataValueMap
from gateway.contact import Contact
from gateway.delivery import Delivery
from gateway.events import DoubtArisen, Event, Judged, KeyRead, Reached, SectionStored, SendStarted, StatusRead
from gateway.key_change import KeyChange, KeyShown
from gateway.key_change_delivery import UndeliveredSet
from gateway.meters import Meter
from gateway.session import connect, open_session
from gateway.token_story import Undelivered
from gateway.verdict import Credited
from tests.gateway.key_change_meter import (
    CREDIT,
    NEW_KEY,
    OLD_KEY,
    OTHER_SECTION,
    SECOND_CREDIT,
    SECTIONS,
    Happens,
    KeyChangeMeter,
    at_a_wire,
)
from transports.endpoint import Endpoint

QUICK = MeterProfile(poll_first_seconds=0.01, poll_timeout_seconds=0.02)
BY_STATUS = replace(QUICK, key_change_proof=KeyChangeProof.STATUS, sts_obis=None)
TWO, THREE, FOUR = (SECTIONS[:count] for count in (2, 3, 4))
KRN_2 = KeyAttributes(key_revision_number=2)

CHANGED = "accepted, credited yes, class-116"
KNOWN = "accepted, credited yes, already-new-key"


def words(judged: Judged) -> str:
    verdict = judged.verdict
    reason = f" ({verdict.reason})" if verdict.reason else ""
    evidence = [verdict.evidence] if verdict.evidence else []
    return ", ".join([f"{verdict.outcome}{reason}", f"credited {verdict.credited}", *evidence])


async def deliver(
    meter: KeyChangeMeter,
    *behind: Token,
    sections: Sequence[Token] = TWO,
    new_key: KeyAttributes = KRN_2,
    profile: MeterProfile = QUICK,
    after_doubt: bool = False,
    wire: str = "tcp",
    **known: Any,
) -> list[Event]:
    """Deliver a set and credits behind it, and hold what is said against what the meter did."""
    told: list[Event] = []

    async def record(event: Event) -> None:
        told.append(event)

    async with at_a_wire(meter, wire) as url:
        to = Meter(endpoint=Endpoint.parse(url), profile=profile, **known)
        delivery = Delivery(to, record, after_doubt=after_doubt)
        judged = await delivery.run(behind, KeyChange(tuple(sections), new_key))
    assert judged == [event for event in told if isinstance(event, Judged)]
    assert [one.token for one in judged] == [*sections, *behind]
    for one in judged:
        is_done = one.token in meter.credited if one.token in behind else meter.changes > 0
        assert one.verdict.credited is Credited.UNKNOWN or is_done == (one.verdict.credited is Credited.YES), words(one)
    assert meter.changes <= 1
    assert len(meter.credited) == len(set(meter.credited))
    assert len({(one.verdict, one.elapsed_seconds) for one in judged[: len(sections)]}) == 1, "one verdict for the set"
    return told


async def ignore(_event: Event) -> None:
    """A record that keeps nothing."""


def verdicts(told: Sequence[Event]) -> list[str]:
    """Of the set, and of each credit behind it."""
    sections = {event.token for event in told if isinstance(event, SectionStored | SendStarted)}
    judged = [event for event in told if isinstance(event, Judged)]
    first = next(one for one in judged)
    behind = [one for one in judged if one.token in (CREDIT, SECOND_CREDIT)]
    assert first not in behind
    assert sections <= {one.token for one in judged}
    return [words(one) for one in (first, *behind)]


# A set takes effect.


@pytest.mark.parametrize("wire", ["tcp", "hdlc+tcp"])
@pytest.mark.parametrize("sections", [TWO, THREE, FOUR], ids=len)
async def test_a_set_takes_effect_and_class_116_proves_it(sections: Sequence[Token], wire: str) -> None:
    meter = KeyChangeMeter(sections)
    told = await deliver(meter, sections=sections, wire=wire)
    assert verdicts(told) == [CHANGED]
    assert meter.entered == list(sections)
    assert (meter.changes, len(meter.channels)) == (1, 1)
    one_section = [SendStarted, SectionStored]
    expected = [Reached, KeyRead, *one_section * len(sections), KeyRead, *[Judged] * len(sections)]
    assert [type(event) for event in told] == expected
    stored = [event for event in told if isinstance(event, SectionStored)]
    assert [(event.position, event.sections) for event in stored] == [(n, len(sections)) for n in range(len(sections))]
    assert [event.shown for event in told if isinstance(event, KeyRead)] == [KeyShown.OLD, KeyShown.NEW]
    assert [one.status and one.status.code for one in told if isinstance(one, Judged)] == [3] * len(sections)


async def test_no_section_is_called_accepted_before_the_set_is() -> None:
    """The intent of each is told before it leaves, and its verdict when all is known."""
    meter = KeyChangeMeter()
    seen: list[int] = []
    meter.right_after_enter = lambda: seen.append(meter.changes)
    told = await deliver(meter)
    assert seen == [0, 1]
    kinds = [type(event) for event in told]
    assert kinds.index(Judged) > max(number for number, kind in enumerate(kinds) if kind is SectionStored)


async def test_a_credit_behind_the_set_is_booked_under_the_new_key() -> None:
    meter = KeyChangeMeter()
    told = await deliver(meter, CREDIT, SECOND_CREDIT)
    assert verdicts(told) == [CHANGED, "accepted, credited yes", "accepted, credited yes"]
    assert meter.entered == [*TWO, CREDIT, SECOND_CREDIT]
    assert len(meter.channels) == 1


async def test_a_set_sent_again_after_its_success_is_recognised() -> None:
    """Two sections are tried again: that the meter refuses both says that it has another key, and class 116 says
    which."""
    meter = KeyChangeMeter()
    await deliver(meter)
    told = await deliver(meter, CREDIT)
    assert verdicts(told) == [KNOWN, "accepted, credited yes"]
    assert meter.entered == [*TWO, *TWO, CREDIT]


@pytest.mark.parametrize("happens", [Happens.NOTHING, Happens.LOST_BEFORE, Happens.LOST_AFTER])
@pytest.mark.parametrize("at", [1, 2])
async def test_what_was_true_before_proves_nothing(happens: Happens, at: int) -> None:
    """Who states what does not change is not told of a success before the set was taken."""
    meter = KeyChangeMeter(script={at: happens}, new_key=replace(OLD_KEY, key_expiry_number=85))
    told = await deliver(meter, new_key=KeyAttributes(key_revision_number=OLD_KEY.key_revision_number))
    assert meter.changes == 1
    assert verdicts(told)[0].startswith("accepted, credited yes")


async def test_without_a_stated_key_a_change_of_any_attribute_is_the_proof() -> None:
    assert verdicts(await deliver(KeyChangeMeter(), new_key=KeyAttributes())) == [CHANGED]
    unchanged = KeyChangeMeter(sections=THREE)
    told = await deliver(unchanged, sections=TWO, new_key=KeyAttributes())
    assert verdicts(told) == ["held (key-not-changed), credited unknown"]


@pytest.mark.parametrize(
    ("shown", "new_key"),
    [
        (NEW_KEY, KeyAttributes(key_revision_number=2, supply_group_code=123456)),
        (replace(NEW_KEY, supply_group_code=0), KeyAttributes(key_revision_number=2, supply_group_code=654321)),
        (replace(OLD_KEY, tariff_index=2), KeyAttributes(tariff_index=2)),
        (replace(OLD_KEY, key_expiry_number=85, key_type=3), KeyAttributes(key_expiry_number=85, key_type=3)),
        (replace(OLD_KEY, encryption_algorithm=11), KeyAttributes(encryption_algorithm=11)),
    ],
    ids=["KRN and SGC", "the meter shows 0 for the SGC that two sections do not carry", "TI", "KEN and KT", "EA"],
)
async def test_what_the_caller_says_is_compared(shown: KeyAttributes, new_key: KeyAttributes) -> None:
    meter = KeyChangeMeter(new_key=shown)
    assert verdicts(await deliver(meter, new_key=new_key)) == [CHANGED]


async def test_a_set_of_three_is_proven_by_the_supply_group_alone() -> None:
    meter = KeyChangeMeter(THREE, replace(OLD_KEY, supply_group_code=654321))
    told = await deliver(meter, sections=THREE, new_key=KeyAttributes(supply_group_code=654321))
    assert verdicts(told) == [CHANGED]


# Answers that are lost.


@pytest.mark.parametrize("happens", [Happens.LOST_BEFORE, Happens.LOST_AFTER, Happens.POWER_FAILURE], ids=str)
@pytest.mark.parametrize(
    ("sections", "number"), [(some, n) for some in (TWO, FOUR) for n in range(1, len(some) + 1)], ids=str
)
async def test_a_lost_answer_is_settled_by_class_116(sections: Sequence[Token], number: int, happens: Happens) -> None:
    """At each section: class 116 is read in a new association, and if it shows the old key all sections go again."""
    meter = KeyChangeMeter(sections, script={number: happens})
    told = await deliver(meter, CREDIT, sections=sections)
    assert verdicts(told) == [CHANGED, "accepted, credited yes"]
    is_done = number == len(sections) and happens is not Happens.LOST_BEFORE
    again = [] if is_done else list(sections)
    assert meter.entered == [*sections[:number], *again, CREDIT]
    (doubt,) = [number for number, event in enumerate(told) if isinstance(event, DoubtArisen)]
    assert [type(event) for event in told[doubt + 1 :][:2]] == [Reached, KeyRead]
    assert len(meter.channels) == 2


async def test_a_section_that_was_sent_again_is_counted() -> None:
    told = await deliver(KeyChangeMeter(script={2: Happens.LOST_BEFORE}))
    sent = [(event.token, event.tries) for event in told if isinstance(event, SendStarted)]
    assert sent == [(TWO[0], 1), (TWO[1], 1), (TWO[0], 2), (TWO[1], 2)]


DOUBTS = (Happens.NOTHING, Happens.LOST_BEFORE, Happens.LOST_AFTER, Happens.POWER_FAILURE, Happens.FORGOTTEN)


@pytest.mark.parametrize("first", DOUBTS, ids=str)
async def test_whatever_happens_to_three_sections_in_a_row_what_is_said_is_true(first: Happens) -> None:
    """And the set takes effect, unless it was begun three times for nothing."""
    for others in itertools.product(DOUBTS, repeat=2):
        meter = KeyChangeMeter(script=dict(enumerate((first, *others), 1)))
        said = verdicts(await deliver(meter, CREDIT))
        if meter.entered == [TWO[0]] * 3:
            assert said == ["held (key-not-changed), credited unknown", "unreached (not-tried), credited no"]
        else:
            assert said == [CHANGED, "accepted, credited yes"], others


async def test_a_meter_that_does_not_come_back_leaves_doubt_and_the_next_run_reads_class_116_first() -> None:
    meter = KeyChangeMeter(script=dict.fromkeys(range(1, 9), Happens.LOST_BEFORE))
    told = await deliver(meter, CREDIT, profile=replace(QUICK, doubt_rounds_max=1))
    assert verdicts(told) == ["in_doubt (hung-up), credited unknown", "unreached (not-tried), credited no"]
    meter.script = {}
    told = await deliver(meter, CREDIT, after_doubt=True)
    assert [type(event) for event in told[:3]] == [Reached, KeyRead, SendStarted]
    assert verdicts(told) == [CHANGED, "accepted, credited yes"]


async def test_after_a_doubt_a_set_that_took_effect_is_accepted_and_not_sent() -> None:
    meter = KeyChangeMeter(key=NEW_KEY, changes=1)
    assert verdicts(await deliver(meter, after_doubt=True)) == [CHANGED]
    assert meter.entered == []


# Refusals.


async def test_a_refused_first_section_is_a_refused_set_and_nothing_behind_it_is_tried() -> None:
    meter = KeyChangeMeter()
    told = await deliver(meter, CREDIT, sections=(OTHER_SECTION, TWO[1]))
    assert verdicts(told) == ["rejected (authentication), credited no", "unreached (not-tried), credited no"]
    assert meter.entered == [OTHER_SECTION]
    codes = [event.status and event.status.code for event in told if isinstance(event, Judged)]
    assert codes[:2] == [5, None]


async def test_a_refusal_where_a_part_of_the_new_key_is_shown_is_no_proof_that_the_set_never_took_effect() -> None:
    meter = KeyChangeMeter(key=NEW_KEY, changes=1)
    told = await deliver(meter, new_key=KeyAttributes(key_revision_number=2, key_expiry_number=85))
    assert verdicts(told) == ["rejected (authentication), credited unknown"]


async def test_a_refused_second_section_leads_to_the_whole_set_again_and_then_to_a_person() -> None:
    meter = KeyChangeMeter()
    told = await deliver(meter, CREDIT, sections=(TWO[0], OTHER_SECTION))
    assert verdicts(told) == ["held (authentication), credited unknown", "unreached (not-tried), credited no"]
    assert meter.entered == [TWO[0], OTHER_SECTION] * 3


@pytest.mark.parametrize("names_sections", [True, False])
async def test_a_refusal_may_mean_success_if_the_meter_tells_stored_from_done(names_sections: bool) -> None:
    """Somebody keys the whole set in between our two sections: ours is refused. Where the meter called our first one
    stored, that is what happened; else that first one may have completed a set of others."""
    meter = KeyChangeMeter(names_sections=names_sections)

    def key_in_the_other() -> None:
        if len(meter.entered) == 1:
            meter.keyed_in = True

    meter.right_after_enter = key_in_the_other
    profile = replace(QUICK, data_value_map=DataValueMap.ONEHOT16) if names_sections else QUICK
    told = await deliver(meter, CREDIT, profile=profile)
    expected = [CHANGED, "accepted, credited yes"] if names_sections else ["held (key-mismatch), credited unknown"]
    assert verdicts(told)[: len(expected)] == expected


async def test_a_set_whose_time_was_over_is_sent_again() -> None:
    """All sections are stored, but not together: class 116 still shows the old key."""
    meter = KeyChangeMeter(script={2: Happens.FORGOTTEN})
    told = await deliver(meter)
    assert verdicts(told) == [CHANGED]
    assert meter.entered == [*TWO, *TWO]
    assert len(meter.channels) == 1


async def test_a_set_that_never_takes_effect_is_left_to_a_person_after_two_more_times() -> None:
    meter = KeyChangeMeter(script=dict.fromkeys(range(1, 20), Happens.FORGOTTEN))
    told = await deliver(meter, CREDIT)
    assert verdicts(told) == ["held (key-not-changed), credited unknown", "unreached (not-tried), credited no"]
    assert meter.entered == list(TWO) * 3


async def test_a_set_that_brings_another_key_than_expected_is_left_to_a_person() -> None:
    meter = KeyChangeMeter(new_key=replace(OLD_KEY, key_revision_number=3))
    told = await deliver(meter, CREDIT)
    assert verdicts(told) == ["held (key-mismatch), credited unknown", "unreached (not-tried), credited no"]
    assert meter.entered == list(TWO)


async def test_a_meter_that_is_busy_is_tried_another_time() -> None:
    meter = KeyChangeMeter(script={2: Happens.BUSY})
    assert verdicts(await deliver(meter)) == ["in_doubt (busy), credited unknown"]
    assert verdicts(await deliver(meter, after_doubt=True)) == [CHANGED]


@pytest.mark.parametrize("number", [1, 2])
async def test_a_status_that_stays_pending_is_settled_by_class_116(number: int) -> None:
    meter = KeyChangeMeter(script={number: Happens.PENDING})
    told = await deliver(meter)
    assert verdicts(told) == [CHANGED]
    assert any(isinstance(event, StatusRead) for event in told)
    assert meter.entered == [*TWO[:number], *(TWO if number == 1 else ())]


# What cannot be read.

HIDDEN = dict.fromkeys(KEY_ATTRIBUTES, DataAccessResult.READ_WRITE_DENIED)


@pytest.mark.parametrize(
    ("unreadable", "new_key"),
    [
        (HIDDEN, KRN_2),
        ({"key_expiry_number": DataAccessResult.OBJECT_UNDEFINED}, replace(KRN_2, key_expiry_number=85)),
    ],
    ids=["all of class 116", "one that is to be compared"],
)
async def test_a_class_116_that_does_not_say_it_is_held_before_anything_is_sent(
    unreadable: Mapping[str, DataAccessResult], new_key: KeyAttributes
) -> None:
    meter = KeyChangeMeter(unreadable=unreadable)
    told = await deliver(meter, CREDIT, new_key=new_key)
    assert verdicts(told)[0] == "held (config), credited no"
    assert meter.entered == []


async def test_what_is_not_to_be_compared_may_be_missing() -> None:
    meter = KeyChangeMeter(
        unreadable={name: result for name, result in HIDDEN.items() if name != "key_revision_number"}
    )
    assert verdicts(await deliver(meter)) == [CHANGED]


async def test_a_class_116_that_is_closed_in_the_middle_leaves_it_to_a_person() -> None:
    meter = KeyChangeMeter()
    meter.right_after_enter = lambda: setattr(meter, "unreadable", HIDDEN)
    assert verdicts(await deliver(meter, CREDIT)) == [
        "held (config), credited unknown",
        "unreached (not-tried), credited no",
    ]


async def test_a_class_116_that_asks_for_patience_is_read_again() -> None:
    meter = KeyChangeMeter()

    def busy_for_a_while() -> None:
        busy = len(meter.entered) == 2 and len(meter.channels) == 1
        meter.unreadable = {"key_revision_number": DataAccessResult.TEMPORARY_FAILURE} if busy else {}

    meter.right_after_enter = busy_for_a_while
    told = await deliver(meter, profile=replace(QUICK, doubt_rounds_max=1))
    assert verdicts(told) == ["in_doubt (busy), credited unknown"]
    meter.unreadable = {}
    assert verdicts(await deliver(meter, after_doubt=True)) == [CHANGED]


async def test_nobody_at_the_address_is_offline() -> None:
    told: list[Event] = []

    async def record(event: Event) -> None:
        told.append(event)

    async with at_a_wire(KeyChangeMeter()) as url:
        gone = Endpoint.parse(url)
    await Delivery(Meter(endpoint=gone, profile=QUICK), record).run([CREDIT], KeyChange(TWO, KRN_2))
    assert [words(event) for event in told if isinstance(event, Judged)] == [
        *["unreached (offline), credited no"] * 2,
        "unreached (not-tried), credited no",
    ]


# Models that differ.


async def test_a_model_without_class_116_is_believed_when_every_section_was_executed() -> None:
    meter = KeyChangeMeter(unreadable=HIDDEN)
    told = await deliver(meter, CREDIT, profile=BY_STATUS, new_key=KeyAttributes())
    assert verdicts(told) == ["accepted, credited yes, status", "accepted, credited yes"]
    assert not any(isinstance(event, KeyRead) for event in told)


STATUS_CASES: list[tuple[str, dict[int, Happens], str, int]] = [
    ("lost before the first", {1: Happens.LOST_BEFORE}, "accepted, credited yes, status", 3),
    ("lost after the first", {1: Happens.LOST_AFTER}, "accepted, credited yes, status", 3),
    ("lost before the second", {2: Happens.LOST_BEFORE}, "accepted, credited yes, status", 4),
    ("lost after the second", {2: Happens.LOST_AFTER}, "held (authentication), credited unknown", 3),
]


@pytest.mark.parametrize(("script", "verdict", "sends"), [row[1:] for row in STATUS_CASES], ids=lambda _: "")
async def test_without_class_116_a_refusal_after_a_doubt_is_left_to_a_person(
    script: Mapping[int, Happens], verdict: str, sends: int
) -> None:
    meter = KeyChangeMeter(script=script)
    assert verdicts(await deliver(meter, profile=BY_STATUS)) == [verdict]
    assert len(meter.entered) == sends


async def test_without_class_116_a_refused_set_may_have_taken_effect_long_ago() -> None:
    meter = KeyChangeMeter(key=NEW_KEY, changes=1)
    assert verdicts(await deliver(meter, profile=BY_STATUS)) == ["rejected (authentication), credited unknown"]
    assert meter.entered == [TWO[0]]


async def test_class_116_is_read_attribute_by_attribute_where_lists_are_not_liked() -> None:
    assert verdicts(await deliver(KeyChangeMeter(), CREDIT, profile=replace(QUICK, use_get_list=False))) == [
        CHANGED,
        "accepted, credited yes",
    ]


@pytest.mark.parametrize("proof", [*HiddenTokenProof])
async def test_a_meter_that_hides_its_tokens_changes_its_key_all_the_same(proof: HiddenTokenProof) -> None:
    profile = replace(QUICK, token_readback=TokenReadback.HIDDEN, hidden_token_proof=proof)
    assert verdicts(await deliver(KeyChangeMeter(), profile=profile)) == [CHANGED]


@pytest.mark.parametrize("number", [1, 2])
async def test_an_intent_that_cannot_be_written_keeps_the_section_here(number: int) -> None:
    meter = KeyChangeMeter()

    async def disk_full(event: Event) -> None:
        if isinstance(event, SendStarted) and len(meter.entered) == number - 1:
            raise OSError("no space left")

    async with at_a_wire(meter) as url:
        delivery = Delivery(Meter(endpoint=Endpoint.parse(url), profile=QUICK), disk_full)
        with pytest.raises(OSError, match="no space left"):
            await delivery.run([CREDIT], KeyChange(TWO, KRN_2))
    assert len(meter.entered) == number - 1


async def break_the_line(meter: KeyChangeMeter, at: Meter) -> None:
    """The line of the latest association; when this returns, both sides know it."""
    meter.channels[-1].hang_up()
    async with await open_session(at, InvocationCounters()) as session:
        await session.get(STS_CLASS_ID, at.profile.sts_obis or DEFAULT_STS_OBIS, 8)


@pytest.mark.parametrize(
    ("number", "verdict", "sends"),
    [(1, "unreached (offline), credited no", 0), (2, CHANGED, 3)],
    ids=["first", "second"],
)
async def test_a_section_of_which_no_byte_left_was_not_sent(number: int, verdict: str, sends: int) -> None:
    meter = KeyChangeMeter()
    intents: list[Event] = []

    async with at_a_wire(meter) as url:
        to = Meter(endpoint=Endpoint.parse(url), profile=QUICK)

        async def record(event: Event) -> None:
            if isinstance(event, SendStarted):
                intents.append(event)
                if len(intents) == number:
                    await break_the_line(meter, to)

        judged = await Delivery(to, record).run([], KeyChange(TWO, KRN_2))
    assert [words(one) for one in judged] == [verdict] * 2
    assert len(meter.entered) == sends


async def test_an_association_that_broke_before_the_set_says_nothing_about_the_meter() -> None:
    """It was opened for another token, and class 116 was not read in it."""
    meter = KeyChangeMeter()
    async with at_a_wire(meter) as url:
        to = Meter(endpoint=Endpoint.parse(url), profile=QUICK)
        delivery = Delivery(to, ignore)
        first = await delivery.deliver(Undelivered(token=OTHER_SECTION))
        assert words(first) == "rejected (authentication), credited no"
        await break_the_line(meter, to)
        judged = await delivery.deliver_set(UndeliveredSet(key_change=KeyChange(TWO, KRN_2)))
        await delivery.release()
    assert [words(one) for one in judged] == [CHANGED] * 2


async def test_class_116_is_read_even_if_the_association_began_without_it() -> None:
    async with at_a_wire(KeyChangeMeter()) as url:
        contact = Contact(Meter(endpoint=Endpoint.parse(url), profile=QUICK), ignore, connect, None)
        session = await contact.reach()
        assert (await contact.state(session, key=True)).key == OLD_KEY
        assert (await contact.state(session)).key is None
        await contact.release()


@pytest.mark.parametrize(
    ("supported", "count", "is_sent"), [(2, 2, True), (2, 3, False), (3, 4, False), (4, 4, True), (0, 4, True)]
)
async def test_a_set_of_more_sections_than_the_meter_takes_is_not_begun(
    supported: int, count: int, is_sent: bool
) -> None:
    """It would take the first two for a whole set, and have a key that nobody knows. 0 says nothing."""
    sections = SECTIONS[:count]
    meter = KeyChangeMeter(sections=sections, kct_supported=supported)
    told = await deliver(meter, sections=sections)
    judged = [words(event) for event in told if isinstance(event, Judged)]
    assert judged == [CHANGED if is_sent else "held (config), credited no"] * count
    assert bool(meter.entered) == is_sent


async def test_nobody_says_no_of_a_key_that_the_meter_may_have() -> None:
    meter = KeyChangeMeter(sections=FOUR, kct_supported=3, key=NEW_KEY, changes=1)
    told = await deliver(meter, sections=FOUR)
    assert {words(event) for event in told if isinstance(event, Judged)} == {"held (config), credited unknown"}


async def test_after_a_doubt_a_meter_that_is_still_at_work_is_not_disturbed() -> None:
    """The section before the crash is still being worked on: another one would be refused as busy."""
    meter = KeyChangeMeter(script={2: Happens.PENDING})
    profile = replace(QUICK, poll_timeout_seconds=0.2)
    await deliver(meter, profile=replace(profile, poll_timeout_seconds=0.0, doubt_rounds_max=0))
    meter.changes, meter.key = 0, OLD_KEY  # as if it had not come to the end of its work
    entered, reads = len(meter.entered), meter.key_reads
    meter.right_after_enter = lambda: reads_at_enter.append(meter.key_reads - reads)
    reads_at_enter: list[int] = []
    told = await deliver(meter, profile=profile, after_doubt=True)
    assert reads_at_enter[0] > 2, "it looked again and again, and then entered"
    assert [type(event) for event in told[:3]] == [Reached, KeyRead, SendStarted], "which is told once"
    assert len(meter.entered) > entered


async def test_a_mistyped_section_does_not_say_that_the_meter_has_the_key() -> None:
    """Of a stated key that the meter shows all the while: it refuses one section, and takes the other."""
    meter = KeyChangeMeter()
    told = await deliver(
        meter,
        sections=(OTHER_SECTION, TWO[1]),
        new_key=KeyAttributes(key_revision_number=OLD_KEY.key_revision_number),
    )
    assert verdicts(told) == ["held (key-not-changed), credited unknown"]
    assert meter.changes == 0


async def test_a_set_that_mixes_with_what_the_meter_held_of_another_is_held() -> None:
    """The first section completes what was there, to a key that nobody knows, and the second is refused under it."""
    meter = KeyChangeMeter(sections=TWO)
    meter.sections = (TWO[0], SECTIONS[3])  # what it takes for a set: our first, and one that it holds already
    meter._stored.add(SECTIONS[3])
    told = await deliver(meter)
    assert meter.changes == 1
    assert verdicts(told) == ["held (key-mismatch), credited unknown"]
