"""``stsgate deliver`` with every way of speaking to a meter that its options offer, over real TCP sockets.

Each token is looked up in the meter's ledger. What a meter can be asked to be, a real ``simmeters run`` is, at the end.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import replace
from itertools import product
from pathlib import Path

import pytest

from cosem_objects.axdr import Data
from cosem_objects.charge import Attribute
from cosem_objects.dlms.apdu import AttributeDescriptor
from cosem_objects.dlms.settings import Ciphering, SecuritySettings
from cosem_objects.obis import ObisCode
from gateway.cli.meter_options import add_meter_options, meter_from
from gateway.cli.parser import OneLineParser
from gateway.session import open_session, read_counters
from sim_meters.meter import SimMeter
from sim_meters.meter_config import MeterConfig
from tests.gateway.test_cli import AK, CONFIG, EK, ONE, PASSWORD, TWO, Said, Stsgate, deliver_to
from tests.gateway.test_delivery import WIRES
from tests.sim_meters.meter_client import running
from tests.transports.wires import listen_somewhere
from transports.channel import ApduChannel
from transports.hdlc.connection import HDLC_DEFAULTS, HdlcSettings
from transports.hdlc.frame import Kind
from transports.hdlc.receiver import FrameReceiver
from transports.stream import ByteStream, OnBytes, OnClosed, PassingStream

OTHER_KEY, OTHER_PASSWORD = "0F" * 16, "another word"
KEYS = {"ek": EK, "ak": AK}
MECHANISMS: dict[str, dict[str, str]] = {
    "none": {},
    "lls": {"password": PASSWORD},
    "hls-gmac": KEYS,
    "hls-sha256": {"password": PASSWORD},
}


@pytest.fixture
def stsgate(capsys: pytest.CaptureFixture[str]) -> Stsgate:
    return Stsgate(capsys)


# The meter's side.


class Heard:
    """A meter's channel that notes what goes over it."""

    def __init__(self) -> None:
        self.requests: list[bytes] = []
        self.answers: list[bytes] = []

    def through(self, channel: ApduChannel) -> ApduChannel:
        receive, send = channel.receive, channel.send

        async def noted_receive(timeout_seconds: float | None) -> bytes:
            self.requests.append(await receive(timeout_seconds))
            return self.requests[-1]

        async def noted_send(apdu: bytes) -> None:
            self.answers.append(apdu)
            await send(apdu)

        channel.receive, channel.send = noted_receive, noted_send  # type: ignore[method-assign]
        return channel

    def services(self) -> set[str]:
        """The first two octets of every APDU: the service, and its form."""
        return {apdu[:2].hex().upper() for apdu in (*self.requests, *self.answers)}


class Place:
    """Where a meter listens, and what it heard."""

    def __init__(self, config: MeterConfig, url: str = "") -> None:
        self.meter = SimMeter(config)
        self.url = url
        self.heard = Heard()
        self.frames_in_a_row = 0
        """Of information, from the meter, before it heard anything again."""

    async def serve(self, channel: ApduChannel) -> None:
        await self.meter.serve(self.heard.through(channel))

    def count(self, stream: ByteStream) -> ByteStream:
        return _FramesCounted(stream, self)


class _FramesCounted(PassingStream):
    """Counts the information frames that a meter writes in a row."""

    def __init__(self, inner: ByteStream, place: Place) -> None:
        super().__init__(inner)
        self._place = place
        self._written = FrameReceiver()
        self._in_a_row = 0

    def start(self, on_bytes: OnBytes, on_closed: OnClosed) -> None:
        def arrived(data: bytes) -> None:
            self._in_a_row = 0
            on_bytes(data)

        self._inner.start(arrived, on_closed)

    def write(self, data: bytes) -> None:
        self._in_a_row += sum(frame.kind is Kind.INFORMATION for frame in self._written.receive(data))
        self._place.frames_in_a_row = max(self._place.frames_in_a_row, self._in_a_row)
        self._inner.write(data)


@asynccontextmanager
async def meter_at(
    wire: str = "tcp", config: MeterConfig = CONFIG, hdlc: HdlcSettings = HDLC_DEFAULTS
) -> AsyncIterator[Place]:
    place = Place(config)
    listener = await listen_somewhere(
        wire, place.serve, accept=config.is_for_us, hdlc=hdlc, through=place.count if wire == "hdlc+tcp" else _as_it_is
    )
    async with listener:
        place.url = listener.url
        yield place
    place.meter.close()


def _as_it_is(stream: ByteStream) -> ByteStream:
    return stream


def secured(mechanism: str, ciphering: str, secrets: Mapping[str, str]) -> MeterConfig:
    title = CONFIG.security.meter_system_title.hex()
    settings = {"mechanism": mechanism, "ciphering": ciphering, **secrets, "meter_system_title": title}
    return replace(CONFIG, security=SecuritySettings.parse(settings))


def options(mechanism: str, ciphering: str, secrets: Mapping[str, str]) -> list[str]:
    given = [option for name, value in secrets.items() for option in (f"--{name}", value)]
    return ["--security", mechanism, "--ciphering", ciphering, *given]


def secrets_of(mechanism: str, ciphering: str) -> dict[str, str]:
    return MECHANISMS[mechanism] | ({} if ciphering == "none" else KEYS)


async def delivers(stsgate: Stsgate, place: Place, *more: str) -> Said:
    """Two tokens, both accepted, and both in the ledger."""
    said = await stsgate.beside(*deliver_to(place.url, ONE, TWO), "--json", *more)
    assert [(shown["verdict"], shown["credited"]) for shown in said.objects] == [("accepted", "yes")] * 2, said
    assert said.code == 0
    assert [place.meter.ledger.times_credited(token) for token in (ONE, TWO)] == [1, 1]
    return said


OBJECT_LIST = AttributeDescriptor(15, ObisCode.parse("0-0:40.0.0.255"), 2)
MUCH = [
    *(AttributeDescriptor(115, ObisCode.parse("0-0:19.40.0.255"), number) for number in (2, 3, 4, 5, 6)),
    OBJECT_LIST,
    *(AttributeDescriptor(116, ObisCode.parse("0-0:19.60.0.255"), number) for number in range(2, 13)),
]


async def read_much(place: Place, *more: str) -> list[Data]:
    """Much more than a delivery reads, with the same options: answers of hundreds of octets, in one list."""
    parser = OneLineParser()
    add_meter_options(parser)
    meter = meter_from(parser.parse_args(["--endpoint", place.url, *more]))
    async with await open_session(meter, await read_counters(meter)) as session:
        results = [result for result in await session.get_many(MUCH) if isinstance(result, Data)]
        await session.release()
    assert len(results[MUCH.index(OBJECT_LIST)].elements) == 13
    return results


# Security.

COMBINATIONS = list(product(MECHANISMS, [form.value for form in Ciphering]))
TAGS = {
    # of a GET request and its response, ciphered; Green Book, table of APDU tags
    "none": ("C0", "C4"),
    "service-glo": ("C8", "CC"),
    "general-glo": ("DB", "DB"),
    "service-ded": ("D0", "D4"),
    "general-ded": ("DC", "DC"),
}


@pytest.mark.parametrize("wire", WIRES)
@pytest.mark.parametrize(("mechanism", "ciphering"), COMBINATIONS, ids=[" ".join(pair) for pair in COMBINATIONS])
async def test_every_mechanism_goes_with_every_form_of_ciphering(
    stsgate: Stsgate, mechanism: str, ciphering: str, wire: str
) -> None:
    secrets = secrets_of(mechanism, ciphering)
    async with meter_at(wire, secured(mechanism, ciphering, secrets)) as place:
        await delivers(stsgate, place, *options(mechanism, ciphering, secrets))
    request, response = TAGS[ciphering]
    assert request in {apdu[:1].hex().upper() for apdu in place.heard.requests}
    assert response in {apdu[:1].hex().upper() for apdu in place.heard.answers}
    if ciphering != "none":
        assert not [apdu for apdu in place.heard.requests if ONE.digits.encode() in apdu]


@pytest.mark.parametrize("asked", [form.value for form in Ciphering if form is not Ciphering.NONE])
@pytest.mark.parametrize("own", [form.value for form in Ciphering if form is not Ciphering.NONE])
async def test_a_meter_answers_in_the_form_in_which_it_is_asked(stsgate: Stsgate, own: str, asked: str) -> None:
    async with meter_at("tcp", secured("hls-gmac", own, KEYS)) as place:
        await delivers(stsgate, place, *options("hls-gmac", asked, KEYS))
    assert TAGS[asked][1] in {apdu[:1].hex().upper() for apdu in place.heard.answers}


WRONG: list[tuple[str, str, str, str, str]] = [
    ("lls", "none", "password", OTHER_PASSWORD, "check password or keys"),
    ("lls", "service-glo", "password", OTHER_PASSWORD, "check password or keys"),
    *(("hls-sha256", form.value, "password", OTHER_PASSWORD, "password") for form in Ciphering),
    *(("hls-sha256", "service-glo", key, OTHER_KEY, "key") for key in KEYS),
    *(("hls-gmac", form.value, key, OTHER_KEY, "key") for form in Ciphering for key in KEYS if form != "none"),
    *(("none", form.value, key, OTHER_KEY, "key") for form in Ciphering for key in KEYS if form != "none"),
]


@pytest.mark.parametrize("wire", WIRES)
@pytest.mark.parametrize(
    ("mechanism", "ciphering", "name", "wrong", "advice"), WRONG, ids=[" ".join(row[:3]) for row in WRONG]
)
async def test_a_wrong_secret_is_held_with_advice(
    stsgate: Stsgate, mechanism: str, ciphering: str, name: str, wrong: str, advice: str, wire: str
) -> None:
    secrets = secrets_of(mechanism, ciphering)
    async with meter_at(wire, secured(mechanism, ciphering, secrets)) as place:
        given = options(mechanism, ciphering, secrets | {name: wrong})
        said = await stsgate.beside(*deliver_to(place.url, ONE), "--json", *given)
        assert place.meter.ledger.entries == []
    (shown,) = said.objects
    assert (said.code, shown["verdict"], shown["reason"], shown["credited"]) == (3, "held", "config", "no")
    assert advice in shown["detail"]
    assert wrong not in said.out + said.err


# Concentrators; more of them in test_forwarding.py.

CHECK = "check --behind"
BEHIND: list[tuple[str, list[str], list[str], str | None]] = [
    ("right", ["0:0102"], ["0:0102"], None),
    ("wrong network", ["0:0102"], ["1:0102"], CHECK),
    ("wrong address", ["0:0102"], ["0:0103"], CHECK),
    ("no concentrator", [], ["0:0102"], CHECK),
    ("no prefix", ["0:0102"], [], "service-not-allowed"),
]


@pytest.mark.parametrize("wire", ["tcp://127.0.0.1:0", "hdlc+tcp://127.0.0.1:0"])
async def test_both_commands_mean_the_same_meter_by_behind(stsgate: Stsgate, wire: str) -> None:
    for name, meters, asked, named in BEHIND:
        where = [option for address in meters for option in ("--behind", address)]
        async with running("--listen", wire, *where) as meter:
            place = [option for address in asked for option in ("--behind", address)]
            said = await stsgate.beside(*deliver_to(meter.urls[0], ONE), "--json", *place)
            await meter.stop()
        (shown,) = said.objects
        if named is None:
            assert (said.code, shown["verdict"]) == (0, "accepted"), name
        else:
            assert (said.code, shown["credited"]) == (3, "no"), name
            assert shown["verdict"] in ("unreached", "held"), name
            assert named in shown["detail"], name


async def test_several_meters_behind_concentrators_count_up(stsgate: Stsgate) -> None:
    async with running("--listen", "tcp://127.0.0.1:0", "--meters", "2", "--behind", "3:00ff", meters=2) as meters:
        for url, address in zip(meters.urls, ("3:00FF", "3:0100"), strict=True):
            assert any(line.endswith(f"behind {address}") for line in meters.lines)
            said = await stsgate.beside(*deliver_to(url, ONE), "--behind", address)
            assert "associated" in said.out
        await meters.stop()


# HDLC windows.


@pytest.mark.parametrize("window", range(1, 8))
async def test_windows_of_every_size_with_small_frames(stsgate: Stsgate, tmp_path: Path, window: int) -> None:
    profile = _profile(tmp_path, "hdlc_info_max = 32")
    async with meter_at("hdlc+tcp", hdlc=HdlcSettings(info_max=32, window_max=window)) as place:
        await delivers(stsgate, place, "--hdlc-window", str(window), "--profile", profile)
        await read_much(place, "--hdlc-window", str(window), "--profile", profile)
    assert place.frames_in_a_row == window


@pytest.mark.parametrize(("ours", "its"), [(1, 7), (7, 1), (3, 5), (5, 3)])
async def test_the_smaller_window_counts(stsgate: Stsgate, tmp_path: Path, ours: int, its: int) -> None:
    profile = _profile(tmp_path, f"hdlc_info_max = 32\nhdlc_window_max = {ours}")
    async with meter_at("hdlc+tcp", hdlc=HdlcSettings(info_max=128, window_max=its)) as place:
        await delivers(stsgate, place, "--profile", profile)
        await read_much(place, "--profile", profile)
    assert place.frames_in_a_row == min(ours, its)


# Small APDUs.

SMALL = (64, 80, 128)


@pytest.mark.parametrize("secrets", [{}, KEYS], ids=["in clear", "ciphered"])
@pytest.mark.parametrize("ours", SMALL)
@pytest.mark.parametrize("its", SMALL)
async def test_small_apdus_on_both_sides(
    stsgate: Stsgate, tmp_path: Path, its: int, ours: int, secrets: dict[str, str]
) -> None:
    mechanism, form = ("hls-gmac", "service-glo") if secrets else ("none", "none")
    config = secured(mechanism, form, secrets)
    config = replace(config, profile=replace(config.profile, pdu_size_max=its))
    profile = _profile(tmp_path, f"pdu_size_max = {ours}")
    async with meter_at("tcp", config) as place:
        given = ["--profile", profile, *options(mechanism, form, secrets)]
        await delivers(stsgate, place, *given)
        assert len(await read_much(place, *given)) == len(MUCH)
    assert max(len(apdu) for apdu in place.heard.answers if apdu[0] != AARE) <= ours
    assert max(len(apdu) for apdu in place.heard.requests if apdu[0] != AARQ) <= its
    if not secrets:
        assert GET_WITH_BLOCK in place.heard.services()


AARQ, AARE = 0x60, 0x61
GET_WITH_LIST, GET_WITH_BLOCK, GET_NEXT = "C003", "C402", "C002"


async def test_a_list_comes_whole_where_there_is_room(stsgate: Stsgate) -> None:
    async with meter_at() as place:
        await delivers(stsgate, place)
    assert {GET_WITH_LIST, "C403"} <= place.heard.services()
    assert not {GET_WITH_BLOCK, GET_NEXT} & place.heard.services()


@pytest.mark.parametrize("wire", WIRES)
@pytest.mark.parametrize(
    "lines",
    [
        "use_get_list = false",
        'conformance = ["get", "set", "action"]',
        'conformance = ["get", "action"]',
        'use_get_list = false\nconformance = ["get", "action", "block-transfer-with-get"]\npdu_size_max = 64',
    ],
)
async def test_without_lists_everything_is_asked_for_one_by_one(
    stsgate: Stsgate, tmp_path: Path, wire: str, lines: str
) -> None:
    async with meter_at(wire) as place:
        await delivers(stsgate, place, "--profile", _profile(tmp_path, lines))
    assert GET_WITH_LIST not in place.heard.services()
    assert "C001" in place.heard.services()


@pytest.mark.parametrize("form", ["service-ded", "general-ded"])
@pytest.mark.parametrize("lines", ["restart_dedicated_counter = true", "dedicated_key_in_hls = true"])
async def test_meters_that_do_dedicated_keys_their_own_way(
    stsgate: Stsgate, tmp_path: Path, form: str, lines: str
) -> None:
    profile = _profile(tmp_path, lines)
    async with meter_at("tcp", secured("hls-gmac", form, KEYS)) as place:
        await delivers(stsgate, place, "--profile", profile, *options("hls-gmac", form, KEYS))


def _profile(folder: Path, lines: str) -> str:
    """A profile of the simulated meters with these lines more."""
    path = folder / "profile.toml"
    path.write_text(f'data_value_map = "onehot16"\n{lines}\n')
    return str(path)


# The same options for both commands.

ALIKE = [
    ["--security", "hls-sha256", "--password", PASSWORD],
    ["--security", "hls-sha256", "--password", PASSWORD, "--ek", EK, "--ak", AK, "--ciphering", "general-ded"],
    ["--security", "hls-gmac", "--ek", EK, "--ak", AK, "--ciphering", "service-ded", "--behind", "1:AA"],
    ["--security", "lls", "--password", PASSWORD, "--hdlc-window", "7", "--behind", "0:0102"],
]


@pytest.mark.parametrize("alike", ALIKE, ids=[" ".join(option for option in row[1::2])[:30] for row in ALIKE])
async def test_what_one_command_is_told_the_other_can_be_told_too(stsgate: Stsgate, alike: list[str]) -> None:
    async with running(
        "--listen", "hdlc+tcp://127.0.0.1:0", "--pdu-max", "100", "--hdlc-info-max", "40", *alike
    ) as meter:
        said = await stsgate.beside(*deliver_to(meter.urls[0], ONE, TWO), *alike)
        code, errors = await meter.stop()
    assert (said.code, code) == (0, 0), said.err
    assert said.out.count("ACCEPTED") == 2
    for secret in (PASSWORD, EK, AK, ONE.digits):
        assert secret not in errors


async def test_a_debt_takes_its_part_of_every_token(stsgate: Stsgate) -> None:
    async with running("--listen", "tcp://127.0.0.1:0", "--debt", "10:25") as meter:
        said = await stsgate.beside(*deliver_to(meter.urls[0], ONE), "--json", "--amount", "25.6", "--unit", "kWh")
        await meter.stop()
    (shown,) = said.objects
    assert (shown["verdict"], shown["balance_before"], shown["balance_after"]) == ("accepted", "0.0", "19.2")


async def test_a_debt_in_money(stsgate: Stsgate) -> None:
    """A token in kWh is nothing to a meter that counts money; what is owed is counted in money all the same."""
    async with running("--listen", "tcp://127.0.0.1:0", "--currency", "ZAR:-2", "--debt", "49.90:12.5") as meter:
        client = await meter.client()
        assert (await client.value(113, "0-0:19.20.0.255", Attribute.TOTAL_AMOUNT_REMAINING)).integer == 4990
        await meter.stop()


@pytest.mark.parametrize(
    ("wire", "more", "given"),
    [
        ("tcp", ["--ciphering", "general-glo"], False),
        ("tcp", ["--security", "hls-sha256", "--password", PASSWORD], True),
        ("hdlc+tcp", ["--behind", "1:AA", "--hdlc-window", "3"], True),
        ("hdlc+tcp", ["--ciphering", "service-ded"], False),
    ],
)
async def test_keys_are_transferred_under_the_master_key_of_the_meter(
    stsgate: Stsgate, tmp_path: Path, wire: str, more: list[str], given: bool
) -> None:
    """One that was given, or that of the lab, which docs/simmeters.md names."""
    master = "5A" * 16 if given else "4C41422D4D41535445522D4B45592D30"
    (tmp_path / "master").write_text(master + "\n")
    keys = ["--security", "hls-gmac", "--ek", EK, "--ak", AK, *more]
    own = ["--master-key-file", str(tmp_path / "master")] if given else []
    async with running("--listen", f"{wire}://127.0.0.1:0", *keys, *own) as meter:
        change = ["dlms", "transfer-key", "--endpoint", meter.urls[0], "--pending", str(tmp_path / "pending"), *keys]
        new = ["--new-ek", "E1" * 16, "--new-ak", "A1" * 16]
        assert (await stsgate.beside(*change, *new, "--master-key", OTHER_KEY)).code == 1
        assert (await stsgate.beside(*change, *new, "--master-key", master)).code == 0
        assert (await stsgate.beside(*change, "--prove")).code == 0
        _, errors = await meter.stop()
    assert master not in errors
