"""``stsgate orders``, ``meters``, ``links``, ``api-keys`` and ``webhooks`` against the real service."""

from __future__ import annotations

import csv
import io
import json
import re
import stat
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from gateway.cli.service.meter_columns import COLUMNS, OPEN_COLUMNS
from gateway.cli.service.tables import facts, table
from tests.gateway.fixed_answers import Answers, answering
from tests.gateway.running_service import (
    AK,
    EK,
    PASSWORD,
    SIGNING_SECRET,
    TOKENS,
    Stsgate,
    meter_at,
    one_line,
    running,
)

ENDPOINT = "tcp://127.0.0.1:1"


@pytest.fixture
def stsgate(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Stsgate:
    return Stsgate(capsys, monkeypatch)


def columns(text: str) -> list[list[str]]:
    """The cells of a table: there are two blanks or more between them."""
    return [[cell.strip() for cell in line.split("  ") if cell.strip()] for line in text.splitlines()]


# Orders.


async def test_orders_are_listed_newest_first_and_filtered(stsgate: Stsgate, tmp_path: Path) -> None:
    async with running(tmp_path, with_engine=False) as service:
        stsgate.speaks_to(service)
        for meter in ("M-1", "M-2"):
            await stsgate.beside("meters", "put", meter, "--endpoint", ENDPOINT)
        for number, token in enumerate(TOKENS[:4]):
            await stsgate.beside("push", f"M-{number % 2 + 1}", token.digits, "--id", f"A-{number}")
        await stsgate.beside("orders", "cancel", "A-0")
        every = await stsgate.beside("orders")
        same = await stsgate.beside("orders", "list")
        some = await stsgate.beside("orders", "--state", "queued,held", "--meter", "M-1", "--json")
        few = await stsgate.beside("orders", "list", "--limit", "2", "--json")
        none = await stsgate.beside("orders", "--state", "held")
    head, *rows = columns(every.out)
    assert head == ["order", "meter", "state", "reason", "tokens", "credited", "changed"]
    assert [row[:3] for row in rows] == [
        ["A-3", "M-2", "queued"],
        ["A-2", "M-1", "queued"],
        ["A-1", "M-2", "queued"],
        ["A-0", "M-1", "cancelled"],
    ]
    assert [row[4] for row in rows] == [token.masked for token in reversed(TOKENS[:4])]
    assert same.out == every.out
    assert [order["id"] for order in some.objects] == ["A-2"]
    assert [order["id"] for order in few.objects] == ["A-3", "A-2"]
    assert few.err == "there are more than 2: --limit N shows them\n"
    assert none.out == "none\n"
    assert {said.code for said in (every, same, some, few, none)} == {0}


async def test_an_order_is_shown_with_its_story(stsgate: Stsgate, tmp_path: Path) -> None:
    async with running(tmp_path, with_engine=True) as service, meter_at() as (url, _):
        stsgate.speaks_to(service)
        await stsgate.beside("meters", "put", "M-1", "--endpoint", url, "--profile", "sim")
        pushed = await stsgate.beside("push", "M-1", TOKENS[0].digits, "--id", "A-1", "--watch")
        said = await stsgate.beside("orders", "show", "A-1")
        nobody = await stsgate.beside("orders", "show", "A-2")
    assert said.code == 0
    lines = said.out.splitlines()
    assert lines[0].split() == ["id", "A-1"]
    assert f"{TOKENS[0].masked} credited yes, status 3, balance 0.0 -> 25.6 kWh" in lines
    assert lines[-4:] == pushed.out.splitlines()[1:5]
    one_line(nobody, "there is no order with this id (404)")


async def test_an_order_that_was_never_tried_is_not_called_unknown(stsgate: Stsgate, tmp_path: Path) -> None:
    async with running(tmp_path, with_engine=False) as service:
        stsgate.speaks_to(service)
        await stsgate.beside("meters", "put", "M-1", "--endpoint", ENDPOINT)
        await stsgate.beside("push", "M-1", TOKENS[0].digits, "--id", "A-1")
        said = await stsgate.beside("orders", "show", "A-1")
    assert f"{TOKENS[0].masked} not tried" in said.out.splitlines()
    assert "unknown" not in said.out


async def test_times_are_shown_in_one_way(stsgate: Stsgate, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As the texts of a story say theirs, whatever the zone of this machine is."""
    (tmp_path / "secret").write_text(SIGNING_SECRET)
    monkeypatch.setenv("TZ", "Africa/Johannesburg")
    time.tzset()
    try:
        async with running(tmp_path, with_engine=False) as service:
            stsgate.speaks_to(service)
            put = await stsgate.beside("meters", "put", "M-1", "--endpoint", ENDPOINT)
            late = ["--not-before", "2030-01-01T02:00"]
            await stsgate.beside("push", "M-1", TOKENS[0].digits, "--id", "A-1", *late)
            said = [
                put,
                await stsgate.beside("meters", "show", "M-1"),
                await stsgate.beside("orders"),
                await stsgate.beside("orders", "show", "A-1"),
                await stsgate.beside("api-keys"),
                await stsgate.beside("api-keys", "make", "me", "--scope", "read", "--expires-at", "2030-01-01T02:00"),
                await stsgate.beside("webhooks", "put", "a", "--url", "http://127.0.0.1:1/", *secret_of(tmp_path)),
            ]
    finally:
        monkeypatch.undo()
        time.tzset()
    times = [re.findall(r"\d{4}-\d\d-\d\d.\d\d:\d\d\S*(?: UTC)?", one.out) for one in said]
    assert all(times)
    for moment in {moment for some in times for moment in some}:
        assert re.fullmatch(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d UTC", moment), moment
    assert "2030-01-01 00:00:00 UTC" in times[3]
    assert "2030-01-01 00:00:00 UTC" in times[5]


def secret_of(folder: Path) -> list[str]:
    return ["--secret-file", str(folder / "secret")]


async def test_people_decide_about_orders(stsgate: Stsgate, tmp_path: Path) -> None:
    async with running(tmp_path, with_engine=True) as service, meter_at() as (url, _):
        stsgate.speaks_to(service)
        await stsgate.beside("meters", "put", "M-1", "--endpoint", url, "--profile", "sim")
        for number, token in enumerate(TOKENS[:2]):
            rand = ("--amount", "5", "--unit", "ZAR", "--watch")
            held = await stsgate.beside("push", "M-1", token.digits, "--id", f"A-{number}", *rand)
            assert held.code == 3
        evidence = await stsgate.beside("orders", "show", "A-0")
        yes = await stsgate.beside("orders", "resolve", "A-0", "--credited", "yes", "--note", "seen on its display")
        cancelled = await stsgate.beside("orders", "cancel", "A-1", "--json")
        late = await stsgate.beside("orders", "reconcile", "A-1")
        shown = await stsgate.beside("orders", "show", "A-0")
    facts_of = {
        line.split("  ")[1]: line.split("  ")[-1].strip() for line in evidence.out.splitlines() if line[:1] == " "
    }
    assert facts_of == {
        "kind": "credit",
        "amount": "5 ZAR",
        "entered": "never",
        "verdict": "held",
        "reason": "currency",
        "detail": "the amount is in ZAR, the meter's account in kWh",
        "row": "1",
        "balance_before": "0.0 kWh",
        "elapsed_ms": facts_of["elapsed_ms"],
    }
    assert evidence.out.splitlines()[-2:] == [
        "a person decides: stsgate orders resolve A-0 --credited yes|no|retry --note TEXT",
        "the meter once more: stsgate orders reconcile A-0",
    ]
    assert "a person decides" not in shown.out
    assert yes.code == 0
    assert "state" in yes.out
    assert ["state", "accepted"] in [line.split() for line in yes.out.splitlines()]
    assert [order["state"] for order in cancelled.objects] == ["cancelled"]
    one_line(late, "cancelled", "(409)")
    assert "seen on its display" in shown.out


# Meters.


async def test_a_meter_is_entered_shown_changed_and_removed(stsgate: Stsgate, tmp_path: Path) -> None:
    for name, content in (("ek", EK), ("ak", AK), ("password", PASSWORD)):
        (tmp_path / name).write_text(f"{content}\n")
    keys = [option for name in ("ek", "ak", "password") for option in (f"--{name}-file", str(tmp_path / name))]
    put = ["meters", "put", "M-1", "--security", "hls-gmac", "--endpoint"]
    more = ["--link", "north", "--window", "22:00-06:00", "--window", "12:00-13:00", "--time-zone", "Africa/Maputo"]
    sts = ["--pan", "600727000000000009", "--sgc", "201457", "--krn", "1", "--ti", "01", "--base-date", "2014"]
    async with running(tmp_path, with_engine=False) as service:
        stsgate.speaks_to(service)
        new = await stsgate.beside(
            *put, ENDPOINT, *keys, *more, *sts, "--description", "in the \u200b cellar", "--json"
        )
        moved = await stsgate.beside(*put, "tcp://127.0.0.1:2", "--json")
        listed = await stsgate.beside("meters")
        of_link = await stsgate.beside("meters", "--link", "north", "--json")
        shown = await stsgate.beside("meters", "show", "M-1")
        seen = await stsgate.beside("meters", "seen", "M-1")
        bare = await stsgate.beside("meters", "put", "M-2", "--security", "hls-gmac", "--endpoint", ENDPOINT)
        removed = await stsgate.beside("meters", "remove", "M-1")
        gone = await stsgate.beside("meters", "show", "M-1")
    [meter] = new.objects
    assert meter["security"]["mechanism"] == "hls-gmac"
    assert sorted(meter["secrets"]) == ["ak", "ek", "password"]
    assert (meter["link"], meter["time_zone"]) == ("north", "Africa/Maputo")
    assert meter["windows"] == ["22:00-06:00", "12:00-13:00"]
    assert (meter["sts"]["pan"], meter["sts"]["krn"], meter["sts"]["base_date"]) == ("600727000000000009", 1, 2014)
    [meter] = moved.objects
    assert meter["endpoint"] == "tcp://127.0.0.1:2"
    assert sorted(meter["secrets"]) == ["ak", "ek", "password"]  # what is not given stays
    assert meter["windows"] == []  # all else is described anew
    assert columns(listed.out)[1][:3] == ["M-1", "tcp://127.0.0.1:2", "tcp://127.0.0.1:2"]
    assert (of_link.out, of_link.code) == ("", 0)
    assert ["link", "tcp://127.0.0.1:2"] in [line.split() for line in shown.out.splitlines()]
    assert seen.out.split() == ["woken", "0"]
    one_line(bare, "both keys are needed", "(422)")
    assert (removed.out, removed.code) == ("removed\n", 0)
    one_line(gone, "there is no meter with this id (404)")


async def test_a_meter_is_read_over_the_service(stsgate: Stsgate, tmp_path: Path) -> None:
    async with running(tmp_path, with_engine=True) as service:
        stsgate.speaks_to(service)
        async with meter_at() as (url, meter):
            await stsgate.beside("meters", "put", "M-1", "--endpoint", url, "--profile", "sim")
            said = await stsgate.beside("meters", "readback", "M-1")
            as_json = await stsgate.beside("meters", "readback", "M-1", "--json")
        away = await stsgate.beside("meters", "readback", "M-1")
    assert said.code == 0
    assert [line.split()[-1] for line in said.out.splitlines() if line.startswith("clock.time ")] != []
    [answer] = as_json.objects
    assert (answer["meter"], answer["report"]["error"]) == ("M-1", None)
    assert away.code == 3
    assert len(away.err.splitlines()) == 1
    assert "M-1" in away.err or "(502)" in away.err
    assert meter.config.device_name in said.out


HEAD = ["id", "endpoint", "profile", "security", "ek", "ak", "windows", "krn", "description"]


def written(path: Path, *rows: list[str], head: list[str] = HEAD) -> str:
    with path.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows([head, *rows])
    return str(path)


def row(meter_id: str, *, endpoint: str = ENDPOINT, ek: str = EK, krn: str = "1", text: str = "") -> list[str]:
    return [meter_id, endpoint, "", "hls-gmac", ek, AK, "22:00-06:00 12:00-13:00", krn, text]


async def test_meters_come_from_a_csv_and_go_into_one(stsgate: Stsgate, tmp_path: Path) -> None:
    path = written(tmp_path / "meters.csv", *(row(f"M-{number}", text="a, b") for number in range(20)))
    async with running(tmp_path, with_engine=False) as service:
        stsgate.speaks_to(service)
        entered = await stsgate.beside("meters", "import", path, "--json")
        exported = await stsgate.beside("meters", "export")
        (tmp_path / "back.csv").write_text(exported.out.replace("127.0.0.1:1", "127.0.0.1:2"), encoding="utf-8")
        again = await stsgate.beside("meters", "import", str(tmp_path / "back.csv"), "--json")
        as_json = await stsgate.beside("meters", "export", "--json")
        [meter] = (await stsgate.beside("meters", "show", "M-7", "--json")).objects
    assert entered.objects == again.objects == [{"written": 20, "refused": 0}]
    rows = list(csv.DictReader(io.StringIO(exported.out)))
    assert list(rows[0]) == ["id", *OPEN_COLUMNS]
    assert {one["id"] for one in rows} == {f"M-{number}" for number in range(20)}
    assert (rows[0]["security"], rows[0]["krn"], rows[0]["description"]) == ("hls-gmac", "1", "a, b")
    assert rows[0]["link"] == ""  # it is not one that somebody gave: it follows the endpoint
    assert len(as_json.objects) == 20
    assert (meter["endpoint"], meter["link"]) == ("tcp://127.0.0.1:2", "tcp://127.0.0.1:2")
    assert sorted(meter["secrets"]) == ["ak", "ek"]
    assert meter["windows"] == ["22:00-06:00", "12:00-13:00"]


async def test_nothing_of_a_csv_is_sent_when_a_row_is_wrong(stsgate: Stsgate, tmp_path: Path) -> None:
    wrong = [
        row("M-1"),
        row("M 2"),
        row("M-3", endpoint="10.0.0.1"),
        row("M-4", ek=EK[:-2]),
        row("M-5", krn="x"),
        row("M-6", krn="12"),
        row("M-1"),
        [*row("M-7"), "more"],
        [],
        row("M-8", text="\x07"),
    ]
    report = tmp_path / "report"
    async with running(tmp_path, with_engine=False) as service:
        stsgate.speaks_to(service)
        said = await stsgate.beside("meters", "import", written(tmp_path / "a.csv", *wrong), "--report", str(report))
        assert not await service.store.meters.list()
    assert (said.code, said.out) == (2, "")
    *mistakes, last = said.err.splitlines()
    assert last.endswith("8 rows are wrong, nothing was sent")
    places = [mistake.partition(": ")[0] for mistake in mistakes]
    assert places == [
        "row 3, column id",
        "row 4 (M-3), column endpoint",
        "row 5 (M-4), column ek",
        "row 6 (M-5), column krn",
        "row 7 (M-6), column krn",
        "row 8 (M-1), column id",
        "row 9 (M-7)",
        "row 11 (M-8), column description",
    ]
    told = [json.loads(line) for line in report.read_text().splitlines()]
    assert [(one["row"], one["column"]) for one in told][:3] == [(3, "id"), (4, "endpoint"), (5, "ek")]
    assert EK[:-2] not in report.read_text()


async def test_rows_that_the_service_refuses_are_reported_and_the_others_are_entered(
    stsgate: Stsgate, tmp_path: Path
) -> None:
    """That a meter has no keys yet only the service knows."""
    rows = [row("M-1"), row("M-2", ek=""), row("M-3")]
    async with running(tmp_path, with_engine=False) as service:
        stsgate.speaks_to(service)
        said = await stsgate.beside("meters", "import", written(tmp_path / "a.csv", *rows), "--json")
        assert [meter.id for meter in await service.store.meters.list()] == ["M-1", "M-3"]
        stsgate.set("STSGATE_API_KEY", "somebody-elses-key")
        stranger = await stsgate.beside("meters", "import", written(tmp_path / "a.csv", *rows))
    assert (said.code, said.objects) == (1, [{"written": 2, "refused": 1}])
    [line] = said.err.splitlines()
    assert line.startswith("row 3 (M-2)")
    assert "both keys are needed" in line
    one_line(stranger, "(401)")


def test_a_column_stands_for_each_value_of_a_meter_and_a_secret_is_never_exported() -> None:
    assert len({*COLUMNS.values()}) == len(COLUMNS)
    assert {*COLUMNS} - {*OPEN_COLUMNS} == {"password", "ek", "ak"}


# Orders from a file.


def order(number: int, **more: Any) -> dict[str, Any]:
    return {"id": f"A-{number}", "meter": "M-1", "tokens": [TOKENS[number].digits], **more}


async def test_orders_come_from_a_file_and_the_same_file_again_does_no_harm(stsgate: Stsgate, tmp_path: Path) -> None:
    lines = [order(0), {"id": "A-9"}, order(1, meter="M-9"), order(2), order(3, tokens=[TOKENS[3].digits[:-1]])]
    path, report = tmp_path / "orders.ndjson", tmp_path / "report"
    path.write_text("\n\n".join(map(json.dumps, lines)))
    async with running(tmp_path, with_engine=False) as service:
        stsgate.speaks_to(service)
        await stsgate.beside("meters", "put", "M-1", "--endpoint", ENDPOINT)
        said = await stsgate.beside("orders", "import", str(path), "--report", str(report))
        again = await stsgate.beside("orders", "import", str(path), "--json")
        listed = await stsgate.beside("orders", "--json")
    assert said.code == again.code == 1
    assert [line.split() for line in said.out.splitlines()] == [["taken", "2"], ["known", "0"], ["refused", "3"]]
    assert {line.partition(":")[0].partition(",")[0] for line in said.err.splitlines()} >= {
        "row 3 (A-9)",
        "row 5 (A-1)",
    }
    told = [json.loads(line) for line in report.read_text().splitlines()]
    assert {one["row"] for one in told} == {3, 5, 9}
    assert [one["status"] for one in again.objects] == [200, 422, 422, 200, 422]
    assert [one["id"] for one in listed.objects] == ["A-2", "A-0"]


async def test_orders_come_from_a_csv_whose_rows_are_counted_as_a_spreadsheet_does(
    stsgate: Stsgate, tmp_path: Path
) -> None:
    rows = [["A-0", "M-1", TOKENS[0].digits, "25.6", "kWh"], ["A-1", "M-1", f"{TOKENS[1].digits};x", "", ""]]
    path = written(tmp_path / "orders.csv", *rows, head=["id", "meter", "tokens", "amount", "unit"])
    async with running(tmp_path, with_engine=False) as service:
        stsgate.speaks_to(service)
        await stsgate.beside("meters", "put", "M-1", "--endpoint", ENDPOINT)
        said = await stsgate.beside("orders", "import", path)
        [taken] = (await stsgate.beside("orders", "--json")).objects
    assert said.code == 1
    assert {line.partition(":")[0].split(",")[0].split(" (")[0] for line in said.err.splitlines()} == {"row 3"}
    assert taken["tokens"][0]["amount"] == {"value": "25.6", "unit": "kWh"}


def test_a_report_on_a_full_disk_does_not_end_an_import(stsgate: Stsgate, tmp_path: Path) -> None:
    stsgate.set("STSGATE_API_KEY", "stsgate_some_key")
    path = tmp_path / "orders"
    path.write_text("{}\n{}\n")
    problem = {"title": "Wrong", "detail": "no"}
    rows = "".join(json.dumps({"row": row, "id": None, "status": 422, "problem": problem}) + "\n" for row in (1, 2))
    with answering(Answers, answer=rows.encode()) as url:
        said = stsgate("orders", "import", str(path), "--server", url, "--report", "/dev/full")
    assert said.code == 1
    assert ["refused", "2"] in [line.split() for line in said.out.splitlines()]
    assert said.err.splitlines() == [
        "row 1: no",
        "report: it cannot be written (No space left on device)",
        "row 2: no",
    ]


async def test_a_first_line_that_the_service_does_not_know_is_not_advised_to_be_sent_again(
    stsgate: Stsgate, tmp_path: Path
) -> None:
    """Somebody else's service may know other columns than this command."""
    stsgate.set("STSGATE_API_KEY", "stsgate_some_key")
    path = written(tmp_path / "orders.csv", ["A-1", "M-1", "x"], ["A-2", "M-1", "x"], head=["id", "meter", "tokens"])
    errors = [{"field": "header", "message": "there is no column tokens"}]
    answer = {"row": 0, "id": None, "status": 422, "problem": {"title": "Wrong", "errors": errors}}
    with answering(Answers, answer=f"{json.dumps(answer)}\n".encode()) as url:
        said = await stsgate.beside("orders", "import", path, "--server", url)
    assert said.code == 2
    assert said.err.splitlines() == ["row 1: there is no column tokens", "stsgate orders: nothing was taken"]


async def test_more_rows_than_fit_into_memory_pieces_are_all_reported(stsgate: Stsgate, tmp_path: Path) -> None:
    path = tmp_path / "orders.ndjson"
    path.write_text("".join(f'{{"id": "{"x" * 50}-{number}"}}\n' for number in range(3000)))
    async with running(tmp_path, with_engine=False) as service:
        stsgate.speaks_to(service)
        said = await stsgate.beside("orders", "import", str(path), "--report", str(tmp_path / "report"))
    assert said.code == 1
    assert ["refused", "3000"] in [line.split() for line in said.out.splitlines()]
    rows = {json.loads(line)["row"] for line in (tmp_path / "report").read_text().splitlines()}
    assert rows == set(range(1, 3001))
    assert "more mistakes" in said.err.splitlines()[-1]
    assert len(said.err.splitlines()) < 60


class _Refuses(Answers):
    media_type = "application/problem+json"


REFUSALS: list[tuple[int, str, int]] = [
    (400, "invalid-parameter", 2),
    (401, "unauthenticated", 2),
    (404, "not-found", 2),
    (409, "illegal-change", 2),
    (409, "meter-busy", 3),
    (422, "invalid", 2),
    (429, "too-many-requests", 3),
    (500, "internal", 3),
    (502, "meter-unreached", 3),
    (503, "unavailable", 3),
]


@pytest.mark.parametrize(("status", "word", "code"), REFUSALS, ids=[f"{row[0]}-{row[1]}" for row in REFUSALS])
def test_the_exit_code_tells_what_is_wrong_from_what_may_pass(
    stsgate: Stsgate, status: int, word: str, code: int
) -> None:
    stsgate.set("STSGATE_API_KEY", "stsgate_some_key")
    body = json.dumps({"type": word, "title": "a\x1b[2J\ntitle", "status": status}).encode()
    with answering(_Refuses, status=status, answer=body) as url:
        said = stsgate("orders", "show", "A", "--server", url)
    assert (said.code, said.err) == (code, f"stsgate orders: a?[2J?title ({status})\n")


def test_an_import_that_ends_early_says_how_to_go_on(stsgate: Stsgate, tmp_path: Path) -> None:
    stsgate.set("STSGATE_API_KEY", "stsgate_some_key")
    path = tmp_path / "orders"
    path.write_text("\n".join(json.dumps(order(number)) for number in range(3)))
    with answering(Answers) as url:
        said = stsgate("orders", "import", str(path), "--server", url)
    assert said.code == 3
    [line] = said.err.splitlines()
    assert "after row 1 or later; send the same rows again: what was taken stays as it is" in line


# Links, keys, webhooks.


async def test_links_have_limits_and_are_paused_and_resumed(stsgate: Stsgate, tmp_path: Path) -> None:
    async with running(tmp_path, with_engine=False) as service:
        stsgate.speaks_to(service)
        await stsgate.beside("meters", "put", "M-1", "--endpoint", ENDPOINT)
        before = await stsgate.beside("links")
        steps: Mapping[str, list[str]] = {
            "limits": ["set", ENDPOINT, "--concurrency", "2", "--rate", "2.5", "--burst", "3"],
            "paused": ["pause", ENDPOINT],
            "other limits": ["set", ENDPOINT, "--rate", "1"],
            "resumed": ["resume", ENDPOINT],
        }
        said = {name: (await stsgate.beside("links", *step, "--json")).objects[0] for name, step in steps.items()}
        removed = await stsgate.beside("links", "remove", ENDPOINT)
        nobody = await stsgate.beside("links", "pause", "nowhere")
    assert columns(before.out)[1][0] == ENDPOINT
    limits = ("concurrency", "rate_per_second", "burst", "paused")
    assert [said["limits"][name] for name in limits] == [2, 2.5, 3, False]
    assert said["paused"]["paused"]
    assert [said["other limits"][name] for name in limits] == [None, 1.0, 1, True]  # limits are not pauses
    assert not said["resumed"]["paused"]
    assert removed.code == 0
    one_line(nobody, "(404)")


async def test_api_keys_are_made_used_replaced_and_removed(stsgate: Stsgate, tmp_path: Path) -> None:
    path, other = tmp_path / "reader.key", tmp_path / "other.key"
    async with running(tmp_path, with_engine=False) as service:
        stsgate.speaks_to(service)
        make = ["api-keys", "make", "vending", "--scope", "read", "--scope", "orders", "--expires-at", "2100-01-01"]
        filed = await stsgate.beside(*make, "--key-file", str(path), "--json")
        shown = await stsgate.beside("api-keys", "make", "me", "--scope", "read")
        reader = ["--api-key-file", str(path)]
        allowed = await stsgate.beside("orders", *reader)
        forbidden = await stsgate.beside("api-keys", *reader)
        [made] = filed.objects
        rotated = await stsgate.beside(
            "api-keys", "rotate", made["id"], "--overlap", "0", "--key-file", str(other), "--json"
        )
        ended = await stsgate.beside("orders", *reader)
        replaced = await stsgate.beside("orders", "--api-key-file", str(other))
        listed = await stsgate.beside("api-keys")
        removed = await stsgate.beside("api-keys", "remove", rotated.objects[0]["id"])
        gone = await stsgate.beside("orders", "--api-key-file", str(other))
        twice = await stsgate.beside(*make, "--key-file", str(path))
        refused = await stsgate.beside(*make[:3], "--scope", "read", *reader, "--key-file", str(tmp_path / "none"))
    key = path.read_text().strip()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert "key" not in made
    assert key not in filed.out + listed.out + rotated.out
    assert sum("stsgate_" in line for line in shown.out.splitlines()) == 1
    assert (allowed.code, replaced.code, removed.code) == (0, 0, 0)
    one_line(forbidden, "(403)")
    one_line(ended, "(401)")
    one_line(gone, "(401)")
    assert {"vending", "me"} <= {cells[1] for cells in columns(listed.out)}
    one_line(twice, "key-file")
    assert path.read_text().strip() == key
    one_line(refused)
    assert not (tmp_path / "none").exists()


async def test_webhooks_are_entered_listed_and_removed(stsgate: Stsgate, tmp_path: Path) -> None:
    (tmp_path / "secret").write_text(SIGNING_SECRET)
    url = "http://127.0.0.1:1/hook"
    put = ["webhooks", "put", "vending", "--url", url]
    async with running(tmp_path, with_engine=False) as service:
        stsgate.speaks_to(service)
        bare = await stsgate.beside(*put)
        new = await stsgate.beside(
            *put, "--secret-file", str(tmp_path / "secret"), "--event", "order.accepted", "--json"
        )
        changed = await stsgate.beside(*put, "--inactive", "--json")
        listed = await stsgate.beside("webhooks")
        dead = await stsgate.beside("webhooks", "dead", "vending")
        replayed = await stsgate.beside("webhooks", "replay", "vending")
        removed = await stsgate.beside("webhooks", "remove", "vending")
        gone = await stsgate.beside("webhooks", "dead", "vending")
    one_line(bare, "secret", "(422)")
    assert [(one["events"], one["active"]) for one in new.objects + changed.objects] == [
        (["order.accepted"], True),
        ([], False),
    ]
    assert columns(listed.out)[1][:2] == ["vending", url]
    assert dead.out == "none\n"
    assert replayed.out.split() == ["replayed", "0"]
    assert (removed.out, removed.code) == ("removed\n", 0)
    one_line(gone, "(404)")


# How answers are shown.


def test_a_table_is_aligned_and_no_wider_than_the_terminal() -> None:
    rows = [["A-1", "x" * 60, 3, None], ["A-100", "y\x1b[2J\n", 12, True]]
    assert list(table(("id", "text", "n", "on"), rows)) == [
        f"id     {'text':<60}   n  on",
        f"A-1    {'x' * 60}   3  -",
        f"A-100  {'y?[2J?':<60}  12  yes",
    ]
    narrow = list(table(("id", "text", "n", "on"), rows, width=40))
    assert max(map(len, narrow)) == 40
    assert narrow[1] == f"A-1    {'x' * 11}…{'x' * 12}   3  -"


def test_what_names_a_row_is_cut_last_and_its_end_stays() -> None:
    rows = [["hdlc+tcp://10.1.2.3:4059", "tcp://10.1.2.3:4059"]]
    assert list(table(("link", "endpoint"), rows, width=40))[1] == "hdlc+tcp://10.1.2.3:4059  tcp://….3:4059"
    assert list(table(("link", "endpoint"), rows, width=20))[1] == "hdlc…:4059  tcp…4059"
    assert list(table(("link", "endpoint"), rows, width=3))[1] == "hdl…4059  tcp…4059"


def test_a_token_in_a_text_is_not_shown_whole() -> None:
    digits = TOKENS[0].digits
    shown = [*table(("a",), [[f"is {digits}"]]), *facts({"a": {"b": [f"{digits[:4]} {digits[4:]}"]}, digits: 1})]
    assert digits[:16] not in " ".join(shown).replace(" ", "")
    assert shown[1] == f"is {TOKENS[0].masked}"


def test_facts_name_what_is_inside_of_what() -> None:
    values = {"a": 1, "b": {"c": None, "d": [{"e": False}, {"e": "x"}]}, "f": [1, 2], "g": {}}
    assert list(facts(values)) == [
        "a         1",
        "b.c       -",
        "b.d[0].e  no",
        "b.d[1].e  x",
        "f         1, 2",
        "g         -",
    ]
