"""Key changes as a client sees them: class 116, the Token gateway, and nothing of a key anywhere."""

from __future__ import annotations

import logging
from dataclasses import replace
from itertools import permutations
from pathlib import Path

import pytest

from cosem_objects import axdr
from cosem_objects.profile import MeterProfile
from cosem_objects.sts_token import Token
from cosem_objects.token_gateway import TokenStatus
from sim_meters.lab_api.views import ledger_view, meter_view
from sim_meters.ledger import Ledger, LedgerError
from sim_meters.meter_config import MeterConfig, lab_config
from sim_meters.sts.keys.decoder_key import DecoderKey
from sim_meters.sts.keys.key_attributes import KeyType
from sim_meters.sts.machine.machine_settings import MachineSettings
from sim_meters.sts.results import TokenResult
from sim_meters.sts.tokens.clear_token import encode_credit
from sim_meters.sts.tokens.key_change import MeterKey, key_change_set
from tests.sim_meters.meter_client import Client, Clock, a_meter, client_of, credit
from tests.sim_meters.meter_tokens import STS, a_key, display_token, on_file

LAB = lab_config()
FACTORY = LAB.decoder_key
FOUR = replace(LAB, sts_settings=MachineSettings(kct_supported=4))
LONG = a_key("of 128 bits", ea=11, krn=5, ti=42, sgc=999_999, ken=170)
SHORT = a_key("of 64 bits", krn=2, ti=99, sgc=65_535, ken=85)
OLD = [7, 201_457, 1, 1, 2, 255]
"""Attributes 5 to 10 of class 116 of the lab meter: EA, SGC, TI, KRN, KT, KEN."""


def shown_of(key: MeterKey) -> list[int]:
    return [key.decoder_key.ea, key.sgc, key.ti, key.krn, int(key.kt), key.ken]


async def key_shown(client: Client) -> list[int]:
    return [(await client.value(116, STS, number)).integer for number in range(5, 11)]


def under(key: DecoderKey, tid: int, units: int = 100) -> Token:
    return encode_credit(key, LAB.unit.kind, units, tid, 5)


async def stored(client: Client, token: Token) -> str:
    """Enter a section that is to be stored; the bits of ``data_value``."""
    assert await client.enter(token) == 0
    status = await client.status()
    assert status.code == 3
    return status.data_value


SETS: dict[str, tuple[MeterConfig, MeterKey, bool, int]] = {
    "two": (LAB, SHORT, False, 3),
    "three": (LAB, SHORT, True, 3),
    "four, to EA11": (FOUR, LONG, True, 4),
}


@pytest.mark.parametrize("name", SETS)
async def test_class_116_changes_with_the_last_section_and_not_before(name: str) -> None:
    config, new, with_sgc, supported = SETS[name]
    tokens = key_change_set(FACTORY, new, rollover=False, with_sgc=with_sgc)
    for order in permutations(range(len(tokens))):
        async with client_of(a_meter(config)) as client:
            for section in order[:-1]:
                bits = await stored(client, tokens[section])
                assert bits == "".join("1" if number == 11 + section else "0" for number in range(16))
                assert await key_shown(client) == OLD
            assert await stored(client, tokens[order[-1]]) == "0" * 16
            assert await key_shown(client) == shown_of(new if with_sgc else replace(new, sgc=LAB.key.sgc))
            assert (await client.value(116, STS, 11)).integer == supported


async def test_the_old_key_is_gone_and_the_new_one_takes_credit() -> None:
    meter = a_meter(FOUR)
    async with client_of(meter) as client:
        for token in key_change_set(FACTORY, LONG, rollover=False):
            assert await client.enter(token) == 0
        for token, status, balance in (
            (under(FACTORY, 6_000_001), 5, 0),
            (under(LONG.decoder_key, 6_000_001), 3, 100),
            (under(LONG.decoder_key, 6_000_001), 6, 100),
        ):
            assert await client.enter(token) == 0
            assert ((await client.status()).code, await client.balance()) == (status, balance)
        for token in key_change_set(FACTORY, LONG, rollover=False):
            assert await client.enter(token) == 0
            assert (await client.status()).code == 5, "the set once more, after it worked"
        assert await key_shown(client) == shown_of(LONG)


async def test_credit_between_two_sections_is_of_the_old_key() -> None:
    first, second, third = key_change_set(FACTORY, SHORT, rollover=False)
    async with client_of(a_meter()) as client:
        await stored(client, second)
        assert await client.enter(credit(LAB)) == 0
        assert await client.balance() == 256
        await stored(client, third)
        await stored(client, first)
        assert await key_shown(client) == shown_of(SHORT)
        assert await client.balance() == 256


async def test_a_rollover_clears_the_store_and_keeps_the_credit() -> None:
    new = replace(SHORT, ken=255)
    config = replace(LAB, sts_settings=MachineSettings(tid_depth=1))
    async with client_of(a_meter(config)) as client:
        assert await client.enter(under(FACTORY, 0xFFFFFF)) == 0
        assert await client.enter(under(FACTORY, 17)) == 0
        assert (await client.status()).code == 6
        for token in key_change_set(FACTORY, new, rollover=True):
            assert await client.enter(token) == 0
        assert await client.balance() == 100
        assert await client.enter(under(new.decoder_key, 17)) == 0
        assert ((await client.status()).code, await client.balance()) == (3, 200), "TIDs begin low again"


async def test_without_a_rollover_tids_go_on() -> None:
    async with client_of(a_meter()) as client:
        assert await client.enter(under(FACTORY, 5_000_000)) == 0
        for token in key_change_set(FACTORY, SHORT, rollover=False):
            assert await client.enter(token) == 0
        assert await client.enter(under(SHORT.decoder_key, 5_000_000)) == 0
        assert await client.status() == TokenStatus(6, "0001" + "0" * 12)


async def test_a_key_that_expires() -> None:
    """KEN 85: up to TID 85 << 16 | 0xFFFF, and a key change is exempt."""
    next_key = a_key("the next", krn=3)
    async with client_of(a_meter()) as client:
        for token in key_change_set(FACTORY, SHORT, rollover=False):
            assert await client.enter(token) == 0
        for tid, status in ((85 << 16 | 0xFFFF, 3), (86 << 16, 6)):
            assert await client.enter(under(SHORT.decoder_key, tid)) == 0
            assert (await client.status()).code == status
        assert (await client.status()).data_value == "00001" + "0" * 11
        for token in key_change_set(SHORT.decoder_key, next_key, rollover=False):
            assert (await client.enter(token), (await client.status()).code) == (0, 3)
        assert await client.enter(under(next_key.decoder_key, 86 << 16)) == 0
        assert await client.balance() == 200


@pytest.mark.parametrize("name", ["to a common key", "back to the factory"])
async def test_a_set_that_is_not_permitted_changes_nothing(name: str) -> None:
    new = replace(SHORT, kt=KeyType.COMMON if name == "to a common key" else KeyType.INITIALISATION)
    first, second, third = key_change_set(FACTORY, new, rollover=False)
    meter = a_meter()
    async with client_of(meter) as client:
        await stored(client, third)
        await stored(client, first)
        assert await client.enter(second) == 0
        assert await client.status() == TokenStatus(7, "0" * 7 + "1" + "0" * 8)
        assert await key_shown(client) == OLD
        assert meter.state.machine.sections.numbers == (), "the set is over"
        assert await client.enter(credit(LAB)) == 0
        assert await client.balance() == 256


async def test_a_default_key_takes_no_credit_until_a_unique_one_comes() -> None:
    default = a_key("default", kt=KeyType.DEFAULT)
    async with client_of(a_meter()) as client:
        for token in key_change_set(FACTORY, default, rollover=False):
            assert await client.enter(token) == 0
        assert await client.enter(under(default.decoder_key, 5_000_001)) == 0
        assert await client.status() == TokenStatus(6, "000001" + "0" * 10)
        for token in key_change_set(default.decoder_key, SHORT, rollover=False):
            assert await client.enter(token) == 0
        assert await client.enter(under(SHORT.decoder_key, 5_000_001)) == 0
        assert await client.balance() == 100


@pytest.mark.parametrize(("seconds", "new_revision"), [(599, 2), (600, 1)])
async def test_a_set_that_is_not_complete_is_forgotten(seconds: int, new_revision: int) -> None:
    """So long after its last section, and the clock starts anew with each."""
    clock = Clock()
    meter = a_meter(clock=clock)
    for token, pause in zip(key_change_set(FACTORY, SHORT, rollover=False), (599, seconds, 0), strict=True):
        async with client_of(meter) as client:
            await stored(client, token)
        clock.move(pause)
    async with client_of(meter) as client:
        assert (await key_shown(client))[3] == new_revision


async def test_four_sections_are_too_many_for_a_meter_of_three() -> None:
    async with client_of(a_meter()) as client:
        *_, fourth = key_change_set(FACTORY, LONG, rollover=False)
        assert await client.enter(fourth) == 0
        assert await client.status() == TokenStatus(7, "0" * 10 + "1" + "0" * 5)


async def test_the_register_numbers_of_stored_sections() -> None:
    profile = MeterProfile.parse({"data_value_map": "ordinal8"})
    async with client_of(a_meter(replace(FOUR, profile=profile))) as client:
        shown = [await stored(client, token) for token in key_change_set(FACTORY, LONG, rollover=False)]
    # First and second have numbers; of a third the register can only say that more are needed; the last is accepted.
    assert shown == ["00000010", "00000011", "00000010", "00000001"]


async def test_the_keys_of_the_machine_are_what_the_displays_show() -> None:
    async with client_of(a_meter(FOUR)) as client:
        for token in key_change_set(FACTORY, LONG, rollover=False):
            assert await client.enter(token) == 0
        assert await client.enter(display_token("krn", "ti", "ea", "kct", "sgc", "ken")) == 0
        assert await client.gateway(4) == axdr.array(
            axdr.octet_string(b"KRN 5 KT 2; TI 42; EA 11; KCT 4; SGC 999999; KEN 170")
        )


async def test_nothing_of_a_key_is_told(caplog: pytest.LogCaptureFixture) -> None:
    """Not in a description, a log, a repr, the token log or the lab's views; nor any token whole."""
    caplog.set_level(logging.DEBUG)
    meter = a_meter(FOUR)
    tokens = key_change_set(FACTORY, LONG, rollover=False)
    told: list[str] = []
    async with client_of(meter) as client:
        for token in (tokens[2], tokens[0], tokens[3], tokens[3], tokens[1], tokens[1], under(FACTORY, 7)):
            assert await client.enter(token) == 0
            told += [str(await client.gateway(4)), str(await client.status())]
            told += [repr(meter.state), repr(meter.shown), repr(meter.ledger.records), str(meter_view(meter))]
            told += [repr(meter.state.machine.sections), repr(meter.state.machine.sections.third)]
        told.append(str(await client.value(7, "1-0:99.15.0.255", 2)))
    told.append(str(ledger_view(meter.ledger.records, 1, 100)))
    told += [record.getMessage() for record in caplog.records if not record.name.startswith("transports")]
    story = "\n".join(told).lower()
    assert "set3rdsectiondecoderkey" in story, "there is something to look at"
    words = [octets[place : place + 4] for octets in (LONG.decoder_key.octets, FACTORY.octets) for place in (0, 4)]
    words += [LONG.decoder_key.octets[place : place + 4] for place in (8, 12)]
    for word in words:
        assert word.hex() not in story
        assert str(int.from_bytes(word, "big")) not in story
        assert repr(word)[2:-1].lower() not in story
    assert not any(token.digits[:-4] in story or str(token.number) in story for token in tokens)


async def test_a_former_key_comes_back_only_by_a_set_under_the_present_one() -> None:
    meter = a_meter()
    there = key_change_set(FACTORY, SHORT, rollover=False)
    back = key_change_set(SHORT.decoder_key, replace(SHORT, decoder_key=FACTORY, krn=1, ken=255), rollover=False)
    for token in there:
        meter.key_in(token)
    assert {meter.key_in(token) for token in there} == {TokenResult.CRC_ERROR}
    meter.reboot()  # and the lock-out is forgotten
    for token in back:
        meter.key_in(token)
    assert meter.state.machine.key.decoder_key == FACTORY
    assert meter.key_in(under(FACTORY, 6_000_001)) is TokenResult.ACCEPT


READ_AGAIN = {
    "four, by a meter of three": (FOUR, LAB, LONG, True),
    "two, by a meter of four": (LAB, FOUR, SHORT, False),
}


@pytest.mark.parametrize("name", READ_AGAIN)
def test_a_set_that_was_booked_is_in_force_whatever_is_set_today(name: str, tmp_path: Path) -> None:
    """The results in the ledger count: it may have been written under other settings."""
    before, today, new, with_sgc = READ_AGAIN[name]
    meter = on_file(before, tmp_path / "ledger", Clock())
    for token in key_change_set(FACTORY, new, rollover=False, with_sgc=with_sgc):
        meter.key_in(token)
    key = meter.state.machine.key
    assert key.decoder_key == new.decoder_key
    meter.close()
    again = on_file(today, tmp_path / "ledger", Clock())
    assert again.state.machine.key == key
    assert again.state.machine.sections.numbers == ()


def test_a_set_that_was_refused_stays_refused_whatever_is_set_today(tmp_path: Path) -> None:
    meter = on_file(LAB, tmp_path / "ledger", Clock())
    back = replace(SHORT, decoder_key=FACTORY)
    there_and_back = (
        *key_change_set(FACTORY, SHORT, rollover=True),
        *key_change_set(SHORT.decoder_key, back, rollover=False),
    )
    assert [meter.key_in(section) for section in there_and_back][-1] is TokenResult.KEY_TYPE_ERROR
    meter.close()
    lenient = replace(LAB, sts_settings=MachineSettings(refuses_former_keys=False))
    again = on_file(lenient, tmp_path / "ledger", Clock())
    assert again.state.machine.key == meter.state.machine.key
    assert again.state.machine.key.decoder_key == SHORT.decoder_key


def test_a_shorter_time_out_of_today_forgets_no_set_of_yesterday(tmp_path: Path) -> None:
    """Else the old key would be back, and with a rollover the same credit could be entered again."""
    clock = Clock()
    meter = on_file(LAB, tmp_path / "ledger", clock)
    for section in key_change_set(FACTORY, SHORT, rollover=True):
        meter.key_in(section)
        clock.move(60)
    token = under(SHORT.decoder_key, 5_000_001)
    assert meter.key_in(token) is TokenResult.ACCEPT
    meter.close()
    hasty = replace(LAB, sts_settings=MachineSettings(section_timeout_seconds=1))
    again = on_file(hasty, tmp_path / "ledger", clock)
    assert again.state.machine.key == meter.state.machine.key
    assert again.key_in(token) is TokenResult.USED_ERROR


def test_sections_from_before_other_settings_do_not_get_into_a_set_of_today(tmp_path: Path) -> None:
    meter = on_file(FOUR, tmp_path / "ledger", Clock())
    for section in key_change_set(FACTORY, LONG, rollover=False)[2:]:
        meter.key_in(section)
    meter.close()
    again = on_file(LAB, tmp_path / "ledger", Clock())
    results = [again.key_in(section) for section in key_change_set(FACTORY, SHORT, rollover=False, with_sgc=False)]
    assert results[-1] is TokenResult.ACCEPT
    assert again.state.machine.key.decoder_key == SHORT.decoder_key


def test_a_ledger_whose_sections_make_no_key_is_refused(tmp_path: Path) -> None:
    ledger = Ledger()
    meter = a_meter(ledger=ledger)
    for section in key_change_set(FACTORY, SHORT, rollover=False):
        meter.key_in(section)
    del ledger.records[0]
    with pytest.raises(LedgerError, match="cannot be true: the sections"):
        a_meter(ledger=ledger)


def test_a_key_from_before_a_rollover_does_not_come_back() -> None:
    """Its tokens would work a second time: the store that knew them was cleared."""
    meter = a_meter()
    token = under(FACTORY, 6_000_001)
    assert meter.key_in(token) is TokenResult.ACCEPT
    for section in key_change_set(FACTORY, SHORT, rollover=True):
        meter.key_in(section)
    back = key_change_set(SHORT.decoder_key, replace(SHORT, decoder_key=FACTORY), rollover=False)
    assert [meter.key_in(section) for section in back][-1] is TokenResult.KEY_TYPE_ERROR
    assert meter.state.machine.key.decoder_key == SHORT.decoder_key
    assert meter.ledger.times_credited(token) == 1
