"""What Gurux' own client and server send and take: requests and answers, blocks, ciphering, HLS, frames, headers.

Its translator (test_differential.py) is one half of the library; this is the other, which meters and head-ends use.
Octets must be ours; where they are not, the row in disagreements.py says so.
"""

from __future__ import annotations

import json
import random
from typing import Any

import pytest

from cosem_objects import axdr
from cosem_objects.dlms import apdu
from cosem_objects.dlms.acse import Mechanism
from cosem_objects.dlms.ciphered import CipheredApdu
from cosem_objects.dlms.hls import Challenged, Secrets
from cosem_objects.dlms.security import Cipher, InvocationCounters
from cosem_objects.dlms.settings import Ciphering
from tests.peers.conftest import CODEC_KEYS, Codec
from tests.peers.corpus import (
    ACCESS_RESULTS,
    ACTION_RESULTS,
    CLIENT_TITLE,
    METER_TITLE,
    common_data,
    corpus,
    some_attribute,
    some_invoke,
    some_method,
    some_number,
)
from transports.hdlc.frame import Frame, HdlcAddress
from transports.hdlc.receiver import FrameReceiver
from transports.wrapper import WrapperReceiver, wrap

COUNT = 150
EK, AK = bytes.fromhex(CODEC_KEYS["ek"]), bytes.fromhex(CODEC_KEYS["ak"])
CIPHER = Cipher(EK, AK)
CONTROLS = {"auth": 0x10, "enc": 0x20, "both": 0x30}


@pytest.fixture
def gurux(codecs: dict[str, Codec]) -> Codec:
    return codecs["gurux"]


def sent(gurux: Codec, what: str, wanted: list[dict[str, Any]]) -> list[list[bytes]]:
    answers = gurux.ask([(f"make-{what}", json.dumps(one)) for one in wanted])
    for one, answer in zip(wanted, answers, strict=True):
        assert answer["ok"], (one, answer)
    return [[bytes.fromhex(octets) for octets in answer["pdus"]] for answer in answers]


def test_requests_of_gurux_are_ours(gurux: Codec) -> None:
    draw = random.Random("requests")
    ours: list[Any] = []
    wanted = []
    for _ in range(COUNT):
        attribute, invoke, data = some_attribute(draw), some_invoke(draw) | 1, common_data(draw)
        ours.append(apdu.GetRequest(attribute, None, invoke))
        wanted.append({"service": "get", "head": attribute.encode().hex() + "00", "data": None})
        ours.append(apdu.SetRequest(attribute, data, None, invoke))
        wanted.append({"service": "set", "head": attribute.encode().hex() + "00", "data": axdr.encode(data).hex()})
        method = some_method(draw)
        ours.append(apdu.ActionRequest(method, data, invoke))
        wanted.append({"service": "action", "head": method.encode().hex() + "01", "data": axdr.encode(data).hex()})
    requests = [{**one, "invoke": it.invoke, "type": 1} for one, it in zip(wanted, ours, strict=True)]
    assert sent(gurux, "request", requests) == [[it.encode()] for it in ours]


def test_long_set_requests_of_gurux_come_in_our_blocks(gurux: Codec) -> None:
    draw = random.Random("blocks")
    unmarked = too_long = 0
    for _ in range(COUNT):
        attribute, data, pdu = some_attribute(draw), draw.randbytes(draw.randrange(300, 900)), draw.randrange(60, 250)
        wanted = {"service": "set", "head": attribute.encode().hex() + "00", "data": data.hex(), "pdu": pdu}
        [pieces] = sent(gurux, "request", [{**wanted, "invoke": 0xC1, "type": 1}])
        first, *further = [apdu.decode(piece) for piece in pieces]
        assert isinstance(first, apdu.SetRequestWithFirstDataBlock)
        assert first.attribute == attribute
        blocks = [first.block]
        for piece in further:
            assert isinstance(piece, apdu.SetRequestWithDataBlock)
            blocks.append(piece.block)
        assert [block.number for block in blocks] == list(range(1, len(blocks) + 1))
        # Row gurux-last-block-not-marked: where the rest is a little too long, it goes out whole, without the mark.
        assert not any(block.is_last for block in blocks[:-1])
        assert blocks[-1].is_last or len(pieces[-1]) > pdu
        assert b"".join(block.octets for block in blocks) == data
        assert [it.encode() for it in (first, *further)] == pieces
        assert max(map(len, pieces)) <= pdu + 2
        unmarked += not blocks[-1].is_last
        too_long += max(map(len, pieces)) > pdu
    assert unmarked > 0  # row gurux-last-block-not-marked
    assert too_long > unmarked  # row gurux-blocks-longer-than-agreed


def test_get_requests_for_the_next_block_are_ours(gurux: Codec) -> None:
    draw = random.Random("next")
    ours = [apdu.GetRequestNext(some_number(draw, 32), 0xC0 | draw.randrange(16)) for _ in range(COUNT)]
    made = sent(gurux, "next", [{"block": it.number, "invoke": it.invoke} for it in ours])
    assert [[piece[:1] + piece[1:2] + piece[3:] for piece in pieces] for pieces in made] == [
        [it.encode()[:2] + it.encode()[3:]] for it in ours
    ]


def test_answers_of_gurux_are_ours(gurux: Codec) -> None:
    draw = random.Random("answers")
    ours: list[Any] = []
    wanted: list[dict[str, Any]] = []
    for _ in range(COUNT):
        invoke, data, result = some_invoke(draw) | 1, common_data(draw), draw.choice(ACCESS_RESULTS[1:])
        ours.append(apdu.GetResponse(data, invoke))
        wanted.append({"service": "get", "data": axdr.encode(data).hex(), "status": 0})
        ours.append(apdu.GetResponse(result, invoke))
        wanted.append({"service": "get", "data": None, "status": result})
        ours.append(apdu.SetResponse(result, invoke))
        wanted.append({"service": "set", "data": None, "status": result})
        action = draw.choice(ACTION_RESULTS)
        ours.append(apdu.ActionResponse(action, None, invoke))
        wanted.append({"service": "action", "data": "00", "status": action})
        ours.append(apdu.ActionResponse(action, data, invoke))
        wanted.append({"service": "action", "data": "0100" + axdr.encode(data).hex(), "status": action})
    asked = [{**one, "invoke": it.invoke, "type": 1} for one, it in zip(wanted, ours, strict=True)]
    assert sent(gurux, "response", asked) == [
        [b"\xc4\x01" + bytes((it.invoke,)) + b"\x00" + axdr.encode(it.result)]
        if isinstance(it, apdu.GetResponse) and not isinstance(it.result, int)
        else [it.encode()]
        for it in ours
    ]


# --- ciphering ---


def plain_apdus(draw: random.Random) -> list[bytes]:
    kinds = ["get-request-normal", "set-request-normal", "action-request-normal"]
    kinds += ["get-response-normal", "set-response-normal", "action-response-normal"]
    apdus = [it.encode() for kind in kinds for it in corpus(kind, COUNT // 3)]
    draw.shuffle(apdus)
    return apdus


def sealed_by_us(plain: bytes, form: Ciphering, protection: str, title: bytes, counter: int) -> bytes:
    control = CONTROLS[protection]
    is_general = form in {Ciphering.GENERAL_GLO, Ciphering.GENERAL_DED}
    sealed = CIPHER.seal(control, title, counter, plain)
    return CipheredApdu(
        form, None if is_general else plain[0], title if is_general else b"", control, counter, sealed
    ).encode()


FORMS = [Ciphering.SERVICE_GLO, Ciphering.SERVICE_DED, Ciphering.GENERAL_GLO, Ciphering.GENERAL_DED]


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("protection", CONTROLS)
def test_gurux_seals_and_opens_as_we_do(gurux: Codec, form: Ciphering, protection: str) -> None:
    draw = random.Random(f"{form} {protection}")
    cases = [(plain, some_number(draw, 32)) for plain in plain_apdus(draw)[:COUNT]]
    ours = [sealed_by_us(plain, form, protection, CLIENT_TITLE, counter) for plain, counter in cases]
    wanted = [
        {"form": form.value, "protection": protection, "counter": counter, "plain": plain.hex()}
        for plain, counter in cases
    ]
    assert sent(gurux, "sealed", wanted) == [[octets] for octets in ours]
    for octets, (plain, counter), answer in zip(
        ours, cases, gurux.ask([("open", octets.hex()) for octets in ours]), strict=True
    ):
        opened = {"ok": True, "plain": plain.hex(), "security": CONTROLS[protection], "counter": counter}
        assert answer == {**opened, "title": CLIENT_TITLE.hex()}, octets.hex()


@pytest.mark.parametrize("protection", ["auth", "both"])
def test_gurux_refuses_what_was_changed_after_we_sealed_it(gurux: Codec, protection: str) -> None:
    draw = random.Random(f"forged {protection}")
    forged = []
    for plain in plain_apdus(draw)[:COUNT]:
        octets = bytearray(sealed_by_us(plain, Ciphering.SERVICE_GLO, protection, CLIENT_TITLE, 7))
        header = len(octets) - len(CipheredApdu.parse(bytes(octets)).sealed)
        position = draw.randrange(header - 4, len(octets))  # the counter, the text, the tag
        octets[position] ^= 1 << draw.randrange(8)
        forged.append(bytes(octets))
    assert {answer["ok"] for answer in gurux.ask([("open", octets.hex()) for octets in forged])} == {False}


@pytest.mark.parametrize("mechanism", [Mechanism.HLS_GMAC, Mechanism.HLS_SHA256])
def test_hls_answers_are_the_same_for_both_roles(gurux: Codec, mechanism: Mechanism) -> None:
    draw = random.Random(f"hls {mechanism}")
    for _ in range(COUNT):
        own, other = draw.choice([(CLIENT_TITLE, METER_TITLE), (METER_TITLE, CLIENT_TITLE)])
        sent_by_us, sent_by_them = (draw.randbytes(draw.randrange(8, 65)) for _ in range(2))
        secrets = Secrets(mechanism, CIPHER, draw.randbytes(draw.randrange(1, 33)))
        counter = draw.randrange(2**31)
        wanted = {"mechanism": int(mechanism), "title": own.hex(), "peer": other.hex(), "counter": counter}
        challenges = {"asked": sent_by_them.hex(), "own": sent_by_us.hex(), "secret": secrets.password.hex()}
        [[theirs]] = sent(gurux, "answer", [{**wanted, **challenges}])
        assert theirs == Challenged(secrets, own, other, sent_by_us, sent_by_them).answer(InvocationCounters(counter))
        other_side = Challenged(secrets, other, own, sent_by_them, sent_by_us)
        assert other_side.is_answered(theirs)
        assert not other_side.is_answered(theirs[:-1] + bytes((theirs[-1] ^ 1,)))


# --- below the APDU ---

SERVERS = [(1, None, 1), (17, None, 1), (1, 17, 2), (127, 127, 2), (1, 17, 4), (128, 8192, 4), (200, 129, 4)]
CONTROL_OCTETS = [0x93, 0x73, 0x53, 0x1F, 0x13, 0x03, *(number << 5 | 0x11 for number in range(8)), 0x10, 0x32, 0xFE]


def gurux_counts_the_length_wrongly(frame: Frame) -> bool:
    """Row gurux-frame-length: the upper bits leave out the 7 octets around addresses and information."""
    inside = len(frame.encode()) - 2
    around = 5 if not frame.information else 7
    return inside >> 8 != (inside - around) >> 8


def test_hdlc_frames_of_gurux_are_ours(gurux: Codec) -> None:
    draw = random.Random("frames")
    frames: list[Frame] = []
    wanted = []
    for _ in range(COUNT * 4):
        logical, physical, size = draw.choice(SERVERS)
        client, server = draw.choice([1, 16, 100]), HdlcAddress.server(logical, physical, size)
        control, from_server = draw.choice(CONTROL_OCTETS), draw.random() < 0.5
        parameters = bytes.fromhex("818014050207EE060207EE070400000001080400000001")
        content = draw.choice(
            [b"", parameters, draw.randbytes(draw.randrange(1, 600)), draw.randbytes(draw.randrange(236, 256))]
        )
        information = b"" if control & 0x0F == 1 else content
        pair = (HdlcAddress.client(client), server) if from_server else (server, HdlcAddress.client(client))
        frames.append(Frame(*pair, control, information))
        made = {"logical": logical, "physical": physical, "size": size, "client": client, "control": control}
        wanted.append({**made, "from_server": from_server, "information": information.hex()})
    wrong = 0
    for frame, [octets] in zip(frames, sent(gurux, "frame", wanted), strict=True):
        if gurux_counts_the_length_wrongly(frame):
            wrong += 1
            assert octets != frame.encode()
            continue
        assert octets == frame.encode(), frame
        [received] = FrameReceiver().receive(octets)
        assert received == frame
    assert wrong > 0


def test_wrapped_apdus_of_gurux_are_ours(gurux: Codec) -> None:
    draw = random.Random("wrapped")
    messages = [
        (some_number(draw, 16), some_number(draw, 16), draw.randbytes(draw.randrange(1, 3000))) for _ in range(COUNT)
    ]
    wanted = [{"source": source, "destination": to, "apdu": octets.hex()} for source, to, octets in messages]
    for message, [octets] in zip(messages, sent(gurux, "wrapped", wanted), strict=True):
        assert octets == wrap(*message)
        assert WrapperReceiver().receive(octets) == [message]
