"""What ``docs/webhooks.md`` shows receivers does what it says: its programs are run as they stand there."""

from __future__ import annotations

import asyncio
import json
import os
import re
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from gateway.webhooks.message import DELIVERY, SIGNATURE, encode, envelope, headers
from gateway.webhooks.post import WebhookPoster
from gateway.webhooks.retry import Answer
from gateway.webhooks.target import TargetRule
from tests.gateway.receivers import LIMIT_SECONDS
from tests.gateway.test_webhook_message import EVENT, ORDER, OTHER, SECRET

DOCUMENT = (Path(__file__).parents[2] / "docs" / "webhooks.md").read_text(encoding="utf-8")
BODY = encode(envelope(EVENT, ORDER, "north"))


def example(language: str) -> str:
    (found,) = re.findall(rf"^```{language}\n(.*?)^```$", DOCUMENT, re.DOTALL | re.MULTILINE)
    return str(found)


@asynccontextmanager
async def python_receiver() -> AsyncIterator[tuple[asyncio.StreamReader, str]]:
    """The receiver in Python, running: what it prints, and its URL."""
    environment = {**os.environ, "STSGATE_WEBHOOK_SECRET": SECRET, "PORT": "0"}
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-c",
        example("python"),
        env=environment,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
    )
    assert process.stdout is not None
    try:
        first = (await process.stdout.readline()).decode()
        yield process.stdout, f"http://127.0.0.1:{first.removeprefix('listening on port ').strip()}/"
    finally:
        process.kill()
        await process.communicate()


async def test_the_receiver_in_python_takes_what_is_genuine_once_and_refuses_the_rest() -> None:
    now = datetime.now(UTC)
    signed = headers(BODY, SECRET, 1, now)
    another = BODY.replace(b"north/42", b"north/43").replace(b"A-1", b"A-2")
    cases: list[tuple[dict[str, str], bytes, int]] = [
        (headers(BODY, OTHER, 1, now), BODY, 401),
        (signed, BODY.replace(b'"rejected"', b'"accepted"'), 401),
        (headers(BODY, SECRET, 1, now - timedelta(minutes=6)), BODY, 401),
        ({}, BODY, 401),
        ({SIGNATURE: "t=²,v1=é"}, BODY, 401),
        ({SIGNATURE: "nonsense"}, BODY, 401),
        (signed, BODY, 204),
        (signed, BODY, 204),
        (headers(another, f"{OTHER} {SECRET}", 1, now), another.replace(b"A-2", b"A-3"), 401),
        (headers(another, f"{OTHER} {SECRET}", 1, now), another, 204),
    ]
    async with asyncio.timeout(LIMIT_SECONDS), python_receiver() as (printed, url):
        async with WebhookPoster(TargetRule()) as poster:
            for carried, body, status in cases:
                assert await poster.post(url, carried, body) == Answer(status=status)
        for name in (b"A-1", b"A-2"):
            assert await printed.readline() == b"stsgate.order.rejected " + name + b" rejected\n"


@pytest.mark.parametrize(
    ("secret", "body", "words"),
    [
        (SECRET, BODY, "genuine"),
        (f"{OTHER} {SECRET}", BODY, "genuine"),
        (f"{SECRET} {OTHER}", BODY, "genuine"),
        (OTHER, BODY, "forged"),
        (SECRET, BODY + b"\n", "forged"),
        (SECRET, b"", "forged"),
    ],
    ids=["ours", "old of two", "new of two", "another secret", "one octet more", "nothing"],
)
def test_the_check_in_a_shell_tells_what_is_genuine(tmp_path: Path, secret: str, body: bytes, words: str) -> None:
    signature = headers(BODY, secret, 1, datetime.now(UTC))[SIGNATURE]
    (tmp_path / "body.json").write_bytes(body)
    environment = {**os.environ, "STSGATE_WEBHOOK_SECRET": SECRET, "SIGNATURE": signature}
    done = subprocess.run(
        ["sh", "-eu", "-c", example("sh")],  # noqa: S607 - wherever the system has it
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (done.stdout, done.stderr) == (f"{words}\n", "")


def test_the_message_in_the_document_has_the_members_of_a_real_one() -> None:
    shown = json.loads(example("json"))
    real = json.loads(BODY)
    assert list(shown) == list(envelope(EVENT, ORDER, "north"))
    assert shown["data"].keys() == real["data"].keys()
    assert shown["data"]["tokens"][0].keys() == real["data"]["tokens"][0].keys()


def test_the_headers_in_the_document_are_those_that_are_sent() -> None:
    for name in headers(BODY, SECRET, 1, datetime.now(UTC)):
        assert f"\n{name}: " in DOCUMENT
    assert f"`{DELIVERY}` stays the same" in DOCUMENT
