"""Fleet files: what they may say, and what counts up."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cosem_objects.errors import SettingError
from cosem_objects.profile import MeterProfile
from cosem_objects.token_gateway import TokenEncoding
from sim_meters.faults import Fault, Phase
from sim_meters.fleet.fields import Fields
from sim_meters.fleet.files import FLEETS, PROFILES, load_fleet
from sim_meters.fleet.group import MeterGroup
from sim_meters.fleet.places import name_plus, place_plus
from sim_meters.fleet.plan import FleetPlan
from sim_meters.meter_config import PushTo
from sim_meters.sts.keys.decoder_key import VendingKey, derive_decoder_key
from sim_meters.sts.keys.identity import luhn_valid
from sim_meters.sts.machine.machine_settings import SETTING_HELP
from transports.channel import Address
from transports.endpoint import Endpoint
from transports.wire_settings import MqttPayload, MqttProtocol

TCP = 'listen = "tcp://127.0.0.1:4059"\n'


def profile(name: str) -> MeterProfile:
    if name != "sim":
        raise SettingError(f"profile: expected sim; got {name!r}")
    return MeterProfile(name="sim")


def plan(text: str, seed: int | None = None) -> FleetPlan:
    return FleetPlan.parse(tomllib.loads(text), profile, seed=seed)


def group(text: str) -> MeterGroup:
    (only,) = plan(f'[[group]]\nname = "a"\n{text}').groups
    return only


def test_a_group_needs_a_name_and_a_place_only() -> None:
    one = group(TCP)
    config = one.config(0)
    assert (one.count, one.places, one.name_of(0)) == (1, 1, "a-1")
    assert (config.client_sap, config.server_sap, config.physical) == (1, 1, None)
    assert config.pan.digits == "600727000000000009"
    assert config.security.meter_system_title.hex() == "53494d0000000001"
    assert config.unit.currency.name == "kWh"


def test_every_member_means_something() -> None:
    one = group(
        TCP.replace("tcp", "hdlc+tcp")
        + """
        count = 4
        share = 2
        physical = 200
        server_sap = 3
        client_sap = 2
        token_encoding = "bcd10"
        pdu_max = 200
        currency = "ZAR:-3"
        debt = "100:25"
        behind = "1:0A"
        status_delay_seconds = 1.5
        control_mode = 3
        associations_max = 2
        push_to = "client"
        system_title = "4142430000000009"
        address_bytes = 4
        hdlc_info_max = 64
        hdlc_window = 2
        hdlc_push = true

        [group.sts]
        pan = "600727000000000181"
        sgc = "000123"
        ti = "02"
        krn = 3
        base_date = 1993
        dkga = "02"
        vending_key = "abababababababab"
        manufactured = 2004-01-01

        [group.security]
        mechanism = "hls-gmac"
        ciphering = "general-glo"
        ek = "000102030405060708090A0B0C0D0E0F"
        ak = "D0D1D2D3D4D5D6D7D8D9DADBDCDDDEDF"
        master_key = "00112233445566778899AABBCCDDEEFF"

        [group.mqtt]
        payload = "hdlc"
        protocol = "3.1.1"
        topic_root = "lab"

        [group.line]
        echo = true
        noise = 0.5
        gap_seconds = 0.01

        [[group.fault]]
        fault = "delay"
        phase = "enter"
        value = 3
        percent = 50
        """
    )
    config = one.config(3)
    assert (config.physical, config.server_sap, config.client_sap) == (201, 3, 2)
    assert (config.profile.token_encoding, config.profile.pdu_size_max) == (TokenEncoding.BCD10, 200)
    assert (config.unit.currency.name, config.unit.currency.scale) == ("ZAR", -3)
    assert config.debt is not None
    assert str(config.behind) == "1:0D"
    assert (config.status_delay_seconds, config.control_mode, config.associations_max) == (1.5, 3, 2)
    assert config.push_to is PushTo.CLIENT
    assert config.security.meter_system_title.hex() == "414243000000000c"
    assert (one.hdlc.address_bytes, one.hdlc.info_max, one.hdlc.window_max) == (4, 64, 2)
    assert one.hdlc.unasked_at_once
    assert (config.key.sgc, config.key.ti, config.key.krn, int(config.key.base_date), config.key.dkga) == (
        *(123, 2, 3, 1993, 2),
    )
    assert config.decoder_key == derive_decoder_key(VendingKey.parse("ab" * 8, 2), config.key)
    assert config.manufactured is not None
    assert config.manufactured.year == 2004
    assert config.security.ek == bytes(range(16))
    assert config.master_key.hex() == "00112233445566778899aabbccddeeff"
    assert not config.answers_as_asked
    assert (one.wires.mqtt.payload, one.wires.mqtt.protocol) == (MqttPayload.HDLC, MqttProtocol.MQTT_3)
    assert one.wires.mqtt.topic_root == "lab"
    assert (one.wires.serial.line.echo, one.wires.serial.line.noise) == (True, 0.5)
    (order,) = one.faults
    assert (order.fault, order.phase, order.value, order.chance_percent) == (Fault.DELAY, Phase.ENTER, 3.0, 50.0)


def test_meters_of_a_group_count_up() -> None:
    one = group(TCP + "count = 12\nshare = 5\nserver_sap = 1001")
    places = [(str(one.endpoint_of(one.place_of(n))), one.config(n).server_sap) for n in (0, 4, 5, 11)]
    assert places == [
        ("tcp://127.0.0.1:4059", 1001),
        ("tcp://127.0.0.1:4059", 1005),
        ("tcp://127.0.0.1:4060", 1001),
        ("tcp://127.0.0.1:4061", 1002),
    ]
    pans = [one.config(number).pan for number in range(12)]
    assert [pan.serial for pan in pans] == list(range(12))
    assert all(luhn_valid(pan.drn) and luhn_valid(pan.digits) for pan in pans)
    assert len({one.config(number).decoder_key.octets for number in range(12)}) == 12


def test_physical_addresses_begin_anew_at_each_shared_line_and_go_on_where_each_meter_has_its_own() -> None:
    shared = group('listen = "pty:///tmp/line-08"\ncount = 6\nshare = 3\nphysical = 17')
    assert [shared.config(number).physical for number in range(6)] == [17, 18, 19, 17, 18, 19]
    assert [str(shared.endpoint_of(place)) for place in (0, 1)] == ["pty:///tmp/line-08", "pty:///tmp/line-09"]
    alone = group('listen = "hdlc+tcp://127.0.0.1:0"\ncount = 3\nphysical = 17')
    assert [alone.config(number).physical for number in range(3)] == [17, 18, 19]


@pytest.mark.parametrize(
    ("first", "names"),
    [
        ("meter-09", ["meter-09", "meter-10", "meter-11"]),
        ("m98", ["m98", "m99", "m100"]),
        ("house", ["house", "house-2", "house-3"]),
        ("007", ["007", "008", "009"]),
    ],
)
def test_names_count_up_and_keep_their_width(first: str, names: list[str]) -> None:
    assert [name_plus(first, count) for count in range(3)] == names
    url = Endpoint.parse(f"mqtt://127.0.0.1:1883/site/{first}")
    assert [place_plus(url, count).path for count in range(3)] == [f"site/{name}" for name in names]


@given(st.integers(1, 400), st.integers(1, 100), st.integers(1, 2000), st.booleans(), st.data())
def test_every_meter_is_found_by_its_own_address_and_names(
    count: int, share: int, begin: int, hdlc: bool, data: st.DataObject
) -> None:
    begin += 127 if hdlc else 0
    where = f'listen = "hdlc+tcp://127.0.0.1:0"\nphysical = {begin}' if hdlc else f"{TCP}\nserver_sap = {begin}"
    both = plan(
        f'[[group]]\nname = "a"\ncount = {count}\nshare = {share}\n{where}\n'
        f'[[group]]\nname = "a-1"\ncount = {count}\nlisten = "tcp://127.0.0.1:0"\n'
    )
    one = both.groups[0]
    number = data.draw(st.integers(0, count - 1))
    config = one.config(number)
    address = Address(data.draw(st.sampled_from([1, 16])), config.server_sap, config.physical)
    assert one.number_at(one.place_of(number), address) == number
    for which in both.groups:
        for name in which.names_of(number):
            member = both.find(name)
            assert member is not None
            assert (member.group, member.number) == (which, number)


def test_nobody_is_found_at_other_addresses() -> None:
    one = group(TCP + "count = 7\nshare = 5\nserver_sap = 1001")
    for place, sap in ((0, 1000), (0, 1006), (1, 1003), (1, 1), (0, 1)):
        assert one.number_at(place, Address(1, sap, None)) is None
    line = group('listen = "pty:///tmp/x"\ncount = 3\nshare = 3\nphysical = 17')
    for address in (Address(1, 1, 16), Address(1, 1, 20), Address(1, 2, 17), Address(1, 1, None)):
        assert line.number_at(0, address) is None
    fleet = plan(f'[[group]]\nname = "a"\ncount = 2\n{TCP}')
    for name in ("a-0", "a-3", "a", "b-1", "a-01", "", "SIM00000000026", "600727000000000264", "a-999999999999"):
        assert fleet.find(name) is None


def test_groups_that_do_not_say_who_they_are_are_apart() -> None:
    anywhere = TCP.replace("4059", "0")
    fleet = plan("".join(f'[[group]]\nname = "{name}"\ncount = 3\n{anywhere}' for name in "abc"))
    pans = [member.config.pan.digits for member in fleet.members]
    titles = [member.config.security.meter_system_title for member in fleet.members]
    assert len(set(pans)) == len(set(titles)) == fleet.count == 9


SECRET = '[[group]]\nname = "a"\ncount = 3\n' + TCP + '[group.security]\nmechanism = "hls-gmac"\n'


def keys(fleet: FleetPlan) -> list[tuple[bytes, bytes]]:
    return [(member.config.security.ek, member.config.security.ak) for member in fleet.members]


def test_keys_that_are_not_given_are_made_of_the_seed_for_each_meter() -> None:
    made = keys(plan(SECRET, seed=1))
    assert len({key for pair in made for key in pair}) == 6
    assert keys(plan(SECRET, seed=1)) == made
    assert keys(plan(SECRET, seed=2)) != made
    more = keys(plan(SECRET.replace("count = 3", "count = 30"), seed=1))
    assert more[:3] == made, "they do not depend on how many meters there are"
    (passwords,) = plan(SECRET.replace("hls-gmac", "lls")).groups
    assert len({passwords.config(number).security.password for number in range(3)}) == 3
    assert repr(passwords.config(0).security.password.decode()) not in repr(passwords)


def test_a_seed_from_outside_takes_the_files_place() -> None:
    assert plan(f"seed = 5\n{SECRET}").seed == 5
    assert plan(f"seed = 5\n{SECRET}", seed=6).seed == 6


KEY = "000102030405060708090A0B0C0D0E0F"
BAD: dict[str, tuple[str, str]] = {
    "nothing": ("", "fleet: expected 1 to 90 groups"),
    "one group without brackets": ('[group]\nname = "a"', "fleet: group: expected tables; they begin with [[group]]"),
    "unknown key": (f'sead = 1\n[[group]]\nname = "a"\n{TCP}', "fleet: 'sead' is no member of it; did you mean seed?"),
    "seed": (f'seed = -1\n[[group]]\nname = "a"\n{TCP}', "fleet: seed: expected a whole number from 0"),
    "no name": (f"[[group]]\n{TCP}", "group 1: name: expected 1 to 40 letters"),
    "name with a blank": (f'[[group]]\nname = "a b"\n{TCP}', "group 1: name: expected"),
    "a name twice": (f'[[group]]\nname = "a"\n{TCP}[[group]]\nname = "a"\n{TCP}', "group a: expected a name that no"),
    "the same meters twice": (
        f'[[group]]\nname = "a"\ncount = 9\n{TCP}[[group]]\nname = "b"\n{TCP}[group.sts]\npan = "600727000000000181"',
        "group b: PAN: expected other ones than those of group a",
    ),
    "the same titles twice": (
        f'[[group]]\nname = "a"\ncount = 9\n{TCP}[[group]]\nname = "b"\nsystem_title = "53494D0000000009"\n{TCP}',
        "group b: system title: expected other ones than those of group a",
    ),
}
SUBURB = '[[group]]\nname = "{0}"\ncount = 3\nlisten = "mqtt://127.0.0.1:1883/{0}/m-08"\n'
BAD["a name at the broker twice"] = (
    SUBURB.format("a") + SUBURB.format("b").replace("08", "10"),
    "group b: listen: expected names at the broker that no other meter has; group a has m-10",
)
TWO = '[[group]]\nname = "a"\ncount = 20\nlisten = "{}"\n[[group]]\nname = "b"\nlisten = "{}"\n'
BAD["a port twice"] = (
    TWO.format("tcp://127.0.0.1:7000", "hdlc+tcp://127.0.0.1:7019"),
    "group b: listen: expected places that no other group has; group a has 127.0.0.1:7019",
)
BAD["a line twice"] = (
    TWO.format("pty:///lines/1", "pty:///lines/20?baud=300"),
    "group b: listen: expected places that no other group has; group a has /lines/20",
)
BAD_MEMBERS: dict[str, tuple[str, str]] = {
    "misspelt": (TCP + "cuont = 3", "'cuont' is no member of it; did you mean count?"),
    "nowhere": ("count = 3", "expected listen, a URL, or call_in"),
    "both": (TCP + 'call_in = "tcp://127.0.0.1:1"', "expected listen, a URL, or call_in, but not both"),
    "no URL": ('listen = "4059"', "listen: expected an endpoint"),
    "nobody listens so": ('listen = "inbound:53494D0000000001"', "listen: expected one of tcp"),
    "a call without a port": ('call_in = "tcp://127.0.0.1:0"', "call_in: expected tcp://host:port"),
    "a call to a broker": ('call_in = "mqtt://127.0.0.1:1883/a/b"', "call_in: expected tcp://host:port"),
    "a shared call": ('call_in = "tcp://127.0.0.1:1"\ncount = 2\nshare = 2', "share: expected 1 with call_in"),
    "login": (TCP + 'login = "x"', "login: expected none with listen"),
    "long login": ('call_in = "tcp://127.0.0.1:1"\nlogin = "' + "x" * 101 + '"', "login: expected a line"),
    "two lines": ('call_in = "tcp://127.0.0.1:1"\nlogin = "a\\nb"', "login: expected a line"),
    "count": (TCP + "count = 0", "count: expected a whole number from 1"),
    "count in words": (TCP + 'count = "many"', "count: expected a whole number from 1"),
    "true": (TCP + "count = true", "count: expected a whole number from 1"),
    "ports": ('listen = "tcp://127.0.0.1:65000"\ncount = 1000', "listen: expected 1000 ports up to 65535"),
    "SAPs": (TCP + "count = 65536\nshare = 65536", "server_sap: expected at most 65535"),
    "no physical": ('listen = "hdlc+tcp://127.0.0.1:1"\ncount = 2\nshare = 2', "physical: expected one"),
    "physical on the wrapper": (TCP + "physical = 17", "physical: expected none with tcp"),
    "everybody": (
        'listen = "hdlc+tcp://127.0.0.1:1"\ncount = 20\nshare = 20\nphysical = 120',
        "physical: expected none of the meters at 127",
    ),
    "too far": (
        'listen = "hdlc+tcp://127.0.0.1:1"\ncount = 2\nshare = 2\nphysical = 16383',
        "physical: expected at most 16383",
    ),
    "too long": (
        'listen = "hdlc+tcp://127.0.0.1:1"\nphysical = 300\naddress_bytes = 2',
        "server_sap and physical: the physical address in 2 bytes",
    ),
    "address": (TCP + "address_bytes = 3", "address_bytes: expected auto, 1, 2 or 4"),
    "info": (TCP + "hdlc_info_max = 5000", "hdlc_info_max: "),
    "window": (TCP + "hdlc_window = 8", "hdlc_window: expected a whole number from 1 to 7"),
    "profile": (TCP + 'profile = "nobody"', "profile: expected sim"),
    "encoding": (TCP + 'token_encoding = "hex"', "token_encoding: expected one of ascii20"),
    "currency": (TCP + 'currency = "rand"', "currency: expected a currency code"),
    "debt": (TCP + 'debt = "much"', "debt: expected AMOUNT:PERCENT"),
    "delay": (TCP + "status_delay_seconds = nan", "status_delay_seconds: expected 0 to 86400 s"),
    "push": (TCP + 'push_to = "all"', "push_to: expected one of nobody, client, wire"),
    "behind": (TCP + 'count = 2\nbehind = "0:FF"', "behind: there is no 1-th address"),
    "title": (TCP + 'system_title = "4D4D"', "system_title: expected 16 hex digits"),
    "last title": (TCP + 'count = 2\nsystem_title = "4D4D4DFFFFFFFFFF"', "system-title: "),
    "pan": (TCP + 'sts = { pan = "600727000000000008" }', "sts: pan: "),
    "sgc": (TCP + 'sts = { sgc = "1" }', "sts: sgc: expected six digits"),
    "two keys": (
        TCP + 'sts = { vending_key = "00", decoder_key = "00" }',
        "sts: expected vending_key or decoder_key, not both",
    ),
    "short key": (TCP + f'sts = {{ vending_key = "{KEY}" }}', "sts: vending key: expected 40 hex digits"),
    "no key": (TCP + "sts = { vending_key = 5 }", "sts: vending_key: expected text"),
    "made": (TCP + 'sts = { manufactured = "yesterday" }', "sts: manufactured: expected a date"),
    "STS": (TCP + "sts = 5", "sts: expected a table"),
    "misspelt STS": (TCP + "sts = { sgcc = 1 }", "sts: 'sgcc' is no member of it; did you mean sgc?"),
    "mechanism": (TCP + 'security = { mechanism = "strong" }', "security: security: expected one of none"),
    "an empty mechanism": (TCP + 'security = { mechanism = "" }', "security: mechanism: expected text"),
    "a false ciphering": (TCP + "security = { ciphering = false }", "security: ciphering: expected text"),
    "a list of protections": (TCP + "security = { protection = [] }", "security: protection: expected text"),
    "a list of suites": (TCP + "security = { suite = [] }", "security: suite: expected digits"),
    "a blank key": (TCP + 'security = { ek = " ", ak = " " }', "security: ek: expected text"),
    "one key": (
        TCP + f'security = {{ mechanism = "hls-gmac", ek = "{KEY}" }}',
        "security: security hls-gmac: both keys are needed",
    ),
    "long key": (TCP + f'security = {{ ek = "{KEY}00", ak = "{KEY}" }}', "security: ek: expected 32 hex digits"),
    "master key": (TCP + f'security = {{ master_key = "{KEY}00" }}', "security: master_key: expected 32 hex digits"),
    "line": (TCP + "line = { noise = 2 }", "line: noise: expected 0 to 1"),
    "payload": (TCP + 'mqtt = { payload = "json" }', "mqtt: payload: expected one of wrapper, hdlc"),
    "topic": (TCP + 'mqtt = { topic_root = "a/+" }', "mqtt-topic-root: expected levels"),
    "fault": (TCP + "fault = 5", "fault: expected tables; they begin with [[fault]]"),
    "no such fault": (TCP + '[[group.fault]]\nfault = "fire"', "fault 1: fault: expected NAME"),
    "percent": (TCP + '[[group.fault]]\nfault = "mute"\npercent = -1', "fault 1: fault mute: expected a percentage"),
    "a time before all": (
        TCP + '[[group.fault]]\nfault = "mute"\nbegin = 0001-01-01T00:00:00+10:00',
        "fault 1.begin: expected a time with its zone",
    ),
    "phase": (TCP + '[[group.fault]]\nfault = "hls-fail"\nphase = "read"', "fault 1: fault hls-fail: expected one of"),
}


def refusal(mapping: Mapping[str, Any]) -> str:
    with pytest.raises(SettingError) as caught:
        FleetPlan.parse(mapping, profile)
    return str(caught.value)


@pytest.mark.parametrize("name", BAD)
def test_what_a_fleet_cannot_be_is_refused_in_one_sentence(name: str) -> None:
    text, message = BAD[name]
    assert refusal(tomllib.loads(text)).startswith(message)


@pytest.mark.parametrize("name", BAD_MEMBERS)
def test_what_a_group_cannot_be_is_refused_in_one_sentence(name: str) -> None:
    text, message = BAD_MEMBERS[name]
    said = refusal(tomllib.loads(f'[[group]]\nname = "a"\n{text}'))
    assert said.startswith(f"group a: {message}")
    assert "\n" not in said
    assert KEY not in said


SCALARS = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20)
TREES = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3)
)
NAMES = (
    *("name", "count", "listen", "call_in", "login", "share", "profile", "token_encoding", "pdu_max", "currency"),
    *("debt", "status_delay_seconds", "control_mode", "push_to", "server_sap", "physical", "behind", "sts", "security"),
    *("mqtt", "line", "fault", "address_bytes", "hdlc_push", "system_title", "commodity", "emergency_credit"),
)


@given(st.dictionaries(st.sampled_from(NAMES), TREES, max_size=6), TREES)
def test_whatever_stands_in_a_file_only_setting_errors_come_out(members: dict[str, Any], seed: Any) -> None:
    table = {"name": "a", "listen": "tcp://127.0.0.1:0", **members}
    said = ""
    try:
        assert FleetPlan.parse({"seed": seed, "group": [table]}, profile).count >= 1
    except SettingError as error:
        said = f": {error}"
    assert said == "" or said.isprintable()


@pytest.mark.parametrize("file", sorted(FLEETS.glob("*.toml")), ids=lambda file: file.stem)
def test_every_shipped_fleet_is_read_and_has_shipped_meter_models(file: Any) -> None:
    fleet = load_fleet(file.stem)
    assert fleet.count >= 12
    assert file.read_text(encoding="utf-8").splitlines()[0].endswith(f"simmeters run --fleet {file.stem}")
    for one in fleet.groups:
        assert (PROFILES / f"{one.profile_name}.toml").is_file()


def test_the_small_fleet_shows_every_member() -> None:
    """With a comment beside it, or as a comment itself."""
    text = "".join((FLEETS / f"{name}.toml").read_text(encoding="utf-8") for name in ("small", "town"))
    shown = {line.removeprefix("# ").partition(" = ")[0] for line in text.splitlines() if " = " in line}
    with pytest.raises(SettingError):
        FleetPlan.parse({"group": [{"name": "a", "listen": "tcp://127.0.0.1:0", "no": 1}]}, profile)
    assert set(NAMES) - {"sts", "security", "mqtt", "line", "call_in", "login"} <= shown


def test_a_fleet_that_is_nowhere_or_no_toml(tmp_path: Any) -> None:
    for name, message in (
        ("nowhere", "fleet: expected key_change, small, town, twenty_thousand or a file; got 'nowhere'"),
        (str(tmp_path / "none.toml"), "fleet: cannot read"),
    ):
        with pytest.raises(SettingError, match=message.replace("(", ".")):
            load_fleet(name)
    broken = tmp_path / "broken.toml"
    broken.write_text("a = [")
    with pytest.raises(SettingError, match="is no valid TOML"):
        load_fleet(str(broken))
    broken.write_bytes(b"\xff")
    with pytest.raises(SettingError, match="expected text in"):
        load_fleet(str(broken))


def test_a_profile_beside_the_fleet(tmp_path: Any) -> None:
    (tmp_path / "mine.toml").write_text('token_encoding = "bcd10"\n')
    fleet = tmp_path / "fleet.toml"
    fleet.write_text(f'[[group]]\nname = "a"\nprofile = "./mine.toml"\n{TCP}')
    (one,) = load_fleet(str(fleet)).groups
    assert (one.first.profile.token_encoding, one.profile_name) == (TokenEncoding.BCD10, "")
    fleet.write_text(f'[[group]]\nname = "a"\nprofile = "./none.toml"\n{TCP}')
    with pytest.raises(SettingError, match="group a: profile: cannot read"):
        load_fleet(str(fleet))


def test_the_page_about_fleets_names_every_member_and_no_others(monkeypatch: pytest.MonkeyPatch) -> None:
    page = (FLEETS.parents[1] / "docs" / "fleets.md").read_text(encoding="utf-8")
    told = {
        title: re.findall(r"^\| `(\w+)` \|", text, re.MULTILINE)
        for title, text in re.findall(r"^### (\w+)$(.*?)(?=^##|\Z)", page, re.MULTILINE | re.DOTALL)
    }
    known: dict[str, list[str]] = {}
    end = Fields.end

    def remember(fields: Fields) -> None:
        known[re.sub(r"group a(: )?", "", fields.what) or "group"] = fields._known
        end(fields)

    monkeypatch.setattr(Fields, "end", remember)
    plan(f'[[group]]\nname = "a"\n{TCP}')
    settings = known.pop("sts: settings")
    assert {table: sorted(names) for table, names in told.items()} == {
        table: sorted(set(names)) for table, names in known.items()
    }
    assert settings == list(SETTING_HELP), "they have a table in docs/simmeters.md"


def test_the_example_on_the_page_is_a_fleet() -> None:
    page = (FLEETS.parents[1] / "docs" / "fleets.md").read_text(encoding="utf-8")
    (example,) = re.findall(r"^```toml\n(.*?)^```", page, re.MULTILINE | re.DOTALL)
    (only,) = plan(example).groups
    assert (only.count, only.places, only.config(2999).server_sap) == (3000, 3, 2000)
    assert str(only.endpoint_of(2)) == "tcp://127.0.0.1:16002"
