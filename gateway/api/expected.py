"""What was expected instead, in words of ours: for each kind of mistake that pydantic tells apart. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from gateway.api.fields import NOTE, ORDER_ID, REASON, SHORT_ID
from gateway.meter_body import (
    ADDRESS_LENGTH,
    LINK_ID,
    METER_ID,
    METER_PAN,
    ON_ONE_LINE,
    PROFILE_NAME,
    SUPPLY_GROUP,
    TWO_DIGITS,
)

PATTERN_WORDS: Mapping[str, str] = {
    ORDER_ID: "letters, digits and . _ : @ + = - are expected, a letter or digit first, at most 100",
    METER_ID: "letters, digits and . _ : - are expected, a letter or digit first, at most 64",
    LINK_ID: "printable ASCII characters without blanks are expected, a letter or digit first, at most 200",
    SHORT_ID: "small letters, digits and - are expected, no - first, at most 63",
    REASON: "small letters, digits, _ and - are expected, a letter or digit first, at most 63",
    PROFILE_NAME: "the name of a meter profile is expected, not a path: letters, digits and . _ -, at most 64",
    METER_PAN: "18 digits are expected",
    SUPPLY_GROUP: "6 digits are expected",
    TWO_DIGITS: "2 digits are expected",
    ADDRESS_LENGTH: "auto, 1, 2 or 4 is expected, as text",
    ON_ONE_LINE: "text on one line, without control characters, is expected",
    NOTE: "text without control characters is expected",
}
_OBJECT, _LIST, _NUMBER = "an object is expected", "a list is expected", "a number is expected"
_WHOLE_NUMBER, _YES_OR_NO = "a whole number is expected", "true or false is expected"
_WORDS: Mapping[str, str] = {
    "missing": "it is needed",
    "none_required": "null is expected",
    "string_type": "text is expected",
    "bool_type": _YES_OR_NO,
    "bool_parsing": _YES_OR_NO,
    "int_type": _WHOLE_NUMBER,
    "int_parsing": _WHOLE_NUMBER,
    "int_parsing_size": _WHOLE_NUMBER,
    "int_from_float": _WHOLE_NUMBER,
    "float_type": _NUMBER,
    "float_parsing": _NUMBER,
    "finite_number": _NUMBER,
    "tuple_type": _LIST,
    "list_type": _LIST,
    "dict_type": _OBJECT,
    "model_type": _OBJECT,
    "model_attributes_type": _OBJECT,
    "greater_than": "more than {gt} is expected",
    "greater_than_equal": "at least {ge} is expected",
    "less_than": "less than {lt} is expected",
    "less_than_equal": "at most {le} is expected",
    "too_short": "at least {min_length} {what} expected",
    "too_long": "at most {max_length} {what} expected",
    "string_too_short": "at least {min_length} {what} expected",
    "string_too_long": "at most {max_length} {what} expected",
    "enum": "{expected} is expected",
    "literal_error": "{expected} is expected",
}


def expected(kind: str, context: Mapping[str, Any], message: str) -> str:
    """``kind``, ``context`` and ``message`` are pydantic's; its message is told where the words are ours, or missing
    here."""
    if kind == "string_pattern_mismatch":
        return PATTERN_WORDS.get(str(context.get("pattern")), "text of another form is expected")
    if kind not in _WORDS:
        message = message.removeprefix("Value error, ").removeprefix("Invalid JSON: ")
        return message[:1].lower() + message[1:]
    values = {name: str(value).replace("'", "") for name, value in context.items()}
    return _WORDS[kind].format(**values, what=_what(kind, context))


def _what(kind: str, context: Mapping[str, Any]) -> str:
    """What a length counts. A secret is a "Value" to pydantic."""
    is_one = 1 in (context.get("min_length"), context.get("max_length"))
    if kind.startswith("string") or context.get("field_type") == "Value":
        return "character is" if is_one else "characters are"
    return "item is" if is_one else "items are"
