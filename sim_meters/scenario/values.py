"""The values of scenario files, each with what its text or number may be; and what all tables have in common."""

from __future__ import annotations

from typing import Annotated, TypeAlias, TypeVar

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

SECONDS_MAX = 86_400.0

T = TypeVar("T")
OneOf: TypeAlias = T | Annotated[tuple[T, ...], Field(min_length=1, max_length=50)]
"""A value, or a list of which one has to be found."""

Name = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,63}$")]
Title = Annotated[str, StringConstraints(pattern=r"^[^\x00-\x1f\x7f]{1,200}$")]
Text = Annotated[str, StringConstraints(max_length=10_000)]
Digits20 = Annotated[str, StringConstraints(pattern=r"^[0-9]([ -]?[0-9]){19}$")]
Hex = Annotated[str, StringConstraints(pattern=r"^([0-9A-Fa-f]{2}){0,512}$")]
Decimals = Annotated[str, StringConstraints(pattern=r"^[+-]?[0-9]{1,35}(\.[0-9]{1,35})?$")]
Number = Decimals | int | Annotated[float, Field(allow_inf_nan=False)]
"""``"25.6"`` or ``25.6``: exact, as it is written."""
Member = Text | bool | int | Annotated[float, Field(allow_inf_nan=False)]
"""Of a JSON object."""
Byte = Annotated[int, Field(ge=0, le=255)]
Digits = Annotated[str, StringConstraints(pattern=r"^[0-9]{1,20}$")] | Annotated[int, Field(ge=0, le=10**19)]
"""In quotation marks where a leading zero counts."""
Key = Annotated[str, StringConstraints(pattern=r"^[0-9A-Fa-f]{32}$")]
HEX_OF_KEYS = StringConstraints(pattern=r"^([0-9A-Fa-f]{2}){8,20}$")
Count = Annotated[int, Field(ge=0, le=1_000_000)]
Seconds = Annotated[float, Field(ge=0, le=SECONDS_MAX)]
_DATE, _TIME, _ZONE = "[0-9]{4}-[0-9]{2}-[0-9]{2}", "[0-9]{2}:[0-9]{2}(:[0-9]{2})?", "(Z|[+-][0-9]{2}:[0-9]{2})?"
Moment = Annotated[str, StringConstraints(pattern=f"^{_DATE}([T ]{_TIME}{_ZONE})?$")]


class Table(BaseModel):
    """One table of the file. Nothing in it is converted, and nothing unknown is overlooked."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, use_attribute_docstrings=True)
