"""``stsgate deliver --kind key_change`` as its users meet it."""

from __future__ import annotations

import asyncio
import json
import re
import socket
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from cosem_objects.errors import SettingError
from cosem_objects.sts_token import Token, TokenClass
from gateway.__main__ import main
from gateway.api.order_body import OrderBody
from gateway.cli.parser import OneLineParser
from gateway.cli.service import push
from gateway.orders import OrderKind
from tests.gateway.key_change_meter import CREDIT, OTHER_SECTION, SECTIONS, Happens, KeyChangeMeter, at_a_wire
from tests.transports.wires import free_port

TIMEOUT_SECONDS = 30
CLASS_1 = Token.from_block(TokenClass.NON_METER_SPECIFIC_MANAGEMENT, 0x0123456789)
TWO = SECTIONS[:2]
KRN = ["--new-krn", "2"]


@dataclass(frozen=True)
class Said:
    """How a command ended, and what it said; no token is in it whole."""

    code: int
    out: str
    err: str

    def __post_init__(self) -> None:
        for token in (*SECTIONS, OTHER_SECTION, CREDIT, CLASS_1):
            assert token.digits not in self.out + self.err

    @property
    def objects(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.out.splitlines()]


class Stsgate:
    """Runs ``stsgate`` in this process."""

    def __init__(self, capsys: pytest.CaptureFixture[str]) -> None:
        self._capsys = capsys

    def __call__(self, *arguments: str) -> Said:
        self._capsys.readouterr()
        try:
            code = main(arguments)
        except SystemExit as end:  # how argparse leaves
            code = end.code if isinstance(end.code, int) else -1
        return Said(code, *self._capsys.readouterr())

    async def beside(self, *arguments: str) -> Said:
        """The same in a thread of its own, while a meter listens in this one."""
        async with asyncio.timeout(TIMEOUT_SECONDS):
            return await asyncio.to_thread(self, *arguments)


@pytest.fixture
def stsgate(capsys: pytest.CaptureFixture[str]) -> Stsgate:
    return Stsgate(capsys)


@pytest.fixture
def quick(tmp_path: Path) -> str:
    """A profile whose waits are short."""
    path = tmp_path / "quick.toml"
    path.write_text("poll_first_seconds = 0.01\ndoubt_rounds_max = 1\n")
    return str(path)


def given(*tokens: Token) -> list[str]:
    return [option for token in tokens for option in ("--token", token.digits)]


def change(url: str, profile: str, *tokens: Token) -> list[str]:
    return ["deliver", "--endpoint", url, "--profile", profile, "--kind", "key_change", *given(*tokens)]


# Wrong input: one line, exit code 2, and nothing was sent.


@pytest.fixture(scope="module")
def nobody() -> Iterator[socket.socket]:
    """A listener that nobody may call."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", free_port()))
        listener.listen(1)
        listener.setblocking(False)
        yield listener


KEY_CHANGE = ["--kind", "key_change"]
WRONG: list[tuple[str, Sequence[Token], list[str]]] = [
    ("1 were given", TWO[:1], [*KEY_CHANGE, *KRN]),
    ("5 were given", (*SECTIONS, OTHER_SECTION), [*KEY_CHANGE, *KRN]),
    ("which is no key_change", (CREDIT,), [*KEY_CHANGE, *KRN]),
    ("sections (class 2) come first", (TWO[0], CREDIT, TWO[1]), [*KEY_CHANGE, *KRN]),
    ("sections (class 2) come first", (CREDIT, *TWO), [*KEY_CHANGE, *KRN]),
    ("is no credit", (*TWO, CLASS_1), [*KEY_CHANGE, *KRN]),
    ("twice", (TWO[0], TWO[0]), [*KEY_CHANGE, *KRN]),
    ("new-krn", TWO, KEY_CHANGE),
    ("does not carry the supply group", TWO, [*KEY_CHANGE, "--new-sgc", "123456"]),
    ('key_change_proof = "status"', TWO, [*KEY_CHANGE, *KRN, "--profile", "FILE"]),
    ("new-krn: it goes with --kind key_change", TWO, KRN),
    ("new-ken: it goes with --kind key_change", TWO, ["--kind", "management", "--new-ken", "85"]),
    ("is no credit", TWO, ["--kind", "credit"]),
    ("is no management", (CREDIT,), ["--kind", "management"]),
    ("is no test", (CREDIT,), ["--kind", "test"]),
    ("kind", TWO, ["--kind", "key-change"]),
    ("amount", TWO, [*KEY_CHANGE, *KRN, "--amount", "5", "--unit", "kWh"]),
    *(
        (option, TWO, [*KEY_CHANGE, *KRN, f"--{option}", value])
        for option, values in {
            "new-krn": ("0", "10", "x", ""),
            "new-ti": ("100", "-1", "1.0"),
            "new-sgc": ("0", "1000000", "12345x"),
            "new-kt": ("4", ""),
            "new-ken": ("256", "two"),
            "new-ea": ("100", "sta"),
        }.items()
        for value in values
    ),
]


@pytest.mark.parametrize(("named", "tokens", "options"), WRONG)
def test_wrong_input_is_one_line_and_nothing_is_sent(
    stsgate: Stsgate, nobody: socket.socket, tmp_path: Path, named: str, tokens: Sequence[Token], options: list[str]
) -> None:
    profile = tmp_path / "without.toml"
    profile.write_text('sts_obis = ""\n')
    filled = [str(profile) if option == "FILE" else option for option in options]
    url = f"tcp://127.0.0.1:{nobody.getsockname()[1]}"
    said = stsgate("deliver", "--endpoint", url, *given(*tokens), *filled)
    with pytest.raises(BlockingIOError):
        nobody.accept()
    assert (said.code, said.out) == (2, "")
    assert re.fullmatch(r"stsgate[^\n]*: [^\n]+\n", said.err)
    assert named in said.err


# The story and the objects.


async def test_a_person_reads_the_story_of_a_set_and_its_credit(stsgate: Stsgate, quick: str) -> None:
    async with at_a_wire(KeyChangeMeter()) as url:
        said = await stsgate.beside(*change(url, quick, *TWO, CREDIT), *KRN)
    assert (said.code, said.err) == (0, "")
    lines = [line.removeprefix(f"{url}: ") for line in said.out.splitlines()]
    first, second = (token.masked for token in TWO)
    key = "class 116 shows EA 07, SGC 123456, TI 01, KRN {}, KT 2, KEN 255: the {} key"
    beginnings = [
        "associated with the meter",
        key.format(1, "old"),
        f"{first} intent: entering it now",
        f"{first} stored, section 1 of 2",
        f"{second} intent: entering it now",
        f"{second} stored, section 2 of 2",
        key.format(2, "new"),
        f"{first} ACCEPTED; status 3 executed",
        f"{second} ACCEPTED; status 3 executed",
        f"{CREDIT.masked} intent: entering it now",
        f"{CREDIT.masked} ACCEPTED; status 3 executed",
    ]
    assert len(lines) == len(beginnings)
    for line, beginning in zip(lines, beginnings, strict=True):
        assert line.startswith(beginning)
    assert all("evidence class-116" in line for line in lines[7:9])


async def test_a_program_reads_one_object_for_each_token(stsgate: Stsgate, quick: str) -> None:
    async with at_a_wire(KeyChangeMeter()) as url:
        said = await stsgate.beside(*change(url, quick, *TWO, CREDIT), *KRN, "--json")
        again = await stsgate.beside(*change(url, quick, *TWO), *KRN, "--json")
    shown = [(one["token"], one["verdict"], one["credited"], one["evidence"]) for one in said.objects]
    proof = ("accepted", "yes", "class-116")
    assert shown == [(TWO[0].masked, *proof), (TWO[1].masked, *proof), (CREDIT.masked, "accepted", "yes", None)]
    assert [(one["verdict"], one["evidence"], one["row"]) for one in again.objects] == [
        ("accepted", "already-new-key", "K1")
    ] * 2
    assert again.code == 0


ENDS: list[tuple[str, dict[int, Happens], Sequence[Token], int, list[str]]] = [
    ("refused", {}, (OTHER_SECTION, TWO[1], CREDIT), 3, ["rejected", "rejected", "unreached"]),
    ("refused, without a credit", {}, (OTHER_SECTION, TWO[1]), 1, ["rejected", "rejected"]),
    ("half refused", {}, (TWO[0], OTHER_SECTION), 3, ["held", "held"]),
    ("lost once", {2: Happens.LOST_AFTER}, TWO, 0, ["accepted", "accepted"]),
    ("lost twice", dict.fromkeys((1, 2), Happens.LOST_BEFORE), TWO, 3, ["in_doubt", "in_doubt"]),
]


@pytest.mark.parametrize(
    ("script", "tokens", "code", "verdicts"), [row[1:] for row in ENDS], ids=[row[0] for row in ENDS]
)
async def test_the_exit_code_tells_how_it_ended(
    stsgate: Stsgate, quick: str, script: dict[int, Happens], tokens: Sequence[Token], code: int, verdicts: list[str]
) -> None:
    async with at_a_wire(KeyChangeMeter(script=script)) as url:
        said = await stsgate.beside(*change(url, quick, *tokens), *KRN, "--json")
    assert said.code == code
    assert [one["verdict"] for one in said.objects] == verdicts


async def test_after_a_doubt_class_116_is_read_first(stsgate: Stsgate, quick: str) -> None:
    meter = KeyChangeMeter(script=dict.fromkeys((1, 2), Happens.LOST_BEFORE))
    async with at_a_wire(meter) as url:
        said = await stsgate.beside(*change(url, quick, *TWO), *KRN)
        assert said.code == 3
        assert "run again with --after-doubt" in said.out
        said = await stsgate.beside(*change(url, quick, *TWO), *KRN, "--after-doubt")
    assert said.code == 0
    assert "the old key" in said.out.splitlines()[1]
    assert meter.changes == 1


async def test_a_bug_in_the_middle_of_a_set_leaves_all_of_it_in_doubt(
    stsgate: Stsgate, quick: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with at_a_wire(meter := KeyChangeMeter()) as url:

        def broken(*_: object) -> None:
            raise ZeroDivisionError("a bug")

        meter.right_after_enter = lambda: monkeypatch.setattr("gateway.token_story.judge", broken)
        said = await stsgate.beside(*change(url, quick, *TWO, CREDIT), *KRN, "--json")
    assert said.code == 3
    assert [(one["verdict"], one["credited"]) for one in said.objects] == [
        ("in_doubt", "unknown"),
        ("in_doubt", "unknown"),
        ("unreached", "no"),
    ]


async def test_an_amount_is_that_of_the_credit(stsgate: Stsgate, quick: str) -> None:
    async with at_a_wire(KeyChangeMeter()) as url:
        said = await stsgate.beside(*change(url, quick, *TWO, CREDIT), *KRN, "--amount", "5", "--unit", "kWh")
    assert said.code == 0


async def test_without_its_kind_a_token_of_class_2_is_a_token_of_its_own(stsgate: Stsgate, quick: str) -> None:
    async with at_a_wire(KeyChangeMeter()) as url:
        said = await stsgate.beside("deliver", "--endpoint", url, "--profile", quick, *given(TWO[0]), "--json")
    assert [(one["verdict"], one["row"]) for one in said.objects] == [("accepted", "3")]


# Through the service.


def order_of(*arguments: str) -> dict[str, Any]:
    commands = OneLineParser().add_subparsers(parser_class=OneLineParser)
    push.add_command(commands)
    order = push.order_from(commands.choices["push"].parse_args(["M-1", *arguments]))
    assert isinstance(order, dict)
    return order


def test_push_makes_one_order_of_a_set_and_the_credit_behind_it() -> None:
    digits = [token.digits for token in (*TWO, CREDIT)]
    new = ["--new-krn", "2", "--new-ti", "07", "--new-sgc", "000123", "--new-ea", "07", "--new-ken", "85"]
    order = order_of(*digits, *KEY_CHANGE, *new, "--amount", "5", "--unit", "kWh")
    assert order["tokens"] == [*digits[:2], {"token": digits[2], "kind": "credit"}]
    assert order["kind"] == "key_change"
    assert order["new_key"] == {"krn": 2, "ti": "07", "sgc": "000123", "ea": "07", "ken": 85}
    taken = OrderBody.model_validate_json(json.dumps(order)).order()
    assert [one.kind for one in taken.tokens] == [OrderKind.KEY_CHANGE, OrderKind.KEY_CHANGE, OrderKind.CREDIT]


@pytest.mark.parametrize(
    ("expected", "tokens", "options"),
    [
        ("one of the --new-", TWO, []),
        ("1 were given", TWO[:1], KRN),
        ("sections (class 2) come first", (CREDIT, *TWO), KRN),
        ("which is no key_change", (CREDIT,), KRN),
        ("is no credit", (*TWO, CLASS_1), KRN),
    ],
)
def test_push_refuses_what_is_no_set(expected: str, tokens: Sequence[Token], options: list[str]) -> None:
    with pytest.raises(SettingError) as refused:
        order_of(*(token.digits for token in tokens), *KEY_CHANGE, *options)
    assert expected in str(refused.value)
