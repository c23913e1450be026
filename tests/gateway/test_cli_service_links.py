"""``stsgate links import`` and ``export`` against the real service."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path
from typing import Any

import pytest

from tests.gateway.fixed_answers import Answers, answering
from tests.gateway.running_service import Stsgate, one_line, running

HEAD = ["id", "concurrency", "rate_per_second", "burst", "paused"]


@pytest.fixture
def stsgate(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Stsgate:
    return Stsgate(capsys, monkeypatch)


def written(path: Path, *rows: list[str], head: list[str] = HEAD) -> str:
    with path.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows([head, *rows])
    return str(path)


def limits_of(link: dict[str, Any]) -> list[Any]:
    return [link[name] for name in HEAD]


async def test_links_come_from_a_csv_and_go_into_one(stsgate: Stsgate, tmp_path: Path) -> None:
    rows = [
        ["tcp://10.0.0.1:4059", "2", "0.5", "3", "no"],
        ["north/west", "", "0.00005", "", "Yes"],
        ["slow", "1", "", "", ""],
        ["stopped", "", "", "", "TRUE"],
        *([f"L-{number:03}", "4", "", "", ""] for number in range(600)),
    ]
    async with running(tmp_path, with_engine=False) as service:
        stsgate.speaks_to(service)
        await stsgate.beside("meters", "put", "M-1", "--endpoint", "tcp://10.0.0.9:4059")
        entered = await stsgate.beside("links", "import", written(tmp_path / "a.csv", *rows), "--json")
        before = {link.id: link for link in await service.store.links.list(limit=1000)}
        exported = await stsgate.beside("links", "export")
        (tmp_path / "back.csv").write_text(exported.out, encoding="utf-8")
        again = await stsgate.beside("links", "import", str(tmp_path / "back.csv"))
        after = {link.id: link for link in await service.store.links.list(limit=1000)}
        as_json = await stsgate.beside("links", "export", "--json")
    assert (entered.code, entered.objects) == (0, [{"written": 604, "refused": 0}])
    assert [line.split() for line in again.out.splitlines()] == [["written", "604"], ["refused", "0"]]
    assert before == after
    assert "tcp://10.0.0.9:4059" in after  # it has no limits: it is listed, and not exported
    told = list(csv.reader(io.StringIO(exported.out)))
    assert told[0] == HEAD
    assert [row for row in told if row[0] in ("north/west", "slow", "stopped", "tcp://10.0.0.1:4059")] == [
        ["north/west", "", "5e-05", "1", "yes"],
        ["slow", "1", "", "1", "no"],
        ["stopped", "", "", "1", "yes"],
        ["tcp://10.0.0.1:4059", "2", "0.5", "3", "no"],
    ]
    assert {row[0] for row in told[1:]} == {link["id"] for link in as_json.objects} == {row[0] for row in rows}


async def test_a_row_that_does_not_speak_of_a_pause_keeps_it_as_it_is(stsgate: Stsgate, tmp_path: Path) -> None:
    async with running(tmp_path, with_engine=False) as service:
        stsgate.speaks_to(service)
        for link in ("empty", "missing", "said"):
            await stsgate.beside("links", "set", link, "--concurrency", "2")
            await stsgate.beside("links", "pause", link)
        cells = [["empty", "3", "", "", ""], ["said", "3", "", "", "no"], ["new", "3", "", "", ""]]
        some = await stsgate.beside("links", "import", written(tmp_path / "a.csv", *cells))
        head = ["rate_per_second", "id"]
        other = await stsgate.beside("links", "import", written(tmp_path / "b.csv", ["2.5", "missing"], head=head))
        links = (await stsgate.beside("links", "--json")).objects
    assert (some.code, other.code) == (0, 0)
    assert [limits_of(link) for link in links] == [
        ["empty", 3, None, 1, True],
        ["missing", None, 2.5, 1, True],
        ["new", 3, None, 1, False],
        ["said", 3, None, 1, False],
    ]


async def test_nothing_of_a_csv_is_sent_when_a_link_is_wrong(stsgate: Stsgate, tmp_path: Path) -> None:
    wrong = [
        ["A", "1", "", "", ""],
        ["", "1", "", "", ""],
        ["a b", "1", "", "", ""],
        ["C", "x", "", "", ""],
        ["D", "0", "", "", ""],
        ["E", "20001", "", "", ""],
        ["F", "", "nan", "", ""],
        ["G", "", "0", "", ""],
        ["H", "", "1000001", "", ""],
        ["I", "1", "", "0", ""],
        ["J", "1", "", "", "perhaps"],
        ["K", "", "", "", ""],
        ["L", "", "", "2", ""],
        ["A", "1", "", "", ""],
        ["M", "1", "", "", "", "more"],
        ["N", "-1", "", "", ""],
        ["O", "1", "1e9", "", ""],
    ]
    report = tmp_path / "report"
    async with running(tmp_path, with_engine=False) as service:
        stsgate.speaks_to(service)
        said = await stsgate.beside("links", "import", written(tmp_path / "a.csv", *wrong), "--report", str(report))
        assert not await service.store.links.list()
    assert (said.code, said.out) == (2, "")
    *mistakes, last = said.err.splitlines()
    assert last.endswith("16 rows are wrong, nothing was sent")
    assert [mistake.partition(": ")[0] for mistake in mistakes] == [
        "row 3, column id",
        "row 4, column id",
        "row 5 (C), column concurrency",
        "row 6 (D), column concurrency",
        "row 7 (E), column concurrency",
        "row 8 (F), column rate_per_second",
        "row 9 (G), column rate_per_second",
        "row 10 (H), column rate_per_second",
        "row 11 (I), column burst",
        "row 12 (J), column paused",
        "row 13 (K)",
        "row 14 (L)",
        "row 15 (A), column id",
        "row 16 (M)",
        "row 17 (N), column concurrency",
        "row 18 (O), column rate_per_second",
    ]
    told = [json.loads(line) for line in report.read_text().splitlines()]
    assert [(one["row"], one["column"]) for one in told][:3] == [(3, "id"), (4, "id"), (5, "concurrency")]


async def test_who_may_not_change_links_changes_none(stsgate: Stsgate, tmp_path: Path) -> None:
    path, key = written(tmp_path / "a.csv", ["A", "1", "", "", ""]), tmp_path / "reader.key"
    async with running(tmp_path, with_engine=False) as service:
        stsgate.speaks_to(service)
        await stsgate.beside("api-keys", "make", "reader", "--scope", "read", "--key-file", str(key))
        said = await stsgate.beside("links", "import", path, "--api-key-file", str(key))
        exported = await stsgate.beside("links", "export", "--api-key-file", str(key))
        assert not await service.store.links.list()
    one_line(said, "(403)")
    assert (exported.code, exported.out) == (0, f"{','.join(HEAD)}\n")


class _RefusesOne(Answers):
    """The link in whose id it stands."""

    def says(self) -> tuple[int, str, bytes]:
        return (422, "application/problem+json", _WRONG) if "wrong" in self.path else (200, "application/json", b"{}")


_WRONG = json.dumps(
    {"title": "invalid", "status": 422, "errors": [{"field": "burst", "message": "more than this service can"}]}
).encode()


def test_links_that_the_service_refuses_are_reported_and_the_others_are_entered(
    stsgate: Stsgate, tmp_path: Path
) -> None:
    """No service of this version refuses what passed the checks; another one may."""
    rows = [["A", "1", "", "", "no"], ["wrong", "1", "2.5", "9", "no"], ["C", "1", "", "", "no"]]
    stsgate.set("STSGATE_API_KEY", "stsgate_some_key")
    with answering(_RefusesOne) as url:
        said = stsgate("links", "import", written(tmp_path / "a.csv", *rows), "--json", "--server", url)
    assert (said.code, said.objects) == (1, [{"written": 2, "refused": 1}])
    assert said.err == "row 3 (wrong), column burst: more than this service can\n"


async def test_a_link_may_be_called_anything_that_an_id_may_be(stsgate: Stsgate, tmp_path: Path) -> None:
    names = ["A", "B/../C", "D/", "E%2F?#", "F.", "hdlc+tcp://[::1]:4059", "G\"',H", "x" * 200]
    path = written(tmp_path / "a.csv", *([name, "1", "", "", ""] for name in names))
    async with running(tmp_path, with_engine=False) as service:
        stsgate.speaks_to(service)
        said = await stsgate.beside("links", "import", path, "--json")
        exported = await stsgate.beside("links", "export")
        links = [link.id for link in await service.store.links.list()]
    assert said.objects == [{"written": len(names), "refused": 0}]
    assert links == sorted(names)
    assert sorted(row[0] for row in list(csv.reader(io.StringIO(exported.out)))[1:]) == links
