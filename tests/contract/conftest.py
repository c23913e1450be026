"""One place of a store for each kind of store there is."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from gateway.store.sqlite.store import SqliteStore
from tests.contract.stores import KINDS, Place


@pytest.fixture(params=KINDS)
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Place:
    return Place(request.param, tmp_path)


@pytest.fixture
async def store(place: Place) -> AsyncIterator[SqliteStore]:
    async with place.opened() as opened:
        yield opened
