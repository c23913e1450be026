"""The document and the service agree: whatever the document allows is answered as it says, and nothing breaks."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, seed, settings
from schemathesis import GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    ignored_auth,
    negative_data_rejection,
    response_schema_conformance,
    status_code_conformance,
    unsupported_method,
)

from gateway.api.app import ApiLimits
from gateway.api.openapi import document, possible_problems
from gateway.api.problems import PROBLEMS
from gateway.api.routes import all_routes
from tests.gateway.api.service import LINK, METER, service

CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_schema_conformance,
    negative_data_rejection,
    unsupported_method,
    ignored_auth,
]
EXAMPLES = settings(
    max_examples=8,  # of each operation and mode
    deadline=None,
    database=None,
    phases=[Phase.generate],
    suppress_health_check=list(HealthCheck),
)
ROUTES = all_routes(metrics_open=False)
DOCUMENT = schemathesis.openapi.from_dict(document(ROUTES, "0"))
THERE = {"orders": "A-1", "meters": METER, "links": LINK, "webhooks": "w-1", "api-keys": "key-read"}
STREAMS = {"/v1/events"}
"""Answers without an end are tested with the events themselves."""
CASES = [
    (route.method, route.path, mode)
    for route in ROUTES
    if route.path not in STREAMS
    for mode in GenerationMode
    if mode is GenerationMode.POSITIVE or route.scope is not None  # what is open takes nothing that could be wrong
]


class InThread:
    """A service for callers that block: it runs in a thread of its own."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._started = threading.Event()
        self._thread = threading.Thread(target=self._work)

    def _work(self) -> None:
        try:
            asyncio.run(self._run())
        finally:
            self._started.set()

    async def _run(self) -> None:
        self._stop = asyncio.Event()
        self._loop = asyncio.get_running_loop()
        async with service(self._folder, limits=ApiLimits(failed_logins_per_minute=100_000)) as running:
            await running.order("A-1")
            webhook = {"url": "http://127.0.0.1:1/", "secret": "s" * 16}
            assert (await running.ask("PUT", "/v1/webhooks/w-1", json=webhook)).status == 201
            self.url, self.key = running.url, running.keys["admin"]
            self._started.set()
            await self._stop.wait()

    def start(self) -> None:
        self._thread.start()
        self._started.wait()
        if not hasattr(self, "url"):
            pytest.fail("the service did not start")

    def stop(self) -> None:
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join(20)


@pytest.fixture
def running(tmp_path: Path) -> Iterator[InThread]:
    served = InThread(tmp_path)
    served.start()
    yield served
    served.stop()


@pytest.mark.parametrize(("method", "path", "mode"), CASES, ids=str)
def test_every_answer_is_one_that_the_document_names(
    running: InThread, method: str, path: str, mode: GenerationMode
) -> None:
    operation = DOCUMENT[path][method]

    @seed(115)
    @EXAMPLES
    @given(case=operation.as_strategy(generation_mode=mode))
    def ask(case: Any) -> None:
        headers = {"Authorization": f"Bearer {running.key}"}
        if mode is GenerationMode.POSITIVE:
            _make_it_about_something(case)
        # A batch is answered row by row: what is wrong with a row stands in its line of the report.
        excluded = [negative_data_rejection] if path.endswith(":batch") else []
        case.call_and_validate(base_url=running.url, headers=headers, checks=CHECKS, excluded_checks=excluded)

    ask()


def _make_it_about_something(case: Any) -> None:
    """Chance alone never meets an id that is there."""
    resource = case.path.split("/")[2:3]
    if "id" in case.path_parameters and resource:
        case.path_parameters["id"] = THERE[resource[0]]
    if case.path == "/v1/orders" and isinstance(case.body, dict):
        case.body["meter"] = METER


def test_every_problem_has_a_status_in_the_document() -> None:
    paths = document(ROUTES, "0")["paths"]
    for route in ROUTES:
        responses = paths[route.path][route.method.lower()]["responses"]
        assert {str(PROBLEMS[word].status) for word in possible_problems(route)} <= set(responses)
        assert {str(status) for status in route.answers} <= set(responses)
