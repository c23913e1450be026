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
NOTHING_LEFT = "1"
"""The row of the verdict table in which no byte of ours left."""


def check(outcome: Outcome) -> None:
    """The promises, against the meter's own ledger."""
    seed = outcome.case.seed
    for token, times in outcome.times_credited.items():
        assert times <= 1, f"seed {seed}: {token} was credited {times} times"
    for statement in outcome.statements:
        token, verdict = statement.judged.token, statement.judged.verdict
        if verdict.credited is Credited.YES:
            assert statement.times_credited == 1, f"seed {seed}: {token} was told credited, and is not: {verdict}"
        # That the customer keyed in a token which we could not even send is the one thing that nobody can know.
        if verdict.credited is Credited.NO and not (statement.keyed_in and verdict.row == NOTHING_LEFT):
            assert statement.times_credited == 0, f"seed {seed}: {token} was told not credited, and is: {verdict}"
        assert verdict.outcome is not Word.PENDING, f"seed {seed}: {verdict}"


@pytest.mark.parametrize("first", range(0, SEEDS, BLOCK), ids=lambda first: f"seeds-{first}-{first + BLOCK - 1}")
def test_no_fault_loses_or_doubles_a_credit(first: int) -> None:
    for seed in range(first, first + BLOCK):
        check(run_in_virtual_time(play(case_of(seed))))


@pytest.mark.parametrize(("runs", "unknown_max"), [(1, 0.15), (12, 0.10)], ids=["once", "and come back"])
def test_few_tokens_stay_unknown(runs: int, unknown_max: float, capsys: pytest.CaptureFixture[str]) -> None:
    words = Counter[str]()
    for seed in range(SEEDS):
        outcome = run_in_virtual_time(play(case_of(seed), runs_max=runs))
        check(outcome)
        for verdict in outcome.last_words.values():
            words[f"{verdict.outcome.value}, credited {verdict.credited.value}"] += 1
    tokens = words.total()
    unknown = sum(count for word, count in words.items() if word.endswith("unknown")) / tokens
    with capsys.disabled():
        print(f"\n{tokens} tokens, {SEEDS} bad wires, at most {runs} runs: {dict(words)}; unknown {unknown:.1%}")
    assert unknown < unknown_max


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
