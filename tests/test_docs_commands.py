"""docs/commands.md names the commands and options that there are, and no others."""

from __future__ import annotations

import argparse
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from gateway.cli.parser import OneLineParser
from gateway.cli.service import api_keys, links, meters, orders, push, webhooks
from gateway.cli.service.options import add_service_options

PAGE = (Path(__file__).parents[1] / "docs" / "commands.md").read_text(encoding="utf-8")
COMMANDS = ("push", "orders", "meters", "links", "api-keys", "webhooks")


def section(title: str) -> str:
    found = re.search(rf"^## {re.escape(title)}$(.*?)(?=^## |\Z)", PAGE, re.MULTILINE | re.DOTALL)
    assert found, f"docs/commands.md has no heading {title!r}"
    return found[1]


def parsers() -> dict[str, argparse.ArgumentParser]:
    commands = OneLineParser().add_subparsers(parser_class=OneLineParser)
    for module in (push, orders, meters, links, api_keys, webhooks):
        module.add_command(commands)
    return dict(commands.choices)


def below(parser: argparse.ArgumentParser) -> dict[str, argparse.ArgumentParser]:
    """The second words."""
    return {
        name: inner
        for action in parser._actions
        if isinstance(action.choices, dict)
        for name, inner in action.choices.items()
    }


def options(parser: argparse.ArgumentParser) -> Iterator[str]:
    shown = (action for action in parser._actions if action.help != argparse.SUPPRESS)
    yield from (name for action in shown for name in action.option_strings if name.startswith("--"))
    for inner in below(parser).values():
        yield from options(inner)


def service_options() -> set[str]:
    parser = OneLineParser()
    add_service_options(parser)
    return set(options(parser)) - {"--help"}


def named(text: str) -> set[str]:
    return set(re.findall(r"(?<![\w-])--[a-z][a-z-]*", text))


def test_every_command_has_a_section_and_every_section_a_command() -> None:
    assert set(parsers()) == set(COMMANDS)
    assert re.findall(r"^## `stsgate (.+)`$", PAGE, re.MULTILINE) == list(COMMANDS)


@pytest.mark.parametrize("command", COMMANDS)
def test_a_section_names_all_options_of_its_command_and_no_others(command: str) -> None:
    known = set(options(parsers()[command])) - {"--help"}
    told = named(section(f"`stsgate {command}`"))
    assert known - service_options() <= told
    assert told <= known


@pytest.mark.parametrize("command", COMMANDS)
def test_a_section_has_a_row_for_each_second_word(command: str) -> None:
    rows = re.findall(rf"`{command} ([a-z]+)[^`]*`", section(f"`stsgate {command}`"))
    words = [word for word in rows if word in below(parsers()[command])]
    assert list(dict.fromkeys(words)) == list(below(parsers()[command]))


def test_what_every_command_has_is_told_once() -> None:
    assert named(section("Which service")) - {"--watch", "--state"} == service_options()
    for command in COMMANDS:
        for name, parser in {"": parsers()[command], **below(parsers()[command])}.items():
            assert service_options() <= set(options(parser)), f"{command} {name}"


def test_the_table_of_beginnings_names_every_command() -> None:
    begin = PAGE[: PAGE.index("## Which service")]
    assert re.findall(r"^stsgate ([a-z-]+)", begin, re.MULTILINE) == list(COMMANDS)
