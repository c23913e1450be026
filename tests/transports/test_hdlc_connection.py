"""The pure HDLC cores: scenes frame by frame, then client against server over a line that loses and doubles."""

from __future__ import annotations

from collections import deque
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from transports.channel import ChannelClosed, ChannelError, ChannelGarbled, ChannelTimeout, NotSentError
from transports.hdlc.client import TRANSITIONS, Event, HdlcClientConnection, State
from transports.hdlc.connection import LLC_REQUEST, LLC_RESPONSE, HdlcSettings, Parameters
from transports.hdlc.frame import DM, FRMR, Frame, HdlcAddress, Kind
from transports.hdlc.server import HdlcServerConnection

CLIENT = HdlcAddress.client(1)
SERVER = HdlcAddress.server(1, 17)
SMALL = HdlcSettings(info_max=10)


def from_server(control: int, information: bytes = b"", *, segmented: bool = False) -> Frame:
    return Frame(CLIENT, SERVER, control, information, segmented)


def from_client(control: int, information: bytes = b"", *, segmented: bool = False) -> Frame:
    return Frame(SERVER, CLIENT, control, information, segmented)


def connected(settings: HdlcSettings = SMALL) -> tuple[HdlcClientConnection, HdlcServerConnection]:
    client = HdlcClientConnection(CLIENT, SERVER, settings)
    snrm = client.connect()
    server = HdlcServerConnection(SERVER, CLIENT, settings, snrm.information)
    client.receive(server.accept())
    assert client.state is State.READY
    return client, server


def said(*frames: Frame) -> str:
    """Frames as people write them."""
    return ", ".join(map(_said, frames))


def _said(frame: Frame) -> str:
    numbers = f" ns={frame.send_number}" if frame.kind is Kind.INFORMATION else ""
    numbers += f" nr={frame.receive_number}" if frame.kind.value in {"I", "RR", "RNR"} else ""
    return f"{frame.kind.value}{numbers}{' +' if frame.segmented else ''}"


def exchange(client: HdlcClientConnection, server: HdlcServerConnection, request: bytes, answer: bytes) -> list[str]:
    """One question and answer on a perfect line; what was said, in order."""
    log = []
    frames = client.send(request)
    heard = got = None
    while frames:
        answers: tuple[Frame, ...] = ()
        for frame in frames:
            log.append(said(frame))
            reaction = server.receive(frame)
            assert reaction is not None
            answers += reaction.frames
            if reaction.apdu is not None:
                heard = reaction.apdu
                answers += server.send(answer)
        frames = ()
        for frame in answers:
            log.append(said(frame))
            reaction = client.receive(frame)
            assert reaction is not None
            frames += reaction.frames
            if reaction.apdu is not None:
                got = reaction.apdu
    assert (heard, got) == (request, answer)
    assert client.wait_seconds is None
    return log


# Connecting.


def test_snrm_names_its_wishes_only_if_they_are_not_the_defaults() -> None:
    assert HdlcClientConnection(CLIENT, SERVER, HdlcSettings()).connect().information == b""
    snrm = HdlcClientConnection(CLIENT, SERVER, HdlcSettings(info_max=2030)).connect()
    assert Parameters.decode(snrm.information) == Parameters(2030, 2030, 1, 1)


def test_a_ua_without_parameters_means_the_defaults() -> None:
    client = HdlcClientConnection(CLIENT, SERVER, HdlcSettings(info_max=2030))
    client.connect()
    client.receive(from_server(0x73))
    assert client.parameters == Parameters(128, 128, 1, 1)


def test_the_smaller_information_field_wins_in_each_direction() -> None:
    client = HdlcClientConnection(CLIENT, SERVER, HdlcSettings(info_max=500))
    client.connect()
    client.receive(from_server(0x73, Parameters(info_max_tx=200, info_max_rx=40).encode()))
    assert (client.parameters.info_max_tx, client.parameters.info_max_rx) == (40, 200)
    assert len(client.send(bytes(100))[0].information) == 40


def test_a_ua_that_nobody_can_read_is_garbled() -> None:
    client = HdlcClientConnection(CLIENT, SERVER, SMALL)
    client.connect()
    with pytest.raises(ChannelGarbled):
        client.receive(from_server(0x73, b"\x81\x80\x05"))
    assert client.disconnect() is not None  # the meter thinks that it is connected


def test_an_snrm_that_nobody_can_read_is_garbled() -> None:
    with pytest.raises(ChannelGarbled):
        HdlcServerConnection(SERVER, CLIENT, SMALL, b"\x81\x80\x05")


def test_snrm_is_repeated_and_then_given_up() -> None:
    client = HdlcClientConnection(CLIENT, SERVER, HdlcSettings(retries=2, response_timeout_seconds=7))
    snrm = client.connect()
    assert client.wait_seconds == 7
    assert [client.on_timeout(), client.on_timeout()] == [snrm, snrm]
    with pytest.raises(ChannelTimeout, match="no answer while connecting, asked 3 times, 7 s each"):
        client.on_timeout()
    assert client.repeats == 0  # no APDU was in it
    assert client.wait_seconds is None


def test_dm_to_snrm_is_a_refusal() -> None:
    client = HdlcClientConnection(CLIENT, SERVER, SMALL)
    client.connect()
    with pytest.raises(ChannelClosed, match="refused to connect"):
        client.receive(from_server(DM))
    assert client.disconnect() is None


# Exchanges.


def test_short_question_short_answer() -> None:
    client, server = connected()
    assert exchange(client, server, b"ask", b"tell") == ["I ns=0 nr=0", "I ns=0 nr=1"]
    assert exchange(client, server, b"ask", b"tell") == ["I ns=1 nr=1", "I ns=1 nr=2"]


def test_long_question_long_answer_in_segments() -> None:
    client, server = connected()
    assert exchange(client, server, bytes(range(25)), bytes(range(18))) == [
        "I ns=0 nr=0 +",
        "RR nr=1",
        "I ns=1 nr=0 +",
        "RR nr=2",
        "I ns=2 nr=0",
        "I ns=0 nr=3 +",
        "RR nr=1",
        "I ns=1 nr=3 +",
        "RR nr=2",
        "I ns=2 nr=3",
    ]


def test_the_llc_header_stands_once_in_the_first_segment() -> None:
    client, server = connected()
    (first,) = client.send(bytes(20))
    assert first.information == LLC_REQUEST + bytes(7)
    client.receive(from_server(0x31))
    reaction = server.receive(first)
    assert reaction is not None
    assert said(*reaction.frames) == "RR nr=1"
    assert client._run()[0].information == bytes(10)
    server = HdlcServerConnection(SERVER, CLIENT, SMALL, b"")
    server.receive(from_client(0x10, LLC_REQUEST + b"x"))
    (answer,) = server.send(b"y")
    assert answer.information == LLC_RESPONSE + b"y"


def test_numbers_go_round_after_seven() -> None:
    client, server = connected()
    for number in range(20):
        request = bytes([number]) * (1 + number * 3)
        log = exchange(client, server, request, request[::-1])
        assert len(log) % 2 == 0


@given(st.lists(st.tuples(st.integers(1, 300), st.integers(1, 300)), max_size=6), st.sampled_from([8, 9, 40, 128]))
def test_apdus_of_any_size_arrive_whole(sizes: list[tuple[int, int]], info_max: int) -> None:
    client, server = connected(HdlcSettings(info_max=info_max))
    for asked, told in sizes:
        exchange(client, server, bytes(asked), bytes(told))
    assert client.repeats == server.repeats == 0


# Time-outs and repetitions, client.


def test_the_same_frame_is_repeated_with_the_same_number() -> None:
    client, _ = connected()
    (first,) = client.send(b"ask")
    assert client.on_timeout() == client.on_timeout() == first
    assert client.repeats == 2


def test_after_the_last_repetition_the_connection_is_given_up_and_only_disc_is_left() -> None:
    client, _ = connected()
    client.send(b"ask")
    for _ in range(3):
        client.on_timeout()
    with pytest.raises(ChannelTimeout, match="while sending, asked 4 times"):
        client.on_timeout()
    with pytest.raises(NotSentError, match="cannot send on an HDLC connection that is failed"):
        client.send(b"again")
    disc = client.disconnect()
    assert disc is not None
    assert said(disc) == "DISC"


def test_an_answer_repeated_by_the_line_is_handed_over_once() -> None:
    client, _ = connected()
    client.send(b"ask")
    answer = from_server(0x30, LLC_RESPONSE + b"tell")
    assert client.receive(answer) is not None
    assert client.receive(answer) is None
    client.send(b"next")
    assert client.receive(answer) is None
    assert client.ignored == 2


def test_a_repeated_acknowledgement_does_not_send_a_segment_again() -> None:
    client, _ = connected()
    client.send(bytes(20))
    go_on = client.receive(from_server(0x31))
    assert go_on is not None
    assert said(*go_on.frames) == "I ns=1 nr=0 +"
    assert client.receive(from_server(0x31)) is None
    assert client.repeats == 0


def test_a_segment_lost_on_the_way_back_is_asked_for_again_with_rr() -> None:
    client, _ = connected()
    client.send(b"ask")
    reaction = client.receive(from_server(0x30, LLC_RESPONSE + b"te", segmented=True))
    assert reaction is not None
    assert said(*reaction.frames) == "RR nr=1"
    assert said(client.on_timeout()) == "RR nr=1"
    reaction = client.receive(from_server(0x32, b"ll"))
    assert reaction is not None
    assert reaction.apdu == b"tell"
    assert client.repeats == 0


def test_an_answer_that_does_not_acknowledge_the_question_is_not_an_answer() -> None:
    client, _ = connected()
    client.send(b"ask")
    assert client.receive(from_server(0x10, LLC_RESPONSE + b"old")) is None
    assert client.asking


# A busy server.


def test_a_server_that_is_busy_with_the_answer_is_polled() -> None:
    client, _ = connected(HdlcSettings(poll_interval_seconds=0.25))
    client.send(b"ask")
    assert client.receive(from_server(0x31)) is not None  # RR: taken, nothing to say yet
    assert client.state is State.POLLING
    assert client.wait_seconds == 0.25
    assert said(client.on_timeout()) == "RR nr=0"
    assert client.wait_seconds == 5.0
    client.receive(from_server(0x35))  # RNR: the same
    assert client.wait_seconds == 0.25
    assert said(client.on_timeout()) == "RR nr=0"
    reaction = client.receive(from_server(0x30, LLC_RESPONSE + b"tell"))
    assert reaction is not None
    assert reaction.apdu == b"tell"
    assert client.repeats == 0


def test_a_poll_that_is_not_answered_is_repeated_and_given_up() -> None:
    client, _ = connected()
    client.send(b"ask")
    client.receive(from_server(0x31))
    polls = [said(client.on_timeout()) for _ in range(4)]
    assert polls == ["RR nr=0"] * 4
    with pytest.raises(ChannelTimeout):
        client.on_timeout()


def test_a_server_that_is_busy_for_ever_is_given_up() -> None:
    client, _ = connected()
    client.send(b"ask")

    def poll_for_ever() -> None:
        while True:
            client.receive(from_server(0x31))
            client.on_timeout()

    with pytest.raises(ChannelTimeout, match="busy 600 times"):
        poll_for_ever()


def test_a_server_not_ready_for_a_segment_gets_it_when_it_is() -> None:
    client, _ = connected()
    client.send(bytes(20))
    client.receive(from_server(0x15))  # RNR 0: did not even take the first
    assert client.state is State.BLOCKED
    assert said(client.on_timeout()) == "RR nr=0"
    reaction = client.receive(from_server(0x11))  # RR 0: now
    assert reaction is not None
    assert said(*reaction.frames) == "I ns=0 nr=0 +"
    assert client.repeats == 1
    client.receive(from_server(0x35))  # RNR 1: took it, but no more
    assert said(client.on_timeout()) == "RR nr=0"
    reaction = client.receive(from_server(0x31))
    assert reaction is not None
    assert said(*reaction.frames) == "I ns=1 nr=0 +"
    assert client.repeats == 1


# The end.


def test_dm_ends_the_connection() -> None:
    client, _ = connected()
    client.send(b"ask")
    with pytest.raises(ChannelClosed, match="not connected"):
        client.receive(from_server(DM))
    assert client.state is State.ENDED
    assert client.disconnect() is None


def test_frmr_ends_the_connection_and_disc_resets_the_other_side() -> None:
    client, _ = connected()
    with pytest.raises(ChannelClosed, match="FRMR 100001"):
        client.receive(from_server(FRMR, bytes.fromhex("100001")))
    disc = client.disconnect()
    assert disc is not None
    assert said(disc) == "DISC"


@pytest.mark.parametrize("answer", [0x73, DM])
def test_disc_is_done_with_ua_and_with_dm(answer: int) -> None:
    client, _ = connected()
    disc = client.disconnect()
    assert disc is not None
    assert said(disc) == "DISC"
    client.receive(from_server(answer))
    assert client.state is State.ENDED
    assert client.wait_seconds is None


@pytest.mark.parametrize("information", [b"", b"\xe6\xe7", b"\xe6\xe7\x00", b"\xc4\x01\xc1\x00"])
def test_an_answer_without_llc_header_or_apdu_is_garbled(information: bytes) -> None:
    client, _ = connected()
    client.send(b"ask")
    with pytest.raises(ChannelGarbled):
        client.receive(from_server(0x30, information))
    assert client.state is State.FAILED


def test_an_answer_that_never_ends_is_cut_off() -> None:
    client, server = connected(HdlcSettings(apdu_size_max=100))
    client.send(b"ask")
    server.receive(from_client(0x10, LLC_REQUEST + b"ask"))

    def flood(number: int = 0) -> None:
        while True:
            control = 0x30 | number << 1
            client.receive(from_server(control, (b"" if number else LLC_RESPONSE) + bytes(40), segmented=True))
            number = (number + 1) % 8

    with pytest.raises(ChannelGarbled, match="beyond 100 bytes"):
        flood()


@pytest.mark.parametrize("size", [0, 101])
def test_apdus_of_impossible_size_are_not_sent(size: int) -> None:
    client, server = connected(HdlcSettings(apdu_size_max=100))
    for connection in (client, server):
        with pytest.raises(NotSentError, match=f"1 to 100 bytes, not {size}"):
            connection.send(bytes(size))
    exchange(client, server, b"still", b"fine")


def test_every_own_step_that_the_table_does_not_name_is_refused() -> None:
    def step(client: HdlcClientConnection, event: Event) -> object:
        return client.connect() if event is Event.CONNECT else client.send(b"x")

    for state in State:
        for event in (Event.CONNECT, Event.SEND):
            client, _ = connected()
            client.state = state
            if (state, event) in TRANSITIONS:
                step(client, event)
            else:
                with pytest.raises(NotSentError, match=f"cannot {event.value}"):
                    step(client, event)
                assert client.state is state


# The server.


def test_a_repeated_question_is_not_handed_over_twice_and_gets_its_answer_again() -> None:
    _, server = connected()
    question = from_client(0x10, LLC_REQUEST + b"ask")
    first = server.receive(question)
    assert first is not None
    assert first.apdu == b"ask"
    waiting = server.receive(question)  # the meter still thinks
    assert waiting is not None
    assert waiting == ((), None)
    answer = server.send(b"tell")
    assert said(*answer) == "I ns=0 nr=1"
    again = server.receive(question)
    assert again is not None
    assert again == (answer, None)
    assert server.repeats == 1


def test_a_repeated_segment_is_acknowledged_again_and_not_kept_twice() -> None:
    _, server = connected()
    segment = from_client(0x10, LLC_REQUEST + b"as", segmented=True)
    for _ in range(2):
        reaction = server.receive(segment)
        assert reaction is not None
        assert said(*reaction.frames) == "RR nr=1"
    reaction = server.receive(from_client(0x12, b"k"))
    assert reaction is not None
    assert reaction.apdu == b"ask"


def test_a_poll_while_the_meter_thinks_gets_rr_and_the_answer_waits_for_the_next_poll() -> None:
    _, server = connected()
    server.receive(from_client(0x10, LLC_REQUEST + b"ask"))
    reaction = server.receive(from_client(0x11))
    assert reaction is not None
    assert said(*reaction.frames) == "RR nr=1"
    assert server.send(b"tell") == ()  # not our turn to speak
    reaction = server.receive(from_client(0x11))
    assert reaction is not None
    assert said(*reaction.frames) == "I ns=0 nr=1"
    assert server.repeats == 0


def test_a_poll_after_the_answer_was_lost_gets_it_again() -> None:
    _, server = connected()
    server.receive(from_client(0x10, LLC_REQUEST + b"ask"))
    answer = server.send(b"tell")
    for control in (0x11, 0x19):  # RR, REJ
        reaction = server.receive(from_client(control))
        assert reaction is not None
        assert reaction.frames == answer


def test_rnr_of_the_client_holds_the_answer_back() -> None:
    _, server = connected()
    server.receive(from_client(0x10, LLC_REQUEST + b"ask"))
    server.send(bytes(20))
    reaction = server.receive(from_client(0x35))
    assert reaction is not None
    assert said(*reaction.frames) == "RR nr=1"
    reaction = server.receive(from_client(0x31))
    assert reaction is not None
    assert said(*reaction.frames) == "I ns=1 nr=1 +"


def test_an_idle_poll_is_answered_with_rr() -> None:
    _, server = connected()
    reaction = server.receive(from_client(0x11))
    assert reaction is not None
    assert said(*reaction.frames) == "RR nr=0"


def test_a_client_that_asks_on_without_taking_its_answer_gets_the_old_one_first() -> None:
    _, server = connected()
    server.receive(from_client(0x10, LLC_REQUEST + b"one"))
    (first,) = server.send(b"first")
    reaction = server.receive(from_client(0x12, LLC_REQUEST + b"two"))  # N(R) says: first not received
    assert reaction is not None
    assert reaction.apdu == b"two"
    assert reaction.frames[0].information == first.information
    assert server.send(b"second") == ()
    reaction = server.receive(from_client(0x31))
    assert reaction is not None
    assert said(*reaction.frames) == "I ns=1 nr=2"


def test_frames_out_of_order_and_unknown_ones_are_ignored() -> None:
    _, server = connected()
    for frame in (
        from_client(0x14, LLC_REQUEST + b"x"),  # N(S) 2 where 0 is expected
        from_client(0x71),  # RR for a frame that was never sent
        from_client(0x13, b"push"),  # UI
        from_client(0x73),
        from_client(0xFF),
    ):
        assert server.receive(frame) is None
    assert server.ignored == 5


def test_answers_that_nobody_fetches_are_not_kept_without_limit() -> None:
    _, server = connected()

    def pile_up() -> None:
        while True:
            server.send(bytes(10_000))

    with pytest.raises(NotSentError, match="has not fetched"):
        pile_up()


# Both, on a bad line.

FAULTS = ("arrives", "is lost", "arrives twice")


def talk(
    client: HdlcClientConnection,
    server: HdlcServerConnection,
    questions: list[bytes],
    fate: deque[str],
    heard: list[bytes],
    answers: list[bytes],
) -> None:
    """Ask all questions over a line where each frame has its fate; a time-out comes when nothing is on the way."""
    line: deque[tuple[HdlcClientConnection | HdlcServerConnection, Frame]] = deque()

    def put(receiver: HdlcClientConnection | HdlcServerConnection, *frames: Frame) -> None:
        for frame in frames:
            times = FAULTS.index(fate.popleft()) if fate else 0
            line.extend([(receiver, frame)] * (1, 0, 2)[times])

    for question in questions:
        put(server, *client.send(question))
        while client.asking:
            if not line:
                put(server, client.on_timeout())
                continue
            receiver, frame = line.popleft()
            reaction = receiver.receive(frame)
            if reaction is None:
                continue
            put(client if receiver is server else server, *reaction.frames)
            if reaction.apdu is not None and receiver is client:
                answers.append(reaction.apdu)
            elif reaction.apdu is not None:
                heard.append(reaction.apdu)
                put(client, *server.send(reaction.apdu[::-1] * 2))


@settings(max_examples=400)
@given(
    st.lists(st.binary(min_size=1, max_size=45), min_size=1, max_size=12),
    st.lists(st.sampled_from(FAULTS), max_size=60).map(deque),
)
def test_each_apdu_arrives_once_and_in_order_or_the_connection_ends(questions: list[bytes], fate: deque[str]) -> None:
    client, server = connected()
    heard: list[bytes] = []
    answers: list[bytes] = []
    nothing_lost = "is lost" not in fate
    expected = [question[::-1] * 2 for question in questions]
    try:
        talk(client, server, questions, fate, heard, answers)
    except ChannelError:
        assert client.state is State.FAILED
        assert heard == questions[: len(heard)]
        assert answers == expected[: len(answers)]
        assert len(answers) <= len(heard) <= len(answers) + 1
        return
    assert heard == questions
    assert answers == expected
    if nothing_lost:
        assert client.repeats == 0


def test_a_line_that_loses_every_third_frame_still_works() -> None:
    client, server = connected()
    questions = [bytes([number]) * 30 for number in range(10)]
    heard: list[bytes] = []
    answers: list[bytes] = []
    talk(client, server, questions, deque(["is lost", "arrives", "arrives"] * 500), heard, answers)
    assert heard == questions
    assert len(answers) == 10
    assert client.repeats > 0


@given(st.lists(st.builds(Frame, st.just(CLIENT), st.just(SERVER), st.integers(0, 255), st.binary(max_size=30))))
def test_any_frames_at_all_raise_only_channel_errors_at_the_client(frames: list[Frame]) -> None:
    client, _ = connected()
    client.send(bytes(30))
    for frame in frames:
        try:
            client.receive(frame)
        except ChannelError:
            break
    assert (client.wait_seconds is None) or client.asking


@given(st.lists(st.builds(Frame, st.just(SERVER), st.just(CLIENT), st.integers(0, 255), st.binary(max_size=30))))
def test_any_frames_at_all_raise_only_channel_errors_at_the_server(frames: list[Frame]) -> None:
    _, server = connected()
    for frame in frames:
        try:
            reaction = server.receive(frame)
        except ChannelError:
            break
        if reaction is not None and reaction.apdu is not None:
            server.send(reaction.apdu)


def test_the_table_reaches_every_state() -> None:
    reached = {State.DISCONNECTED}
    for _ in pairwise(State):
        reached |= {after for (before, _event), after in TRANSITIONS.items() if before in reached}
    assert reached == set(State)
