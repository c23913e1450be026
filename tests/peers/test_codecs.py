"""Our codecs against dlms-cosem's, both ways: what it writes we must read, and what we write it must read.

Here are the samples that dlms-cosem makes by itself, and what lies around APDUs: ciphering, frames, headers. Thousands
of APDUs of ours go through both peers in test_differential.py. Both sides are compared in the same plain fields
(fields.py, dlms_cosem_parse.py).
"""

import random

import pytest

from cosem_objects import axdr
from cosem_objects.dlms import acse, apdu
from cosem_objects.dlms.hls import answer_challenge, challenge_is_answered
from cosem_objects.dlms.security import Cipher
from tests.peers.conftest import Event, Peers
from tests.peers.fields import ciphered_fields, describe, plain_value
from transports.hdlc.frame import Frame, HdlcAddress
from transports.hdlc.receiver import FrameReceiver
from transports.wrapper import WrapperReceiver, wrap

EK, AK = bytes(range(16)), bytes(range(0xD0, 0xE0))
TITLE = bytes.fromhex("4D4D4D0000BC614E")
BOTH = 0x30


@pytest.fixture(scope="module")
def emitted(peers: Peers) -> dict[str, list[Event]]:
    """Samples that dlms-cosem made, by kind."""
    by_kind: dict[str, list[Event]] = {}
    for sample in peers.emitted():
        by_kind.setdefault(sample["kind"], []).append(sample)
    return by_kind


# --- theirs, read by us ---


@pytest.mark.parametrize(
    "kind",
    [
        "get-request",
        "get-response",
        "set-request",
        "set-response",
        "action-request",
        "action-response",
        "exception-response",
        "confirmed-service-error",
        "data-notification",
        "initiate-request",
        "initiate-response",
    ],
)
def test_an_xdlms_apdu_of_dlms_cosem_is_read_alike(emitted: dict[str, list[Event]], kind: str) -> None:
    for sample in emitted[kind]:
        octets = bytes.fromhex(sample["hex"])
        decoded = apdu.decode(octets)
        assert describe(decoded) == sample["fields"], sample
        assert decoded.encode() == octets, sample


@pytest.mark.parametrize("kind", ["aarq", "aare", "rlrq", "rlre"])
def test_an_acse_apdu_of_dlms_cosem_is_read_alike(emitted: dict[str, list[Event]], kind: str) -> None:
    for sample in emitted[kind]:
        octets = bytes.fromhex(sample["hex"])
        decoded = acse.decode(octets)
        assert describe(decoded) == sample["fields"], sample
        assert decoded.encode() == octets, sample


def test_data_of_dlms_cosem_is_read_alike(emitted: dict[str, list[Event]]) -> None:
    for sample in emitted["data"]:
        octets = bytes.fromhex(sample["hex"])
        decoded = axdr.decode(octets)
        assert plain_value(decoded) == sample["fields"]["value"], sample
        assert axdr.encode(decoded) == octets, sample


def test_general_glo_apdus_of_dlms_cosem_are_opened(emitted: dict[str, list[Event]]) -> None:
    for sample in emitted["general-glo"]:
        fields = sample["fields"]
        keys = fields["keys"]
        cipher = Cipher(bytes.fromhex(keys["ek"]), bytes.fromhex(keys["ak"]))
        parts = ciphered_fields(bytes.fromhex(sample["hex"])[10:])
        assert {**parts, "system_title": sample["hex"][4:20]}.items() <= fields.items()
        title, ciphered = bytes.fromhex(fields["system_title"]), bytes.fromhex(fields["ciphered"])
        plain = cipher.open(fields["security_control"], title, fields["invocation_counter"], ciphered)
        assert plain.hex() == fields["plain"]


def test_hls_answers_of_dlms_cosem_are_accepted(emitted: dict[str, list[Event]]) -> None:
    for sample in emitted["gmac"]:
        fields, answer = sample["fields"], bytes.fromhex(sample["hex"])
        cipher = Cipher(bytes.fromhex(fields["keys"]["ek"]), bytes.fromhex(fields["keys"]["ak"]))
        title, challenge = bytes.fromhex(fields["system_title"]), bytes.fromhex(fields["challenge"])
        assert challenge_is_answered(cipher, title, challenge, answer)
        assert not challenge_is_answered(cipher, TITLE[::-1], challenge, answer)


@pytest.mark.parametrize("kind", ["hdlc-snrm", "hdlc-ua", "hdlc-disc", "hdlc-rr", "hdlc-i", "hdlc-ui"])
def test_hdlc_frames_of_dlms_cosem_are_read_alike(emitted: dict[str, list[Event]], kind: str) -> None:
    for sample in emitted[kind]:
        octets = bytes.fromhex(sample["hex"])
        [frame] = FrameReceiver().receive(octets)
        assert describe(frame) == sample["fields"], sample
        assert frame.encode() == octets, sample


def test_hdlc_frames_of_dlms_cosem_are_found_in_one_stream_of_single_octets(emitted: dict[str, list[Event]]) -> None:
    samples = [sample for kind, found in emitted.items() if kind.startswith("hdlc") for sample in found]
    receiver = FrameReceiver()
    frames = []
    for sample in samples:
        for octet in bytes.fromhex(sample["hex"]):
            frames += receiver.receive(bytes([octet]))
    assert [describe(frame) for frame in frames] == [sample["fields"] for sample in samples]


def test_wrapped_apdus_of_dlms_cosem_are_read_alike(emitted: dict[str, list[Event]]) -> None:
    for sample in emitted["wrapper"]:
        octets, fields = bytes.fromhex(sample["hex"]), sample["fields"]
        expected = (fields["source"], fields["destination"], bytes.fromhex(fields["apdu"]))
        messages = WrapperReceiver().receive(octets)
        assert messages == ([expected] if expected[2] else [])
        if expected[2]:
            assert wrap(*expected) == octets


# --- ours, read by them ---


def test_dlms_cosem_reads_the_counter_of_our_exception_response(peers: Peers) -> None:
    [answer] = peers.parse([("exception-response", apdu.ExceptionResponse(1, 6, 0x01020304).encode().hex())])
    assert answer["fields"] == {"state_error": 1, "service_error": 6, "invocation_counter": 0x01020304}


def test_dlms_cosem_opens_what_we_seal(peers: Peers) -> None:
    rng = random.Random("sealed")
    cipher = Cipher(EK, AK)
    lines, plains = [], []
    for _ in range(60):
        plain, counter = rng.randbytes(rng.randrange(1, 100)), rng.randrange(2**32)  # short lengths: bug 5
        body = bytes([BOTH]) + counter.to_bytes(4, "big") + cipher.seal(BOTH, TITLE, counter, plain)
        lines.append(("general-glo", (b"\xdb\x08" + TITLE + bytes([len(body)]) + body).hex()))
        plains.append(plain.hex())
    answers = peers.parse(lines, {"ek": EK.hex(), "ak": AK.hex()})
    assert [answer["fields"]["plain"] for answer in answers] == plains


def test_dlms_cosem_accepts_our_hls_answers(peers: Peers) -> None:
    challenge = bytes(range(40, 104))
    keys = {"ek": EK.hex(), "ak": AK.hex(), "system_title": TITLE.hex(), "challenge": challenge.hex()}
    answers = [answer_challenge(Cipher(EK, AK), TITLE, counter, challenge) for counter in (0, 1, 2**32 - 1)]
    forged = answers[0][:-1] + bytes([answers[0][-1] ^ 1])
    lines = [("gmac", answer.hex()) for answer in [*answers, forged]]
    assert [answer["fields"]["valid"] for answer in peers.parse(lines, keys)] == [True, True, True, False]


CLIENT = HdlcAddress.client(16)
SERVERS = [HdlcAddress.server(1, None), HdlcAddress.server(1, 17), HdlcAddress.server(128, 8192, 4)]
SERVERS += [HdlcAddress.server(1, 17, 4), HdlcAddress.server(128, 128)]


def our_frames(rng: random.Random) -> list[tuple[str, Frame]]:
    frames = []
    for server in SERVERS:
        frames.append(("hdlc-ua", Frame(CLIENT, server, 0x73)))
        parameters = bytes.fromhex("818014050180060180070400000001080400000001")
        frames.append(("hdlc-ua", Frame(CLIENT, server, 0x73, parameters)))
        if server.size < 4:  # its DISC does not remember the size of what it reads
            frames.append(("hdlc-disc", Frame(server, CLIENT, 0x53)))
        for number in range(8):
            frames.append(("hdlc-rr", Frame(CLIENT, server, number << 5 | 0x11)))
            content = rng.choice([rng.randbytes(rng.randrange(1, 1000)), b"\x7e" * rng.randrange(1, 200)])
            segmented = rng.random() < 0.5
            control = number << 5 | 0x10 | rng.randrange(8) << 1
            frames.append(("hdlc-i", Frame(CLIENT, server, control, content, segmented)))
    return frames


def test_dlms_cosem_reads_our_hdlc_frames_alike(peers: Peers) -> None:
    frames = our_frames(random.Random("our frames"))
    answers = peers.parse([(kind, frame.encode().hex()) for kind, frame in frames])
    for (_kind, frame), answer in zip(frames, answers, strict=True):
        assert answer["ok"], (frame, answer)
        assert answer["fields"] == describe(frame), frame.encode().hex()


def test_dlms_cosem_reads_our_wrapper_alike(peers: Peers) -> None:
    rng = random.Random("our wrapper")
    messages = [(rng.randrange(2**16), rng.randrange(2**16), rng.randbytes(rng.randrange(1, 3000))) for _ in range(20)]
    for message, answer in zip(messages, peers.parse([("wrapper", wrap(*it).hex()) for it in messages]), strict=True):
        source, destination, content = message
        assert answer["fields"] == {"source": source, "destination": destination, "apdu": content.hex()}
