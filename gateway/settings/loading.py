"""Settings of the service: read in layers, checked all at once, and only then used.

Each layer covers the one before it: defaults, the file (``config/gateway.toml`` shows every setting), the environment
(``STSGATE_DELIVERY_IN_FLIGHT_MAX`` for ``delivery.in_flight_max``), options of the command line. Whatever is wrong is
collected and said together. Values that were given are not repeated in what is said: one of them may be a secret in the
wrong place.
"""

from __future__ import annotations

import difflib
import re
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args, get_origin

from annotated_types import Ge, Gt, Le
from pydantic import ValidationError
from pydantic.fields import FieldInfo

from gateway.settings.checks import contradictions, obstacles
from gateway.settings.sections import Form, Section, Settings
from gateway.shown import without_secrets

PREFIX = "STSGATE_"
OPTIONS = {
    "service.data_dir": "--data-dir",
    "service.http": "--http",
    "service.insecure": "--insecure",
    "database.url": "--database",
}
"""What the command line of ``serve`` can cover."""
OTHER_VARIABLES = (
    "STSGATE_API_KEY",
    "STSGATE_API_KEY_FILE",
    "STSGATE_BOOTSTRAP_API_KEY",
    "STSGATE_KEY_ENCRYPTION_KEY",
    "STSGATE_SERVER",
    "STSGATE_WEBHOOK_SECRET",
)
"""Variables that are no settings: secrets, and what clients use."""
_FILE_OCTETS_MAX = 1 << 20
_NAME_SHOWN_MAX = 60
_NEARLY = 0.8
"""How alike two names are that differ by a slip of the finger; guess, by trying."""
_WHOLE = re.compile(r"[+-]?\d{1,20}", re.ASCII)
_NUMBER = re.compile(r"[+-]?\d{1,20}(\.\d{1,20})?", re.ASCII)
_TRUTH = {"true": True, "1": True, "false": False, "0": False}


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing that is wrong."""

    where: str
    """The key (``delivery.in_flight_max``), variable, option or file."""
    message: str
    """What was expected."""

    def __str__(self) -> str:
        return f"{self.where}: {self.message}"


class SettingsInvalid(Exception):
    """These settings cannot be used; ``problems`` holds all that is wrong with them."""

    def __init__(self, problems: Sequence[Problem]) -> None:
        super().__init__("; ".join(map(str, problems)))
        self.problems = tuple(problems)


@dataclass(frozen=True, slots=True)
class Setting:
    """One setting, as the documentation shows it."""

    name: str
    """With its section: ``delivery.in_flight_max``."""
    default: str | int | float | bool
    expected: str
    description: str

    @property
    def variable(self) -> str:
        return PREFIX + self.name.replace(".", "_").upper()


def all_settings() -> Iterator[Setting]:
    """Every setting there is, in the sequence of the file."""
    for section_name, section in _sections().items():
        for name, info in section.model_fields.items():
            yield Setting(f"{section_name}.{name}", info.default, _expected(info), info.description or "")


def load_settings(path: Path | None, environment: Mapping[str, str], overrides: Mapping[str, object]) -> Settings:
    """Read all layers and check them, also against this machine: directories, files, addresses. ``overrides`` by key,
    such as ``service.http``. Raises ``SettingsInvalid``."""
    given = _Given()
    is_whole = path is None or given.read_file(path)
    given.read_environment(environment)
    for key, value in overrides.items():
        given.set(key, value, where=OPTIONS[key])
    settings = given.settings()
    if is_whole:
        wrong = {key for key, where in given.where.items() if any(problem.where == where for problem in given.problems)}
        for key, message in [*contradictions(settings), *obstacles(settings, environment)]:
            if key not in wrong:
                given.problems.append(Problem(given.where.get(key, key), message))
    if given.problems:
        raise SettingsInvalid(given.problems)
    return settings


class _Given:
    """What the layers said so far, and what is wrong with it."""

    def __init__(self) -> None:
        self.problems: list[Problem] = []
        self.where: dict[str, str] = {}
        """For each key that is set: who set it."""
        self._values: dict[str, dict[str, object]] = {name: {} for name in _sections()}

    def set(self, key: str, value: object, *, where: str) -> None:
        section, _, name = key.partition(".")
        self._values[section][name] = value
        self.where[key] = where

    def read_file(self, path: Path) -> bool:
        """False if nothing of it could be read."""
        try:
            with path.open("rb") as file:
                octets = file.read(_FILE_OCTETS_MAX + 1)
            if len(octets) > _FILE_OCTETS_MAX:
                raise ValueError(f"expected at most {_FILE_OCTETS_MAX} octets")
            tables = tomllib.loads(octets.decode())
        except OSError as error:
            self.problems.append(Problem(str(path), f"cannot be read ({error.strerror})"))
            return False
        except UnicodeDecodeError:
            self.problems.append(Problem(str(path), "expected TOML in UTF-8"))
            return False
        except ValueError as error:  # of TOML, and of the size
            self.problems.append(Problem(str(path), f"is no TOML: {without_secrets(str(error))}"))
            return False
        for section, table in tables.items():
            self._read_table(section, table)
        return True

    def _read_table(self, section: str, table: object) -> None:
        sections = _sections()
        if section not in sections:
            self.problems.append(Problem(_shown(section), f"no such section{_did_you_mean(section, sections)}"))
        elif not isinstance(table, dict):
            self.problems.append(Problem(section, f"expected a table, [{section}]"))
        else:
            for name, value in table.items():
                key = f"{section}.{name}"
                if name in sections[section].model_fields:
                    self.set(key, value, where=key)
                else:
                    self.problems.append(Problem(_shown(key), f"no such setting{_hint(section, name)}"))

    def read_environment(self, environment: Mapping[str, str]) -> None:
        fields = {setting.variable: setting.name for setting in all_settings()}
        for variable in sorted(name for name in environment if name.startswith(PREFIX)):
            key = fields.get(variable)
            if key is not None:
                section, _, name = key.partition(".")
                kind = _sections()[section].model_fields[name].annotation
                self.set(key, _value(environment[variable], kind), where=variable)
            elif variable not in OTHER_VARIABLES and _is_meant_for_us(variable, fields):
                hint = _did_you_mean(variable, (*fields, *OTHER_VARIABLES))
                self.problems.append(Problem(_shown(variable), f"no such setting{hint}"))

    def settings(self) -> Settings:
        """With the default in the place of everything that is wrong."""
        return Settings.model_validate({name: self._section(name, model) for name, model in _sections().items()})

    def _section(self, name: str, model: type[Section]) -> Section:
        values = dict(self._values[name])
        try:
            return model(**values)
        except ValidationError as error:
            for wrong in error.errors(include_url=False, include_input=False):
                field = str(wrong["loc"][0])
                values.pop(field, None)
                expected = _expected(model.model_fields[field])
                self.problems.append(Problem(self.where[f"{name}.{field}"], f"expected {expected}"))
        return model(**values)


def _sections() -> dict[str, type[Section]]:
    return {
        name: info.annotation
        for name, info in Settings.model_fields.items()
        if isinstance(info.annotation, type) and issubclass(info.annotation, Section)
    }


def _value(text: str, kind: Any) -> object:
    """A text of the environment as a value of this kind; as it is if it is none, to be refused like any other."""
    if kind is bool:
        return _TRUTH.get(text.lower(), text)
    if kind is int and _WHOLE.fullmatch(text):
        return int(text)
    if kind is float and _NUMBER.fullmatch(text):
        return float(text)
    return text


def _expected(info: FieldInfo) -> str:
    """What a setting takes, in words."""
    if info.annotation is bool:
        return "true or false"
    if get_origin(info.annotation) is Literal:
        return "one of " + ", ".join(get_args(info.annotation))
    limits: dict[type, Any] = {type(part): part for part in info.metadata}
    if info.annotation is str:
        return str(limits[Form].words)
    noun, most = "a whole number" if info.annotation is int else "a number", limits[Le].le
    if Ge in limits:
        return f"{noun} from {limits[Ge].ge} to {most}"
    return f"{noun} above {limits[Gt].gt}, at most {most}"


def _hint(section: str, name: str) -> str:
    """Where else a name belongs that this section does not have, or what it looks like."""
    fields = {other: set(model.model_fields) for other, model in _sections().items()}
    owners = [other for other, names in fields.items() if name in names]
    return f"; it belongs into [{owners[0]}]" if owners else _did_you_mean(name, fields[section])


def _is_meant_for_us(variable: str, known: Mapping[str, object]) -> bool:
    """Whether somebody seems to have meant a setting: its section is one of ours, or its name is nearly right."""
    if any(variable.startswith(f"{PREFIX}{section.upper()}_") for section in _sections()):
        return True
    names = [name.removeprefix(PREFIX) for name in (*known, *OTHER_VARIABLES)]
    return bool(difflib.get_close_matches(variable.removeprefix(PREFIX), names, n=1, cutoff=_NEARLY))


def _did_you_mean(name: str, known: Sequence[str] | Mapping[str, object] | set[str]) -> str:
    near = difflib.get_close_matches(name, sorted(known), n=1)
    return f"; did you mean {near[0]}?" if near else ""


def _shown(name: str) -> str:
    """A name that somebody made up; with a secret in it, it is cut down."""
    return without_secrets(name)[:_NAME_SHOWN_MAX]
