"""What a scenario file may say: the one source of its parser and of its published JSON Schema.

A file is TOML; what it holds is checked here as the JSON that it is equal to, so that an editor that knows the schema
and this program refuse the same files. What only makes sense together (names that must exist, steps that need a
simulated meter) is checked in ``rules.py``.
"""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import Field
from pydantic.json_schema import GenerateJsonSchema, JsonSchemaValue
from pydantic_core.core_schema import NullableSchema, WithDefaultSchema

from sim_meters.fleet.plan import SEED_MAX
from sim_meters.scenario.meter_table import MeterTable
from sim_meters.scenario.step_tables import AnyStep
from sim_meters.scenario.values import Moment, Name, Table, Text, Title

_DIALECT = "https://json-schema.org/draft/2020-12/schema"
CASES_MAX = 1000
STEPS_MAX = 1000
METERS_MAX = 100


class CaseTable(Table):
    """Steps in a row. The first one that is not as expected ends the case."""

    name: Title
    description: Text = ""
    on: Annotated[tuple[Name, ...], Field(min_length=1, max_length=METERS_MAX)] | None = None
    """the meters on which the case runs, once for each; the first meter if it is not said"""
    keep: bool = False
    """go on with the meters, tokens and marks of the case before, instead of fresh ones"""
    step: Annotated[tuple[AnyStep, ...], Field(min_length=1, max_length=STEPS_MAX)]

    @property
    def shown(self) -> str:
        """Its name, as it stands in an error."""
        return repr(self.name[:60])


class ClockTable(Table):
    start: Moment
    """the moment at which the virtual clock begins, in every case anew; it stands still until a step moves it"""


class MetersFile(Table):
    """Meters that stand in for those of the same names, see --meters."""

    meter: Annotated[tuple[MeterTable, ...], Field(min_length=1, max_length=METERS_MAX)]


class ScenarioFile(Table):
    """Cases for simulated and real STS meters. See docs/scenarios.md."""

    name: Title
    description: Text = ""
    seed: Annotated[int, Field(ge=0, le=SEED_MAX)] = 0
    """of all chance in the run"""
    clock: ClockTable | None = None
    """a virtual clock; the machine's own if it is not said"""
    fleet: Title | None = None
    """a fleet file, or the name of a shipped one: its meters can be named, too, as GROUP-NUMBER"""
    meter: Annotated[tuple[MeterTable, ...], Field(max_length=METERS_MAX)] = ()
    case: Annotated[tuple[CaseTable, ...], Field(min_length=1, max_length=CASES_MAX)]


class _Schema(GenerateJsonSchema):
    """Without what only Python knows: titles that repeat a name, and ``null`` for what is not said."""

    def field_title_should_be_set(self, schema: Any) -> bool:
        return False

    def nullable_schema(self, schema: NullableSchema) -> JsonSchemaValue:
        return self.generate_inner(schema["schema"])

    def default_schema(self, schema: WithDefaultSchema) -> JsonSchemaValue:
        described = super().default_schema(schema)
        if not isinstance(described.get("default"), str | int | float):
            described.pop("default", None)
        return described


def schema() -> dict[str, Any]:
    """The JSON Schema of scenario files."""
    return {"$schema": _DIALECT, **ScenarioFile.model_json_schema(schema_generator=_Schema)}
