"""HDLC connections of both roles: frames of the other side in any order, and our own steps between them."""

from __future__ import annotations

from typing import TypeAlias

from tests.fuzz.properties import Choices, assert_harmless
from transports.channel import ChannelClosed, ChannelGarbled, ChannelTimeout, NotSentError
from transports.hdlc.client import HdlcClientConnection, State
from transports.hdlc.connection import HdlcSettings, Parameters
from transports.hdlc.frame import UA, Frame, HdlcAddress
from transports.hdlc.server import HdlcServerConnection

SIZE_MAX = 300
STEPS_MAX = 80
APDU_SIZE_MAX = 400
CLIENT = HdlcAddress.client(16)
SERVER = HdlcAddress.server(1, 17)
_SETTINGS = tuple(
    HdlcSettings(info_max=info_max, window_max=window, apdu_size_max=APDU_SIZE_MAX, retries=2)
    for info_max in (10, 128)
    for window in (1, 3, 7)
)
Connection: TypeAlias = HdlcClientConnection | HdlcServerConnection
_LLC = b"\xe6\xe6\x00"


def seeds() -> list[bytes]:
    parameters = bytes.fromhex("8180140502 0080 0602 0080 0704 00000001 0804 00000001".replace(" ", ""))
    proposals = [bytes((0, len(parameters))) + parameters, bytes((1, 0))]
    frames = bytes((0, 0x10, 0, 8)) + _LLC + b"\xc0\x01\x02\x03\x04"
    segments = bytes((0, 0x10, 1, 8)) + _LLC + b"\xc0\x01\x02\x03\x04" + bytes((0, 0x12, 0, 3, 1, 2, 3))
    steps = bytes((1, 30)) + bytes((0, 0x31, 0, 0)) + bytes((2, 0, 3, 0, 4, 0, 1, 5, 5, 0, 7))
    return [
        bytes((role | settings << 1,)) + proposal[1:] + story
        for role in (0, 1)
        for settings in range(6)
        for proposal in proposals
        for story in (frames, segments, steps, steps + segments, frames + steps)
    ]


def one_input(octets: bytes) -> None:
    choices = Choices(octets)
    first = choices.octet()
    settings, proposal = _SETTINGS[(first >> 1) % len(_SETTINGS)], choices.piece()
    try:
        Parameters.decode(proposal)
    except ChannelGarbled as error:
        assert_harmless(error)
        proposal = b""
    connection = client(settings, proposal) if first & 1 else HdlcServerConnection(SERVER, CLIENT, settings, proposal)
    for _ in range(STEPS_MAX):
        if not choices:
            break
        try:
            sent = step(connection, choices)
        except (ChannelGarbled, ChannelClosed, ChannelTimeout, NotSentError) as error:
            assert_harmless(error)
            sent = ()
        assert_within_limits(connection, sent)
        if isinstance(connection, HdlcClientConnection) and connection.state is State.ENDED:
            break


def client(settings: HdlcSettings, proposal: bytes) -> HdlcClientConnection:
    connection = HdlcClientConnection(CLIENT, SERVER, settings)
    connection.connect()
    connection.receive(Frame(CLIENT, SERVER, UA, proposal))
    return connection


def step(connection: Connection, choices: Choices) -> tuple[Frame, ...]:
    """One frame of the other side, or one thing that we do; returns what is to be sent."""
    match choices.octet() % 6:
        case 1:
            return connection.send(bytes(choices.octet() or 1))
        case 2:
            connection.has_room = not connection.has_room
            return ()
        case 3:
            return timeout(connection)
        case 4:
            return ended(connection, choices)
        case 5:
            sent = connection.send_unasked(bytes(choices.octet() or 1))
            return sent if isinstance(sent, tuple) else (sent,)
    control, segmented, information = choices.octet(), bool(choices.octet() & 1), choices.piece()
    frame = Frame(connection.own, connection.peer, control, information, segmented)
    reaction = connection.receive(frame)
    if reaction is None:
        return ()
    assert reaction.apdu is None or 0 < len(reaction.apdu) <= APDU_SIZE_MAX
    return reaction.frames


def timeout(connection: Connection) -> tuple[Frame, ...]:
    if isinstance(connection, HdlcClientConnection) and connection.wait_seconds is not None:
        return (connection.on_timeout(),)
    return ()


def ended(connection: Connection, choices: Choices) -> tuple[Frame, ...]:
    if not isinstance(connection, HdlcClientConnection):
        return ()
    if choices.octet() & 1:
        connection.give_up()
        return ()
    frame = connection.disconnect()
    return () if frame is None else (frame,)


def assert_within_limits(connection: Connection, sent: tuple[Frame, ...]) -> None:
    assert len(connection._gathered) <= APDU_SIZE_MAX + len(_LLC) + 0xFF
    # At most one window of frames, beside what was waiting to be said unasked.
    assert len(sent) <= connection.parameters.window_tx + 8
    for frame in sent:
        assert frame.destination == connection.peer
        # SNRM and UA go out before anything is agreed, and their parameters fit into what every station takes.
        assert len(frame.information) <= connection.parameters.info_max_tx, "longer than the other side takes"
        assert frame.encode()
