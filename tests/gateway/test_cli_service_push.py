"""``stsgate push``: against the real service and a simulated meter, on good days and on bad ones."""

from __future__ import annotations

import asyncio
import io
import re
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from aiohttp import web

from gateway.cli.service.push import WATCH_TIMEOUT_SECONDS
from sim_meters.meter import SimMeter
from tests.gateway.running_service import OTHER_KEY, TOKENS, RunningService, Said, Stsgate, meter_at, one_line, running
from tests.gateway.test_client import served
from tests.transports.wires import free_port

ONE, TWO, THREE = TOKENS[:3]
METER = "M-1"
MOMENT = re.compile(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d UTC  ")


@pytest.fixture
def stsgate(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Stsgate:
    return Stsgate(capsys, monkeypatch)


@asynccontextmanager
async def ready(
    stsgate: Stsgate, folder: Path, *, with_engine: bool = True
) -> AsyncIterator[tuple[RunningService, SimMeter]]:
    """A service that knows one meter."""
    async with running(folder, with_engine=with_engine) as service, meter_at() as (url, meter):
        stsgate.speaks_to(service)
        assert (await stsgate.beside("meters", "put", METER, "--endpoint", url, "--profile", "sim")).code == 0
        yield service, meter


def watch(*more: str) -> tuple[str, ...]:
    return ("push", METER, *more, "--watch", "--timeout", "20")


def story(said: Said) -> list[str]:
    """The lines between the first, with the id, and the last, with the end; without their times."""
    first, *lines, last = said.out.splitlines()
    assert re.fullmatch(r"order [A-Za-z0-9-]+", first)
    assert last.startswith(first)
    assert all(MOMENT.match(line) for line in lines)
    return [MOMENT.sub("", line) for line in lines]


async def test_a_person_reads_an_orders_story_as_it_happens(stsgate: Stsgate, tmp_path: Path) -> None:
    async with ready(stsgate, tmp_path) as (_, meter):
        said = await stsgate.beside(*watch(ONE.digits, "--amount", "25.6", "--unit", "kWh"))
        assert meter.ledger.times_credited(ONE) == 1
    assert (said.code, said.err) == (0, "")
    taken, reached, intent, verdict = story(said)
    assert f"taken: {ONE.masked} for meter {METER}" in taken
    assert "associated with the meter; balance 0.0 kWh" in reached
    assert f"{ONE.masked} intent" in intent
    assert f"{ONE.masked} ACCEPTED; status 3" in verdict
    assert re.fullmatch(
        rf"order push-\w+: accepted; {ONE.masked} credited yes, status 3, balance 0.0 -> 25.6 kWh",
        said.out.splitlines()[-1],
    )


async def test_a_program_reads_the_order_and_people_its_story_beside_it(stsgate: Stsgate, tmp_path: Path) -> None:
    async with ready(stsgate, tmp_path):
        said = await stsgate.beside(*watch(ONE.digits, "--id", "A-1", "--json"))
        shown = await stsgate.beside("orders", "show", "A-1", "--json")
    [order] = said.objects
    assert (said.code, order["id"], order["state"]) == (0, "A-1", "accepted")
    assert shown.objects == [order]
    assert said.err.splitlines()[0] == "order A-1"
    assert "ACCEPTED" in said.err


async def test_a_rejected_order_ends_with_1(stsgate: Stsgate, tmp_path: Path) -> None:
    async with ready(stsgate, tmp_path):
        said = await stsgate.beside(*watch(OTHER_KEY.digits))
    assert said.code == 1
    assert f": rejected (crc); {OTHER_KEY.masked} credited no, status 5" in said.out.splitlines()[-1]


async def test_tokens_come_from_arguments_a_file_and_standard_input_in_this_sequence(
    stsgate: Stsgate, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "tokens").write_text(f"{THREE.digits}\n")
    monkeypatch.setattr(sys, "stdin", io.StringIO(f"\n{TWO.digits[:4]} {TWO.digits[4:]}\n"))
    async with ready(stsgate, tmp_path) as (_, meter):
        said = await stsgate.beside(*watch(ONE.digits, "-", "--token-file", str(tmp_path / "tokens"), "--json"))
        assert [meter.ledger.times_credited(token) for token in (ONE, TWO, THREE)] == [1, 1, 1]
    [order] = said.objects
    assert [token["token"] for token in order["tokens"]] == [token.masked for token in (ONE, TWO, THREE)]


async def test_without_watch_it_ends_when_the_service_has_the_order(stsgate: Stsgate, tmp_path: Path) -> None:
    options = ["--kind", "credit", "--priority", "operator", "--not-before", "2030-01-01T00:00Z"]
    async with ready(stsgate, tmp_path) as (_, meter):
        said = await stsgate.beside("push", METER, ONE.digits, "--id", "A-1", *options, "--expires-at", "2031-01-01")
        [order] = (await stsgate.beside("orders", "show", "A-1", "--json")).objects
        assert not meter.ledger.times_credited(ONE)
    assert (said.code, said.err) == (0, "")
    assert said.out == "order A-1\nit is taken: waiting; stsgate orders show A-1 tells its story\n"
    assert (order["priority"], order["not_before"]) == ("operator", "2030-01-01T00:00:00Z")
    assert order["expires_at"].startswith(("2030-12-31", "2031-01-01"))


async def test_a_held_order_ends_with_3_and_its_whole_story_is_told_again(stsgate: Stsgate, tmp_path: Path) -> None:
    """The account counts kWh: a person has to look at an order in rand."""
    order = watch(ONE.digits, "--amount", "25.6", "--unit", "ZAR", "--id", "A-1")
    async with ready(stsgate, tmp_path):
        held = await stsgate.beside(*order)
        decided = await stsgate.beside("orders", "resolve", "A-1", "--credited", "no", "--note", "wrong unit")
        again = await stsgate.beside(*order)
    assert held.code == 3
    assert held.out.splitlines()[-1].startswith("order A-1: held (currency); ")
    assert decided.code == 0
    assert again.code == 1
    assert story(again)[: len(story(held))] == story(held)
    assert "wrong unit" in again.out
    assert again.out.splitlines()[-1].startswith("order A-1: rejected")


async def test_the_groups_of_a_token_need_no_quotes(stsgate: Stsgate, tmp_path: Path) -> None:
    groups = [token.digits[start : start + 4] for token in (ONE, TWO) for start in range(0, 20, 4)]
    async with ready(stsgate, tmp_path, with_engine=False):
        one = await stsgate.beside("push", METER, *groups[:5], "--id", "A-1")
        both = await stsgate.beside("push", METER, *groups, "--id", "A-2")
        uneven = await stsgate.beside("push", METER, THREE.digits[:7], THREE.digits[7:], "--id", "A-3")
        orders = (await stsgate.beside("orders", "--json")).objects
    assert (one.code, uneven.code) == (0, 0)
    assert "A-1" in both.err  # the first token is under way already
    assert {order["id"]: [token["token"] for token in order["tokens"]] for order in orders} == {
        "A-1": [ONE.masked],
        "A-3": [THREE.masked],
    }


# Bad days.


async def test_a_lost_answer_is_asked_for_again_and_nothing_is_delivered_twice(
    stsgate: Stsgate, tmp_path: Path
) -> None:
    async with ready(stsgate, tmp_path) as (service, meter):
        service.trouble.lost_answers = 2
        said = await stsgate.beside(*watch(ONE.digits))
        assert meter.ledger.times_credited(ONE) == 1
        assert service.trouble.orders_posted == 3
        assert len((await stsgate.beside("orders", "--json")).objects) == 1
    assert said.code == 0


async def test_a_stream_that_is_cut_is_taken_up_again(stsgate: Stsgate, tmp_path: Path) -> None:
    async with ready(stsgate, tmp_path) as (service, _):
        service.trouble.cut_streams = 2
        said = await stsgate.beside(*watch(ONE.digits))
        assert service.trouble.last_event_ids == ["0"] * 3
    assert said.code == 0
    assert len(story(said)) == 4
    assert [line.partition("; ")[2] for line in said.err.splitlines()] == [
        "asking again; the order is safe in the service"
    ] * 2


async def test_the_story_goes_on_when_the_service_was_restarted(stsgate: Stsgate, tmp_path: Path) -> None:
    async with ready(stsgate, tmp_path, with_engine=False) as (service, meter):
        watching = asyncio.create_task(stsgate.beside(*watch(ONE.digits)))
        await service.trouble.stream_begun.wait()
        await service.stop()
        service.with_engine = True
        await service.start()
        said = await watching
        assert meter.ledger.times_credited(ONE) == 1
    assert said.code == 0
    assert [line.split()[0] for line in story(said)] == ["taken:", "associated", ONE.masked, ONE.masked]
    [line] = said.err.splitlines()
    assert "asking again" in line


async def test_an_order_that_is_open_at_the_time_out_ends_with_3_and_goes_on(stsgate: Stsgate, tmp_path: Path) -> None:
    async with ready(stsgate, tmp_path, with_engine=False) as (service, _):
        said = await stsgate.beside("push", METER, ONE.digits, "--id", "A-1", "--watch", "--timeout", "0.5", "--json")
        assert await service.store.orders.get("A-1") is not None
    assert said.code == 3
    assert [order["state"] for order in said.objects] == ["queued"]
    assert "A-1 is queued after 0.5 s; the order goes on in the service: stsgate orders show A-1" in said.err


async def test_an_answer_that_never_comes_leaves_the_id_to_ask_again_with(stsgate: Stsgate, tmp_path: Path) -> None:
    async with ready(stsgate, tmp_path, with_engine=False) as (service, _):
        service.trouble.lost_answers = 10_000
        said = await stsgate.beside("push", METER, ONE.digits, "--timeout", "0.5")
        service.trouble.lost_answers = 0
        order_id = said.out.removeprefix("order ").strip()
        assert f"push again with --id {order_id}, which cannot deliver twice" in said.err
        again = await stsgate.beside("push", METER, ONE.digits, "--id", order_id)
        assert len((await stsgate.beside("orders", "--json")).objects) == 1
    assert (said.code, again.code) == (3, 0)


async def test_what_the_service_refuses_ends_with_2_in_one_line(stsgate: Stsgate, tmp_path: Path) -> None:
    async with ready(stsgate, tmp_path) as (service, _):
        assert (await stsgate.beside("push", METER, ONE.digits, "--id", "A-1")).code == 0
        refusals = {
            "M-2": ("push", "M-2", TWO.digits, "--id", "A-2"),
            "A-1": ("push", METER, ONE.digits, "--id", "A-2"),
            "other": ("push", METER, TWO.digits, "--id", "A-1"),
            "id": ("push", METER, TWO.digits, "--id", "a b"),
            "expires_at": ("push", METER, TWO.digits, "--expires-at", "2020-01-01"),
        }
        said = {word: await stsgate.beside(*command) for word, command in refusals.items()}
        stsgate.set("STSGATE_API_KEY", "somebody-elses-key")
        said["401"] = await stsgate.beside("push", METER, TWO.digits)
        assert service.trouble.lost_answers == 0
    for one in said.values():
        assert (one.code, len(one.err.splitlines())) == (2, 1), one
    assert "(422)" in said["M-2"].err
    assert "(409)" in said["A-1"].err
    assert "A-1" in said["A-1"].err
    assert "(409)" in said["other"].err
    assert "id: " in said["id"].err
    assert "expires_at: it is over already" in said["expires_at"].err
    assert "API key" in said["401"].err
    assert "somebody" not in said["401"].err


LATE_REFUSALS: list[tuple[str, list[int], str]] = [
    # statuses, one for each time that it is asked; 0 = the connection ends without an answer
    ("a key that ended between two tries", [0, 401], "whether the service has it is not known"),
    ("an error inside of the service", [500], "whether the service has it is not known"),
    ("a key that may hand in and not look", [202, 403], "the order goes on in the service"),
    ("an order that nobody finds any more", [202, 404], "the order goes on in the service"),
]


@pytest.mark.parametrize(
    ("statuses", "words"), [row[1:] for row in LATE_REFUSALS], ids=[row[0] for row in LATE_REFUSALS]
)
async def test_a_refusal_behind_an_order_that_may_be_taken_is_no_2(
    stsgate: Stsgate, statuses: list[int], words: str
) -> None:
    """2 says that nothing was taken: it must be true."""
    left = list(statuses)

    async def answer(request: web.BaseRequest) -> web.StreamResponse:
        await request.read()
        status = left.pop(0)
        if status == 0:
            assert request.transport is not None
            request.transport.abort()
        return web.json_response({"id": "A-1", "state": "queued", "title": "no", "status": status}, status=status)

    stsgate.set("STSGATE_API_KEY", "stsgate_some_key")
    async with served(answer) as url:
        said = await stsgate.beside("push", METER, ONE.digits, "--id", "A-1", "--watch", "--server", url)
    assert said.code == 3
    assert words in said.err
    assert "A-1" in said.err
    assert not left


def test_a_service_that_is_down_is_said_at_once(stsgate: Stsgate) -> None:
    """Nothing has left, so there is nothing to ask again for."""
    stsgate.set("STSGATE_API_KEY", "stsgate_some_key")
    said = stsgate("push", METER, ONE.digits, "--server", f"http://127.0.0.1:{free_port()}", "--watch")
    assert said.code == 3
    [line] = said.err.splitlines()
    assert re.fullmatch(r"stsgate push: http://127\.0\.0\.1:\d+: cannot be reached: Connection refused", line)


def test_standard_streams_that_are_closed_are_said_before_anything_is_sent(
    stsgate: Stsgate, monkeypatch: pytest.MonkeyPatch
) -> None:
    stsgate.set("STSGATE_API_KEY", "stsgate_some_key")
    with monkeypatch.context() as closed:
        closed.setattr(sys, "stdout", None)
        said = stsgate("push", METER, ONE.digits, "--server", f"http://127.0.0.1:{free_port()}")
    one_line(said, "standard output")


def test_a_watch_has_an_end_of_its_own() -> None:
    assert 0 < WATCH_TIMEOUT_SECONDS < 3600
