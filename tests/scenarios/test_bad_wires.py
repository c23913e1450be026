"""Whatever the wire does: no token is credited twice, and what is said about its credit is true.

A failing seed is in the test's name; ``pytest tests/scenarios -k 'seed17-'`` runs it again.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import pytest

from gateway.verdict import Credited
from gateway.verdict import Outcome as Word
from tests.scenarios.town import Outcome, case_of, play
from tests.scenarios.virtual_clock import run_in_virtual_time
from transports.faults import Faults

SEEDS = 600
BLOCK = 25


def check(outcome: Outcome) -> None:
    """The promises, against the meter's own ledger."""
    seed = outcome.case.seed
    for token, times in outcome.times_credited.items():
        assert times <= 1, f"seed {seed}: {token} was credited {times} times"
    for statement in outcome.statements:
        token, verdict = statement.judged.token, statement.judged.verdict
        if verdict.credited is Credited.YES:
            assert statement.times_credited == 1, f"seed {seed}: {token} was told credited, and is not: {verdict}"
        if verdict.credited is Credited.NO and not statement.keyed_in:
            assert statement.times_credited == 0, f"seed {seed}: {token} was told not credited, and is: {verdict}"
        assert verdict.outcome is not Word.PENDING, f"seed {seed}: {verdict}"


@pytest.mark.parametrize("first", range(0, SEEDS, BLOCK), ids=lambda first: f"seeds-{first}-{first + BLOCK - 1}")
def test_no_fault_loses_or_doubles_a_credit(first: int) -> None:
    for seed in range(first, first + BLOCK):
        check(run_in_virtual_time(play(case_of(seed))))


def test_an_operator_who_comes_back_settles_nearly_every_doubt(capsys: pytest.CaptureFixture[str]) -> None:
    words = Counter[str]()
    for seed in range(SEEDS):
        outcome = run_in_virtual_time(play(case_of(seed), runs_max=12))
        check(outcome)
        for verdict in outcome.last_words.values():
            words[f"{verdict.outcome.value}, credited {verdict.credited.value}"] += 1
    tokens = words.total()
    unknown = sum(count for word, count in words.items() if word.endswith("unknown"))
    with capsys.disabled():
        print(f"\n{tokens} tokens on {SEEDS} bad wires: {dict(words.most_common())}; unknown {unknown / tokens:.1%}")
    assert unknown / tokens < 0.10


def test_a_seed_plays_the_same_again() -> None:
    stories = [run_in_virtual_time(play(case_of(7), runs_max=3)).last_words for _ in range(2)]
    assert stories[0] == stories[1]


def test_without_faults_every_token_is_credited_and_said_so() -> None:
    for seed in range(40):
        case = replace(case_of(seed), faults=Faults(), meter_faults=(), status_delay_seconds=0.5, keyed_in=0)
        outcome = run_in_virtual_time(play(replace(case, keys_ours_too=False)))
        assert {verdict.credited for verdict in outcome.last_words.values()} == {Credited.YES}, f"seed {seed}"
        assert outcome.enters == case.tokens, f"seed {seed}: a token was entered more often than needed"


@pytest.mark.soak
def test_ten_thousand_seeds() -> None:
    for seed in range(SEEDS, 10_000):
        check(run_in_virtual_time(play(case_of(seed), runs_max=6)))
