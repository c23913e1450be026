"""The meter's half of an association: whatever a client or somebody between sends, it answers and never raises.

An input is: settings, largest APDU, how far the association has come, and then APDUs one after the other: as they
stand, sealed with the right key, sealed and damaged, or what an honest client would say.
"""

from __future__ import annotations

from cosem_objects.dlms.apdu import Request
from cosem_objects.errors import LocalProtocolError, RemoteProtocolError
from tests.fuzz.properties import Choices
from tests.fuzz.settings import RELEASE, SETTINGS, Pair, has_tags, response_to
from tests.fuzz.targets.apdu import seeds as apdus

SIZE_MAX = 600
STEPS_MAX = 40
PDU_SIZE_MIN = 64  # with less, high level security cannot pass its answers


def seeds() -> list[bytes]:
    asked = [
        bytes((settings, 0, size, 1 + how)) + bytes((how % 3, len(apdu))) + apdu
        for settings, size, how in ((0, 0, 0), (0, 64, 0), (5, 0, 1), (8, 90, 1), (5, 0, 2))
        for apdu in apdus()
    ]
    forged = [bytes((settings, 0, 0, 1, 2, 1, 0xC0, 2, 0, 30, 1)) for settings in range(len(SETTINGS))]
    honest = [
        bytes((settings, 0, 70, start))
        + b"".join(bytes((3, request, 1)) * 9 for request in (which, which + 1, RELEASE))
        for settings in range(len(SETTINGS))
        for start in range(4)
        for which in (2 * (settings % 3),)
    ]
    return asked + forged + honest


def one_input(octets: bytes) -> None:
    choices = Choices(octets)
    settings = SETTINGS[choices.octet() % len(SETTINGS)]
    pdu_size_max, start = max(choices.number(), PDU_SIZE_MIN), choices.octet()
    pair = Pair(settings, pdu_size_max, general_blocks=bool(start & 2))
    if start & 1:
        pair.associate()
    following = b""  # what the client says next, if it says it to the end
    for _ in range(STEPS_MAX):
        if not choices:
            break
        kind, before = choices.octet() % 4, (pair.meter_counters.last_received, pair.meter_counters.next_own)
        said = said_by_client(pair, kind, following, choices)
        reaction = pair.meter.receive(said)
        if kind in {0, 2} and has_tags(settings):
            assert pair.meter_counters.last_received == before[0], "a counter moved for an APDU that nobody sealed"
        if isinstance(reaction, Request):
            reaction = pair.meter.respond(response_to(reaction, is_long=bool(choices.octet() & 1)))
        if reaction is None:
            assert kind != 3, "the meter says nothing to an honest client"
            continue
        assert isinstance(reaction, bytes)
        assert reaction, "the meter says nothing"
        assert pair.meter_counters.next_own >= before[1]
        assert len(reaction) <= 1 << 17
        following = heard(pair, reaction) if kind == 3 else following


def said_by_client(pair: Pair, kind: int, following: bytes, choices: Choices) -> bytes:
    if kind == 3:
        choice = choices.octet()
        return following or pair.ask(choice)
    said = choices.piece()
    if kind == 0 or not said:
        return said
    try:
        said = pair.client._seal(said)
    except LocalProtocolError:  # it has no sealed form
        return said + b"\xff"
    return said if kind == 1 else choices.damage(said)


def heard(pair: Pair, reaction: bytes) -> bytes:
    """What the client says to that at once."""
    try:
        event = pair.client.receive(reaction)
    except RemoteProtocolError:
        return b""
    return event if isinstance(event, bytes) else b""
