"""The last token of a meter in words: attributes 2 to 6 of its Token gateway. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from cosem_objects.axdr import Data
from cosem_objects.dlms.apdu import DataAccessResult
from cosem_objects.dlms.describe.node import Json
from cosem_objects.errors import RemoteProtocolError, TokenFormatError
from cosem_objects.interface_classes import enum_words
from cosem_objects.names import spell
from cosem_objects.profile import MeterProfile, TokenReadback
from cosem_objects.token_gateway import CLASS_ID, Attribute, StatusCode, TokenEncoding, TokenStatus
from gateway.reading.report_values import Said, said_moment, said_name

ATTRIBUTES = tuple(Attribute)[1:]
"""All but the logical name."""


def last_token(results: Mapping[int, Data | int], profile: MeterProfile) -> Iterator[tuple[str, str, Said | str]]:
    """Name, label (empty: not for people) and what is said, or why it is not known; first all of it in one line."""
    said = {attribute: _said(attribute, results[attribute], profile) for attribute in ATTRIBUTES}
    yield "has_token", "last token", Said(_line(said, profile), _has_token(said, profile))
    for attribute in ATTRIBUTES:
        one = said[attribute]
        label = "description" if attribute is Attribute.TOKEN_DESCRIPTION else ""
        shown = isinstance(one, Said) and bool(one.json)
        yield attribute.name.lower(), label if shown else "", one


def _said(attribute: Attribute, result: Data | int, profile: MeterProfile) -> Said | str:
    if not isinstance(result, Data):
        return spell(DataAccessResult, result)
    try:
        match attribute:
            case Attribute.TOKEN:
                return _token(result, profile)
            case Attribute.TOKEN_TIME:
                return said_moment(result.octets, profile.deviation_sign)
            case Attribute.TOKEN_DESCRIPTION:
                texts = [element.text for element in result.elements]
                return Said(", ".join(texts), texts)
            case Attribute.TOKEN_DELIVERY_METHOD:
                return said_name(enum_words(CLASS_ID, attribute, (), result.integer) or str(result.integer))
            case _:
                return _status(TokenStatus.from_data(result), profile)
    except RemoteProtocolError as error:
        return f"not understood: {error}"


def _token(data: Data, profile: MeterProfile) -> Said:
    """Its last four digits."""
    octets = data.text.encode() if isinstance(data.value, str) else data.octets
    if not octets:
        is_hidden = profile.token_readback is TokenReadback.HIDDEN
        return Said("(hidden)" if is_hidden else "", None)
    is_same = profile.token_readback in (TokenReadback.SAME, TokenReadback.HIDDEN)
    encoding = profile.token_encoding if is_same else TokenEncoding(profile.token_readback.value)
    try:
        masked = encoding.from_octets(octets).masked
    except TokenFormatError:
        masked = f"(no token as {encoding}, {len(octets)} octets)"
    return Said(masked, masked)


def _status(status: TokenStatus, profile: MeterProfile) -> Said:
    """``executed: accepted``, or ``validation failure: used`` where the profile can tell."""
    code = profile.status_code(status.code)
    result = "accepted" if code is StatusCode.EXECUTION_OK else None
    if code is not None and result is None:
        proven = profile.data_value_map.result(status.data_value)
        result = None if proven is None else proven.value
    words = f"unknown status {status.code}" if code is None else code.words
    json: dict[str, Json] = {
        "status_code": status.code,
        "words": words,
        "result": result,
        "data_value": status.data_value,
    }
    return Said(f"{words}: {result}" if result else words, json)


def _line(said: Mapping[Attribute, Said | str], profile: MeterProfile) -> str:
    if not _has_token(said, profile):
        return "none yet"
    order = (Attribute.TOKEN, Attribute.TOKEN_DELIVERY_METHOD, Attribute.TOKEN_STATUS, Attribute.TOKEN_TIME)
    names = {Attribute.TOKEN: "token", Attribute.TOKEN_TIME: "time"}
    parts = []
    for attribute in order:
        one = said[attribute]
        if isinstance(one, Said):
            parts.append(f"time {one.words}" if one.words == "not set" else one.words)
        else:
            parts.append(f"{names.get(attribute, attribute.name.lower())} unreadable")
    return ", ".join(filter(None, parts))


def _has_token(said: Mapping[Attribute, Said | str], profile: MeterProfile) -> bool:
    """A gateway that never saw a token shows an empty one, or where tokens are hidden, no time."""
    token, time = said[Attribute.TOKEN], said[Attribute.TOKEN_TIME]
    has_time = isinstance(time, Said) and time.json is not None
    if isinstance(token, Said) and profile.token_readback is not TokenReadback.HIDDEN:
        return token.json is not None or has_time
    return has_time or not isinstance(time, Said)
