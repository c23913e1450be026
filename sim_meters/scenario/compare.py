"""Expected and found, side by side."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from decimal import Decimal
from typing import Any

from sim_meters.scenario.expectations import ProgramExpectation
from sim_meters.scenario.program import Ended
from sim_meters.scenario.report import Check
from sim_meters.scenario.tokens import exact
from sim_meters.scenario.values import Number

_TEXT_SHOWN_MAX = 2000
_NOTHING = "nothing"


def check_one_of(what: str, expected: object, found: object) -> Check:
    """``expected`` is a value, or a tuple of which one will do."""
    allowed = expected if isinstance(expected, tuple) else (expected,)
    return Check(what, " or ".join(map(_shown, allowed)), _shown(found), any(_same(one, found) for one in allowed))


def check_number(what: str, expected: Number, found: Decimal | None) -> Check:
    """By value: 25.6 is 25.60."""
    number = exact(expected)
    return Check(what, f"{number:f}", _NOTHING if found is None else f"{found:f}", found == number)


def check_program(expected: ProgramExpectation, ended: Ended) -> Iterator[Check]:
    """Each thing that is expected of a program. If its exit code is another one, what it said is found, too."""
    if expected.exit_code is not None:
        check = check_one_of("exit_code", expected.exit_code, ended.exit_code)
        said = _end_of(ended.stderr.strip() or ended.stdout.strip())
        yield (
            check
            if check.holds or not said
            else Check(check.what, check.expected, f"{check.found}; it said:\n{said}", holds=False)
        )
    if expected.output is not None:
        yield from _check_output(expected.output, ended.stdout)
    for name, texts, said in (
        ("stdout_has", expected.stdout_has, ended.stdout),
        ("stderr_has", expected.stderr_has, ended.stderr),
    ):
        yield from (
            Check(name, _shown(text), "it" if text in said else _end_of(said) or _NOTHING, text in said)
            for text in texts
        )


def _check_output(expected: Sequence[Mapping[str, Any]], stdout: str) -> Iterator[Check]:
    found = list(_objects(stdout))
    count = Check("output", _objects_words(len(expected)), _objects_words(len(found)), len(expected) == len(found))
    yield (
        count
        if count.holds or not stdout
        else Check(count.what, count.expected, f"{count.found}; it said:\n{_end_of(stdout)}", holds=False)
    )
    for number, (members, one) in enumerate(zip(expected, found, strict=False), 1):
        for path, value in members.items():
            yield check_one_of(f"output {number}, {path}", value, _at(one, path))


def _objects(stdout: str) -> Iterator[dict[str, Any]]:
    """The lines that are JSON objects; or, of a program that spreads it over lines, the only one."""
    try:
        whole = json.loads(stdout)
    except ValueError:
        whole = None
    if isinstance(whole, dict):
        yield whole
        return
    for line in stdout.splitlines():
        try:
            found = json.loads(line)
        except (ValueError, RecursionError):
            continue
        if isinstance(found, dict):
            yield found


def _at(found: Any, path: str) -> Any:
    """A member by its name, or by the names on the way down to it."""
    if isinstance(found, dict) and path in found:
        return found[path]
    first, dot, rest = path.partition(".")
    if not dot or not isinstance(found, dict) or first not in found:
        return None
    return _at(found[first], rest)


def _same(left: object, right: object) -> bool:
    """As in JSON, where true is not 1."""
    return left == right and isinstance(left, bool) == isinstance(right, bool)


def _shown(value: object) -> str:
    if value is None:
        return _NOTHING
    if isinstance(value, str):
        return value if value.isprintable() and value else repr(value)
    return json.dumps(value, default=str)


def _objects_words(count: int) -> str:
    return f"{count} JSON object{'' if count == 1 else 's'}"


def _end_of(text: str) -> str:
    return text if len(text) <= _TEXT_SHOWN_MAX else "…" + text[-_TEXT_SHOWN_MAX:]
