"""The client's half of an association: whatever a meter or somebody between answers, it is an event or a refusal.

An input is: settings, largest APDU, how far the association has come, and then answers one after the other: as they
stand, sealed with the right key, sealed and damaged, or what an honest meter says to the client's last words.
"""

from __future__ import annotations

from cosem_objects.dlms.apdu import Request
from cosem_objects.dlms.client import State
from cosem_objects.errors import LocalProtocolError, RemoteProtocolError
from tests.fuzz.properties import Choices, assert_harmless
from tests.fuzz.settings import RELEASE, SECRETS, SETTINGS, Pair, has_tags, response_to
from tests.fuzz.targets.acse import seeds as associations
from tests.fuzz.targets.apdu import seeds as apdus

SIZE_MAX = 600
STEPS_MAX = 40
PDU_SIZE_MIN = 64  # with less, high level security cannot pass its answers


def seeds() -> list[bytes]:
    asked = [
        bytes((settings, 0, size, 1, request)) + bytes((how, len(apdu))) + apdu
        for settings, size, how in ((0, 0, 0), (0, 64, 0), (5, 0, 1), (5, 0, 2))
        for apdu in apdus()
        for request in range(3)
        if apdu[0] in {0xC4, 0xC5, 0xC7, 0xD8, 0x0E, 0x0F, 0xC2, 0xE0}
    ]
    opening = [bytes((settings, 0, 0, 0, 0, 0, len(aare))) + aare for settings in (0, 1, 2) for aare in associations()]
    forged = [bytes((settings, 0, 0, 1, 0, 2, 1, 0xC4, 2, 0, 30, 1)) for settings in range(len(SETTINGS))]
    honest = [
        bytes((settings, 0, 70, start, which)) + bytes((3, 1)) * 9 + bytes((3, 1, 1, RELEASE, 3))
        for settings in range(len(SETTINGS))
        for start in range(4)
        for which in (settings % 6,)
    ]
    return asked + opening + forged + honest


def one_input(octets: bytes) -> None:
    choices = Choices(octets)
    settings = SETTINGS[choices.octet() % len(SETTINGS)]
    pdu_size_max, start = max(choices.number(), PDU_SIZE_MIN), choices.octet()
    pair = Pair(settings, pdu_size_max, general_blocks=bool(start & 2))
    if start & 1:
        pair.associate()
    said = pair.ask(choices.octet())
    for _ in range(STEPS_MAX):
        if not choices:
            break
        kind, before = choices.octet() % 4, pair.client_counters.last_received
        answer = answered(pair, kind, said, choices)
        try:
            event = pair.client.receive(answer)
        except RemoteProtocolError as error:
            assert_harmless(error, SECRETS)
            event = None
        if kind in {0, 2} and has_tags(settings):
            assert pair.client_counters.last_received == before, "a counter moved for an APDU that nobody sealed"
        said = event if isinstance(event, bytes) else b""
        assert repr(event)
        if pair.client.state is State.ASSOCIATED and choices.octet() & 1:
            said = pair.ask(choices.octet())


def answered(pair: Pair, kind: int, said: bytes, choices: Choices) -> bytes:
    if kind == 3:
        reaction = pair.meter.receive(said)
        if isinstance(reaction, Request):
            reaction = pair.meter.respond(response_to(reaction, is_long=bool(choices.octet() & 1)))
        return reaction or b""
    answer = choices.piece()
    if kind == 0 or not answer:
        return answer
    try:
        answer = pair.meter._seal(answer)
    except LocalProtocolError:  # it has no sealed form
        return answer + b"\xff"
    return answer if kind == 1 else choices.damage(answer)
