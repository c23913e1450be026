"""What must be true afterwards, over three logs: what callers were told, the database, and the meters' ledgers.

Nothing is asked of the service here. The database is read with SQL, the ledgers as the meters left them, and what
callers and wires saw as it was written down. Each broken promise is a line; there must be none.
"""

from __future__ import annotations

import json
import sqlite3
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any

from gateway.store.sqlite.store import FILE_NAME
from sim_meters.ledger import read_ledger
from sim_meters.records import TokenEntry
from tests.chaos.journal import read_journal

FINAL = ("accepted", "rejected", "expired", "cancelled")
AT_REST = (*FINAL, "held")
_SAID = {
    "post": (200, 202, 409, 422, 429, 503),
    "batch": (200, 202, 409, 422, 429, 503),
    "again": (200, 202, 429, 503),
    "other-body": (409, 429, 503),
    "copy": (409, 429, 503),
    "cancel": (200, 409, 429, 503),
    "get": (200, 429, 503),
    "resolve": (200, 409, 429, 503),
}
"""What may be answered to whom."""
_RATE_SLACK_SECONDS = 1.0
"""Connections that were begun in time may arrive together, when the machine was busy."""


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
    outcomes: dict[int, sqlite3.Row] = field(default_factory=dict)
    standing: dict[int, sqlite3.Row] = field(default_factory=dict)
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


@dataclass
class Report:
    """What was found."""

    figures: dict[str, int] = field(default_factory=dict)
    violations: list[tuple[str, str]] = field(default_factory=list)
    """Which promise, and by what it is broken."""

    def broken(self, promise: str) -> int:
        return sum(name == promise for name, _ in self.violations)


def check(directory: Path) -> Report:
    """All promises, over the logs of one run."""
    return check_logs(read_logs(directory))


def check_logs(logs: Logs) -> Report:
    report = Report()
    for promise in _PROMISES:
        report.violations += [(promise.__name__, words) for words in promise(logs)]
    report.figures = _figures(logs)
    return report


# Reading.


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
        numbers[row["order_number"]].outcomes[row["position"]] = row
    for row in connection.execute("SELECT * FROM token"):
        numbers[row["order_number"]].standing[row["position"]] = row
    for row in connection.execute("SELECT order_number, name, max(number) FROM event GROUP BY order_number"):
        numbers[row["order_number"]].last_event = row["name"]


def _entries(logs: Logs, story: OrderStory, position: int) -> list[TokenEntry]:
    return [entry for entry in logs.ledgers[story.meter] if entry.digest == story.tokens[position]]


def _times_credited(logs: Logs, story: OrderStory, position: int) -> int:
    return sum(entry.is_accepted for entry in _entries(logs, story, position))


def _known(logs: Logs) -> Iterator[OrderStory]:
    """Orders that are in the database, and of which we know the tokens."""
    return (story for story in logs.orders.values() if story.row is not None and story.tokens)


# The promises. Each yields what breaks it.


def lost(logs: Logs) -> Iterator[str]:
    """An order that was answered with 2xx is there."""
    for story in logs.orders.values():
        if story.was_taken and story.row is None:
            yield f"{story.id} was taken and is not in the database"


def strange(logs: Logs) -> Iterator[str]:
    """What was refused is not there, and nothing is there that nobody ordered."""
    for story in logs.orders.values():
        if story.row is None:
            continue
        if not story.tokens:
            yield f"{story.id} is in the database, and " + (
                f"carries the token of {story.copy_of}" if story.copy_of else "nobody ordered it"
            )
        statuses = [answer["status"] for answer in story.answers if answer["call"] in ("post", "batch")]
        if statuses and statuses[-1] in (409, 422):
            yield f"{story.id} is in the database, and was refused with {statuses[-1]}"
        if story.tokens and len(story.standing) != len(story.tokens):
            yield f"{story.id} has {len(story.standing)} of its {len(story.tokens)} tokens"


def answers(logs: Logs) -> Iterator[str]:
    """Nothing is answered that is not documented, above all no 500."""
    for story in logs.orders.values():
        for answer in story.answers:
            if answer["status"] not in _SAID[answer["call"]]:
                yield f"{story.id}: {answer['call']} was answered with {answer['status']}"


def double(logs: Logs) -> Iterator[str]:
    """No meter credits a token twice, and no token belongs to two orders."""
    for meter, entries in logs.ledgers.items():
        credited = Counter(entry.digest for entry in entries if entry.is_accepted)
        yield from (f"{meter} credited a token {times} times" for times in credited.values() if times > 1)
    owners = Counter((story.meter, digest) for story in _known(logs) for digest in story.tokens)
    yield from (f"{meter}: {times} orders carry the same token" for (meter, _), times in owners.items() if times > 1)


def unsettled(logs: Logs) -> Iterator[str]:
    """In the end all orders are final or held, and each token of an accepted or rejected one has its one outcome."""
    for story in _known(logs):
        if story.state not in AT_REST:
            yield f"{story.id} is still {story.state}"
        if story.state in ("accepted", "rejected") and set(story.outcomes) != set(range(len(story.tokens))):
            yield f"{story.id} is {story.state}, with {len(story.outcomes)} outcomes for {len(story.tokens)} tokens"
        if story.row is not None and story.row["reason"] == "internal-error":
            yield f"{story.id}: internal-error"


def untrue(logs: Logs) -> Iterator[str]:
    """``credited`` says what the ledger says, for every outcome and for what stands in a held order."""
    for story in _known(logs):
        for position in range(len(story.tokens)):
            said = story.outcomes.get(position) or (story.standing.get(position) if story.state == "held" else None)
            times = _times_credited(logs, story, position)
            if said is None:
                continue
            if said["credited"] in ("yes", "no") and (said["credited"] == "yes") != (times > 0):
                yield f"{story.id}, token {position}: credited {said['credited']}, the ledger has it {times} times"
            elif story.state in FINAL and said["verdict"] == "accepted" and not times:
                yield f"{story.id}, token {position}: accepted, and not in the ledger"


def unsaid(logs: Logs) -> Iterator[str]:
    """Nothing that a meter credited belongs to an order that says otherwise, or to none at all."""
    owners = {(story.meter, digest): story for story in _known(logs) for digest in story.tokens}
    for meter, entries in logs.ledgers.items():
        for entry in entries:
            story = owners.get((meter, entry.digest))
            if story is None:
                yield f"{meter} was sent {entry.masked}, which no order in the database carries"
            elif story.state in ("cancelled", "expired"):
                yield f"{story.id} is {story.state}, and {entry.masked} was entered"


def entered_again(logs: Logs) -> Iterator[str]:
    """What the meter shows is not sent once more."""
    for meter, entries in logs.ledgers.items():
        for before, entry in pairwise(entries):
            if before.shown and before.digest == entry.digest:
                yield f"{meter} showed {entry.masked} with status {before.status.code}, and it was entered again"


def changed(logs: Logs) -> Iterator[str]:
    """What was told as final stays so, and who was told that an order is cancelled was told the truth."""
    for story in _known(logs):
        for answer in story.answers:
            if answer["status"] != 200 or answer.get("state") not in FINAL:
                continue
            if answer["state"] != story.state:
                yield f"{story.id} was told to be {answer['state']}, and is {story.state}"
            elif answer["call"] == "get" and answer["tokens"] != _told(story):
                yield f"{story.id}: an outcome was told, and is another now"


def _told(story: OrderStory) -> list[list[str | None]]:
    rows = [story.outcomes.get(position) or story.standing[position] for position in range(len(story.tokens))]
    return [[row["verdict"], row["credited"]] for row in rows]


def untold(logs: Logs) -> Iterator[str]:
    """Every story ends with what became of the order."""
    for story in _known(logs):
        if story.state in AT_REST and story.last_event != f"order.{story.state}":
            yield f"{story.id} is {story.state}, and its story ends with {story.last_event}"


def unheard(logs: Logs) -> Iterator[str]:
    """Who reads the events, and comes back behind the last one, gets each of them once, in their sequence; and webhooks
    are called at least once for each end of an order."""
    with closing(open_read_only(logs.database)) as connection:
        rows = connection.execute("SELECT number, name FROM event ORDER BY number").fetchall()
    if (read := logs.rig["events_read"]) != (written := [row["number"] for row in rows]):
        missing, more = len(set(written) - set(read)), len(read) - len(set(read))
        yield f"{len(written)} events, {len(read)} read: {missing} missing, {more} twice"
    called = set(logs.rig["events_called"])
    for row in rows:
        if row["name"].removeprefix("order.") in AT_REST and row["number"] not in called:
            yield f"no webhook was told of event {row['number']}, {row['name']}"


def over_limit(logs: Logs) -> Iterator[str]:
    """One association for each meter at a time, and on links as many, and as often, as they allow."""
    wire, links = logs.rig["wire"], logs.rig["links"]
    for name, most in wire["most"].items():
        allowed = links[name]["concurrency"] if name in links else 1
        if most > allowed:
            yield f"{name}: {most} connections at a time, {allowed} allowed"
    for name, link in links.items():
        if link["rate"] is not None:
            yield from _too_often(name, link, wire["begun"].get(name, []))


def _too_often(name: str, link: dict[str, Any], moments: Sequence[float]) -> Iterator[str]:
    """A leaky bucket, as it would be measured beside the link; those who waited for their turn may arrive at once after
    a pause of the whole process."""
    room = link["burst"] + link["concurrency"] + _RATE_SLACK_SECONDS * link["rate"]
    level, last = 0.0, moments[0] if moments else 0.0
    for moment in moments:
        level = max(0.0, level - (moment - last) * link["rate"]) + 1
        last = moment
        if level > room:
            yield f"{name}: more than {link['rate']:g} associations in a second"
            return


def counters(logs: Logs) -> Iterator[str]:
    """No invocation counter is used twice under a key."""
    wire = logs.rig["wire"]
    yield from (f"{meter}: invocation counter {counter} was sent twice" for meter, counter in wire["counters_repeated"])
    yield from (f"{meter} refused a counter {times} times" for meter, times in wire["counters_refused"].items())


def damaged(logs: Logs) -> Iterator[str]:
    """The file is whole, and agrees with itself."""
    with closing(open_read_only(logs.database)) as connection:
        yield from (f"integrity: {row[0]}" for row in connection.execute("PRAGMA integrity_check") if row[0] != "ok")
        yield from (f"foreign key of {row[0]}" for row in connection.execute("PRAGMA foreign_key_check"))
        count = "SELECT state, sum(orders) FROM order_count GROUP BY state HAVING sum(orders)"
        counted = dict(map(tuple, connection.execute(count)))
        found = dict(map(tuple, connection.execute("SELECT state, count(*) FROM orders GROUP BY state")))
        if counted != found:
            yield f"the counts of states are {counted}, there are {found}"
        held = connection.execute("SELECT count(*) FROM lane WHERE owner IS NOT NULL").fetchone()[0]
        if held:
            yield f"{held} lanes are held after the service ended"


def troubles(logs: Logs) -> Iterator[str]:
    """What the rig saw of the service as a process."""
    yield from logs.rig["tally"]["troubles"]


_PROMISES = (
    lost,
    strange,
    answers,
    double,
    unsettled,
    untrue,
    unsaid,
    entered_again,
    changed,
    untold,
    unheard,
    over_limit,
    counters,
    damaged,
    troubles,
)


def _figures(logs: Logs) -> dict[str, int]:
    stories = list(_known(logs))
    with closing(open_read_only(logs.database)) as connection:
        events = Counter(dict(map(tuple, connection.execute("SELECT name, count(*) FROM event GROUP BY name"))))
    figures = {
        "orders": len(stories),
        "tokens": sum(len(story.tokens) for story in stories),
        **{state: sum(story.state == state for story in stories) for state in AT_REST},
        "times in doubt": events["order.in_doubt"],
        "of orders": _orders_with(logs, "order.in_doubt"),
        "enters": sum(map(len, logs.ledgers.values())),
        "answers": sum(len(story.answers) for story in logs.orders.values()),
        "events read": len(logs.rig["events_read"]),
        "webhooks called": len(logs.rig["events_called"]),
        "webhooks called again": logs.rig["called_again"],
    }
    outcomes = [row for story in stories for row in story.outcomes.values()]
    figures |= {f"held: {reason}": times for reason, times in _reasons(stories, "held").items()}
    figures |= {f"rejected: {reason}": times for reason, times in _reasons(stories, "rejected").items()}
    credited = Counter(row["credited"] for row in outcomes)
    return {**figures, **{f"credited {word}": credited[word] for word in ("yes", "no", "unknown")}}


def _reasons(stories: Sequence[OrderStory], state: str) -> Counter[str]:
    return Counter(str(story.row["reason"]) for story in stories if story.row is not None and story.state == state)


def _orders_with(logs: Logs, name: str) -> int:
    with closing(open_read_only(logs.database)) as connection:
        query = "SELECT count(DISTINCT order_number) FROM event WHERE name = ?"
        return int(connection.execute(query, (name,)).fetchone()[0])


def table(report: Report, rig: dict[str, Any]) -> str:
    """For people."""
    tally = rig["tally"]
    lines = [f"seed {rig['seed']}: {tally['seconds']} s, {tally['starts']} starts of the service"]
    lines += [f"  {'kill -9 of the service':28} {sum(tally['kills'].values()):>6}"]
    lines += [f"    {where:26} {times:>6}" for where, times in sorted(tally["kills"].items())]
    for name in ("pauses", "drains", "meter_kills", "quiet_seconds"):
        lines.append(f"  {name.replace('_', ' '):28} {tally[name]:>6}")
    lines += [f"  {name:28} {number:>6}" for name, number in report.figures.items()]
    lines += [f"  broken: {promise.__name__:20} {report.broken(promise.__name__):>6}" for promise in _PROMISES]
    lines += [f"  ! {promise}: {words}" for promise, words in report.violations[:50]]
    return "\n".join(lines)


def main() -> int:
    directory = Path(sys.argv[1])
    report = check(directory)
    print(table(report, json.loads((directory / "rig.json").read_text())))
    return bool(report.violations)


if __name__ == "__main__":
    sys.exit(main())
