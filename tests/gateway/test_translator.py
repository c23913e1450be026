"""The translator: whole captures of real deliveries, frames that were damaged, and any octets at all."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from functools import cache
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cosem_objects.dlms.describe import Keys, Node, Place
from cosem_objects.dlms.settings import SecuritySettings
from cosem_objects.token_gateway import TokenEncoding
from gateway.translator import INPUT_SIZE_MAX, Form, Translation, translate
from sim_meters.meter_config import lab_config
from sim_meters.sts.tokens.clear_token import encode_credit
from tests.cosem_objects.strategies import damaged
from tests.gateway.recordings import record_delivery
from tests.transports.vectors import vectors
from transports.hdlc.frame import Frame, HdlcAddress, information_control
from transports.wrapper import wrap

EK, AK, PASSWORD = "000102030405060708090A0B0C0D0E0F", "D0D1D2D3D4D5D6D7D8D9DADBDCDDDEDF", "12345678"
KEYS = Keys(bytes.fromhex(EK), bytes.fromhex(AK))
HLS = {
    "mechanism": "hls-gmac",
    "ek": EK,
    "ak": AK,
    "client_system_title": "5354534741544501",
    "meter_system_title": "53494D0000000001",
}
SECURITIES: dict[str, dict[str, Any]] = {
    "none": {},
    "lls": {"mechanism": "lls", "password": PASSWORD},
    "hls-gmac": HLS,
    "general-glo": {**HLS, "ciphering": "general-glo"},
}
TOKEN = encode_credit(lab_config().decoder_key, lab_config().unit.kind, 256, 6_000_000, 5)
GET, ANSWER = bytes.fromhex("C001C1000100002B0100FF0200"), bytes.fromhex("C401C1000600001391")
NAMED = "value: double-long-unsigned 5009"


@cache
def recorded(scheme: str, security: str, info_max: int = 64) -> bytes:
    settings = SecuritySettings.parse(SECURITIES[security])
    return asyncio.run(record_delivery(scheme, settings, TOKEN, info_max))


def nodes(translation: Translation) -> Iterator[Node]:
    waiting = list(reversed(translation.messages))
    while waiting:
        node = waiting.pop()
        yield node
        waiting += reversed(node.children)


def said(translation: Translation) -> list[str]:
    return [f"{node.name}: {node.value}" for node in nodes(translation)]


def names(translation: Translation) -> list[str]:
    return [message.name for message in translation.messages]


def problems(translation: Translation) -> list[tuple[int, str]]:
    return [(problem.offset, problem.value) for problem in translation.problems]


def frame(apdu: bytes, number: int = 0, *, llc: str = "E6E600", segmented: bool = False) -> bytes:
    client, server = HdlcAddress.client(16), HdlcAddress.server(1, 17)
    ends = (server, client) if llc == "E6E600" else (client, server)
    return Frame(*ends, information_control(number, 0), bytes.fromhex(llc) + apdu, segmented).encode()


# Captures of whole deliveries.


@pytest.mark.parametrize("security", SECURITIES)
@pytest.mark.parametrize("scheme", ["tcp", "hdlc+tcp"])
def test_a_whole_delivery_can_be_read(scheme: str, security: str) -> None:
    translation = translate(recorded(scheme, security), KEYS)
    words = said(translation)
    assert not problems(translation)
    assert "status_code: enum execution-ok (3)" in words
    assert "available_credit: double-long 256" in words
    assert "token_delivery_method: enum remote (0)" in words
    assert any("Token gateway 0-0:19.40.0.255, enter (method 1)" in line for line in words)
    assert f"method-invocation-parameters: octet-string (token …{TOKEN.digits[-4:]}, 20 octets)" in words
    assert {"AARQ", "AARE", "RLRQ", "RLRE"} <= {node.name for node in nodes(translation)}
    if SECURITIES[security].get("ek"):
        assert sum("authentication: tag fits, sender 53494D0000000001" in line for line in words) >= 4


@pytest.mark.parametrize("security", SECURITIES)
@pytest.mark.parametrize("scheme", ["tcp", "hdlc+tcp"])
def test_no_secret_of_a_delivery_is_shown_unless_asked_for(scheme: str, security: str) -> None:
    capture = recorded(scheme, security)
    translation = translate(capture, KEYS)
    shown = translation.to_text() + json.dumps(translation.to_json(), ensure_ascii=False) + repr(translation)
    squeezed = shown.upper().replace(" ", "").replace("\n", "")
    secrets = [EK, AK, PASSWORD, PASSWORD.encode().hex(), TOKEN.digits]
    secrets += [encoding.to_octets(TOKEN).hex() for encoding in TokenEncoding]
    for secret in secrets:
        assert secret.upper() not in squeezed
    asked_for = translate(capture, KEYS, show_secrets=True).to_text()
    assert TOKEN.digits in asked_for
    assert security != "lls" or f'"{PASSWORD}"' in asked_for


def test_segments_show_where_their_octets_stand_in_the_capture() -> None:
    capture = recorded("hdlc+tcp", "lls")
    translation = translate(capture, show_secrets=True)
    assert any("last of 2 segments" in message.value for message in translation.messages)
    leaves = [node for node in nodes(translation) if node.octets is not None and node.size <= 3]
    assert len(leaves) > 25
    for leaf in leaves:
        assert capture[leaf.offset : leaf.offset + leaf.size] == leaf.octets


def test_offsets_of_deciphered_fields_are_those_of_their_ciphered_octets() -> None:
    capture = recorded("tcp", "hls-gmac")
    for message in translate(capture, KEYS).messages:
        for node in nodes(Translation((message,), 0)):
            assert message.offset <= node.offset <= message.offset + message.size


def test_without_keys_headers_are_shown_and_nothing_is_an_error() -> None:
    translation = translate(recorded("tcp", "hls-gmac"))
    assert not problems(translation)
    assert sum("no key given" in line for line in said(translation)) >= 8
    assert not any("enter" in line for line in said(translation))


def test_with_a_wrong_key_every_ciphered_message_says_that_its_tag_does_not_fit() -> None:
    translation = translate(recorded("tcp", "hls-gmac"), Keys(bytes(16), bytes(16)))
    found = problems(translation)
    assert len(found) >= 8
    assert all("the authentication tag does not fit" in words for _, words in found)
    assert "invocation-counter: 1" in said(translation)


# Frames.


def test_the_vectors_of_frames_say_what_they_hold() -> None:
    for vector in vectors("hdlc").values():
        if not vector.wire.startswith(b"\x7e"):
            continue
        translation = translate(vector.wire)
        (message,) = translation.messages
        expect = vector.expect
        assert not problems(translation)
        ends = [expect["src"], expect["dest"]] if "dest" in expect else []
        for end in ends:
            assert (f"{end[0]}/{end[1]}" if isinstance(end, list) else f" {end}") in message.value
        for key, name in (("ns", "N(S)"), ("nr", "N(R)")):
            assert key not in expect or f"{name} {expect[key]}" in message.value
        for key, name in (
            ("max_info_tx", "max-information-field-length-transmit: {} octets"),
            ("max_info_rx", "max-information-field-length-receive: {} octets"),
            ("window_tx", "window-size-transmit: {}"),
            ("window_rx", "window-size-receive: {}"),
        ):
            assert key not in expect or name.format(expect[key]) in said(translation)
        assert {"93": "HDLC SNRM", "73": "HDLC UA", "10": "HDLC I"}[expect["control"]] == message.name


def test_one_flag_may_close_a_frame_and_open_the_next() -> None:
    stream = frame(GET)[:-1] + frame(ANSWER, llc="E6E700")
    translation = translate(stream)
    assert names(translation) == ["HDLC I", "HDLC I"]
    assert NAMED in said(translation)


@pytest.mark.parametrize("damage", ["flip", "cut", "noise"])
def test_a_damaged_frame_is_reported_and_the_rest_is_read(damage: str) -> None:
    first, broken, last = frame(GET), bytearray(frame(GET, 1)), frame(ANSWER, llc="E6E700")
    if damage == "flip":
        broken[12] ^= 1
    elif damage == "cut":
        del broken[10:15]
    else:
        broken = bytearray(b"\x00\x13\x55")
    translation = translate(first + broken + last)
    assert NAMED in said(translation)
    ((offset, words),) = problems(translation)
    assert len(first) <= offset + 1 <= len(first) + 1
    assert f"{len(broken)} octets are skipped" in words
    assert any(reason in words for reason in ("FCS", "no flag 7E", "no HDLC frame begins here"))


def test_a_frame_that_was_sent_again_is_read_once() -> None:
    piece = frame(GET[:5], segmented=True)
    rest = Frame(HdlcAddress.server(1, 17), HdlcAddress.client(16), information_control(1, 0), GET[5:]).encode()
    translation = translate(piece + piece + rest)
    assert not problems(translation)
    assert ["sent again" in message.value for message in translation.messages] == [False, True, False]
    assert any("value (attribute 2)" in line for line in said(translation))


def test_a_missing_segment_is_said_and_the_next_apdu_is_read() -> None:
    client, server = HdlcAddress.client(16), HdlcAddress.server(1, 17)
    last = Frame(server, client, information_control(2, 0), GET[9:]).encode()
    translation = translate(frame(GET[:5], segmented=True) + last + frame(GET, 3))
    assert [words for _, words in problems(translation)] == [
        "N(S) 2 after 0: frames between them are missing",
        "an APDU begins with the LLC header E6E600 or E6E700: the beginning of this one is missing",
    ]
    assert any("value (attribute 2)" in line for line in said(translation))


def test_both_sides_are_told_apart_when_their_addresses_are_the_same() -> None:
    one = HdlcAddress.client(1)

    def part(octets: bytes, number: int, *, segmented: bool) -> bytes:
        return Frame(one, one, information_control(number, 0), octets, segmented).encode()

    ask, answer = bytes.fromhex("E6E600") + GET, bytes.fromhex("E6E700") + ANSWER
    ready = Frame(one, one, 0x31).encode()
    stream = part(ask[:6], 0, segmented=True) + ready + part(ask[6:], 1, segmented=False)
    stream += part(answer[:6], 0, segmented=True) + ready + part(answer[6:], 1, segmented=False)
    translation = translate(stream)
    assert not problems(translation)
    assert NAMED in said(translation)
    assert [message.value.split()[0] for message in translation.messages] == ["client", "server"] * 3


# Other forms, and what stands one after the other.


def test_each_message_is_recognised_by_itself() -> None:
    stream = wrap(16, 1, GET) + frame(GET) + wrap(1, 16, ANSWER) + GET + ANSWER + frame(ANSWER, llc="E6E700")
    translation = translate(stream)
    assert names(translation) == [
        *("wrapper", "HDLC I", "wrapper"),
        *("get-request-normal", "get-response-normal", "HDLC I"),
    ]
    assert said(translation).count(NAMED) == 3


def test_conversations_of_two_clients_are_kept_apart() -> None:
    stream = wrap(16, 1, GET) + wrap(1, 17, ANSWER)
    assert "data: double-long-unsigned 5009" in said(translate(stream))


def test_a_wrapper_vector_shows_its_header_and_what_is_inside() -> None:
    for vector in vectors("wrapper").values():
        (message,) = translate(vector.wire).messages
        expect = vector.expect
        assert message.value.startswith(f"wPort {expect['source_wport']} -> wPort {expect['destination_wport']}, ")
        assert f"{expect['length']} octets" in message.value
        assert message.children


def test_an_error_inside_a_wrapper_message_does_not_hide_the_next() -> None:
    translation = translate(wrap(16, 1, b"\x99\x01") + wrap(16, 1, GET))
    assert problems(translation) == [(8, "no APDU that is known here begins with 99")]
    assert any("value (attribute 2)" in line for line in said(translation))


def test_behind_an_error_without_frame_nothing_is_guessed() -> None:
    translation = translate(GET + b"\xc4\x01\xc1\x00\x63\x00" + ANSWER)
    ((offset, words),) = problems(translation)
    assert offset == len(GET) + 5
    assert "no COSEM data type" in words
    assert any(line.startswith("not read: ") for line in said(translation))


@pytest.mark.parametrize(
    ("form", "octets", "words"),
    [
        (Form.AUTO, b"", "there are no octets to read"),
        (Form.AUTO, b"\x7e\x7e", "there is no message in these octets"),
        (Form.WRAPPER, GET, "a wrapper header begins with 0001, not C001"),
        (Form.WRAPPER, b"\x00\x01", "a wrapper header has 8 octets, 2 are there"),
        (Form.WRAPPER, wrap(1, 1, GET)[:-1], "13 octets announced, 12 are there"),
        (Form.HDLC, GET, "no HDLC frame begins here; 13 octets are skipped"),
        (Form.HDLC, frame(GET)[:9], "cut short: length 26, but only 8 octets are there"),
        (Form.AUTO, b"\x7e\xa0", "cut short: the frame ends within its format field"),
        (Form.APDU, b"\x7e\xa0", "no APDU that is known here begins with 7E (an HDLC frame?)"),
        (Form.DATA, b"\x63", "99 at offset 0 is no COSEM data type"),
    ],
)
def test_what_is_not_of_the_form_that_was_named_is_said(form: Form, octets: bytes, words: str) -> None:
    assert any(words in found for _, found in problems(translate(octets, form=form)))


def test_bare_values_follow_each_other_and_have_the_name_of_their_place() -> None:
    translation = translate(bytes.fromhex("0202160304000202160504 00"), form=Form.DATA, place=Place(115, 6))
    words = [line for line in said(translation) if line.startswith("status_code")]
    assert words == ["status_code: enum execution-ok (3)", "status_code: enum authentication-failure (5)"]


def test_more_than_can_be_read_is_said() -> None:
    translation = translate(bytes(INPUT_SIZE_MAX + 1))
    assert (INPUT_SIZE_MAX, f"only the first {INPUT_SIZE_MAX} octets were read") in problems(translation)


def test_the_json_has_the_form_that_is_documented() -> None:
    shown = translate(GET + b"\x99").to_json()
    assert list(shown) == ["octets", "messages", "errors"]
    assert shown["errors"] == [{"offset": 13, "message": "no APDU that is known here begins with 99"}]
    assert shown["messages"][0] == {  # type: ignore[index]
        "name": "get-request-normal",
        "value": "",
        "offset": 0,
        "size": 13,
        "children": [
            {
                "name": "invoke-id-and-priority",
                "value": "id 1, confirmed, high priority",
                "offset": 2,
                "size": 1,
                "hex": "C1",
            },
            {
                "name": "attribute",
                "value": "Data 0-0:43.1.0.255 (invocation counter), value (attribute 2)",
                "offset": 3,
                "size": 9,
                "hex": "000100002B0100FF02",
            },
        ],
    }


# Any octets.


@given(st.binary(max_size=300), st.sampled_from(Form))
def test_any_octets_become_a_translation(octets: bytes, form: Form) -> None:
    translation = translate(octets, KEYS, form=form, place=Place(115, 6))
    assert translation.to_text()
    assert all(0 <= node.offset <= len(octets) for node in nodes(translation))
    assert json.loads(json.dumps(translation.to_json()))["octets"] == len(octets)


STREAMS = [wrap(16, 1, GET) + wrap(1, 16, ANSWER), frame(GET) + frame(ANSWER, llc="E6E700"), GET + ANSWER]
STREAMS.append(frame(GET[:5], segmented=True) + frame(GET[5:], 1) + frame(ANSWER))


@given(damaged(st.lists(st.sampled_from(STREAMS), min_size=1, max_size=3).map(b"".join)))
def test_captures_that_are_nearly_right_become_a_translation(octets: bytes) -> None:
    translation = translate(octets, KEYS)
    assert all(0 <= node.offset <= len(octets) for node in nodes(translation))


@given(st.data())
def test_a_damaged_capture_shows_no_token(data: st.DataObject) -> None:
    capture = data.draw(damaged(st.sampled_from([recorded("tcp", "none"), recorded("hdlc+tcp", "lls")])))
    translation = translate(capture)
    shown = (translation.to_text() + json.dumps(translation.to_json())).upper().replace(" ", "")
    for secret in (TOKEN.digits, TOKEN.digits.encode().hex()):
        assert secret not in shown


def test_octets_made_to_look_like_many_frames_are_settled_quickly() -> None:
    octets = b"\x7e\xa7\x7f" * 20_000
    assert len(translate(octets).messages) == 1


def test_many_small_messages_take_no_more_than_one_look_each() -> None:
    assert len(translate(bytes(50_000), form=Form.DATA).messages) == 50_000
