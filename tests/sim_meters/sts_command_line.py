"""What the tests of ``simmeters sts`` share: one command in this process, and what it printed."""

from __future__ import annotations

import json
from argparse import ArgumentParser
from contextlib import redirect_stderr, redirect_stdout
from io import StringIO
from pathlib import Path
from typing import Any

from sim_meters.__main__ import main
from sim_meters.sts.commands.cli import add_sts_commands

VECTOR_FILE = Path(__file__).parent.parent / "vectors" / "sts_vectors.json"
VENDING_KEY = "ABABABABABABABAB949494949494949401234567"
VENDING = ("--vending-key", VENDING_KEY, "--pan", "600727000000000009", "--sgc", "201457")
DECODER = ("--decoder-key", "87F3ECBB2E46B48F")
TOKEN = "70630503470028726114"
"""STS531-1-07: 0.1 kWh, RND 5, under both of these keys."""


def run(*words: str) -> int:
    """The exit code; errors come as they are raised."""
    parser = ArgumentParser(prog="simmeters")
    add_sts_commands(parser.add_subparsers(required=True))
    options = parser.parse_args(["sts", *words])
    code = options.func(options)
    assert isinstance(code, int)
    return code


def printed(*words: str, code: int = 0) -> str:
    """What a command prints."""
    out = StringIO()
    with redirect_stdout(out):
        assert run(*words) == code
    return out.getvalue()


def answer(*words: str, code: int = 0) -> Any:
    """The JSON object that a command prints."""
    return json.loads(printed(*words, "--json", code=code))


def whole_command(*words: str) -> tuple[int, str, str]:
    """As a user has it: exit code, standard output and standard error."""
    out, error = StringIO(), StringIO()
    with redirect_stdout(out), redirect_stderr(error):
        try:
            code = main(["sts", *words])
        except SystemExit as end:
            code = int(end.code or 0)
    return code, out.getvalue(), error.getvalue()
