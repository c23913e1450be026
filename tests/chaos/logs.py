"""The three logs of a run, read: what callers were told, the database, and the meters' ledgers."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from gateway.store.sqlite.store import FILE_NAME
from sim_meters.ledger import read_ledger
from sim_meters.records import TokenEntry
from tests.chaos.journal import read_journal


@dataclass
class OrderStory:
    """One order, as callers and the database know it."""

    id: str
    meter: str
    tokens: list[str]
    """Digests, as in the ledgers."""
    copy_of: str | None = None
    answers: list[dict[str, Any]] = field(default_factory=list)
    row: sqlite3.Row | None = None
    outcomes: dict[int, dict[str, Any]] = field(default_factory=dict)
    standing: dict[int, dict[str, Any]] = field(default_factory=dict)
    last_event: str = ""

    @property
    def was_taken(self) -> bool:
        return any(answer["call"] in ("post", "batch") and answer["status"] in (200, 202) for answer in self.answers)

    @property
    def state(self) -> str:
        return "" if self.row is None else str(self.row["state"])


@dataclass
class Logs:
    """All three, and what the rig wrote down about itself."""

    orders: dict[str, OrderStory]
    ledgers: dict[str, list[TokenEntry]]
    rig: dict[str, Any]
    database: Path


def read_logs(directory: Path) -> Logs:
    orders: dict[str, OrderStory] = {}
    for line in read_journal(directory / "api.jsonl"):
        if line["what"] == "offer":
            orders[line["order"]] = OrderStory(line["order"], line["meter"], line["tokens"], line.get("copy_of"))
        elif line["what"] == "answer":
            orders[line["order"]].answers.append(line)
    rig = json.loads((directory / "rig.json").read_text())
    database = directory / "data" / FILE_NAME
    with closing(open_read_only(database)) as connection:
        _read_database(connection, orders)
    ledgers = {
        meter: read_ledger(directory / "meters" / where["group"] / f"{where['device']}.ledger").entries
        for meter, where in rig["meters"].items()
    }
    return Logs(orders, ledgers, rig, database)


def open_read_only(database: Path) -> sqlite3.Connection:
    connection = sqlite3.connect(f"{database.as_uri()}?mode=ro", uri=True)
    connection.row_factory = sqlite3.Row
    return connection


def _read_database(connection: sqlite3.Connection, orders: dict[str, OrderStory]) -> None:
    numbers = {}
    query = "SELECT orders.*, meter.id AS meter_id FROM orders JOIN meter ON meter.number = orders.meter"
    for row in connection.execute(query):
        story = orders.setdefault(row["id"], OrderStory(row["id"], row["meter_id"], []))
        story.row = row
        numbers[row["number"]] = story
    for row in connection.execute("SELECT * FROM outcome"):
        numbers[row["order_number"]].outcomes[row["position"]] = dict(row)
    for row in connection.execute("SELECT * FROM token"):
        numbers[row["order_number"]].standing[row["position"]] = dict(row)
    for row in connection.execute("SELECT order_number, name, max(number) FROM event GROUP BY order_number"):
        numbers[row["order_number"]].last_event = row["name"]


def entries_of(logs: Logs, story: OrderStory, position: int) -> list[TokenEntry]:
    return [entry for entry in logs.ledgers[story.meter] if entry.digest == story.tokens[position]]


def times_credited(logs: Logs, story: OrderStory, position: int) -> int:
    return sum(entry.is_accepted for entry in entries_of(logs, story, position))


def known_orders(logs: Logs) -> Iterator[OrderStory]:
    """Orders that are in the database, and of which we know the tokens."""
    return (story for story in logs.orders.values() if story.row is not None and story.tokens)
