"""``stsgate demo``: simulated meters on real sockets, lab tokens, and what becomes of them, line by line."""

from __future__ import annotations

import argparse
import asyncio
import shlex
import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from decimal import Decimal

from cosem_objects.errors import TokenFormatError
from cosem_objects.sts_token import Token
from gateway.cli.lab import Lab, LabError, LabMeter
from gateway.cli.meter_options import add_meter_options, meter_from
from gateway.cli.parser import OneLineParser
from gateway.cli.story import Teller
from gateway.delivery import Delivery
from gateway.events import Judged
from gateway.meters import Meter
from gateway.orders import Amount
from gateway.verdict import Credited, Outcome

DESCRIPTION = """\
Starts simulated meters that really decrypt STS tokens, on real sockets of this machine, and delivers lab tokens to
them. LAB keys only: nothing here can be used for real meters."""

BANNER = "LAB LAB LAB   lab keys, simulated meters, worthless tokens; not STS-certified   LAB LAB LAB"

PLAIN = LabMeter(
    name="meter 1, wrapper, no security, account in kWh",
    scheme="tcp",
    security=("--security", "none"),
    pan="600727000000000181",
    system_title="53494D0000000001",
)
MONEY = LabMeter(
    name="meter 2, HDLC, LLS password, account in ZAR",
    scheme="hdlc+tcp",
    security=("--security", "lls"),
    pan="600727000000000264",
    system_title="53494D0000000002",
    more=("--currency", "ZAR:-2"),
)
CIPHERED = LabMeter(
    name="meter 3, wrapper, HLS-GMAC, status after a second",
    scheme="tcp",
    security=("--security", "hls-gmac"),
    pan="600727000000000348",
    system_title="53494D0000000003",
    more=("--status-delay", "0.8"),
)
FLAKY = LabMeter(
    name="meter 4, HDLC, HLS-GMAC, hangs up after booking",
    scheme="hdlc+tcp",
    security=("--security", "hls-gmac"),
    pan="600727111111111153",
    system_title="53494D0000000004",
    more=("--fault", "hang-up-after-enter:1"),
)
METERS = (PLAIN, MONEY, CIPHERED, FLAKY)


@dataclass(frozen=True, slots=True, kw_only=True)
class Scene:
    """One token and what must come of it. ``pan``: whom the token is for, if not this meter."""

    title: str
    meter: LabMeter
    amount: Amount
    pan: str = ""
    repeats: bool = False
    """Deliver the token of the scene before once more."""
    cut: bool = False
    """Leave out one digit."""
    expected: tuple[Outcome, Credited] | None
    """None: refused before anything is sent."""


_KWH = Amount(Decimal("25.6"), "kWh")
_ACCEPTED = (Outcome.ACCEPTED, Credited.YES)

SCENES = (
    Scene(title="A credit in kWh", meter=PLAIN, amount=_KWH, expected=_ACCEPTED),
    Scene(
        title="The same token again: the meter shows it already, so nothing is sent",
        meter=PLAIN,
        amount=_KWH,
        repeats=True,
        expected=(Outcome.REJECTED, Credited.UNKNOWN),
    ),
    Scene(title="A credit in money", meter=MONEY, amount=Amount(Decimal("50.00"), "ZAR"), expected=_ACCEPTED),
    Scene(
        title="A credit over a ciphered association; the meter takes its time",
        meter=CIPHERED,
        amount=Amount(Decimal("10.5"), "kWh"),
        expected=_ACCEPTED,
    ),
    Scene(
        title="A token that was made for another meter",
        meter=PLAIN,
        amount=_KWH,
        pan=FLAKY.pan,
        expected=(Outcome.REJECTED, Credited.NO),
    ),
    Scene(
        title="A token of 19 digits: refused before anything is sent", meter=PLAIN, amount=_KWH, cut=True, expected=None
    ),
    Scene(
        title="The answer is lost: a new association reads back, and the token is not sent again",
        meter=FLAKY,
        amount=_KWH,
        expected=_ACCEPTED,
    ),
)


def add_command(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = commands.add_parser("demo", help="see it work: a lab on this machine", description=DESCRIPTION)
    parser.add_argument("--exit", action="store_true", help="end after the story; else the meters stay until Ctrl-C")
    parser.set_defaults(func=run)


def run(args: argparse.Namespace) -> int:
    """0 if every scene ended as it must, else 1."""
    try:
        return int(args.run_async(_demo(stay=not args.exit)))
    except LabError as error:
        print(f"stsgate demo: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 0


async def _demo(*, stay: bool) -> int:
    print(f"{BANNER}\n", flush=True)
    async with Lab() as lab:
        urls, tokens = await asyncio.gather(lab.start(METERS), _tokens(lab))
        meters = {meter.name: _meter(meter, url) for meter, url in zip(METERS, urls, strict=True)}
        for meter, url in zip(METERS, urls, strict=True):
            print(f"{meter.name}: {url}")
        as_expected = 0
        for number, (scene, digits) in enumerate(zip(SCENES, tokens, strict=True), 1):
            print(f"\n{number}. {scene.title}", flush=True)
            as_expected += await _play(scene, meters[scene.meter.name], digits)
        print(f"\n{as_expected} of {len(SCENES)} scenes ended as they must.\n{BANNER}", flush=True)
        if stay:
            _invite(urls)
            await asyncio.Event().wait()
    return 0 if as_expected == len(SCENES) else 1


async def _tokens(lab: Lab) -> list[str]:
    """The digits for every scene."""
    amounts = [(scene.pan or scene.meter.pan, scene.amount) for scene in SCENES]
    made = await asyncio.gather(*(lab.token(pan, amount.unit, f"{amount.value:f}") for pan, amount in amounts))
    for number, scene in enumerate(SCENES):
        if scene.repeats:
            made[number] = made[number - 1]
        if scene.cut:
            made[number] = made[number][:-1]
    return made


async def _play(scene: Scene, meter: Meter, digits: str) -> bool:
    teller = Teller(str(meter.endpoint), sys.stdout, scene.amount)
    try:
        token = Token.parse(digits)
    except TokenFormatError as error:
        print(f"refused: {error}", flush=True)
        return scene.expected is None
    judged: list[Judged] = await Delivery(meter, teller.tell, amount=scene.amount).run([token])
    return scene.expected == (judged[0].verdict.outcome, judged[0].verdict.credited)


def _meter(meter: LabMeter, url: str) -> Meter:
    """The meter as ``stsgate deliver`` would see it, given the same options."""
    parser = OneLineParser(prog="stsgate demo")
    add_meter_options(parser)
    options = ("--endpoint", url, *meter.security, *meter.secret_options, "--profile", "sim")
    parsed = meter_from(parser.parse_args(options))
    return replace(parsed, profile=replace(parsed.profile, poll_first_seconds=0.5), pan=meter.pan)


def _invite(urls: Sequence[str]) -> None:
    print("\nThe meters stay until Ctrl-C. Make a token, and deliver it:\n")
    for meter, url in zip(METERS, urls, strict=True):
        options = shlex.join(("--endpoint", url, *meter.security, *meter.secret_options))
        print(f"  # {meter.name}")
        unit = "ZAR" if meter is MONEY else "kWh"
        print(f"  simmeters sts encode credit --amount 12.5 --unit {unit} {_lab_key(meter)}")
        print(f"  stsgate deliver --profile sim {options} --token 'TOKEN'\n", flush=True)


def _lab_key(meter: LabMeter) -> str:
    return shlex.join(option for option in meter.run_options if option.startswith("--") and "=" in option) + (
        f" --pan {meter.pan}"
    )
