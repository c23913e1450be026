"""``judge``: the verdict table of docs/verdicts.md, row by row, and over every small evidence there is."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from dataclasses import replace

import pytest

from cosem_objects.profile import HiddenTokenProof, MeterProfile, TokenReadback
from cosem_objects.sts_token import Token
from cosem_objects.token_gateway import DataValueMap, StsResult, TokenEncoding, TokenStatus, onehot16
from gateway.verdict import Credited, Evidence, NextStep, Obstacle, Outcome, Reading, Verdict, judge

OURS = TokenEncoding.ASCII20.to_octets(Token.parse("48643202781314010686"))
OTHER = TokenEncoding.ASCII20.to_octets(Token.parse("23716100501183194197"))
EARLIER, LATER = b"\x01" * 12, b"\x02" * 12

SIM = MeterProfile(data_value_map=DataValueMap.ONEHOT16)
RAW = MeterProfile()

BEFORE = Reading(OTHER, EARLIER, 0, TokenStatus(3))
OFFLINE = Obstacle("offline", "cannot connect")
CONFIG = Obstacle("config", "association refused", is_configuration=True)
WRONG = Obstacle("wrong-meter", "another serial")


def shown(code: int, result: StsResult | None = None, *, token: bytes = OURS, method: int | None = 0) -> Reading:
    return Reading(token, LATER, method, TokenStatus(code, onehot16(result)))


def one_try(after: Reading | None, **more: object) -> Evidence:
    evidence = Evidence(token=OURS, tries=1, before=BEFORE, action_result=0, after=after)
    return replace(evidence, **more)


YES, NO, UNKNOWN = Credited.YES, Credited.NO, Credited.UNKNOWN

ROWS: list[tuple[str, Evidence, Outcome, Credited, str | None, NextStep]] = [
    (
        "0: our token already stands there before any send",
        Evidence(token=OURS, tries=0, after=shown(3)),
        Outcome.REJECTED,
        UNKNOWN,
        "used",
        NextStep.STOP,
    ),
    (
        "1: no byte left",
        Evidence(token=OURS, tries=0, obstacle=OFFLINE),
        Outcome.UNREACHED,
        NO,
        "offline",
        NextStep.STOP,
    ),
    (
        "1: no byte left, and only a person can mend it",
        Evidence(token=OURS, tries=0, obstacle=CONFIG),
        Outcome.HELD,
        NO,
        "config",
        NextStep.STOP,
    ),
    (
        "1: another meter answers",
        Evidence(token=OURS, tries=0, obstacle=WRONG),
        Outcome.UNREACHED,
        NO,
        "wrong-meter",
        NextStep.STOP,
    ),
    (
        "1: another meter answers after a doubt",
        Evidence(token=OURS, tries=1, obstacle=WRONG),
        Outcome.HELD,
        UNKNOWN,
        "wrong-meter",
        NextStep.STOP,
    ),
    (
        "2: it may have left, nothing could be read",
        one_try(None, action_result=None, obstacle=OFFLINE),
        Outcome.IN_DOUBT,
        UNKNOWN,
        "offline",
        NextStep.RECONNECT,
    ),
    ("3: executed", one_try(shown(3)), Outcome.ACCEPTED, YES, None, NextStep.STOP),
    (
        "3: executed, though the answer was lost",
        one_try(shown(3), action_result=None),
        Outcome.ACCEPTED,
        YES,
        None,
        NextStep.STOP,
    ),
    (
        "3: executed, though the ACTION was refused",
        one_try(shown(3), action_result=250),
        Outcome.ACCEPTED,
        YES,
        None,
        NextStep.STOP,
    ),
    *(
        (f"4: stage {code}", one_try(shown(code)), Outcome.PENDING, UNKNOWN, "pending", NextStep.POLL)
        for code in (0, 1, 2, 8)
    ),
    ("4: a status nobody knows", one_try(shown(9)), Outcome.PENDING, UNKNOWN, "pending", NextStep.POLL),
    (
        "4: the time for polling is up",
        one_try(shown(8), poll_time_is_up=True),
        Outcome.IN_DOUBT,
        UNKNOWN,
        "pending",
        NextStep.RECONNECT,
    ),
    ("5: format", one_try(shown(4)), Outcome.REJECTED, NO, "format", NextStep.STOP),
    ("5: wrong key", one_try(shown(5, StsResult.CRC)), Outcome.REJECTED, NO, "crc", NextStep.STOP),
    (
        "5: old may have been used long ago",
        one_try(shown(6, StsResult.OLD)),
        Outcome.REJECTED,
        UNKNOWN,
        "old",
        NextStep.STOP,
    ),
    ("5: default key", one_try(shown(6, StsResult.DEFAULT_KEY)), Outcome.REJECTED, NO, "default-key", NextStep.STOP),
    ("5: validation, bits say nothing", one_try(shown(6)), Outcome.REJECTED, UNKNOWN, "validation", NextStep.STOP),
    ("5: overflow", one_try(shown(7, StsResult.OVERFLOW)), Outcome.REJECTED, NO, "overflow", NextStep.STOP),
    (
        "5: a frame was sent twice",
        one_try(shown(5), frame_repeated=True),
        Outcome.REJECTED,
        UNKNOWN,
        "authentication",
        NextStep.STOP,
    ),
    (
        "6: another token stands there after a doubt",
        one_try(shown(3, token=OTHER), action_result=None),
        Outcome.IN_DOUBT,
        UNKNOWN,
        "not-shown",
        NextStep.ENTER,
    ),
    (
        "6: our token, but keyed in by hand",
        one_try(shown(3, method=2)),
        Outcome.IN_DOUBT,
        UNKNOWN,
        "not-shown",
        NextStep.ENTER,
    ),
    (
        "6: nothing changed since before our send",
        one_try(
            Reading(OURS, EARLIER, 0, TokenStatus(3)),
            before=Reading(OURS, EARLIER, 0, TokenStatus(3)),
            action_result=None,
        ),
        Outcome.IN_DOUBT,
        UNKNOWN,
        "not-shown",
        NextStep.ENTER,
    ),
    (
        "7: used, after we entered it again",
        one_try(shown(6, StsResult.USED), tries=2),
        Outcome.ACCEPTED,
        YES,
        None,
        NextStep.STOP,
    ),
    ("8: any other failure then", one_try(shown(5), tries=2), Outcome.HELD, UNKNOWN, "authentication", NextStep.STOP),
    (
        "9: used on an undoubtful first try",
        one_try(shown(6, StsResult.USED)),
        Outcome.REJECTED,
        UNKNOWN,
        "used",
        NextStep.STOP,
    ),
    *(
        (
            f"10: refused with {result}",
            one_try(BEFORE, action_result=result),
            Outcome.IN_DOUBT,
            UNKNOWN,
            "busy",
            NextStep.STOP,
        )
        for result in (1, 2)
    ),
    *(
        (
            f"10: refused with {result}",
            one_try(BEFORE, action_result=result),
            Outcome.HELD,
            UNKNOWN,
            "config",
            NextStep.STOP,
        )
        for result in (3, 4, 9, 11, 12, 13, 250)
    ),
]


@pytest.mark.parametrize(
    ("name", "evidence", "outcome", "credited", "reason", "step"), ROWS, ids=[row[0] for row in ROWS]
)
def test_each_row_of_the_table(
    name: str, evidence: Evidence, outcome: Outcome, credited: Credited, reason: str | None, step: NextStep
) -> None:
    verdict = judge(evidence, SIM)
    assert (verdict.outcome, verdict.credited, verdict.reason, verdict.next_step) == (outcome, credited, reason, step)
    assert verdict.row == name.split(":", maxsplit=1)[0]


def test_used_proves_nothing_where_the_bits_cannot_be_read() -> None:
    verdict = judge(one_try(shown(6, StsResult.USED), tries=2), RAW)
    assert (verdict.outcome, verdict.credited) == (Outcome.HELD, Credited.UNKNOWN)


def test_a_token_without_tid_may_stand_there_and_be_sent_again() -> None:
    verdict = judge(Evidence(token=OURS, has_tid=False, tries=0, after=shown(3)), SIM)
    assert verdict.next_step is NextStep.ENTER


def test_a_meter_that_answers_before_it_shows_the_token_is_polled() -> None:
    assert judge(one_try(BEFORE), SIM).next_step is NextStep.POLL
    assert judge(one_try(BEFORE, poll_time_is_up=True), SIM).next_step is NextStep.ENTER


def test_the_meters_own_codes_are_mapped() -> None:
    profile = MeterProfile(status_map={9: 3})
    assert judge(one_try(shown(9)), profile).outcome is Outcome.ACCEPTED


def test_a_meter_that_calls_remote_local_is_believed_when_its_profile_says_so() -> None:
    assert judge(one_try(shown(3, method=1)), SIM).outcome is Outcome.IN_DOUBT
    assert judge(one_try(shown(3, method=1)), replace(SIM, remote_delivery_methods=(1,))).outcome is Outcome.ACCEPTED


@pytest.mark.parametrize("readback", [TokenReadback.BCD10, TokenReadback.DIGITS20, TokenReadback.BINARY9])
def test_attribute_2_may_show_the_token_in_another_coding(readback: TokenReadback) -> None:
    octets = TokenEncoding(readback.value).to_octets(Token.parse("48643202781314010686"))
    profile = replace(SIM, token_readback=readback)
    assert judge(one_try(shown(3, token=octets)), profile).outcome is Outcome.ACCEPTED
    assert judge(one_try(shown(3, token=OURS)), profile).outcome is Outcome.IN_DOUBT


def test_where_the_token_is_hidden_a_changed_time_stands_in_for_it() -> None:
    profile = replace(SIM, token_readback=TokenReadback.HIDDEN)
    hidden = Reading(None, LATER, 0, TokenStatus(3))
    assert judge(one_try(hidden), profile).outcome is Outcome.ACCEPTED
    assert judge(one_try(replace(hidden, time=EARLIER), action_result=None), profile).outcome is Outcome.IN_DOUBT
    assert judge(one_try(hidden, before=None), profile).outcome is Outcome.IN_DOUBT


def test_where_the_balance_is_the_proof_it_proves_acceptance_only() -> None:
    profile = replace(SIM, token_readback=TokenReadback.HIDDEN, hidden_token_proof=HiddenTokenProof.BALANCE)
    hidden = Reading(None, LATER, 0, TokenStatus(3))
    assert judge(one_try(hidden, balance_rose=True), profile).outcome is Outcome.ACCEPTED
    assert judge(one_try(hidden, balance_rose=False), profile).outcome is Outcome.IN_DOUBT
    failed = Reading(None, LATER, 0, TokenStatus(5))
    assert judge(one_try(failed, balance_rose=True), profile).outcome is Outcome.IN_DOUBT


# Every small evidence.

READINGS: list[Reading | None] = [
    None,
    *(
        Reading(token, time, method, status)
        for token in (OURS, OTHER, None)
        for time in (EARLIER, LATER, None)
        for method in (0, 2, None)
        for status in (
            None,
            TokenStatus(8),
            TokenStatus(3, onehot16(None)),
            TokenStatus(9),
            TokenStatus(5, onehot16(StsResult.CRC)),
            TokenStatus(6, onehot16(StsResult.USED)),
            TokenStatus(6, onehot16(StsResult.OLD)),
            TokenStatus(6),
        )
    ),
]
BEFORES = [None, BEFORE, Reading(OURS, EARLIER, 0, TokenStatus(5)), Reading(None, None, None, TokenStatus(0))]
PROFILES = [
    SIM,
    RAW,
    replace(SIM, token_readback=TokenReadback.HIDDEN),
    replace(SIM, token_readback=TokenReadback.HIDDEN, hidden_token_proof=HiddenTokenProof.BALANCE),
]


def every_evidence() -> Iterator[tuple[Evidence, MeterProfile]]:
    for tries, before, after, result, repeated, time_is_up, obstacle, rose, profile in itertools.product(
        (0, 1, 2),
        BEFORES,
        READINGS,
        (None, 0, 2, 12),
        (False, True),
        (False, True),
        (None, OFFLINE, CONFIG, WRONG),
        (None, True),
        PROFILES,
    ):
        if rose and profile.hidden_token_proof is not HiddenTokenProof.BALANCE:
            continue
        yield (
            Evidence(
                token=OURS,
                tries=tries,
                before=before,
                action_result=result,
                after=after,
                frame_repeated=repeated,
                poll_time_is_up=time_is_up,
                obstacle=obstacle,
                balance_rose=rose,
            ),
            profile,
        )


def is_final_status(evidence: Evidence, *codes: int) -> bool:
    return evidence.after is not None and evidence.after.status is not None and evidence.after.status.code in codes


def proves_used(evidence: Evidence, profile: MeterProfile) -> bool:
    status = evidence.after.status if evidence.after else None
    return status is not None and profile.data_value_map.result(status.data_value) is StsResult.USED


RULES: list[tuple[str, Callable[[Evidence, MeterProfile, Verdict], bool]]] = [
    (
        "yes only for an executed status or a proven used after a doubt, and only with a reading",
        lambda e, p, v: v.credited is not YES
        or is_final_status(e, 3)
        or (e.tries > 1 and proves_used(e, p)),
    ),
    (
        "no only if no byte left, or our only try failed in a way that cannot have been credited",
        lambda e, p, v: v.credited is not NO
        or e.tries == 0
        or (e.tries == 1 and not e.frame_repeated and is_final_status(e, 4, 5, 7)),
    ),
    ("accepted and yes go together", lambda e, p, v: (v.outcome is Outcome.ACCEPTED) == (v.credited is YES)),
    ("without a reading nothing is final once it may have left", lambda e, p, v: e.tries == 0
        or (e.after is not None and e.after.status is not None)
        or v.outcome in (Outcome.IN_DOUBT, Outcome.HELD)),
    ("polling ends", lambda e, p, v: not (e.poll_time_is_up and v.next_step is NextStep.POLL)),
    ("what was keyed in by hand is never our evidence", lambda e, p, v: e.after is None
        or e.after.method != 2
        or e.tries == 0
        or v.outcome not in (Outcome.ACCEPTED, Outcome.REJECTED)),
    ("what may have left is never unreached", lambda e, p, v: e.tries == 0 or v.outcome is not Outcome.UNREACHED),
    ("nothing is entered where only a person can mend it", lambda e, p, v: e.obstacle is not CONFIG
        or v.next_step is not NextStep.ENTER),
    ("a token that stands there before any send is not sent", lambda e, p, v: not (
        e.tries == 0 and e.after is not None and e.after.token == OURS and p.token_readback is TokenReadback.SAME
    ) or (v.outcome is Outcome.REJECTED and v.next_step is NextStep.STOP)),
    ("nothing left: no, or the meter has it already", lambda e, p, v: e.tries > 0
        or v.credited is NO or v.evidence == "already-in-meter"),
]  # fmt: skip


def test_every_small_evidence_has_one_verdict_that_keeps_the_rules() -> None:
    count = 0
    for evidence, profile in every_evidence():
        verdict = judge(evidence, profile)
        count += 1
        for name, rule in RULES:
            assert rule(evidence, profile, verdict), (name, evidence, profile.token_readback, verdict)
    assert count > 200_000


def test_a_verdict_does_not_depend_on_what_it_must_not_look_at() -> None:
    for evidence, profile in itertools.islice(every_evidence(), 0, None, 7):
        verdict = judge(evidence, profile)
        assert judge(replace(evidence), profile) == verdict
        if evidence.before is not None:  # the status before our send says nothing about our token
            other = replace(evidence, before=replace(evidence.before, status=TokenStatus(3), method=2))
            assert judge(other, profile) == verdict, evidence
