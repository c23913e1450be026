"""``stsgate check-config``: everything that is wrong with the settings, at once, without starting anything."""

from __future__ import annotations

import argparse
import json
import os
from pathlib import Path

from gateway.settings.loading import Problem, SettingsInvalid, all_settings, load_settings
from gateway.settings.sections import Settings

DESCRIPTION = """\
Reads the settings as serve would, from the file and the environment, and says all that is wrong with them: unknown
names, values out of range, contradictions, and what on this machine stands in the way. Nothing is changed.

Exit code: 0 serve can use them; 1 it cannot; 2 wrong usage."""


def add_command(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = commands.add_parser(
        "check-config",
        help="find what is wrong with the settings of serve",
        description=DESCRIPTION,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--config", metavar="FILE", help="TOML file; without it, defaults and environment are checked")
    parser.add_argument("--json", action="store_true", help="one JSON object")
    parser.set_defaults(func=check_config, command="check-config")


def check_config(args: argparse.Namespace) -> int:
    path = None if args.config is None else Path(args.config)
    try:
        settings = load_settings(path, os.environ, {})
    except SettingsInvalid as error:
        _print_problems(args, error.problems)
        return 1
    _print_settings(args, settings)
    return 0


def _print_problems(args: argparse.Namespace, problems: tuple[Problem, ...]) -> None:
    if args.json:
        listed = [{"where": problem.where, "message": problem.message} for problem in problems]
        print(json.dumps({"valid": False, "problems": listed}, ensure_ascii=False, indent=2))
        return
    for problem in problems:
        print(problem)
    print(f"{_name(args)}: {len(problems)} {'problem' if len(problems) == 1 else 'problems'}")


def _print_settings(args: argparse.Namespace, settings: Settings) -> None:
    values = settings.model_dump()
    changed = {}
    for setting in all_settings():
        section, _, name = setting.name.partition(".")
        if values[section][name] != setting.default:
            changed[setting.name] = values[section][name]
    if args.json:
        print(json.dumps({"valid": True, "settings": values, "changed": changed}, ensure_ascii=False, indent=2))
        return
    for key, value in changed.items():
        print(f"{key} = {json.dumps(value, ensure_ascii=False)}")
    print(
        f"{_name(args)}: good; {len(changed) or 'no'} {'setting differs' if len(changed) == 1 else 'settings differ'}"
        " from the defaults"
    )


def _name(args: argparse.Namespace) -> str:
    return args.config or "defaults and environment"
