"""``stsgate demo``: the service and simulated meters on real sockets, lab tokens, and what becomes of their orders."""

from __future__ import annotations

import argparse
import asyncio
import shlex
import shutil
import signal
import sys
import tempfile
from collections.abc import Sequence
from contextlib import aclosing
from dataclasses import dataclass
from pathlib import Path

from gateway.cli.lab import Lab, LabError, LabMeter, key_options
from gateway.cli.lab_service import LabService
from gateway.cli.service.order_words import ending, event_line
from gateway.client.answers import Json, ServiceRefused, ServiceUnreachable
from gateway.client.service_client import ServiceClient
from gateway.timeline import FINAL_OR_HELD

DESCRIPTION = """\
Starts simulated meters that really decrypt STS tokens and the service that delivers to them, all on this machine, and
tells what becomes of the orders, also through a power cut. Then both stay, with commands to try, until Ctrl-C. LAB keys
only: nothing here can be used for real meters."""

BANNER = "LAB LAB LAB   lab keys, simulated meters, worthless tokens; not STS-certified   LAB LAB LAB"

PLAIN = LabMeter(
    id="meter-1",
    name="wrapper, no security, account in kWh",
    security=("--security", "none"),
    pan="600727000000000181",
    system_title="53494D0000000001",
)
MONEY = LabMeter(
    id="meter-2",
    name="HDLC, LLS password, account in ZAR",
    where=("--listen", "hdlc+tcp://127.0.0.1:0"),
    security=("--security", "lls"),
    pan="600727000000000264",
    system_title="53494D0000000002",
    more=("--currency", "ZAR:-2"),
)
CIPHERED = LabMeter(
    id="meter-3",
    name="wrapper, HLS-GMAC, status after a while",
    security=("--security", "hls-gmac"),
    pan="600727000000000348",
    system_title="53494D0000000003",
    more=("--status-delay", "1.5"),
)
FLAKY = LabMeter(
    id="meter-4",
    name="HDLC, HLS-GMAC, hangs up after booking",
    where=("--listen", "hdlc+tcp://127.0.0.1:0"),
    security=("--security", "hls-gmac"),
    pan="600727111111111153",
    system_title="53494D0000000004",
    more=("--fault", "hang-up-after-enter:1"),
)
WIRED = LabMeter(
    id="meter-5",
    name="a serial line of 9600 baud, HDLC, LLS password",
    where=("--listen", "pty://{directory}/line?baud=9600"),
    security=("--security", "lls"),
    pan="600727000000000421",
    system_title="53494D0000000005",
)
CALLING = LabMeter(
    id="meter-6",
    name="calls in, wrapper, HLS-GMAC",
    where=("--call-in", "{head_end}"),
    security=("--security", "hls-gmac"),
    pan="600727000000000595",
    system_title="53494D0000000006",
)
OLD = LabMeter(
    id="meter-7",
    name="wrapper, LLS password, key revision 1 of base date 1993",
    security=("--security", "lls"),
    pan="600727000000000678",
    system_title="53494D0000000007",
    base_date=1993,
)
METERS = (PLAIN, MONEY, CIPHERED, FLAKY, WIRED, CALLING, OLD)
NEW_KRN, NEW_BASE_DATE = 2, 2014


@dataclass(frozen=True, slots=True, kw_only=True)
class Scene:
    """One order and what must come of it. ``pan``: whom its tokens are for, if not this meter."""

    title: str
    meter: LabMeter
    amounts: Sequence[str]
    unit: str = "kWh"
    pan: str = ""
    changes_key: bool = False
    """First a key-change set to ``NEW_KRN`` and ``NEW_BASE_DATE``; the tokens behind it are under that key."""
    repeats: bool = False
    """The token, or the key-change set, of the scene before once more."""
    cut: bool = False
    """Leave out one digit."""
    power_cut: bool = False
    """Kill the service once the meter has the token."""
    expected: str
    """State of the order, and whether it was credited; or the status of the refusal."""


SCENES = (
    Scene(title="A credit in kWh", meter=PLAIN, amounts=["25.6"], expected="accepted yes"),
    Scene(
        title="The same token in a second order: refused, a token is sold once",
        meter=PLAIN,
        amounts=["25.6"],
        repeats=True,
        expected="409",
    ),
    Scene(title="A credit in money", meter=MONEY, amounts=["50.00"], unit="ZAR", expected="accepted yes"),
    Scene(
        title="Three tokens in one order, over one association",
        meter=MONEY,
        amounts=["10.00", "20.00", "30.00"],
        unit="ZAR",
        expected="accepted yes",
    ),
    Scene(
        title="A token that was made for another meter",
        meter=PLAIN,
        amounts=["25.6"],
        pan=FLAKY.pan,
        expected="rejected no",
    ),
    Scene(
        title="A token of 19 digits: refused before anything is sent",
        meter=PLAIN,
        amounts=["25.6"],
        cut=True,
        expected="422",
    ),
    Scene(
        title="The answer is lost: a new association reads back, and the token is not sent again",
        meter=FLAKY,
        amounts=["25.6"],
        expected="accepted yes",
    ),
    Scene(
        title="A power cut: the service is killed while the meter still works on the token, and started again",
        meter=CIPHERED,
        amounts=["10.5"],
        power_cut=True,
        expected="accepted yes",
    ),
    Scene(title="A meter on a serial line", meter=WIRED, amounts=["5.0"], expected="accepted yes"),
    Scene(title="A meter that called in", meter=CALLING, amounts=["7.5"], expected="accepted yes"),
    Scene(
        title="A key change with rollover, and a credit under the new key: one order, proven by class 116",
        meter=OLD,
        amounts=["12.5"],
        changes_key=True,
        expected="accepted yes",
    ),
    Scene(
        title="The same key-change set again: the meter refuses it, and class 116 says that it has that key",
        meter=OLD,
        amounts=[],
        changes_key=True,
        repeats=True,
        expected="accepted yes",
    ),
)


def add_command(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = commands.add_parser(
        "demo", help="see it work: the service and a lab on this machine", description=DESCRIPTION
    )
    parser.add_argument("--exit", action="store_true", help="end after the story")
    parser.set_defaults(func=run)


def run(args: argparse.Namespace) -> int:
    """0 if every scene ended as it must, else 1."""
    data_dir = Path(tempfile.mkdtemp(prefix="stsgate-demo-"))
    try:
        return int(args.run_async(_demo(data_dir, stay=not args.exit)))
    except (LabError, ServiceUnreachable, ServiceRefused) as error:
        print(f"stsgate demo: {error}", file=sys.stderr)
        return 1
    except (KeyboardInterrupt, asyncio.CancelledError):
        return 0
    finally:
        shutil.rmtree(data_dir, ignore_errors=True)


async def _demo(data_dir: Path, *, stay: bool) -> int:
    task = asyncio.current_task()
    assert task is not None
    for name in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        asyncio.get_running_loop().add_signal_handler(name, task.cancel)
    print(f"{BANNER}\n", flush=True)
    service = LabService(data_dir)
    async with Lab(data_dir, service.inbound_url) as lab, service:
        urls, tokens, _ = await asyncio.gather(lab.start(METERS), _tokens(lab), service.start())
        print(f"the service: {service.url}")
        async with ServiceClient(service.address) as client:
            for meter, url in zip(METERS, urls, strict=True):
                await client.call("PUT", "meters", meter.id, json=_meter_body(meter, url))
                print(f"{meter.id}, {meter.name}: {url}")
            as_expected = 0
            for number, (scene, digits) in enumerate(zip(SCENES, tokens, strict=True), 1):
                print(f"\n{number}. {scene.title}", flush=True)
                came_of_it = await _play(client, service, scene, f"demo-{number}", digits)
                as_expected += came_of_it == scene.expected
        print(f"\n{as_expected} of {len(SCENES)} scenes ended as they must.\n{BANNER}", flush=True)
        if stay:
            _invite(service)
            await asyncio.Event().wait()
    return 0 if as_expected == len(SCENES) else 1


async def _tokens(lab: Lab) -> list[list[str]]:
    """The digits for every scene, key-change sections first. Each credit of a meter has a minute of issue of its own:
    its TID."""
    wanted = [(_key(scene), scene.unit, amount) for scene in SCENES for amount in scene.amounts]
    made = await asyncio.gather(*(lab.token(*one, minutes_ago=ago) for ago, one in enumerate(wanted)))
    new = ("--new-krn", str(NEW_KRN), "--new-base-date", str(NEW_BASE_DATE))
    sections = await lab.key_change_set(OLD.key_options, *new)
    left, tokens = list(made), list[list[str]]()
    for scene in SCENES:
        digits = [left.pop(0) for _ in scene.amounts]
        if scene.repeats and not scene.changes_key:
            digits = tokens[-1]
        if scene.changes_key:
            digits = [*sections, *digits]
        tokens.append([one[:-1] for one in digits] if scene.cut else digits)
    return tokens


def _key(scene: Scene) -> Sequence[str]:
    """Under which key its credits are made."""
    if scene.changes_key:
        return key_options(scene.meter.pan, NEW_KRN, NEW_BASE_DATE)
    return key_options(scene.pan, base_date=scene.meter.base_date) if scene.pan else scene.meter.key_options


async def _play(client: ServiceClient, service: LabService, scene: Scene, order_id: str, digits: list[str]) -> str:
    """What came of the order, in the words of ``Scene.expected``."""
    sections = digits[: len(digits) - len(scene.amounts)]
    worth = zip(digits[len(sections) :], scene.amounts, strict=True)
    order = {
        "id": order_id,
        "meter": scene.meter.id,
        "tokens": [
            *({"token": token, "kind": "key_change"} for token in sections),
            *({"token": token, "amount": {"value": amount, "unit": scene.unit}} for token, amount in worth),
        ],
        "new_key": {"krn": NEW_KRN} if sections else None,
    }
    try:
        await client.call("POST", "orders", json=order)
    except ServiceRefused as refused:
        print(f"refused: {refused}", flush=True)
        return str(refused.status)
    ended = await _watched(client, service, order_id, power_cut=scene.power_cut)
    print(ending(ended), flush=True)
    credited = {token["credited"] for token in ended["tokens"]}
    return f"{ended['state']} {' '.join(sorted(credited))}"


async def _watched(client: ServiceClient, service: LabService, order_id: str, *, power_cut: bool) -> Json:
    """The order's end, its story told as it happens."""
    async with aclosing(client.events(order=order_id)) as events:
        async for event in events:
            print(event_line(event), flush=True)
            if power_cut and event["name"] == "order.pending":
                power_cut = False
                await service.kill()
                print("          kill -9", flush=True)
                await service.start()
                print("          the service is started again", flush=True)
            elif event["name"] in FINAL_OR_HELD:
                break
    return await client.get("orders", order_id)


def _meter_body(meter: LabMeter, url: str) -> Json:
    """The meter as the registry knows it."""
    security = {"mechanism": meter.security[1], **meter.secrets}
    return {"endpoint": url, "profile": "sim", "security": security, "sts": {"pan": meter.pan}}


def _invite(service: LabService) -> None:
    options = shlex.join(("--server", service.url, "--data-dir", str(service.data_dir)))
    stsgate, simmeters = map(_command, ("stsgate", "simmeters"))
    print(f"\nThe service and the meters stay until Ctrl-C; the service's log is {service.log_file}.")
    print("Make a token, push it, and see what is there:\n")
    for meter in METERS:
        unit = "ZAR" if meter is MONEY else "kWh"
        print(f"  # {meter.id}, {meter.name}")
        key = key_options(OLD.pan, NEW_KRN, NEW_BASE_DATE) if meter is OLD else meter.key_options
        print(f"  {simmeters} sts encode credit --amount 12.5 --unit {unit} {shlex.join(key)}")
        print(f"  {stsgate} push {meter.id} TOKEN --watch {options}\n")
    print(f"  {stsgate} orders {options}\n  {stsgate} orders show demo-1 {options}")
    print(f"  {stsgate} meters readback {METERS[0].id} {options}\n", flush=True)


def _command(name: str) -> str:
    """As it can be typed here: the name alone only where the shell finds it."""
    beside = Path(sys.executable).with_name(name)
    if shutil.which(name) or not beside.exists():
        return name
    return str(beside.relative_to(Path.cwd()) if beside.is_relative_to(Path.cwd()) else beside)
