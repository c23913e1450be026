"""General block transfer: with ourselves at every size, and with the ways in which other stacks speak it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from hypothesis import given
from hypothesis import strategies as st

from cosem_objects import axdr
from cosem_objects.axdr import Data
from cosem_objects.dlms import apdu as xdlms
from cosem_objects.dlms import general_block_transfer
from cosem_objects.dlms.apdu import (
    ActionResponse,
    Conformance,
    ExceptionResponse,
    GeneralBlockTransfer,
    GetResponse,
    Request,
    SetResponse,
)
from cosem_objects.dlms.ciphered import CipheredApdu
from cosem_objects.dlms.client import State as ClientState
from cosem_objects.dlms.conformance import CLIENT_OFFERED
from cosem_objects.dlms.general_block_transfer import GeneralTransfer, Whole
from cosem_objects.dlms.security import InvocationCounters
from cosem_objects.dlms.settings import Ciphering, SecuritySettings
from cosem_objects.errors import LocalProtocolError, RemoteProtocolError
from tests.cosem_objects.conversation import ACTION, CLEAR, GENERAL, GET, SECURE, SET, STEPS_MAX, Conversation
from tests.cosem_objects.strategies import understood
from tests.cosem_objects.test_block_transfer import FORMS, KINDS, assert_all_arrives, assert_limits_are_kept

GENERAL_ONLY = (
    CLIENT_OFFERED
    & ~Conformance.BLOCK_TRANSFER_WITH_GET
    & ~Conformance.BLOCK_TRANSFER_WITH_SET
    & ~Conformance.BLOCK_TRANSFER_WITH_ACTION
)
SECURE_WITHOUT_HLS = FORMS[3]
SMALLEST = 12
"""The smallest PDU size that a client may have (IEC 62056-5-3)."""


def octets(size: int) -> Data:
    return axdr.octet_string(bytes(number & 0xFF for number in range(size)))


def general(
    client_limit: int = 0, meter_limit: int = 0, settings: SecuritySettings = CLEAR, offered: Conformance = GENERAL_ONLY
) -> Conversation:
    """An association that stands, and that agreed to general block transfer."""
    conversation = Conversation(
        settings, client_pdu_size_max=client_limit, meter_pdu_size_max=meter_limit, offered=offered
    )
    conversation.associate()
    return conversation


def read(block: str | bytes) -> GeneralBlockTransfer:
    decoded = xdlms.decode(bytes.fromhex(block) if isinstance(block, str) else block)
    assert isinstance(decoded, GeneralBlockTransfer)
    return decoded


def reaction(transfer: GeneralTransfer, block: str | bytes) -> str | Whole | None:
    """What a transfer says to a block; octets in hex."""
    answer = transfer.receive(read(block))
    return answer.hex() if isinstance(answer, bytes) else answer


# With ourselves.


def test_the_dialogue_of_a_long_request_and_a_long_answer() -> None:
    # By hand: SET is answered in one APDU, the GET after it is not. The first octet of each part is the tag, then
    # last 80 | window 16, own number, acknowledged number, length.
    conversation = general(16, 20)
    conversation.ask(replace(SET, data=octets(8)), SetResponse(0))
    conversation.ask(replace(ACTION, data=octets(1)), ActionResponse(0, octets(10)))
    wire = [octets_.hex() for pair in zip(conversation.sent, conversation.answered, strict=True) for octets_ in pair]
    assert wire[2:] == [
        text.replace(" ", "")
        for text in [
            "e0 10 0001 0000 0b c101c1 0008 0000010000ff",  # the request: 23 octets in blocks of 11
            "e0 90 0001 0001 00",
            "e0 10 0002 0001 0b 02 00 0908 00010203040506",
            "e0 90 0002 0002 00",
            "e0 90 0003 0002 01 07",
            "c501c1 00",
            "c301c2 0073 0000132800ff 01 01 0901 00",  # 16 octets, which fit
            "e0 10 0001 0000 07 c701c2 00 01 00 09",  # the answer: 18 octets in blocks of 7
            "e0 90 0001 0001 00",
            "e0 10 0002 0001 07 0a 000102030405",
            "e0 90 0002 0002 00",
            "e0 90 0003 0002 04 06070809",
        ]
    ]


@pytest.mark.parametrize("settings", FORMS, ids=repr)
def test_everything_arrives_whole_at_every_size(settings: SecuritySettings) -> None:
    some = {*range(SMALLEST, SMALLEST + 4), 35, 64, *range(126, 131), *range(254, 259), 300}
    for limit in range(SMALLEST, 301) if settings is CLEAR else sorted(some):
        conversation = general(limit, limit, settings)
        for kind in KINDS:
            assert_all_arrives(conversation, kind, 100 + limit % 7)
        assert_limits_are_kept(conversation, limit, limit)
        conversation.client.release()  # too long for the smallest; ends the client's half


@given(
    st.sampled_from(FORMS),
    st.just(0) | st.just(SMALLEST) | st.integers(SMALLEST, 300),
    st.just(0) | st.just(SMALLEST) | st.integers(SMALLEST, 300),
    st.sampled_from([GENERAL_ONLY, CLIENT_OFFERED]),
    st.lists(st.tuples(st.sampled_from(sorted(KINDS)), st.integers(0, 400)), min_size=1, max_size=3),
)
def test_one_exchange_after_the_other_with_all_blocks_agreed_or_general_ones_alone(
    settings: SecuritySettings,
    client_limit: int,
    meter_limit: int,
    offered: Conformance,
    asked: list[tuple[str, int]],
) -> None:
    conversation = general(client_limit, meter_limit, settings, offered)
    for kind, size in asked:
        assert_all_arrives(conversation, kind, size)
    assert_limits_are_kept(conversation, client_limit, meter_limit)


def test_the_blocks_of_the_services_are_preferred_where_they_do() -> None:
    conversation = general(60, 60, offered=CLIENT_OFFERED)
    for kind in KINDS:
        assert_all_arrives(conversation, kind, 100)
    assert GeneralBlockTransfer.TAG not in {octets_[0] for octets_ in (*conversation.sent, *conversation.answered)}


def test_a_meter_confirms_a_block_to_a_client_of_the_smallest_limit() -> None:
    # Found by the test above: the request goes in the blocks of the service, but its confirmation, ciphered, has more
    # octets than the client takes.
    conversation = general(SMALLEST, 60, SECURE_WITHOUT_HLS, CLIENT_OFFERED)
    assert_all_arrives(conversation, "action", 60)
    assert_limits_are_kept(conversation, SMALLEST, 60)
    without = general(SMALLEST, 60, SECURE_WITHOUT_HLS, CLIENT_OFFERED & ~Conformance.GENERAL_BLOCK_TRANSFER)
    first = without.client.request(replace(ACTION, data=octets(60)))
    assert without.answer_of_meter(first) == ExceptionResponse(1, 4).encode()


def test_a_ciphered_apdu_is_cut_as_a_whole() -> None:
    for settings, tag in ((SECURE, 0xCB), (GENERAL, 0xDB)):
        conversation = general(300, 80, settings)
        counter = conversation.client_counters.next_own
        conversation.ask(replace(ACTION, data=octets(200)), ActionResponse(0))
        blocks = [read(sent) for sent in conversation.sent if sent[0] == GeneralBlockTransfer.TAG]
        whole = b"".join(block.octets for block in blocks)
        assert whole[0] == tag
        assert CipheredApdu.parse(whole).counter == counter
        assert [block.is_last for block in blocks] == [False] * (len(blocks) - 1) + [True]


# Peers that stream.

ENX = [
    # Published with the test GeneralBlockTransferHandlerTest of EnergyICT's head-end (Green Book 8, 9.4.6.13), which
    # answers as a client; a length in three octets is one of its habits.
    "e00500010000 820002 c402",
    "e04500020001 820002 0102",
    "e04500030001 820002 0304",
    "e04500040001 820002 0506",
    "e04500050001 820002 0708",
    "e00500060001 820002 090a",
    "e04500070002 820002 0b0c",
    "e04500080002 820002 0d0e",
    "e08500090002 820001 0f",
]
ENX_WHOLE = bytes.fromhex("c4020102030405060708090a0b0c0d0e0f")


def test_a_meter_that_streams_is_answered_once_for_each_window() -> None:
    transfer = GeneralTransfer()
    said = [reaction(transfer, block) for block in ENX]
    # EnergyICT's own answers are e085 0001 0001 00 and e085 0002 0006 00: a window of 5 where ours is 16.
    assert said[:-1] == ["e0900001000100", None, None, None, None, "e0900002000600", None, None]
    assert said[-1] == Whole(ENX_WHOLE)


@pytest.mark.parametrize("lost", [3, 4])
def test_a_block_lost_in_the_middle_of_a_window_is_asked_for_when_the_window_is_over(lost: int) -> None:
    transfer = GeneralTransfer()
    for block in ENX[:5]:
        if ENX.index(block) != lost - 1:
            reaction(transfer, block)
    # The end of the window: EnergyICT's client asks with e081 0002 0003 00, for the lost one alone. We ask for all
    # from there on, and what comes twice is dropped.
    assert reaction(transfer, ENX[5]) == f"e090000200{lost - 1:02x}00"
    again = ENX[lost - 1 : 5]
    assert [reaction(transfer, block) for block in again] == [None] * len(again)
    assert reaction(transfer, ENX[5]) == "e0900003000600"
    assert [reaction(transfer, block) for block in ENX[6:]] == [None, None, Whole(ENX_WHOLE)]


def test_a_meter_that_repeats_only_the_lost_block_is_asked_for_the_next() -> None:
    # EnergyICT's dialogue: after block 4 alone (e001: a window of one, not streaming) come those after it.
    transfer = GeneralTransfer()
    for block in (*ENX[:3], ENX[4], ENX[5]):
        reaction(transfer, block)
    assert reaction(transfer, "e00100040002 820002 0506") == "e0900003000400"
    assert [reaction(transfer, block) for block in ENX[4:6]] == [None, "e0900004000600"]
    assert [reaction(transfer, block) for block in ENX[6:]] == [None, None, Whole(ENX_WHOLE)]


LANDIS_GYR = [
    # A Landis+Gyr E450's push as published in a test file for a public reader of such meters: streamed, window 0, no
    # acknowledgement expected. Its owner had put 16 octets of zero in place of the key, so it can be read here.
    (
        "e0400001000077db084c475a677362f13a8201c53000b1cdb52ec1eb626fde9e6d337047190e0cb1ca7f6d681d0dbede752c"
        "685dadf86382cf4ea66bb1890e11fdb1eb87090db5fc451603362da0ce529e57cb0be9e3af314e61ef3c3ea7ec236dcc3846"
        "bacd3256c98a220165fcc30696c7a8a3b44114b87c816b760d42"
    ),
    (
        "e040000200007a474c319e92d674b21117089bb4c52b7cc551eaf3052a2892fcdd95c48bedf90d5d521cfe4b3cc4f3b974c8"
        "65d9116d5208e19831d869db3a1d6609e4a54c43c9b9504495a43e21f5b344c462d5e79e9f1416484f359a0cc56ac0a1bae8"
        "445144bee3a7aa7e8320b36a2703374a6441cb307430c13d0ae891b803"
    ),
    (
        "e040000300007a68e7626e0f7045185945483038efd0520c05ff5179f8e0090ae86317718fa4f09666f7609b365a72bb82e6"
        "55242c3fdb7c9aa86c9de78346fc62a92a8bc421c9aaef15bf786b09035a8d95de21c38a56a5e01dd2308ef2b949aa89c8a5"
        "3c3d1d8e609ac6e026a8f9eb79d597983a2b519b24cbce415c74947893"
    ),
    (
        "e0c00004000067a0c6fc1db0926f2ec72fc115bb4f8ff217c356a2752c1c0ef4195e1c5312ab0d23e2535cffc6bd4a0c9f00"
        "2c753b05ac313888a81021e52c248cebf3c566639b6e82755d6abd1da2b4ca707812cdb9c44e4688c957c9d9c488705d0e09"
        "8b41d6096d259ebde315"
    ),
]


def test_a_push_that_streams_without_asking_anything_is_put_together() -> None:
    transfer = GeneralTransfer()
    said = [reaction(transfer, block) for block in LANDIS_GYR]
    assert said[:-1] == [None, None, None]
    assert isinstance(said[-1], Whole)
    whole = CipheredApdu.parse(said[-1].octets)
    assert (whole.form, whole.title.hex(), whole.control) == (Ciphering.GENERAL_GLO, "4c475a677362f13a", 0x30)
    # The key stream of GCM begins at counter 2. The tag is not that of the key that was put in.
    start = whole.title + whole.counter.to_bytes(4, "big") + (2).to_bytes(4, "big")
    plain = Cipher(algorithms.AES(bytes(16)), modes.CTR(start)).decryptor().update(whole.sealed[:-12])
    assert plain.hex().startswith("0f00b1ce270c07e70a0c040e0528ff80000002120112020412002809060008190900ff0f02120000")
    decoded = xdlms.decode(plain)
    assert isinstance(decoded, xdlms.DataNotification)
    assert len(decoded.body.elements) == 18


class Streaming:
    """A meter's half of general block transfer that sends windows, as long as the client's is; some blocks get lost
    the first time, some come twice."""

    def __init__(self, apdu: bytes, size: int, lost: set[int], doubled: set[int]) -> None:
        parts = [apdu[start : start + size] for start in range(0, len(apdu), size)]
        self.parts, self.lost, self.doubled = parts, set(lost), doubled
        self.taken = 0

    def window(self, acknowledged: int, window: int) -> list[bytes]:
        self.taken += 1
        last = min(acknowledged + window, len(self.parts))
        blocks = []
        for number in range(acknowledged + 1, last + 1):
            is_final = number == len(self.parts)
            block = GeneralBlockTransfer(
                number, self.taken, self.parts[number - 1], is_final, not is_final and number < last, 1
            ).encode()
            if number in self.lost and number != last:  # the end of a window that got lost is repeated after a while
                self.lost.discard(number)
            else:
                blocks += [block] * (2 if number in self.doubled else 1)
        return blocks


@given(
    st.integers(1, 300),
    st.integers(1, 40),
    st.sets(st.integers(1, 60), max_size=3),
    st.sets(st.integers(1, 60), max_size=2),
)
def test_what_was_lost_or_doubled_comes_right_or_to_an_end(
    size: int, block_size: int, lost: set[int], doubled: set[int]
) -> None:
    answer = GetResponse(octets(size))
    conversation = general()
    conversation.client.request(GET)
    meter = Streaming(answer.encode(), block_size, lost, doubled)
    queue = meter.window(0, 1)
    for _ in range(STEPS_MAX):
        if not queue:
            return  # both wait: for the client's patience to end
        try:
            event = conversation.client.receive(queue.pop(0))
        except RemoteProtocolError:
            assert doubled
            return
        if isinstance(event, bytes):
            said = read(event)
            queue = queue or meter.window(said.acknowledged, said.window)
        elif event is not None:
            assert event == answer
            return
    raise AssertionError("no end")


@given(st.integers(1, 300), st.integers(1, 40), st.sets(st.integers(1, 60), max_size=3))
def test_lost_blocks_alone_never_end_a_transfer(size: int, block_size: int, lost: set[int]) -> None:
    answer = GetResponse(octets(size))
    conversation = general()
    conversation.client.request(GET)
    meter = Streaming(answer.encode(), block_size, lost, set())
    queue = meter.window(0, 1)
    while queue:
        event = conversation.client.receive(queue.pop(0))
        if isinstance(event, bytes):
            assert not queue
            queue = meter.window(read(event).acknowledged, read(event).window)
    assert event == answer


# Peers that acknowledge in their own way.

ACKNOWLEDGEMENTS: dict[str, Callable[[int], GeneralBlockTransfer]] = {
    "numbered, as Gurux.DLMS.Net": lambda taken: GeneralBlockTransfer(taken, taken, b"", is_last=True, window=5),
    "always block 1": lambda taken: GeneralBlockTransfer(1, taken, b"", is_last=True, window=1),
    "not numbered, as dlms-cosem-rs": lambda taken: GeneralBlockTransfer(0, taken, b"", window=0),
}


@pytest.mark.parametrize("numbers_go_on", [True, False], ids=["numbers go on", "numbers begin with the answer"])
@pytest.mark.parametrize("manner", ACKNOWLEDGEMENTS)
def test_every_manner_of_acknowledging_a_long_request_is_taken(manner: str, numbers_go_on: bool) -> None:
    acknowledge = ACKNOWLEDGEMENTS[manner]
    request = replace(ACTION, data=octets(60))
    for answers_in_blocks in (True, False):
        conversation = general(0, 30)
        said = conversation.client.request(request)
        whole, taken = b"", 0
        while True:
            block = read(said)
            whole, taken = whole + block.octets, taken + 1
            assert block.number == taken
            if block.is_last:
                break
            event = conversation.client.receive(acknowledge(taken).encode())
            assert isinstance(event, bytes)
            said = event
        assert xdlms.decode(whole) == request
        answer = ActionResponse(0, octets(9), 0xC1)
        if not answers_in_blocks:
            assert conversation.client.receive(answer.encode()) == answer
            continue
        first = acknowledge(taken - 1).number + 1 if numbers_go_on else 1
        blocks = [
            GeneralBlockTransfer(first, taken, answer.encode()[:7]),
            GeneralBlockTransfer(first + 1, taken, answer.encode()[7:], is_last=True),
        ]
        assert read(conversation.client.receive(blocks[0].encode())).acknowledged == first  # type: ignore[arg-type]
        assert conversation.client.receive(blocks[1].encode()) == answer


def test_the_acknowledgement_of_the_last_block_needs_no_answer() -> None:
    conversation = general(0, 20)
    conversation.client.request(replace(SET, data=octets(7)))
    assert isinstance(conversation.client.receive(bytes.fromhex("e0850001000100")), bytes)
    assert conversation.client.receive(bytes.fromhex("e0850002000200")) is None
    assert conversation.client.receive(SetResponse(0, 0xC1).encode()) == SetResponse(0, 0xC1)
    meter = general(20, 0)
    meter.ask(GET, GetResponse(octets(20)))
    last = read(meter.answered[-1])
    thanks = GeneralBlockTransfer(9, last.number, b"", is_last=True)
    assert meter.meter.receive(thanks.encode()) is None


def test_the_acknowledgements_of_a_sender_that_were_never_right_do_not_matter() -> None:
    # Gurux.DLMS.Python e98a902 acknowledges FFFF in the last block of a request.
    meter = general().meter
    request = replace(SET, data=octets(8)).encode()
    assert meter.receive(GeneralBlockTransfer(1, 0, request[:9]).encode()) == bytes.fromhex("e0900001000100")
    assert meter.receive(GeneralBlockTransfer(2, 0, request[9:18]).encode()) == bytes.fromhex("e0900002000200")
    asked = meter.receive(GeneralBlockTransfer(3, 0xFFFF, request[18:], is_last=True).encode())
    assert asked == replace(SET, data=octets(8))


def test_an_empty_block_may_end_what_the_other_side_was_saying() -> None:
    meter = general().meter
    meter.receive(GeneralBlockTransfer(1, 0, SET.encode()).encode())
    assert meter.receive(GeneralBlockTransfer(2, 1, b"", is_last=True).encode()) == SET


def test_a_client_that_streams_is_answered_when_it_has_said_all() -> None:
    meter = general().meter
    request = replace(SET, data=octets(20)).encode()
    parts = [request[start : start + 9] for start in range(0, len(request), 9)]
    for number, part in enumerate(parts[:-1], 1):
        assert meter.receive(GeneralBlockTransfer(number, 0, part, is_streaming=True).encode()) is None
    asked = meter.receive(GeneralBlockTransfer(len(parts), 0, parts[-1], is_last=True, is_streaming=True).encode())
    assert asked == replace(SET, data=octets(20))


# What goes wrong.


def half_sent() -> Conversation:
    """A client in the middle of a long request."""
    conversation = general(0, 20)
    conversation.client.request(replace(SET, data=octets(30)))
    return conversation


def test_a_block_that_did_not_arrive_is_sent_again_a_few_times() -> None:
    conversation = general(0, 20)
    first = conversation.client.request(replace(SET, data=octets(30)))
    lost = GeneralBlockTransfer(1, 0, b"", is_last=True).encode()
    for _ in range(3):
        assert conversation.client.receive(lost) == first
    with pytest.raises(RemoteProtocolError, match="does not take our blocks"):
        conversation.client.receive(lost)


def test_acknowledgements_without_end_come_to_an_end() -> None:
    conversation = half_sent()
    for number in range(1, 5):  # the request has 45 octets, in 5 blocks of 11
        assert conversation.client.receive(GeneralBlockTransfer(number, number, b"").encode())
    thanks = GeneralBlockTransfer(9, 5, b"", is_last=True).encode()
    for _ in range(3):
        assert conversation.client.receive(thanks) is None
    with pytest.raises(RemoteProtocolError, match="does not take our blocks"):
        conversation.client.receive(thanks)
    assert conversation.client.state is ClientState.WAITING


@pytest.mark.parametrize("acknowledged", [2, 5, 0xFFFF])
def test_an_acknowledgement_of_more_than_was_sent_is_not_believed(acknowledged: int) -> None:
    conversation = half_sent()
    event = conversation.client.receive(GeneralBlockTransfer(1, acknowledged, b"").encode())
    assert read(event).number == 1  # type: ignore[arg-type]


def test_an_acknowledgement_of_nothing_is_refused() -> None:
    conversation = general()
    conversation.client.request(GET)
    nothing = bytes.fromhex("e0850001000100")
    with pytest.raises(RemoteProtocolError, match="never sent"):
        conversation.client.receive(nothing)
    assert general().meter.receive(nothing) == ExceptionResponse(2, 3).encode()


def test_an_answer_before_the_whole_request_was_sent_is_refused() -> None:
    answer = GeneralBlockTransfer(1, 1, SetResponse(0, 0xC1).encode(), is_last=True).encode()
    with pytest.raises(RemoteProtocolError, match="before it took all of ours"):
        half_sent().client.receive(answer)


def test_a_block_that_comes_twice_is_acknowledged_twice() -> None:
    meter = general().meter
    first = GeneralBlockTransfer(1, 0, SET.encode()[:9]).encode()
    assert meter.receive(first) == bytes.fromhex("e0900001000100")
    assert meter.receive(first) == bytes.fromhex("e0900002000100")
    assert meter.receive(GeneralBlockTransfer(2, 2, SET.encode()[9:], is_last=True).encode()) == SET


def test_the_last_block_of_a_request_that_comes_twice_is_answered_twice_but_done_once() -> None:
    meter = general(20, 0).meter
    meter.receive(GeneralBlockTransfer(1, 0, ACTION.encode()[:9]).encode())
    last = GeneralBlockTransfer(2, 1, ACTION.encode()[9:], is_last=True).encode()
    assert meter.receive(last) == ACTION
    answer = meter.respond(ActionResponse(0, octets(30)))
    assert meter.receive(last) == answer
    with pytest.raises(LocalProtocolError, match="no request to respond to"):
        meter.respond(ActionResponse(0))


def test_a_block_that_is_missing_is_asked_for_a_few_times() -> None:
    meter = general().meter
    meter.receive(GeneralBlockTransfer(1, 0, SET.encode()[:9]).encode())
    gap = GeneralBlockTransfer(3, 0, b"\x00").encode()
    asked_again = [read(answer).acknowledged for answer in (meter.receive(gap) for _ in range(3)) if answer]  # type: ignore[arg-type]
    assert asked_again == [1, 1, 1]
    assert meter.receive(gap) == ExceptionResponse(2, 3).encode()


def test_a_new_request_ends_the_blocks_of_the_old() -> None:
    meter = general(20, 0).meter
    meter.receive(GeneralBlockTransfer(1, 0, SET.encode()[:9]).encode())
    assert meter.receive(GET.encode()) == GET
    assert read(meter.respond(GetResponse(octets(30)))).number == 1
    # One in blocks in the middle of an answer, and in the middle of itself.
    assert meter.receive(GeneralBlockTransfer(1, 0, ACTION.encode()[:8]).encode()) == bytes.fromhex("e0900001000100")
    assert meter.receive(GeneralBlockTransfer(1, 0, ACTION.encode()[:9]).encode()) == bytes.fromhex("e0900001000100")
    assert meter.receive(GeneralBlockTransfer(2, 1, ACTION.encode()[9:], is_last=True).encode()) == ACTION
    assert isinstance(meter.respond(ActionResponse(0)), bytes)


def test_a_new_association_ends_the_blocks_of_the_old() -> None:
    conversation = general()
    conversation.meter.receive(GeneralBlockTransfer(1, 0, SET.encode()[:9]).encode())
    conversation.meter.receive(conversation.sent[0])
    rest = GeneralBlockTransfer(2, 1, SET.encode()[9:], is_last=True).encode()
    assert read(conversation.meter.receive(rest)).acknowledged == 0  # type: ignore[arg-type]


def test_no_stream_of_general_blocks_fills_the_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(general_block_transfer, "TRANSFER_SIZE_MAX", 1000)
    transfer = GeneralTransfer()
    for number in range(1, 11):
        assert transfer.receive(GeneralBlockTransfer(number, 0, bytes(100), is_streaming=True)) is None
    for _ in range(3):
        with pytest.raises(RemoteProtocolError, match="more than 1000 octets"):
            transfer.receive(GeneralBlockTransfer(11, 0, bytes(100), is_streaming=True))
    assert len(transfer._gathered) <= 1000


def test_an_apdu_of_more_blocks_than_there_are_numbers_is_not_sent() -> None:
    transfer = GeneralTransfer()
    with pytest.raises(LocalProtocolError, match="too many of them"):
        transfer.send(bytes(3 * 0xFFFF + 1), SMALLEST)
    with pytest.raises(LocalProtocolError, match="no room for a block"):
        transfer.send(bytes(2), 9)
    assert len(transfer.send(bytes(3 * 0xFFFF), SMALLEST)) == 10


def test_numbers_that_are_used_up_end_the_transfer() -> None:
    transfer = GeneralTransfer()
    for number in range(1, 0x1_0000):
        assert transfer.receive(GeneralBlockTransfer(number, 0, b"x"))
    with pytest.raises(RemoteProtocolError, match="without end"):
        transfer.receive(GeneralBlockTransfer(0, 0, b"x"))


@pytest.mark.parametrize("inside", [b"", b"\xff", bytes.fromhex("e0810001000003c001c1"), b"\x60\x00", b"\x62\x00"])
def test_what_general_blocks_must_not_carry_is_refused(inside: bytes) -> None:
    # A block in a block, an AARQ, a release.
    conversation = general()
    block = GeneralBlockTransfer(1, 0, inside, is_last=True).encode()
    assert isinstance(xdlms.decode(conversation.meter.receive(block)), ExceptionResponse)  # type: ignore[arg-type]
    conversation.client.request(GET)
    with pytest.raises(RemoteProtocolError):
        conversation.client.receive(block)


def test_a_tampered_block_inside_a_ciphered_apdu_is_found_out() -> None:
    conversation = general(0, 60, SECURE)
    said = conversation.client.request(replace(SET, data=octets(60)))
    before = conversation.meter_counters.last_received
    while not read(said).is_last:
        event = conversation.client.receive(conversation.answer_of_meter(said))
        assert isinstance(event, bytes)
        said = event
    tampered = said[:-1] + bytes((said[-1] ^ 1,))
    assert conversation.answer_of_meter(tampered) == ExceptionResponse(1, 5).encode()
    assert conversation.meter_counters.last_received == before


# Only what was agreed.


def test_general_blocks_that_were_not_agreed_are_not_sent_and_not_taken() -> None:
    for side in ("offered", "meter_offered"):
        conversation = Conversation(
            CLEAR,
            client_pdu_size_max=40,
            meter_pdu_size_max=40,
            **{side: GENERAL_ONLY & ~Conformance.GENERAL_BLOCK_TRANSFER},  # type: ignore[arg-type]
        )
        conversation.associate()
        with pytest.raises(LocalProtocolError, match="40 at most"):
            conversation.client.request(replace(SET, data=octets(60)))
        block = GeneralBlockTransfer(1, 0, GET.encode(), is_last=True).encode()
        assert conversation.meter.receive(block) == ExceptionResponse(2, 2).encode()
        answer = conversation.ask(GET, GetResponse(octets(60)))
        assert replace(answer, invoke=0xC1) == GetResponse(250)
        conversation.client.request(GET)
        with pytest.raises(RemoteProtocolError, match="not agreed"):
            conversation.client.receive(GeneralBlockTransfer(1, 0, GetResponse(3).encode(), is_last=True).encode())


# Whatever comes.

_parts = st.sampled_from(
    [b"", GET.encode(), GET.encode()[:9], SET.encode()[9:], GetResponse(3, 0xC1).encode(), b"\xd8\x02\x02"]
)
blocks = st.builds(
    GeneralBlockTransfer,
    st.integers(0, 5) | st.just(0xFFFF),
    st.integers(0, 5) | st.just(0xFFFF),
    _parts,
    st.booleans(),
    st.booleans(),
    st.integers(0, 63),
)


@given(st.lists(blocks | st.sampled_from([GET, ACTION]), max_size=12))
def test_no_order_of_general_blocks_makes_a_meter_stumble(many: list[xdlms.Apdu]) -> None:
    conversation = general(20, 30)
    for apdu in many:
        said = conversation.meter.receive(apdu.encode())
        if isinstance(said, Request):
            said = conversation.meter.respond(
                ActionResponse(0, octets(40)) if isinstance(said, xdlms.ActionRequest) else GetResponse(octets(40))
            )
        assert said is None or 0 < len(said) <= 30
    again = Conversation(CLEAR, client_pdu_size_max=20, offered=GENERAL_ONLY)
    again.meter = conversation.meter
    again.associate()
    assert_all_arrives(again, "action, both long", 60)


@given(st.lists(blocks, max_size=12), st.booleans())
def test_no_order_of_general_blocks_makes_a_client_stumble(many: list[xdlms.Apdu], is_long: bool) -> None:
    conversation = general(0, 30)
    conversation.client.request(replace(SET, data=octets(40)) if is_long else GET)
    for apdu in many:
        event = understood(conversation.client.receive, apdu.encode())
        if conversation.client.state is not ClientState.WAITING:
            break
        assert event is None or (isinstance(event, bytes) and len(event) <= 30)


def test_a_block_shows_nothing_of_what_it_carries() -> None:
    secret = b"48643202781314010686"
    block = GeneralBlockTransfer(1, 0, secret)
    transfer = GeneralTransfer()
    transfer.receive(block)
    for holder in (block, transfer, Whole(secret)):
        assert "4864" not in repr(holder)
        assert secret.hex() not in repr(holder)


def test_the_counters_of_a_key_are_not_touched_by_blocks_around_an_apdu() -> None:
    counters = InvocationCounters()
    conversation = Conversation(
        SECURE, client_counters=counters, meter_pdu_size_max=80, client_pdu_size_max=80, offered=GENERAL_ONLY
    )
    conversation.associate()
    before = counters.next_own
    conversation.ask(replace(ACTION, data=octets(300)), ActionResponse(0, octets(300)))
    assert counters.next_own == before + 1


def test_a_block_that_is_sent_again_is_counted() -> None:
    """The other side may have the whole APDU twice, and whoever judges what came of it has to know."""
    transfer = GeneralTransfer()
    first = transfer.send(bytes(10), 60)
    again = transfer.receive(GeneralBlockTransfer(1, 0, b""))
    assert (again, transfer.repeats) == (first, 1)
