"""The kept inputs through their targets, and proof that each target notices a broken decoder."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from cosem_objects import axdr
from cosem_objects.dlms import acse
from cosem_objects.dlms import apdu as xdlms
from cosem_objects.dlms.masking import Masker
from cosem_objects.dlms.security import Cipher, InvocationCounters
from cosem_objects.dlms.server import ServerAssociation
from cosem_objects.errors import RemoteProtocolError, SettingError, TokenFormatError
from cosem_objects.octets import OctetReader
from cosem_objects.profile import MeterProfile
from cosem_objects.sts_token import Token
from cosem_objects.token_gateway import TokenEncoding
from gateway.translator import Translation
from sim_meters.fault_order import FaultOrder
from sim_meters.fleet.group import MeterGroup
from sim_meters.fleet.plan import FleetPlan
from sim_meters.scenario import file as scenario_file
from sim_meters.scenario.model import ScenarioFile
from sim_meters.sts.machine.token_machine import TokenMachine
from tests.fuzz import corpus
from tests.fuzz.__main__ import main
from tests.fuzz.properties import Choices, assert_harmless
from tests.fuzz.shorten import broken_at, shortened
from tests.fuzz.targets import NAMES, load, mqtt_meter, push, scenario
from transports.calling_in.first_words import FirstReader, KeepAliveFilter
from transports.channel import ChannelGarbled
from transports.endpoint import Endpoint, EndpointError
from transports.hdlc.client import HdlcClientConnection
from transports.hdlc.receiver import FrameReceiver
from transports.hdlc.server import HdlcServerConnection
from transports.mqtt.presence import Presence
from transports.serial.mode_e import ModeEClient, _Lines
from transports.wrapper import WrapperReceiver

TOTAL_OCTETS_MAX = 200_000


@pytest.mark.parametrize("name", NAMES)
def test_every_kept_input_is_decoded_or_refused_as_it_should_be(name: str) -> None:
    target, inputs = load(name), corpus.kept(name)
    assert inputs, f"there is no corpus for {name}"
    for octets in (b"", *target.seeds(), *inputs):
        assert broken_at(target.one_input, octets) is None, f"python -m tests.fuzz {name} --replay {octets.hex()}"


def test_the_corpus_is_small() -> None:
    files = sorted(corpus.FOLDER.iterdir())
    assert [file.stem for file in files] == sorted(NAMES)
    assert sum(file.stat().st_size for file in files) <= TOTAL_OCTETS_MAX
    for name in NAMES:
        inputs = corpus.kept(name)
        assert len(inputs) <= corpus.INPUTS_MAX
        assert inputs == sorted(set(inputs), key=corpus.by_size)


# Each target can fail: the decoder is broken in one way, and some kept input must show it.


def _take_beyond_the_end(reader: OctetReader, count: int) -> bytes:
    start = reader.position
    reader.position = start + count
    return bytes(reader._octets[index] for index in range(start, start + count))


def _shows_everything(data: axdr.Data) -> str:
    return f"<{data.type.name} {data.value!r}>"


def _raises(error: Exception) -> Callable[..., Any]:
    def function(*_: object, **__: object) -> Any:
        raise error

    return function


def _of(place: Any, name: str, change: Callable[[Any], Any]) -> tuple[Any, str, Callable[..., Any]]:
    """The function or method of that name, whose results are changed."""
    original = getattr(place, name)

    def changed(*arguments: Any, **named: Any) -> Any:
        return change(original(*arguments, **named))

    return place, name, changed


_BROKEN: dict[str, tuple[Any, str, Any]] = {
    "axdr: reads beyond the end": (OctetReader, "take", _take_beyond_the_end),
    "axdr: writes other values": _of(axdr, "encode", lambda octets: octets.replace(b"\x04", b"\x09")),
    "axdr: writes too much": _of(axdr, "encode", lambda octets: octets + b"\0"),
    "axdr: shows a string": (axdr.Data, "__repr__", _shows_everything),
    "axdr: makes many values of few octets": (axdr, "decode", lambda octets: axdr.array(*[axdr.NULL] * 10_000)),
    "axdr: an endless message": (axdr, "decode", _raises(RemoteProtocolError("no " * 200))),
    "apdu: reads beyond the end": (OctetReader, "take", _take_beyond_the_end),
    "apdu: shows a block": (xdlms.DataBlock, "__repr__", lambda block: f"<DataBlock {block.octets!r}>"),
    "apdu: forgets the priority": _of(xdlms.GetRequest, "encode", lambda octets: octets[:2] + b"\1" + octets[3:]),
    "acse: reads beyond the end": (OctetReader, "take", _take_beyond_the_end),
    "acse: writes a title for a result": _of(acse.Aare, "encode", lambda octets: octets.replace(b"\xa2", b"\xa4")),
    "acse: shows the password": (acse.Aarq, "__repr__", lambda aarq: f"<Aarq {aarq.authentication!r}>"),
    "ciphered: no tag is checked": (
        Cipher,
        "open",
        lambda cipher, control, title, counter, sealed: cipher.seal(0x20, title, counter, sealed[:-12]),
    ),
    "ciphered: counters do not move": (InvocationCounters, "accept", lambda counters, received: None),
    "ciphered: counters move too early": (InvocationCounters, "check", InvocationCounters.accept),
    "wrapper: it matters where the stream is cut": _of(WrapperReceiver, "receive", lambda messages: messages[:1]),
    "wrapper: an octet too many": _of(
        WrapperReceiver, "receive", lambda messages: [(*message[:2], message[2] + b"\0") for message in messages]
    ),
    "hdlc_frames: it matters where the stream is cut": _of(FrameReceiver, "receive", lambda frames: frames[:1]),
    "hdlc_frames: an octet is lost": _of(
        FrameReceiver,
        "receive",
        lambda frames: [replace(frame, information=frame.information[1:]) for frame in frames],
    ),
    "hdlc_connection: an APDU without octets": _of(
        HdlcServerConnection, "receive", lambda reaction: reaction and reaction._replace(apdu=b"")
    ),
    "hdlc_connection: a run beyond the window": _of(
        HdlcServerConnection, "receive", lambda reaction: reaction and reaction._replace(frames=reaction.frames * 20)
    ),
    "hdlc_connection: lets a foreign error out": (HdlcClientConnection, "receive", _raises(IndexError("of a deque"))),
    "profile: lets a foreign error out": (MeterProfile, "parse", _raises(KeyError("name"))),
    "profile: an endless message": (MeterProfile, "parse", _raises(SettingError("no " * 2000))),
    "profile: believes any status": (MeterProfile, "status_code", lambda profile, code: code),
    "token: takes too few digits": (Token, "parse", classmethod(lambda kind, text: kind(int(text or "0")))),
    "token: shows the digits": (Token, "parse", _raises(TokenFormatError("no token: 4864 3202 7813 1401 0686"))),
    "token: two encodings mixed": (TokenEncoding, "to_octets", lambda encoding, token: token.number.to_bytes(9, "big")),
    "mode_e: forgets what came in the piece before": (
        _Lines,
        "receive",
        lambda lines, data: [line.decode("latin-1") for line in data.split(b"\n")],
    ),
    "mode_e: keeps all noise": (_Lines, "receive", lambda lines, data: lines._line.extend(data) or []),
    "mode_e: an unknown speed": _of(ModeEClient, "receive", lambda heard: [*heard, 1200 + len(heard)]),
    "endpoint: lets a foreign error out": (Endpoint, "parse", _raises(ValueError("one of ours would be better"))),
    "endpoint: writes another URL": (Endpoint, "authority", property(lambda endpoint: f"{endpoint.host}:1")),
    "mqtt_meter: a state that is written is another": _of(
        Presence, "encode", lambda octets: octets[:-1] + b',"fw":"?"}'
    ),
    "mqtt_meter: takes any payload": (mqtt_meter, "is_wpdu", bool),
    "mqtt_meter: answers anywhere": (mqtt_meter, "is_response_topic", lambda place, topic: True),
    "endpoint: says nothing": (Endpoint, "parse", _raises(EndpointError(""))),
    "fleet: lets a foreign error out": (FleetPlan, "parse", _raises(KeyError("group"))),
    "fleet: an endless message": (FleetPlan, "parse", _raises(SettingError("no " * 200))),
    "fleet: finds somebody else": _of(MeterGroup, "number_at", lambda number: number and number - 1),
    "fleet: finds somebody behind the last": _of(MeterGroup, "number_at", lambda number: number or 100_000),
    "fleet: a PAN is nobody's": (FleetPlan, "find", lambda plan, text: None),
    "fault_order: lets a foreign error out": (FaultOrder, "parse", _raises(KeyError("phase"))),
    "fault_order: an endless message": (FaultOrder, "parse_mapping", _raises(SettingError("no " * 200))),
    "fault_order: loses the count": _of(FaultOrder, "to_mapping", lambda said: {**said, "count": 7}),
    "token_machine: a token works again": (TokenMachine, "with_tid", lambda machine, tid: machine),
    "token_machine: an index of nothing": (TokenMachine, "_value_refusal", _raises(IndexError("register"))),
    "token_machine: a refused set changes the key": (TokenMachine, "_key_refusal", lambda machine, new: None),
    "scenario: lets a foreign error out": (ScenarioFile, "model_validate_json", _raises(KeyError("case"))),
    "scenario: an endless message": (scenario_file, "_words", lambda error: "no " * 200),
    "scenario: the schema takes less": (scenario, "is_valid", lambda mapping: False),
    "scenario: the schema takes more": (scenario, "is_valid", bool),
    "first_words: loses what comes behind": _of(
        FirstReader, "receive", lambda caller: caller and caller._replace(rest=b"?")
    ),
    "first_words: repeats what was said": (FirstReader, "_read_login", _raises(ChannelGarbled("correct-horse"))),
    "first_words: holds much back": (KeepAliveFilter, "receive", lambda filtered, data: (data[:-9], 0)),
    "push: no tag is checked": (
        Cipher,
        "open",
        lambda cipher, control, title, counter, sealed: cipher.seal(0x20, title, counter, sealed[:-12]),
    ),
    "push: counters move too early": (InvocationCounters, "check", InvocationCounters.accept),
    "push: a sender without a name": (push, "sender_of", lambda apdu: apdu[:7]),
    "server: reads beyond the end": (OctetReader, "take", _take_beyond_the_end),
    "server: raises": (ServerAssociation, "receive", _raises(RemoteProtocolError("a frame"))),
    "server: says nothing": _of(ServerAssociation, "respond", lambda octets: b""),
    "server: counters move too early": (InvocationCounters, "check", InvocationCounters.accept),
    "client: reads beyond the end": (OctetReader, "take", _take_beyond_the_end),
    "client: counters move too early": (InvocationCounters, "check", InvocationCounters.accept),
    "masking: shows everything": (Masker, "mask", lambda masker, apdu, depth=0: apdu),
    "masking: changes the length": _of(Masker, "mask", lambda octets: octets + b"*"),
    "masking: raises": (Masker, "mask", _raises(RemoteProtocolError("ends at offset 3"))),
    "translator: names no octets": _of(Translation, "to_json", lambda tree: {**tree, "octets": 0}),
    "translator: shows a secret": _of(Translation, "to_text", lambda text: f"{text} 48643202781314010686"),
    "translator: reads beyond the end": (OctetReader, "take", _take_beyond_the_end),
}


@pytest.mark.parametrize("what", _BROKEN)
def test_a_broken_decoder_is_noticed(what: str, monkeypatch: pytest.MonkeyPatch) -> None:
    name, (place, attribute, replacement) = what.partition(":")[0], _BROKEN[what]
    monkeypatch.setattr(place, attribute, replacement)
    target = load(name)
    assert any(broken_at(target.one_input, octets) for octets in (*corpus.kept(name), *target.seeds())), what


def test_each_target_has_its_broken_decoder() -> None:
    assert {what.partition(":")[0] for what in _BROKEN} == set(NAMES)


# The runner's own parts.


def _no_zero_before_seven(octets: bytes) -> None:
    place = octets.find(0)
    assert place < 0 or 7 not in octets[place:]


def test_a_breaking_input_is_made_short() -> None:
    assert shortened(_no_zero_before_seven, bytes(range(50)) + b"and more") == b"\0\7"


def test_an_input_that_breaks_nothing_stays_as_it_is() -> None:
    assert shortened(_no_zero_before_seven, b"\7and more\0") == b"\7and more\0"


def test_what_is_kept_reaches_new_branches_with_the_shortest_inputs() -> None:
    one_input = load("axdr").one_input
    assert corpus.chosen(one_input, [b"\0", b"\x11\1", b"\x11\2", b"\x11\1\1", b"\x11\1\1\1"]) == [
        b"\0",
        b"\x11\1",
        b"\x11\1\1",
    ]


def test_an_input_is_replayed_without_the_fuzzer(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["axdr", "--replay", "1105"]) == 0
    assert "nothing is wrong" in capsys.readouterr().out


def test_damage_changes_something_always() -> None:
    for first in range(256):
        for where in (0, 3, 9):
            assert Choices(bytes((first, 0, where, first))).damage(b"octets") != b"octets"


def test_a_message_that_shows_a_secret_is_harmful() -> None:
    with pytest.raises(AssertionError, match="a secret"):
        assert_harmless(RemoteProtocolError("0011223344556677 was wrong"), [bytes.fromhex("0011223344556677")])
