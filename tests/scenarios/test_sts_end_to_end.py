"""Every sort of STS token, from its making to its proof: ``simmeters run`` and ``stsgate deliver``, two processes
that meet on a real socket, as in a laboratory."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from cosem_objects.sts_token import Token
from sim_meters.account import AccountUnit
from sim_meters.lab import LAB_PAN, LAB_SGC, LAB_VENDING_KEYS
from sim_meters.ledger import read_ledger
from sim_meters.sts.keys.decoder_key import DecoderKey, VendingKey, derive_decoder_key
from sim_meters.sts.keys.key_attributes import KeyAttributes
from sim_meters.sts.tid import BaseDate
from sim_meters.sts.tokens.clear_token import clear_token, encode, encode_credit
from sim_meters.sts.tokens.key_change import MeterKey, key_change_set
from sim_meters.sts.tokens.token_table import CLEAR_CREDIT, MAXIMUM_POWER_LIMIT, TEST_2, TESTS
from tests.sim_meters.meter_client import free_ports, running

VENDING_KEY = VendingKey.parse(LAB_VENDING_KEYS[4], 4)
OLD = KeyAttributes.parse(LAB_PAN, LAB_SGC, base_date="1993", krn="1")
KWH = AccountUnit.kwh()
LIMIT_SECONDS = 60
ACCEPTED, REJECTED = 0, 1

# Weeks before the end of the base date 1993, and years after the beginning of 2014.
TID_1993 = 16_700_000
TID_2014 = 5_000_000


def key_of(attributes: KeyAttributes) -> DecoderKey:
    return derive_decoder_key(VENDING_KEY, attributes)


def change(old: KeyAttributes, new: KeyAttributes, *, rollover: bool, with_sgc: bool = True) -> tuple[Token, ...]:
    key = MeterKey(decoder_key=key_of(new), kt=new.kt, krn=new.krn, ti=new.ti, sgc=new.sgc)
    return key_change_set(key_of(old), key, rollover=rollover, with_sgc=with_sgc)


def kwh(key: KeyAttributes, tid: int, units: int = 256) -> Token:
    return encode_credit(key_of(key), KWH.kind, units, tid, 5)


@dataclass(frozen=True)
class Lab:
    """A meter that listens, and the head-end's command beside it."""

    url: str

    async def deliver(self, tokens: Sequence[Token], *options: str) -> tuple[int, list[dict[str, Any]], str]:
        """Exit code, an object for each token, and the story."""
        given = [option for token in tokens for option in ("--token", token.digits)]
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            *("-m", "gateway", "deliver", "--endpoint", self.url, "--profile", "sim", "--json", *given, *options),
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            cwd=Path(__file__).parents[2],
        )
        async with asyncio.timeout(LIMIT_SECONDS):
            out, errors = await process.communicate()
        assert process.returncode is not None
        return process.returncode, [json.loads(line) for line in out.decode().splitlines()], errors.decode()


def units_credited(state_directory: Path) -> int:
    (ledger,) = state_directory.glob("*.ledger*")
    return read_ledger(ledger).units_credited


def verdicts(told: Sequence[dict[str, Any]]) -> list[tuple[str, str, str | None]]:
    return [(one["verdict"], one["credited"], one["evidence"]) for one in told]


@pytest.mark.parametrize(
    ("new", "settings", "with_sgc"),
    [
        (replace(OLD, base_date=BaseDate.BASE_2014, krn=2), (), False),
        (replace(OLD, base_date=BaseDate.BASE_2014, krn=2), (), True),
        (replace(OLD, base_date=BaseDate.BASE_2014, krn=2, ea=11), ("--sts-setting", "kct_supported=4"), True),
    ],
    ids=["two tokens", "three tokens", "EA07 to EA11 with four tokens"],
)
async def test_a_meter_goes_over_to_a_new_base_date(
    new: KeyAttributes, settings: tuple[str, ...], with_sgc: bool, tmp_path: Path
) -> None:
    """KRN 1 and base date 1993 take credit, then a rollover set, then credit under KRN 2 and 2014."""
    # Made in 2024: but for RO, the TIDs of the new base date would be too old for it.
    made = ("--base-date", "1993", "--krn", "1", "--manufactured", "2024-01-01")
    options = (*made, *settings, "--state-dir", str(tmp_path))
    rollover = change(OLD, new, rollover=True, with_sgc=with_sgc)
    set_options = ("--kind", "key_change", "--new-krn", "2", *(("--new-ea", "11") if new.ea == 11 else ()))
    async with running("--listen", f"tcp://127.0.0.1:{free_ports()}", *options) as meter:
        lab = Lab(meter.urls[0])
        code, told, _ = await lab.deliver([kwh(OLD, TID_1993)], "--amount", "25.6", "--unit", "kWh")
        assert (code, verdicts(told)) == (ACCEPTED, [("accepted", "yes", None)])

        code, told, story = await lab.deliver(rollover, *set_options)
        assert (code, [one["verdict"] for one in told]) == (ACCEPTED, ["accepted"] * len(rollover)), story

        code, told, _ = await lab.deliver([kwh(new, TID_2014)], "--amount", "25.6", "--unit", "kWh")
        assert (code, verdicts(told)) == (ACCEPTED, [("accepted", "yes", None)])

        # Again: the meter refuses the first section, as it has another key now. Class 116 says what that means.
        code, told, story = await lab.deliver(rollover, *set_options)
        assert (code, [one["verdict"] for one in told]) == (ACCEPTED, ["accepted"] * len(rollover)), story
        assert "class 116" in story

        # Without saying what class 116 must show it is a token like others, and refused.
        code, told, _ = await lab.deliver(rollover[:1])
        assert (code, told[0]["reason"], told[0]["credited"]) == (REJECTED, "crc", "no")

        # What was not used of the old key is lost.
        code, told, _ = await lab.deliver([kwh(OLD, TID_1993 + 1)])
        assert (code, told[0]["reason"]) == (REJECTED, "crc")
        await meter.stop()
    assert units_credited(tmp_path) == 2 * 256


async def test_a_set_and_the_credit_behind_it_are_one_delivery() -> None:
    new = replace(OLD, base_date=BaseDate.BASE_2014, krn=2)
    tokens = [*change(OLD, new, rollover=True), kwh(new, TID_2014)]
    async with running("--listen", f"tcp://127.0.0.1:{free_ports()}", "--base-date", "1993") as meter:
        code, told, story = await Lab(meter.urls[0]).deliver(tokens, "--kind", "key_change", "--new-krn", "2")
        assert (code, [one["verdict"] for one in told]) == (ACCEPTED, ["accepted"] * 4), story
        assert told[-1]["balance_after"] == "25.6"


@pytest.mark.parametrize(
    ("commodity", "currency", "unit", "credited", "ea"),
    [
        ("water", None, "m3", "25.6", "07"),
        ("gas", None, "m3", "25.6", "11"),
        ("time", None, "min", "25.6", "07"),
        # What a token can say, rounded up, and then shown in the account's scale, rounded down.
        ("electricity", "ZAR", "ZAR", "25.60", "11"),
        ("water", "KES", "KES", "25.60", "07"),
        ("gas", "GHS:-3", "GHS", "25.606", "11"),
        ("time", "EUR", "EUR", "25.60", "11"),
    ],
)
async def test_every_commodity_is_credited_in_its_unit(
    commodity: str, currency: str | None, unit: str, credited: str, ea: str
) -> None:
    account = AccountUnit.parse(currency, commodity)
    key = KeyAttributes.parse(LAB_PAN, LAB_SGC, ea=ea)
    units = 2_560_000 if currency else 256
    token = encode_credit(key_of(key), account.kind, units, TID_2014, None if currency else 5)
    foreign = kwh(key, TID_2014 + 1)
    options = ("--commodity", commodity, "--ea", ea, *(("--currency", currency) if currency else ()))
    async with running("--listen", f"tcp://127.0.0.1:{free_ports()}", *options) as meter:
        lab = Lab(meter.urls[0])
        code, told, story = await lab.deliver([token], "--amount", "25.6", "--unit", unit)
        assert (code, verdicts(told)) == (ACCEPTED, [("accepted", "yes", None)]), story
        assert told[0]["balance_after"] == credited
        code, told, _ = await lab.deliver([foreign])
        assert (code, told[0]["reason"], told[0]["credited"]) == (REJECTED, "function", "no")


async def test_management_and_test_tokens_are_executed_and_shown() -> None:
    key = KeyAttributes.parse(LAB_PAN, LAB_SGC)
    limit = encode(clear_token(MAXIMUM_POWER_LIMIT, {"rnd": 5, "tid": TID_2014, "mpl_watts": 0x3E8}), key_of(key))
    show = encode(clear_token(TEST_2, {"mfr_code": 0, "control": TESTS["power-limit"]}))
    clear = encode(clear_token(CLEAR_CREDIT, {"rnd": 5, "tid": TID_2014 + 2, "register": 0}), key_of(key))
    async with running("--listen", f"tcp://127.0.0.1:{free_ports()}") as meter:
        lab = Lab(meter.urls[0])
        code, told, story = await lab.deliver([kwh(key, TID_2014 + 1), limit, show, clear])
        assert (code, [one["verdict"] for one in told]) == (ACCEPTED, ["accepted"] * 4), story
        code, told, story = await lab.deliver([show])
        assert (code, told[0]["verdict"]) == (ACCEPTED, "accepted"), story
        client = await meter.client()
        assert (await client.gateway(4)).value[0].octets == b"power limit 1000 W"
        assert await client.balance() == 0
