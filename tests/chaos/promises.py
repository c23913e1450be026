"""What must be true after a run. Each promise yields a line for everything that breaks it; there must be none."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import closing
from itertools import pairwise
from typing import Any

from tests.chaos.logs import Logs, OrderStory, known_orders, open_read_only, times_credited

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
_PAUSE_SECONDS_MAX = 1.0
"""From the answer to a pause until no association begins any more."""
_RATE_SLACK_SECONDS = 1.0
"""Connections that were begun in time may arrive together, when the machine was busy."""


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
    for asked, times in logs.rig["operators"].items():
        if int(asked.rpartition(" ")[2]) not in (200, 201, 409, 429, 502, 503):
            yield f"{asked}, {times} times"
    for story in logs.orders.values():
        for answer in story.answers:
            if answer["status"] not in _SAID[answer["call"]]:
                yield f"{story.id}: {answer['call']} was answered with {answer['status']}"


def double(logs: Logs) -> Iterator[str]:
    """No meter credits a token twice, and no token belongs to two orders."""
    for meter, entries in logs.ledgers.items():
        credited = Counter(entry.digest for entry in entries if entry.is_accepted)
        yield from (f"{meter} credited a token {times} times" for times in credited.values() if times > 1)
    owners = Counter((story.meter, digest) for story in known_orders(logs) for digest in story.tokens)
    yield from (f"{meter}: {times} orders carry the same token" for (meter, _), times in owners.items() if times > 1)


def unsettled(logs: Logs) -> Iterator[str]:
    """In the end all orders are final or held, and each token of an accepted or rejected one has its one outcome."""
    for story in known_orders(logs):
        if story.state not in AT_REST:
            yield f"{story.id} is still {story.state}"
        if story.state in ("accepted", "rejected") and set(story.outcomes) != set(range(len(story.tokens))):
            yield f"{story.id} is {story.state}, with {len(story.outcomes)} outcomes for {len(story.tokens)} tokens"
        if story.row is not None and story.row["reason"] == "internal-error":
            yield f"{story.id}: internal-error"


def untrue(logs: Logs) -> Iterator[str]:
    """``credited`` says what the ledger says, for every outcome and for what stands in a held order."""
    for story in known_orders(logs):
        for position in range(len(story.tokens)):
            said = story.outcomes.get(position) or (story.standing.get(position) if story.state == "held" else None)
            times = times_credited(logs, story, position)
            if said is None:
                continue
            if said["credited"] in ("yes", "no") and (said["credited"] == "yes") != (times > 0):
                yield f"{story.id}, token {position}: credited {said['credited']}, the ledger has it {times} times"
            elif story.state in FINAL and said["verdict"] == "accepted" and not times:
                yield f"{story.id}, token {position}: accepted, and not in the ledger"


def misjudged(logs: Logs) -> Iterator[str]:
    """Nobody but the service enters tokens here: what a meter credited is never rejected, not even as unknown."""
    for story in known_orders(logs):
        for position, outcome in story.outcomes.items():
            if outcome["verdict"] != "accepted" and times_credited(logs, story, position):
                yield f"{story.id}, token {position}: {outcome['verdict']}, and the meter credited it"


def unsaid(logs: Logs) -> Iterator[str]:
    """Nothing that a meter credited belongs to an order that says otherwise, or to none at all."""
    owners = {(story.meter, digest): story for story in known_orders(logs) for digest in story.tokens}
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
    for story in known_orders(logs):
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
    for story in known_orders(logs):
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
            moment, meters = wire["most_at"][name]
            read = [meter for meter, begin, end in logs.rig["readbacks"] if begin <= moment <= end]
            yield (
                f"{name}: {most} connections at a time, {allowed} allowed; to {', '.join(meters)}"
                f"{'; being read back: ' * bool(read)}{', '.join(read)}"
            )
    for name, link in links.items():
        if link["rate_per_second"] is not None:
            yield from _too_often(name, link, wire["begun"].get(name, []))
    for name, begin, end in logs.rig["link_pauses"]:
        yield from _while_paused(logs, name, begin + _PAUSE_SECONDS_MAX, end)


def _too_often(name: str, link: dict[str, Any], moments: Sequence[float]) -> Iterator[str]:
    """A leaky bucket, as it would be measured beside the link; those who waited for their turn may arrive at once after
    a pause of the whole process."""
    rate = link["rate_per_second"]
    room = link["burst"] + link["concurrency"] + _RATE_SLACK_SECONDS * rate
    level, last = 0.0, moments[0] if moments else 0.0
    for moment in moments:
        level = max(0.0, level - (moment - last) * rate) + 1
        last = moment
        if level > room:
            yield f"{name}: more than {rate:g} associations in a second"
            return


def _while_paused(logs: Logs, name: str, begin: float, end: float) -> Iterator[str]:
    """A service that was made to stand still in between may not have got round to it."""
    if any(begin - _PAUSE_SECONDS_MAX <= moment <= end for moment in logs.rig["stopped_at"]):
        return
    for moment in logs.rig["wire"]["begun"].get(name, []):
        if begin < moment < end:
            yield f"{name}: a connection was begun {moment - begin + _PAUSE_SECONDS_MAX:.1f} s after it was paused"


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


PROMISES = (
    lost,
    strange,
    answers,
    double,
    unsettled,
    untrue,
    misjudged,
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
