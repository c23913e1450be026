"""HDLC windows of up to seven frames, RNR, UI: scenes frame by frame, bytes by hand, then both cores on a bad line."""

from __future__ import annotations

import random
from collections import Counter, deque
from dataclasses import dataclass, field

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from transports.channel import ChannelError, ChannelTimeout, NotSentError
from transports.hdlc.client import POLLS_MAX, HdlcClientConnection, State
from transports.hdlc.connection import LLC_REQUEST, LLC_RESPONSE, HdlcSettings, Parameters
from transports.hdlc.frame import UI, Frame, HdlcAddress, Kind
from transports.hdlc.receiver import FrameReceiver
from transports.hdlc.server import UNASKED_MAX, HdlcServerConnection

CLIENT = HdlcAddress.client(1)
SERVER = HdlcAddress.server(1, 17)

Side = HdlcClientConnection | HdlcServerConnection


def connected(client: HdlcSettings, server: HdlcSettings) -> tuple[HdlcClientConnection, HdlcServerConnection]:
    asking = HdlcClientConnection(CLIENT, SERVER, client)
    answering = HdlcServerConnection(SERVER, CLIENT, server, asking.connect().information)
    asking.receive(answering.accept())
    assert asking.state is State.READY
    return asking, answering


def pair(window: int, info_max: int = 10) -> tuple[HdlcClientConnection, HdlcServerConnection]:
    both = HdlcSettings(info_max=info_max, window_max=window)
    return connected(both, both)


def said(*frames: Frame) -> list[str]:
    """Frames as people write them: ``!`` the P/F bit, ``+`` more segments follow."""
    return [_said(frame) for frame in frames]


def _said(frame: Frame) -> str:
    words = [frame.kind.value]
    words += [f"ns={frame.send_number}"] if frame.kind is Kind.INFORMATION else []
    words += [f"nr={frame.receive_number}"] if frame.kind.value in {"I", "RR", "RNR", "REJ"} else []
    return " ".join(words) + ("+" if frame.segmented else "") + ("!" if frame.final else "")


def heard(side: Side, *frames: Frame) -> tuple[tuple[Frame, ...], list[bytes]]:
    """What a side says to these frames, and the APDUs that it hands over."""
    answers: tuple[Frame, ...] = ()
    apdus: list[bytes] = []
    for frame in frames:
        reaction = side.receive(frame)
        if reaction is not None:
            answers += reaction.frames
            apdus += [reaction.apdu] if reaction.apdu is not None else []
    return answers, apdus


def supervisory(control: int) -> Frame:
    return Frame(CLIENT, SERVER, control)


# Negotiation.


@pytest.mark.parametrize(
    ("asking", "answering", "agreed"), [(1, 7, 1), (7, 1, 1), (7, 7, 7), (3, 5, 3), (5, 3, 3), (1, 1, 1)]
)
def test_the_smaller_window_counts_both_ways(asking: int, answering: int, agreed: int) -> None:
    client, server = connected(HdlcSettings(window_max=asking), HdlcSettings(window_max=answering))
    for side in (client, server):
        assert (side.parameters.window_tx, side.parameters.window_rx) == (agreed, agreed)


def test_the_two_directions_may_have_windows_of_their_own() -> None:
    client = HdlcClientConnection(CLIENT, SERVER, HdlcSettings(info_max=10, window_max=4))
    client.connect()
    client.receive(Frame(CLIENT, SERVER, 0x73, Parameters(10, 10, window_tx=3, window_rx=2).encode()))
    assert (client.parameters.window_tx, client.parameters.window_rx) == (2, 3)
    assert said(*client.send(bytes(30))) == ["I ns=0 nr=0+", "I ns=1 nr=0+!"]


def test_a_meter_that_does_not_name_a_window_has_one_frame() -> None:
    client = HdlcClientConnection(CLIENT, SERVER, HdlcSettings(info_max=10, window_max=7))
    client.connect()
    client.receive(Frame(CLIENT, SERVER, 0x73))
    assert said(*client.send(bytes(300))) == ["I ns=0 nr=0+!"]


@pytest.mark.parametrize("window", [0, 8])
def test_windows_that_numbers_cannot_tell_apart_are_refused(window: int) -> None:
    with pytest.raises(ValueError, match=f"window_max is 1 to 7, not {window}"):
        HdlcSettings(window_max=window)


# Bytes by hand: layout, addresses and control bytes by IEC 62056-46; the check sums by a bit-wise CRC-16/X-25 that is
# not ours. Client 1, server 1 at the physical address 17, information fields of 10 octets, windows of two frames.

BY_HAND = {
    "SNRM for 128 octets, 7 frames": "7EA01F02230393A2F0818012050180060180070400000007080400000007A8067E",
    "I 0, more": "7EA814022303000430E6E6000001020304050627E97E",
    "I 1, more, P": "7EA8140223031297030708090A0B0C0D0E0F107DCC7E",
    "RR 2, F": "7EA008030223514FF77E",
    "I 2, P": "7EA00D02230314DDA211121305947E",
    "UI": "7EA00F0302230304B6E6E7000F01E4ED7E",
    "answer I 0, more": "7EA814030223606D35E6E70000010203040506DAA47E",
    "answer I 1, F": "7EA00C03022372C6C907089E3D7E",
    "RNR 2, F": "7EA008030223556BB17E",
}


def encoded(*frames: Frame) -> str:
    return " ".join(frame.encode().hex().upper() for frame in frames)


def by_hand(*names: str) -> str:
    return " ".join(BY_HAND[name] for name in names)


def test_an_exchange_octet_by_octet() -> None:
    client, server = pair(2)
    run = client.send(bytes(range(20)))
    assert encoded(*run) == by_hand("I 0, more", "I 1, more, P")
    answers, _ = heard(server, *run)
    assert encoded(*answers) == by_hand("RR 2, F")
    run, _ = heard(client, *answers)
    assert encoded(*run) == by_hand("I 2, P")
    heard(server, *run)
    assert encoded(*server.send_unasked(b"\x0f\x01")) == by_hand("UI")
    assert encoded(*server.send(bytes(range(9)))) == by_hand("answer I 0, more", "answer I 1, F")


def test_not_ready_octet_by_octet() -> None:
    client, server = pair(2)
    heard(server, *client.send(bytes(range(20))))
    server.has_room = False
    answers, _ = heard(server, client.on_timeout())
    assert encoded(*answers) == by_hand("RNR 2, F")


def test_an_offer_octet_by_octet() -> None:
    snrm = HdlcClientConnection(CLIENT, SERVER, HdlcSettings(window_max=7)).connect()
    assert encoded(snrm) == by_hand("SNRM for 128 octets, 7 frames")


@pytest.mark.parametrize("wire", BY_HAND.values(), ids=BY_HAND)
def test_frames_by_hand_are_found_and_written_again(wire: str) -> None:
    (frame,) = FrameReceiver().receive(bytes.fromhex(wire))
    assert encoded(frame) == wire


# Runs.


def test_a_request_goes_out_in_runs_and_only_the_last_frame_of_a_run_polls() -> None:
    client, server = pair(3)
    run = client.send(bytes(range(45)))  # with its header 48 octets: five segments
    assert said(*run) == ["I ns=0 nr=0+", "I ns=1 nr=0+", "I ns=2 nr=0+!"]
    answers, _ = heard(server, *run)
    assert said(*answers) == ["RR nr=3!"]
    run, _ = heard(client, *answers)
    assert said(*run) == ["I ns=3 nr=0+", "I ns=4 nr=0!"]
    assert heard(server, *run) == ((), [bytes(range(45))])
    answers = server.send(bytes(35))
    assert said(*answers) == ["I ns=0 nr=5+", "I ns=1 nr=5+", "I ns=2 nr=5+!"]
    run, _ = heard(client, *answers)
    assert said(*run) == ["RR nr=3!"]
    answers, _ = heard(server, *run)
    assert said(*answers) == ["I ns=3 nr=5!"]
    assert heard(client, *answers) == ((), [bytes(35)])
    assert (client.repeats, server.repeats) == (0, 0)


@pytest.mark.parametrize("window", range(1, 8))
def test_an_exchange_needs_one_turn_for_each_window_full(window: int) -> None:
    client, server = pair(window)
    segments, turns = 20, 0
    frames = client.send(bytes(segments * 10 - 3))
    for number in range(7):  # numbers go round meanwhile
        apdus: list[bytes] = []
        turns = 0
        while not apdus:
            turns += 1
            answers, apdus = heard(server, *frames)
            frames, _ = heard(client, *answers)
        assert turns == -(-segments // window), number
        assert heard(client, *server.send(b"x"))[1] == [b"x"]
        frames = client.send(bytes(segments * 10 - 3))


def test_a_run_ends_with_its_apdu() -> None:
    client, server = pair(7)
    heard(server, *client.send(b"ask"))
    heard(server, Frame(SERVER, CLIENT, 0x11))  # a poll takes the turn away
    assert server.send(bytes(10)) == server.send(bytes(10)) == ()
    answers, _ = heard(server, Frame(SERVER, CLIENT, 0x11))
    assert said(*answers) == ["I ns=0 nr=1+", "I ns=1 nr=1!"]


# Losses.


@pytest.mark.parametrize("lost", [1, 2])
def test_a_server_tells_what_it_expects_and_the_client_goes_back_there(lost: int) -> None:
    client, server = pair(3)
    run = client.send(bytes(range(45)))
    broken = [frame for number, frame in enumerate(run) if number != lost]
    answers, _ = heard(server, *broken)
    if lost == 2:  # the poll was in it
        assert answers == ()
        assert said(client.on_timeout()) == ["RR nr=0!"]
        answers, _ = heard(server, Frame(SERVER, CLIENT, 0x11))
    assert said(*answers) == [f"RR nr={lost}!"]
    run, _ = heard(client, *answers)
    assert [frame.send_number for frame in run] == list(range(lost, min(lost + 3, 5)))
    answers, apdus = heard(server, *run)
    if lost == 1:
        run, _ = heard(client, *answers)
        answers, apdus = heard(server, *run)
    assert apdus == [bytes(range(45))]
    assert client.repeats == 3 - lost


def test_a_loss_at_the_beginning_of_a_run_waits_for_the_time_out() -> None:
    client, server = pair(3)
    run = client.send(bytes(range(45)))
    answers, _ = heard(server, *run[1:])
    assert said(*answers) == ["RR nr=0!"]
    # It acknowledges nothing: it could be an old one, doubled by the line.
    assert heard(client, *answers) == ((), [])
    assert said(client.on_timeout()) == ["RR nr=0!"]
    assert client.state is State.CHECKING
    run, _ = heard(client, *answers)
    assert said(*run) == ["I ns=0 nr=0+", "I ns=1 nr=0+", "I ns=2 nr=0+!"]
    assert client.repeats == 3


def test_a_doubled_acknowledgement_doubles_nothing() -> None:
    client, server = pair(2)
    answers, _ = heard(server, *client.send(bytes(100)))
    run, _ = heard(client, *answers)
    assert len(run) == 2
    assert heard(client, *answers) == ((), [])
    assert client.repeats == 0


def test_a_doubled_end_of_a_run_doubles_nothing() -> None:
    client, server = pair(2)
    heard(server, *client.send(b"ask"))
    run = server.send(bytes(60))
    assert said(*heard(client, *run)[0]) == ["RR nr=2!"]
    assert heard(client, *run) == ((), [])
    assert client.ignored == 2


def test_rej_says_what_rr_says() -> None:
    client, _ = pair(3)
    client.send(bytes(45))
    assert heard(client, supervisory(0x19)) == ((), [])  # REJ 0: nothing new
    run, _ = heard(client, supervisory(0x39))  # REJ 1
    assert [frame.send_number for frame in run] == [1, 2, 3]
    assert client.repeats == 2


def test_an_acknowledgement_for_what_was_never_sent_is_ignored() -> None:
    client, _ = pair(3)
    client.send(bytes(45))
    for control in (0x91, 0xB1, 0xF1):  # RR 4, 5, 7: three were sent
        assert client.receive(supervisory(control)) is None
    assert heard(client, supervisory(0x71))[0] != ()


def test_a_client_asks_at_once_for_what_got_lost_inside_a_run_of_the_answer() -> None:
    client, server = pair(3)
    heard(server, *client.send(b"ask"))
    answers = server.send(bytes(range(25)))
    polls, apdus = heard(client, answers[0], answers[2])
    assert (said(*polls), apdus) == (["RR nr=1!"], [])
    answers, _ = heard(server, *polls)
    assert said(*answers) == ["I ns=1 nr=1+", "I ns=2 nr=1!"]
    assert heard(client, *answers) == ((), [bytes(range(25))])
    assert (client.repeats, server.repeats) == (0, 2)


def test_the_acknowledgement_inside_a_dropped_segment_counts() -> None:
    client, server = pair(3)
    heard(server, *client.send(b"ask"))
    answers = server.send(bytes(range(25)))
    polls, _ = heard(client, *answers[1:])  # the first got lost, but the others acknowledge the question
    assert said(*polls) == ["RR nr=0!"]
    answers, _ = heard(server, *polls)
    assert heard(client, *answers)[1] == [bytes(range(25))]
    assert client.repeats == 0


@pytest.mark.parametrize("arrive", [0, 1, 2])
def test_after_a_time_out_in_the_answer_the_client_asks_and_does_not_repeat_its_question(arrive: int) -> None:
    client, server = pair(3)
    heard(server, *client.send(bytes(20)))
    answers = server.send(bytes(range(25)))
    assert heard(client, *answers[:arrive]) == ((), [])
    poll = client.on_timeout()
    assert said(poll) == [f"RR nr={arrive}!"]
    answers, _ = heard(server, poll)
    assert heard(client, *answers)[1] == [bytes(range(25))]
    assert client.repeats == 0


def test_a_server_that_takes_nothing_is_given_up() -> None:
    client, _ = pair(7)
    frames = list(client.send(bytes(60)))

    def never_take() -> None:
        for _ in range(100):
            frames.append(client.on_timeout())
            frames.extend(heard(client, supervisory(0x11))[0])

    with pytest.raises(ChannelTimeout, match="asked 4 times"):
        never_take()
    assert said(*frames).count("RR nr=0!") == 3
    assert client.repeats == 21
    assert client.state is State.FAILED


def test_a_time_out_after_a_run_of_one_repeats_it() -> None:
    client, _ = pair(7)
    (question,) = client.send(b"ask")
    assert client.on_timeout() == question
    assert client.repeats == 1


# RNR.


def test_a_server_without_room_says_rnr_and_takes_the_run_later() -> None:
    client, server = pair(3)
    server.has_room = False
    answers, _ = heard(server, *client.send(bytes(range(25))))
    assert said(*answers) == ["RNR nr=0!"]
    assert heard(client, *answers) == ((), [])
    assert client.state is State.BLOCKED
    assert client.wait_seconds == HdlcSettings().poll_interval_seconds
    answers, _ = heard(server, client.on_timeout())
    assert said(*answers) == ["RNR nr=0!"]
    heard(client, *answers)
    server.has_room = True
    answers, _ = heard(server, client.on_timeout())
    assert said(*answers) == ["RR nr=0!"]
    run, _ = heard(client, *answers)
    assert heard(server, *run) == ((), [bytes(range(25))])
    assert client.repeats == 3


def test_a_server_without_room_still_gives_its_answers() -> None:
    client, server = pair(1)
    heard(server, *client.send(b"ask"))
    server.has_room = False
    (answer,) = server.send(b"tell")
    answers, _ = heard(server, Frame(SERVER, CLIENT, 0x11))
    assert answers == (answer,)
    answers, _ = heard(server, Frame(SERVER, CLIENT, 0x12, LLC_REQUEST + b"next"))  # has not heard it
    assert answers == (answer,)
    assert heard(client, *answers)[1] == [b"tell"]


def test_rnr_in_the_middle_of_a_request_holds_the_rest_back() -> None:
    client, _ = pair(3)
    client.send(bytes(45))
    assert heard(client, supervisory(0x55)) == ((), [])  # RNR 2: took two, no more
    assert said(client.on_timeout()) == ["RR nr=0!"]
    run, _ = heard(client, supervisory(0x51))
    assert [frame.send_number for frame in run] == [2, 3, 4]
    assert client.repeats == 1


@pytest.mark.parametrize("window", [1, 3])
def test_a_client_without_room_holds_the_rest_of_the_answer_back(window: int) -> None:
    client, server = pair(window)
    heard(server, *client.send(b"ask"))
    client.has_room = False
    polls, _ = heard(client, *server.send(bytes(range(60))))
    assert said(*polls) == [f"RNR nr={window}!"]
    answers, _ = heard(server, *polls)
    assert said(*answers) == ["RR nr=1!"]
    assert heard(client, *answers) == ((), [])
    assert client.wait_seconds == HdlcSettings().poll_interval_seconds
    poll = client.on_timeout()
    assert said(poll) == [f"RNR nr={window}!"]
    heard(client, *heard(server, poll)[0])
    client.has_room = True
    frames: tuple[Frame, ...] = (client.on_timeout(),)
    assert said(*frames) == [f"RR nr={window}!"]
    apdus: list[bytes] = []
    while not apdus:
        frames, apdus = heard(client, *heard(server, *frames)[0])
    assert apdus == [bytes(range(60))]
    assert (client.repeats, server.repeats) == (0, 0)


def test_a_client_that_never_has_room_gives_up() -> None:
    client, server = pair(1)
    heard(server, *client.send(b"ask"))
    client.has_room = False
    polls, _ = heard(client, *server.send(bytes(60)))

    def never_read(frames: tuple[Frame, ...]) -> None:
        for _ in range(POLLS_MAX + 10):
            heard(client, *heard(server, *frames)[0])
            frames = (client.on_timeout(),)

    with pytest.raises(ChannelTimeout, match=f"this side was busy {POLLS_MAX} times"):
        never_read(polls)


# UI.


def test_what_a_meter_says_unasked_waits_for_its_turn_and_goes_ahead_of_the_answer() -> None:
    client, server = pair(1)
    assert server.send_unasked(b"push") == ()
    assert heard(server, *client.send(b"ask")) == ((Frame(CLIENT, SERVER, UI, LLC_RESPONSE + b"push"),), [b"ask"])
    (answer,) = server.send(b"tell")
    assert heard(client, answer)[1] == [b"tell"]
    assert server.send_unasked(b"more") == ()
    answers, _ = heard(server, Frame(SERVER, CLIENT, 0x31))
    assert said(*answers) == ["UI", "RR nr=1!"]


def test_a_meter_that_thinks_may_say_something_else_meanwhile() -> None:
    client, server = pair(1)
    heard(server, *client.send(b"ask"))
    assert said(*server.send_unasked(b"push")) == ["UI"]
    assert said(*server.send(b"tell")) == ["I ns=0 nr=1!"]


def test_a_meter_alone_on_its_line_may_speak_at_once() -> None:
    _, server = connected(HdlcSettings(), HdlcSettings(unasked_at_once=True))
    (frame,) = server.send_unasked(b"push")
    assert said(frame) == ["UI"]
    assert server.send_unasked(b"push") == (frame,)


def test_unasked_words_that_nobody_fetches_are_not_kept_without_limit() -> None:
    _, server = pair(1)
    for _ in range(UNASKED_MAX):
        server.send_unasked(b"push")
    with pytest.raises(NotSentError, match="8 notifications wait already"):
        server.send_unasked(b"push")


@pytest.mark.parametrize(("size", "words"), [(126, "at most 125 bytes on this connection, not 126"), (0, "not 0")])
def test_what_does_not_fit_into_one_ui_frame_is_not_sent(size: int, words: str) -> None:
    for side in pair(1, 128):
        with pytest.raises(NotSentError, match=words):
            side.send_unasked(bytes(size))
        side.send_unasked(bytes(125))


def test_a_ui_frame_changes_nothing_in_an_exchange() -> None:
    client, server = pair(3)
    push, ask = Frame(CLIENT, SERVER, UI, LLC_RESPONSE + b"push"), client.send_unasked(b"hint")
    for frame in client.send(bytes(20)):
        assert client.unasked(push) == b"push"
        assert server.receive(ask) == ((), b"hint")
        reaction = server.receive(frame)
    assert reaction == ((), bytes(20))
    assert server.receive(ask) == ((), b"hint")
    assert said(*server.send(b"tell")) == ["I ns=0 nr=3!"]


@pytest.mark.parametrize("control", [0x03, 0x13])
@pytest.mark.parametrize(
    ("information", "segmented"),
    [(b"", False), (b"\xe6\xe7\x00", False), (b"push", False), (LLC_RESPONSE + b"push", True)],
)
def test_ui_frames_without_a_whole_apdu_are_dropped(control: int, information: bytes, segmented: bool) -> None:
    client, server = pair(1)
    assert client.unasked(Frame(CLIENT, SERVER, control, information, segmented)) is None
    assert server.receive(Frame(SERVER, CLIENT, control, information, segmented)) is None
    assert (client.ignored, server.ignored) == (1, 1)


def test_without_room_a_ui_frame_is_dropped() -> None:
    client, _ = pair(1)
    client.has_room = False
    assert client.unasked(Frame(CLIENT, SERVER, UI, LLC_RESPONSE + b"push")) is None


def test_a_client_sends_ui_frames_only_between_exchanges() -> None:
    client, _ = pair(1)
    assert said(client.send_unasked(b"hint")) == ["UI"]
    client.send(b"ask")
    with pytest.raises(NotSentError, match="cannot send unasked on an HDLC connection that is sending"):
        client.send_unasked(b"hint")


# Both on a bad line, octet by octet.

FATES = ("arrives", "is lost", "arrives twice", "is broken")
STEPS_MAX = 20_000


@dataclass
class BadLine:
    """Two cores with a line between them on which each frame has its fate; nothing takes time but a time-out."""

    client: HdlcClientConnection
    server: HdlcServerConnection
    fates: deque[tuple[str, int]]
    heard: list[bytes] = field(default_factory=list)
    answers: list[bytes] = field(default_factory=list)
    pushed: list[bytes] = field(default_factory=list)
    segments: Counter[int] = field(default_factory=Counter)
    """I frames said to each side, by its ``id``."""
    deaf_for: int = 0
    """So often the server has no room yet."""

    def __post_init__(self) -> None:
        self._on_the_way: deque[tuple[Side, bytes]] = deque()
        self._receivers: dict[int, FrameReceiver] = {id(side): FrameReceiver() for side in (self.client, self.server)}

    def put(self, receiver: Side, *frames: Frame) -> None:
        for frame in frames:
            self.segments[id(receiver)] += frame.kind is Kind.INFORMATION
            fate, bit = self.fates.popleft() if self.fates else ("arrives", 0)
            wire = bytearray(frame.encode())
            if fate == "is broken":
                wire[bit // 8 % len(wire)] ^= 1 << bit % 8
            times = 0 if fate == "is lost" else 2 if fate == "arrives twice" else 1
            self._on_the_way.extend([(receiver, bytes(wire))] * times)

    def exchange(self, question: bytes) -> None:
        """Ask until there is an answer. Raises what the cores raise."""
        self.put(self.server, *self.client.send(question))
        for _ in range(STEPS_MAX):
            if not self.client.asking:
                return
            if self._on_the_way:
                receiver, wire = self._on_the_way.popleft()
                self._take(receiver, self._receivers[id(receiver)].receive(wire))
            elif not self._resynchronised():
                self.server.has_room = self.deaf_for <= 0
                self.deaf_for -= 1
                self.put(self.server, self.client.on_timeout())
        raise AssertionError("a livelock")

    def _resynchronised(self) -> bool:
        """Frames stood behind the beginning of a broken one."""
        found = False
        for side in (self.client, self.server):
            frames = self._receivers[id(side)].resynchronise()
            self._take(side, frames)
            found = found or bool(frames)
        return found

    def _take(self, receiver: Side, frames: list[Frame]) -> None:
        for frame in frames:
            if receiver is self.client and frame.kind is Kind.UI:
                self.pushed.append(self.client.unasked(frame) or b"")
                continue
            reaction = receiver.receive(frame)
            if reaction is None:
                continue
            self.put(self.client if receiver is self.server else self.server, *reaction.frames)
            if reaction.apdu is not None and receiver is self.client:
                self.answers.append(reaction.apdu)
            elif reaction.apdu is not None:
                self._answer(reaction.apdu)

    def _answer(self, apdu: bytes) -> None:
        self.heard.append(apdu)
        if len(apdu) % 3 == 0:
            self.put(self.client, *self.server.send_unasked(apdu[:3]))
        self.put(self.client, *self.server.send(apdu[::-1] * 2))


fates = st.lists(st.tuples(st.sampled_from(FATES), st.integers(0, 4000)), max_size=80)
sides = st.builds(HdlcSettings, info_max=st.sampled_from([8, 9, 16, 128]), window_max=st.integers(1, 7))
questions_lists = st.lists(st.binary(min_size=1, max_size=150), min_size=1, max_size=6)


@settings(max_examples=600, deadline=None)
@given(sides, sides, questions_lists, fates, st.integers(0, 3))
def test_each_apdu_arrives_once_and_in_order_or_the_connection_ends(
    asking: HdlcSettings,
    answering: HdlcSettings,
    questions: list[bytes],
    fates: list[tuple[str, int]],
    deaf_for: int,
) -> None:
    client, server = connected(asking, answering)
    line = BadLine(client, server, deque(fates), deaf_for=deaf_for)
    server.has_room = deaf_for == 0
    expected = [question[::-1] * 2 for question in questions]
    try:
        for question in questions:
            line.exchange(question)
    except ChannelError:
        assert client.state is State.FAILED
        assert line.heard == questions[: len(line.heard)]
        assert line.answers == expected[: len(line.answers)]
        assert len(line.answers) <= len(line.heard) <= len(line.answers) + 1
        assert {fate for fate, _ in fates} & {"is lost", "is broken"}
        return
    assert line.heard == questions
    assert line.answers == expected
    assert set(line.pushed) <= {question[:3] for question in questions}
    for side, apdus in ((client, questions), (server, expected)):
        needed = sum(-(-(len(LLC_REQUEST) + len(apdu)) // side.parameters.info_max_tx) for apdu in apdus)
        assert line.segments[id(server if side is client else client)] == needed + side.repeats
    if {fate for fate, _ in fates} <= {"arrives", "arrives twice"} and deaf_for == 0:
        assert client.repeats == 0


@pytest.mark.parametrize("window", range(1, 8))
@pytest.mark.parametrize("seed", range(5))
def test_a_line_that_loses_a_tenth_of_all_frames_still_works(window: int, seed: int) -> None:
    both = HdlcSettings(info_max=10, window_max=window, retries=10)
    client, server = connected(both, both)
    chance = random.Random(seed)
    fates = [("is lost" if chance.random() < 0.1 else "arrives", 0) for _ in range(3000)]
    line = BadLine(client, server, deque(fates))
    questions = [bytes([number]) * 60 for number in range(20)]
    for question in questions:
        line.exchange(question)
    assert line.heard == questions, f"seed {seed}"
    assert line.answers == [question * 2 for question in questions]
    assert client.repeats + server.repeats > 0


controls = st.integers(0, 255) | st.sampled_from([number << 1 for number in range(8)])


@settings(max_examples=300)
@given(
    st.integers(1, 7),
    st.lists(st.builds(Frame, st.just(CLIENT), st.just(SERVER), controls, st.binary(max_size=30), st.booleans())),
)
def test_any_frames_at_all_raise_only_channel_errors_at_the_client(window: int, frames: list[Frame]) -> None:
    client, _ = pair(window)
    client.send(bytes(90))
    for frame in frames:
        try:
            client.receive(frame)
            client.unasked(frame)
        except ChannelError:
            break
    assert client.wait_seconds is None or client.asking


@settings(max_examples=300)
@given(
    st.integers(1, 7),
    st.lists(st.builds(Frame, st.just(SERVER), st.just(CLIENT), controls, st.binary(max_size=30), st.booleans())),
)
def test_any_frames_at_all_raise_only_channel_errors_at_the_server(window: int, frames: list[Frame]) -> None:
    _, server = pair(window)
    for frame in frames:
        try:
            reaction = server.receive(frame)
        except ChannelError:
            break
        if reaction is not None and reaction.apdu is not None:
            server.send(reaction.apdu)
    assert len(server.send(b"x")) <= window
