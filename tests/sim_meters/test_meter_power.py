"""Power failure anywhere: the meter is as before the token or as after it, and goes on to the same end."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from itertools import permutations
from pathlib import Path
from random import Random

import pytest

from cosem_objects.sts_token import Token
from sim_meters.debt import DebtRecovery
from sim_meters.emergency import EmergencyCredit
from sim_meters.ledger import _whole_lines, read_ledger
from sim_meters.meter import SimMeter
from sim_meters.meter_config import lab_config
from sim_meters.state import MeterState
from sim_meters.sts.keys.decoder_key import DecoderKey
from sim_meters.sts.machine.machine_settings import MachineSettings
from sim_meters.sts.results import SECTION_RESULTS, TokenResult
from sim_meters.sts.tokens.clear_token import encode_credit
from sim_meters.sts.tokens.key_change import MeterKey, key_change_set
from sim_meters.sts.tokens.token_table import CLEAR_CREDIT, CLEAR_TAMPER, EXTENDED_SET, MAXIMUM_POWER_LIMIT
from tests.sim_meters.meter_client import TIMEOUT_SECONDS, Client, Clock, credit, running
from tests.sim_meters.meter_tokens import STS, a_key, display_token, managing, on_file
from transports.channel import ChannelError

LAB = lab_config()
FACTORY = LAB.decoder_key
CONFIG = replace(
    LAB,
    sts_settings=MachineSettings(kct_supported=4),
    emergency=EmergencyCredit(50),
    debt=DebtRecovery(100, 2500),
)
EA11 = a_key("a key of 128 bits", ea=11, krn=3, ti=7, ken=200)
SHORT = a_key("another key of 64 bits", krn=2)

Step = Callable[[SimMeter], object]


def key_in(*tokens: Token) -> list[Step]:
    return [lambda meter, token=token: meter.key_in(token) for token in tokens]  # type: ignore[misc]


def enter(*tokens: Token) -> list[Step]:
    return [lambda meter, token=token: meter.enter(token.digits.encode()) for token in tokens]  # type: ignore[misc]


def wait(seconds: float) -> Step:
    def passed(meter: SimMeter) -> None:
        assert isinstance(meter.clock, Clock)
        meter.clock.move(seconds)

    return passed


def under(key: DecoderKey, units: int, tid: int) -> Token:
    return encode_credit(key, CONFIG.unit.kind, units, tid, 5)


def wrong(token: Token) -> Token:
    return Token(token.number ^ 1)


SET_OF_FOUR = key_change_set(FACTORY, EA11, rollover=False)
SCRIPT: list[Step] = [
    *key_in(managing(FACTORY, MAXIMUM_POWER_LIMIT, 2000, 1000)),
    *enter(credit(CONFIG, 256, 1001)),
    *key_in(managing(FACTORY, CLEAR_CREDIT, 0, 1002)),
    SimMeter.take_emergency_credit,
    *key_in(
        credit(CONFIG, 100, 1003), display_token("tamper", "power-limit"), managing(FACTORY, EXTENDED_SET, 7, 1004)
    ),
    SimMeter.open_cover,
    *enter(SET_OF_FOUR[2], SET_OF_FOUR[0]),
    lambda meter: meter.order_switch(connect=False),
    *key_in(SET_OF_FOUR[3], credit(CONFIG, 33, 1005), SET_OF_FOUR[1]),
    lambda meter: meter.enter(b"no token"),
    *key_in(*3 * [wrong(under(EA11.decoder_key, 1, 1006))]),
    wait(11),
    *key_in(managing(EA11.decoder_key, CLEAR_TAMPER, 0, 1007), under(EA11.decoder_key, 44, 1008)),
]


@dataclass(frozen=True)
class Life:
    """What one meter went through: the size of its ledger and its state before each step, and at the end."""

    content: bytes
    sizes: list[int]
    states: list[MeterState]
    times: list[float]
    """Seconds on its clock, at the same places."""

    @property
    def steps(self) -> list[tuple[int, int, int]]:
        """Number, size before and size after of each step that wrote something."""
        pairs = enumerate(zip(self.sizes, self.sizes[1:], strict=False))
        return [(number, before, after) for number, (before, after) in pairs if before != after]


def life(path: Path, script: list[Step]) -> Life:
    clock = Clock()
    start = clock.now()
    meter = on_file(CONFIG, path, clock)
    sizes, states, times = [], [], []
    for step in [*script, None]:
        sizes.append(path.stat().st_size)
        states.append(awake(meter.state))
        times.append((clock.now() - start).total_seconds())
        if step is not None:
            step(meter)
    meter.close()
    return Life(path.read_bytes(), sizes, states, times)


def awake(state: MeterState) -> MeterState:
    """As after power came back: of all that the meter knows, the lock-out alone is forgotten."""
    return replace(state, machine=state.machine.powered_up())


def torn(whole: Life, after: int, cut: int) -> list[bytes]:
    """What may be on the disk of a write up to ``after`` that was cut: nothing more, or zeros up to its length."""
    arrived = whole.content[:cut]
    return [arrived, arrived + bytes(after - cut)] if cut < after else [arrived]


def test_cut_at_every_byte_of_every_write_it_is_as_before_or_as_after(tmp_path: Path) -> None:
    whole, path = life(tmp_path / "whole", SCRIPT), tmp_path / "torn"
    assert whole.states[-1].machine.key == EA11, "the script does what it is meant to do"
    assert len(whole.steps) == len(SCRIPT) - 1
    for step, before, after in whole.steps:
        for cut in range(before, after + 1):
            for content in torn(whole, after, cut):
                kept = sum(map(len, _whole_lines(content)[0]))
                assert kept == (after if cut == after else before), (step, cut - before, after - before)
        for cut in {*range(before, after, 41), after - 1, after}:
            for content in torn(whole, after, cut):
                path.write_bytes(content)
                meter = SimMeter(CONFIG, read_ledger(path), clock=Clock())
                assert meter.state == whole.states[step + (cut == after)], (step, cut - before, after - before)


def go_on(whole: Life, script: list[Step], path: Path, first: int) -> SimMeter:
    """A new meter on what is on the disk, at the time of this step, plays it and the rest."""
    clock = Clock()
    clock.move(whole.times[first])
    meter = on_file(CONFIG, path, clock)
    assert meter.state == whole.states[first]
    for step in script[first:]:
        step(meter)
    meter.close()
    return meter


def test_after_a_cut_the_rest_of_the_script_ends_in_the_same_ledger(tmp_path: Path) -> None:
    """The same records, octet for octet."""
    whole, path = life(tmp_path / "whole", SCRIPT), tmp_path / "torn"
    for step, before, after in whole.steps:
        for cut in (before, (before + after) // 2, after - 1, after):
            for content in torn(whole, after, cut):
                path.write_bytes(content)
                go_on(whole, SCRIPT, path, step + (cut == after))
                assert path.read_bytes() == whole.content


def test_what_was_done_but_not_answered_may_be_entered_again(tmp_path: Path) -> None:
    whole, path = life(tmp_path / "whole", SCRIPT), tmp_path / "torn"
    end = whole.states[-1]
    for step, _, after in whole.steps:
        path.write_bytes(whole.content[:after])
        again = [*SCRIPT[: step + 1], SCRIPT[step], *SCRIPT[step + 1 :]]
        state = go_on(whole, again, path, step + 1).state
        same = replace(state, last=end.last, shown=end.shown, last_collection=end.last_collection)
        assert replace(same, machine=replace(state.machine, lock_out=end.machine.lock_out)) == end, step


SETS = {
    "of two": (SHORT, False, 0),
    "of three": (SHORT, True, 0),
    "of three where four may be": (SHORT, True, 4),
    "of four": (EA11, True, 4),
}


@pytest.mark.parametrize("name", SETS)
def test_the_power_goes_between_any_two_sections_in_any_order(tmp_path: Path, name: str) -> None:
    new, with_sgc, supported = SETS[name]
    config = replace(LAB, sts_settings=MachineSettings(kct_supported=supported))
    tokens = key_change_set(FACTORY, new, rollover=False, with_sgc=with_sgc)
    sgc = new.sgc if with_sgc else LAB.key.sgc
    for number, order in enumerate(permutations(range(len(tokens)))):
        path = tmp_path / f"{number}"
        for count, section in enumerate(order, 1):
            meter = on_file(config, path, Clock())
            assert meter.state.machine.key.decoder_key == FACTORY
            assert set(meter.state.machine.sections.numbers) == {held + 1 for held in order[: count - 1]}
            result = meter.key_in(tokens[section])
            is_last = count == len(order)
            assert result is (TokenResult.ACCEPT if is_last else SECTION_RESULTS[section])
            meter.close()
        meter = on_file(config, path, Clock())
        assert meter.state.machine.key == replace(new, sgc=sgc)
        assert meter.state.machine.sections.numbers == ()
        meter.close()


def a_script(rng: Random) -> list[Step]:
    """Anything at all, over the wire: there a wrong token locks nothing, so the order of events is all that counts."""
    keys = [LAB.new_machine().key, SHORT, EA11, replace(EA11, decoder_key=a_key("a third", ea=11).decoder_key, krn=4)]
    tokens = [under(key.decoder_key, rng.randrange(1, 900), 1000 + number) for number, key in enumerate(3 * keys)]
    tokens += [managing(key.decoder_key, CLEAR_CREDIT, 0, 2000 + number) for number, key in enumerate(keys)]
    tokens += [managing(key.decoder_key, CLEAR_TAMPER, 0, 3000 + number) for number, key in enumerate(keys)]
    for present, new in ((0, 1), (0, 2), (1, 2), (2, 3), (1, 0)):
        sections = list(key_change_set(keys[present].decoder_key, keys[new], rollover=rng.random() < 0.3))
        rng.shuffle(sections)
        place = rng.randrange(len(tokens))
        tokens[place:place] = sections
    steps = enter(*tokens, *rng.sample(tokens, 8))
    others: list[Step] = [SimMeter.take_emergency_credit, SimMeter.open_cover, wait(700), wait(30)]
    for _ in range(6):
        steps.insert(rng.randrange(len(steps)), rng.choice(others))
    return steps


def check_a_random_life(seed: int, directory: Path, rounds: int) -> MeterState:
    rng = Random(seed)
    script = a_script(rng)
    whole, path = life(directory / "whole", script), directory / "torn"
    for _ in range(rounds):
        step, before, after = rng.choice(whole.steps)
        cut = rng.randrange(before, after + 1)
        path.write_bytes(rng.choice(torn(whole, after, cut)))
        go_on(whole, script, path, step + (cut == after))
        assert path.read_bytes() == whole.content, seed
    return whole.states[-1]


def test_any_life_goes_on_where_it_was_cut(tmp_path: Path) -> None:
    ends = []
    for seed in range(8):
        (tmp_path / f"{seed}").mkdir()
        ends.append(check_a_random_life(seed, tmp_path / f"{seed}", rounds=6))
    assert len({end.machine.key.krn for end in ends}) > 1, "keys were changed"


@pytest.mark.soak
@pytest.mark.parametrize("seed", range(1000, 1060))
def test_many_lives_go_on_where_they_were_cut(tmp_path: Path, seed: int) -> None:
    check_a_random_life(seed, tmp_path, rounds=40)


# With real processes.

PROCESS = ("--sts-setting", "kct_supported=4")


async def shown_revision(client: Client) -> int:
    return (await client.value(116, STS, 8)).integer


async def test_killed_between_two_sections_the_rest_completes_the_set(tmp_path: Path) -> None:
    options = ("--listen", "tcp://127.0.0.1:0", "--state-dir", str(tmp_path), *PROCESS)
    for number, section in enumerate((SET_OF_FOUR[3], SET_OF_FOUR[0], SET_OF_FOUR[2], SET_OF_FOUR[1]), 1):
        async with running(*options) as meter:
            client = await meter.client()
            assert await shown_revision(client) == LAB.key.krn
            assert await client.enter(section) == 0
            assert (await client.status()).code == 3
            assert await shown_revision(client) == (EA11.krn if number == 4 else LAB.key.krn)
            meter.process.kill()
            await meter.process.wait()
    ledger = tmp_path / f"{LAB.device_name}.ledger"
    assert SimMeter(replace(LAB, sts_settings=CONFIG.sts_settings), read_ledger(ledger)).state.machine.key == EA11


async def deliver(client: Client, tokens: Iterable[Token], answered: list[int], most: int, now: asyncio.Event) -> None:
    """Enter tokens until the meter is gone; after so many answers it is time."""
    for token in tokens:
        if len(answered) >= most:
            now.set()
        await client.enter(token)
        answered.append((await client.status()).code)
    now.set()


async def test_killed_anywhere_in_a_set_it_has_the_old_key_or_the_new_one(tmp_path: Path) -> None:
    rng = Random(6)
    options = ("--listen", "tcp://127.0.0.1:0", "--state-dir", str(tmp_path), *PROCESS)
    keys: list[MeterKey] = [LAB.new_machine().key]
    keys += [a_key(f"number {krn}", ea=11, krn=krn, ti=krn) for krn in range(2, 10)]
    lowest = highest = 1
    for _ in range(5):
        async with running(*options) as meter:
            client = await meter.client()
            present = await shown_revision(client)
            assert lowest <= present <= highest
            tokens = key_change_set(keys[present - 1].decoder_key, keys[present], rollover=False)
            answered: list[int] = []
            now = asyncio.Event()
            working = asyncio.create_task(deliver(client, tokens, answered, rng.randrange(2, 5), now))
            async with asyncio.timeout(TIMEOUT_SECONDS):
                await now.wait()
            # Not to wait for anything, but to be anywhere within the next question, its writes and its answer.
            await asyncio.sleep(rng.random() * 0.005)
            meter.process.kill()
            await meter.process.wait()
            if isinstance((await asyncio.gather(working, return_exceptions=True))[0], ChannelError):
                assert len(answered) < 4
            assert set(answered) == {3}
        lowest = present + (len(answered) == 4)
        highest = present + 1
    assert highest > 2, "no key was changed: the test shows nothing"
    ledger = tmp_path / f"{LAB.device_name}.ledger"
    again = SimMeter(replace(LAB, sts_settings=CONFIG.sts_settings), read_ledger(ledger))
    assert again.state.machine.key in keys[lowest - 1 : highest]
