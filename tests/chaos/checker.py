"""What must be true afterwards, over three logs: what callers were told, the database, and the meters' ledgers.

Nothing is asked of the service here. The database is read with SQL, the ledgers as the meters left them, and what
callers and wires saw as it was written down. Each broken promise is a line; there must be none.
"""

from __future__ import annotations

import json
import sys
from collections import Counter
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.chaos.logs import Logs, OrderStory, known_orders, open_read_only, read_logs
from tests.chaos.promises import AT_REST, PROMISES


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
    for promise in PROMISES:
        report.violations += [(promise.__name__, words) for words in promise(logs)]
    report.figures = _figures(logs)
    return report


def _figures(logs: Logs) -> dict[str, int]:
    stories = list(known_orders(logs))
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
    lines += [f"  operators: {name:17} {number:>6}" for name, number in sorted(rig["operators"].items())]
    lines += [f"  broken: {promise.__name__:20} {report.broken(promise.__name__):>6}" for promise in PROMISES]
    lines += [f"  ! {promise}: {words}" for promise, words in report.violations[:50]]
    return "\n".join(lines)


def main() -> int:
    directory = Path(sys.argv[1])
    report = check(directory)
    print(table(report, json.loads((directory / "rig.json").read_text())))
    return bool(report.violations)


if __name__ == "__main__":
    sys.exit(main())
