"""docs/api.md: every example is run in its sequence, every route has one, and its tables are those of the code."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gateway.api.problems import PROBLEMS
from gateway.api.routes import all_routes
from gateway.api.webhooks import EVENT_NAMES
from gateway.api_keys import ApiKey, Scope
from gateway.store.records import ApiKeyRecord
from tests.gateway.api.service import Service, service

ROOT = Path(__file__).parents[3]
PAGE = (ROOT / "docs" / "api.md").read_text(encoding="utf-8")
KEY_ID = "9f2c41d07a55"
"""As it stands on the page."""


@dataclass(frozen=True)
class Example:
    """A request, and what is answered as far as the page says it."""

    method: str
    path: str
    headers: dict[str, str]
    body: str
    status: int
    answer_headers: dict[str, str]
    answer: str


def examples() -> Iterator[Example]:
    blocks = re.findall(r"```http\n(.*?)```", PAGE, re.DOTALL)
    for request, answer in zip(blocks[::2], blocks[1::2], strict=True):
        first, headers, body = _parts(request)
        method, path = first.split(" ")
        status_line, answer_headers, answered = _parts(answer)
        assert status_line.startswith("HTTP/1.1 "), status_line
        yield Example(method, path, headers, body, int(status_line.split(" ")[1]), answer_headers, answered)


def _parts(block: str) -> tuple[str, dict[str, str], str]:
    head, _, body = block.partition("\n\n")
    first, *lines = head.strip().splitlines()
    return first, dict(line.split(": ", 1) for line in lines), body.strip()


def test_every_route_has_an_example() -> None:
    shown = {
        (route.method, route.path)
        for route in all_routes(metrics_open=False)
        for example in examples()
        if example.method == route.method
        and re.fullmatch(route.path.replace("{id}", "[^/]+"), example.path.partition("?")[0])
    }
    assert shown == {(route.method, route.path) for route in all_routes(metrics_open=False)}


def test_the_lines_for_curl_call_routes_that_there_are() -> None:
    [block] = re.findall(r"```sh\n(.*?)```", PAGE, re.DOTALL)
    called = [line for line in block.splitlines() if line.startswith("curl ")]
    assert len(called) == 8
    for line in called:
        [path] = re.findall(r"\$STSGATE(/[^ ?\"]+)", line)
        given = re.search(r" -X ([A-Z]+)", line)
        method = given[1] if given else "POST" if " --data" in line else "GET"
        patterns = [
            route.path.replace("{id}", "[^/]+") for route in all_routes(metrics_open=False) if route.method == method
        ]
        assert any(re.fullmatch(pattern, path) for pattern in patterns), line


def _rows(heading: str) -> list[list[str]]:
    section = PAGE.split(f"\n## {heading}\n")[1].split("\n## ")[0]
    lines = [line for line in section.splitlines() if line.startswith("| `")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]


def test_the_table_of_problems_is_that_of_the_code() -> None:
    listed = [(row[0].strip("`"), int(row[1])) for row in _rows("Problems")]
    assert listed == [(kind.word, kind.status) for kind in PROBLEMS.values()]


def test_the_table_of_scopes_is_that_of_the_code() -> None:
    assert [row[0].strip("`") for row in _rows("Keys, scopes and limits")] == [scope.value for scope in Scope]


def test_the_table_of_events_is_that_of_the_timeline() -> None:
    listed = [row[0].strip("`") for row in _rows("Events")]
    told = re.findall(r'"((?:order|meter)\.[a-z_]+)"', (ROOT / "gateway" / "timeline.py").read_text(encoding="utf-8"))
    assert sorted(listed) == sorted(set(told))
    assert sorted(EVENT_NAMES) == sorted(listed)


def _agrees(expected: Any, given: Any) -> bool:
    """``…`` stands for anything; an object may hold more than is shown."""
    if expected == "…":
        return given is not None
    if isinstance(expected, dict):
        return isinstance(given, dict) and all(
            name in given and _agrees(expected[name], given[name]) for name in expected
        )
    if isinstance(expected, list):
        return isinstance(given, list) and len(given) == len(expected) and all(map(_agrees, expected, given))
    return bool(expected == given)


def test_an_example_that_says_something_else_would_be_noticed() -> None:
    assert _agrees({"a": ["…", {"b": 1}]}, {"a": [7, {"b": 1, "c": 2}], "d": 3})
    assert not _agrees({"a": 1}, {"a": 2})
    assert not _agrees({"a": 1}, {})
    assert not _agrees([1], [1, 2])


def _stream(text: str) -> list[Any]:
    """Lines of a stream of events, their data as JSON."""
    lines = text.splitlines()
    return [json.loads(line.removeprefix("data: ")) if line.startswith("data: ") else line for line in lines]


async def _run(api: Service, example: Example) -> None:
    data = {"data": example.body.encode()} if example.body else {}
    headers = {"Authorization": f"Bearer {api.keys['docs']}", **example.headers}
    async with api.session.request(example.method, f"{api.url}{example.path}", headers=headers, **data) as response:
        if example.path.startswith("/v1/events"):
            async with asyncio.timeout(20):
                lines = [(await response.content.readline()).decode().strip() for _ in example.answer.splitlines()]
            answered = "\n".join(lines)
            assert _agrees(_stream(example.answer), _stream(answered)), answered
        else:
            answered = (await response.read()).decode()
    assert response.status == example.status, (example, answered)
    for name, value in example.answer_headers.items():
        assert response.headers[name].partition(";")[0] == value, (example, response.headers)
    if example.answer and response.content_type.endswith("ndjson"):
        lines = [json.loads(line) for line in answered.splitlines()]
        assert _agrees([json.loads(line) for line in example.answer.splitlines()], lines), (example, answered)
    elif example.answer and response.content_type.endswith("json"):
        assert _agrees(json.loads(example.answer), json.loads(answered)), (example, answered)


async def test_every_example_is_answered_as_the_page_says(tmp_path: Path) -> None:
    async with service(tmp_path, meters=(), order_trace=lambda _: [{"octets": 3}]) as api:
        docs = ApiKey.new("docs")
        for key in (docs, ApiKey.new(KEY_ID)):
            record = ApiKeyRecord(id=key.id, name="docs", scopes=("admin",), created_at=api.clock.now())
            await api.store.access.add(record, key.digest, who="test")
        api.keys["docs"] = docs.text
        ran = 0
        for example in examples():
            await _run(api, example)
            ran += 1
    assert ran > len(all_routes(metrics_open=False))
