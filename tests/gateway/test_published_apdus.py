"""APDUs and frames that others have published, through our decoders and through the translator.

The bytes and their sources stand in tests/vectors/published_apdus.json. None of them was written with us in mind.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

import pytest

from cosem_objects.axdr import decode as decode_data
from cosem_objects.dlms import acse, apdu
from cosem_objects.dlms.ciphered import CipheredApdu
from cosem_objects.dlms.describe import Keys
from cosem_objects.dlms.security import Cipher
from gateway.translator import Form, translate
from tests.vectors import FOLDER
from transports.hdlc.connection import LLC_RESPONSE
from transports.hdlc.frame import Kind
from transports.hdlc.receiver import FrameReceiver
from transports.wrapper import WrapperReceiver, wrap

Published = dict[str, Any]
VECTORS: list[Published] = json.loads((FOLDER / "published_apdus.json").read_text(encoding="utf-8"))["vectors"]


def of(*layers: str) -> pytest.MarkDecorator:
    """The vectors of these layers, under their ids."""
    found = [pytest.param(vector, id=vector["id"]) for vector in VECTORS if vector["layer"] in layers]
    return pytest.mark.parametrize("vector", found)


def parts(vector: Published) -> list[bytes]:
    texts = vector["hex"] if isinstance(vector["hex"], list) else [vector["hex"]]
    return [bytes.fromhex(text) for text in texts]


def keys(vector: Published) -> Keys:
    return Keys(**{name: bytes.fromhex(text) for name, text in vector.get("keys", {}).items()})


def test_every_vector_has_a_source_and_a_layer_that_is_tested() -> None:
    layers = {"apdu", "blocks", "general-blocks", "ciphered", "hdlc", "wrapper"}
    assert {vector["layer"] for vector in VECTORS} == layers
    assert all(vector["source"] for vector in VECTORS)
    assert len({vector["id"] for vector in VECTORS}) == len(VECTORS) >= 40


@of("apdu", "blocks", "general-blocks", "ciphered", "hdlc", "wrapper")
def test_the_translator_shows_what_was_published(vector: Published) -> None:
    translation = translate(b"".join(parts(vector)), keys(vector), show_secrets=True)
    text = translation.to_text()
    assert [words for words in vector["expect"]["shows"] if words not in text] == [], text
    assert (not translation.problems) == vector["expect"]["is_readable"], text
    assert json.loads(json.dumps(translation.to_json()))["octets"] == sum(map(len, parts(vector)))


@of("apdu")
def test_an_apdu_is_read_and_written_again_as_it_was(vector: Published) -> None:
    [octets] = parts(vector)
    decoded = apdu.decode(octets)
    assert type(decoded).__name__ == vector["expect"]["type"]
    assert decoded.encode() == octets


@of("blocks")
def test_blocks_join_to_the_data_that_was_cut(vector: Published) -> None:
    decoded: list[Any] = [apdu.decode(octets) for octets in parts(vector)]
    assert [type(each).__name__ for each in decoded] == vector["expect"]["types"]
    assert [each.block.number for each in decoded] == list(range(1, len(decoded) + 1))
    assert [each.block.is_last for each in decoded] == [False] * (len(decoded) - 1) + [True]
    assert joined(each.block.octets for each in decoded) == vector["expect"]["joined"]
    assert [each.encode() for each in decoded] == parts(vector)


@of("general-blocks")
def test_general_blocks_are_read_field_by_field(vector: Published) -> None:
    blocks = [apdu.decode(octets) for octets in parts(vector)]
    for block, wanted in zip(blocks, vector["expect"]["blocks"], strict=True):
        assert isinstance(block, apdu.GeneralBlockTransfer)
        assert {name: getattr(block, name) for name in wanted} == {**wanted, "octets": bytes.fromhex(wanted["octets"])}
    assert joined(block.octets for block in blocks if hasattr(block, "octets")) == vector["expect"]["joined"]


def joined(octets: Iterable[bytes]) -> str:
    return b"".join(octets).hex().upper()


@of("ciphered")
def test_a_ciphered_apdu_is_opened_with_its_published_key(vector: Published) -> None:
    [octets] = parts(vector)
    known, wanted = keys(vector), vector["expect"]
    ciphered = CipheredApdu.parse(octets)
    assert (ciphered.control, ciphered.counter) == (wanted["security_control"], wanted["invocation_counter"])
    title = ciphered.title or known.client_system_title
    plain = Cipher(known.ek, known.ak or bytes(16)).open(ciphered.control, title, ciphered.counter, ciphered.sealed)
    assert plain.hex().upper() == wanted["plain"]
    assert apdu.decode(plain).encode() == plain


@of("hdlc")
def test_frames_are_found_whole_and_octet_by_octet(vector: Published) -> None:
    [octets] = parts(vector)
    frames = FrameReceiver().receive(octets)
    assert len(frames) == vector["expect"].get("frames", 1)
    receiver = FrameReceiver()
    assert [frame for octet in octets for frame in receiver.receive(bytes((octet,)))] == frames
    assert frames[0].information.startswith(LLC_RESPONSE)
    assert {frame.kind for frame in frames} <= {Kind.UI, Kind.INFORMATION}
    for frame in frames:
        assert frame.encode() in octets


@of("hdlc")
def test_a_pushed_notification_is_read(vector: Published) -> None:
    [octets] = parts(vector)
    frames = FrameReceiver().receive(octets)
    inside = frames[0].information.removeprefix(LLC_RESPONSE)
    if inside[0] == apdu.GeneralBlockTransfer.TAG:
        contents = [inside, *[frame.information for frame in frames[1:]]]
        blocks = [block for each in contents if isinstance(block := apdu.decode(each), apdu.GeneralBlockTransfer)]
        assert [(block.number, block.is_last) for block in blocks] == [(1, False), (2, False), (3, False), (4, True)]
        begins, size = vector["expect"]["general_blocks"]
        whole = joined(block.octets for block in blocks)
        assert whole.startswith(begins)
        assert len(CipheredApdu.parse(bytes.fromhex(whole)).sealed) == size - 5  # without security control and counter
        return
    if inside[0] == 0xDB:
        assert CipheredApdu.parse(inside).encode() == inside
        return
    notification = apdu.decode(inside)
    assert isinstance(notification, apdu.DataNotification)
    assert len(notification.date_time) in {0, 12}
    assert apdu.decode(notification.encode()) == notification


@of("wrapper")
def test_a_wrapped_and_prefixed_apdu_is_read(vector: Published) -> None:
    [octets] = parts(vector)
    [(source, destination, prefixed)] = WrapperReceiver().receive(octets)
    wanted = vector["expect"]
    assert (source, destination) == (wanted["source_port"], wanted["destination_port"])
    assert wrap(source, destination, prefixed) == octets
    decoded = apdu.decode(prefixed)
    assert isinstance(decoded, apdu.PrefixedRequest)
    assert decoded.network_id == wanted["prefix"]["network_id"]
    assert decoded.physical_address.hex() == wanted["prefix"]["address"]
    assert decoded.encode() == prefixed
    inner = acse.decode(decoded.apdu) if decoded.apdu[0] in acse.TAGS else apdu.decode(decoded.apdu)
    assert inner.encode() == decoded.apdu


@of("blocks")
def test_the_data_of_blocks_alone_is_read_too(vector: Published) -> None:
    data = bytes.fromhex(vector["expect"]["joined"])
    assert decode_data(data).octets == data[2:]
    assert not translate(data, form=Form.DATA).problems
