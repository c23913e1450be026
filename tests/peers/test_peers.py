"""Our two commands against DLMS stacks that we did not write, over sockets, as a customer would run them.

`stsgate deliver` meets a meter made of Gurux' server classes; `simmeters run` meets the clients of Gurux and of
dlms-cosem. The oracle's own story decides: what its meter booked, what its client read.
"""

import json
import subprocess
from collections import Counter
from typing import Any

import pytest

from tests.peers.conftest import ROOT, Event, Peers, Server, free_port, run_own, serve_own

EK, AK = "000102030405060708090A0B0C0D0E0F", "D0D1D2D3D4D5D6D7D8D9DADBDCDDDEDF"
CLIENT_TITLE, METER_TITLE = "4D4D4D0000000001", "4758580000000001"
PASSWORD = "12345678"

# Digits are all that the Gurux meter looks at; it is told which to accept. All three are of class 0, which has a TID.
GOOD, GOOD_TOO, BAD = "26456622012185850752", "23716100501183194197", "00000000000000000017"

# What both commands and all peers are told for the same security.
PEER = {
    "none": {"security": "none"},
    "lls": {"security": "lls", "password": PASSWORD},
    "lls-ciphered": {"security": "lls", "password": PASSWORD, "ek": EK, "ak": AK},
    "hls-gmac": {"security": "hls-gmac", "ek": EK, "ak": AK},
}
KEYS = ["--ek", EK, "--ak", AK]
OWN = {
    "none": ["--security", "none"],
    "lls": ["--security", "lls", "--password", PASSWORD],
    "lls-ciphered": ["--security", "lls", "--password", PASSWORD, *KEYS],
    "hls-gmac": ["--security", "hls-gmac", *KEYS],
}
FORMS: dict[str, list[str | None]] = {
    "none": [None],
    "lls": [None],
    "lls-ciphered": ["general-glo", "service-glo"],
    "hls-gmac": ["general-glo", "service-glo"],
}
MATRIX = [
    pytest.param(framing, security, form, id="-".join(filter(None, (framing, security, form))))
    for framing in ("wrapper", "hdlc")
    for security, forms in FORMS.items()
    for form in forms
]


def endpoint(framing: str, port: int) -> str:
    return f"{'hdlc+tcp' if framing == 'hdlc' else 'tcp'}://127.0.0.1:{port}"


# --- stsgate deliver against the Gurux meter ---


def asked_of(meter: Server) -> Counter[str]:
    """How often the Gurux meter was asked for each kind of request, such as `get-3`: service and type."""
    return Counter(event["request"] for event in meter.ended_with("asked"))


class Delivery:
    """What one `stsgate deliver` said, and what the meter knew afterwards."""

    def __init__(self, done: subprocess.CompletedProcess[str], meter: Server) -> None:
        self.code = done.returncode
        self.text = f"exit code {done.returncode}\n{done.stdout}\n{done.stderr}"
        self.verdicts: list[dict[str, Any]] = [json.loads(line) for line in done.stdout.splitlines()]
        self.entered = meter.ended_with("enter")
        self.refused = meter.ended_with("refused")
        self.associated = meter.ended_with("associated")
        self.asked = asked_of(meter)

    def check_the_ledger(self, tokens: list[str]) -> None:
        """The rule above all: what we say about money is true by the meter's own books."""
        for token, verdict in zip(tokens, self.verdicts, strict=True):
            booked = sum(event["digits"] == token and event["status"] == 3 for event in self.entered)
            assert booked <= 1
            if verdict["credited"] != "unknown":
                assert (verdict["credited"] == "yes") == (booked == 1), self.text


def deliver(
    peers: Peers,
    tokens: list[str],
    *,
    framing: str = "wrapper",
    security: str = "hls-gmac",
    form: str | None = None,
    meter: dict[str, Any] | None = None,
    arguments: list[str] | None = None,
) -> Delivery:
    options = {
        "framing": framing,
        "system_title": METER_TITLE,
        "accepted": {GOOD: 256, GOOD_TOO: 1},
        "available_credit": 1000,
        **PEER[security],
        **(meter or {}),
    }
    with peers.gurux_meter(**options) as (server, port):
        command = ["deliver", "--endpoint", endpoint(framing, port), *OWN[security], "--json"]
        command += ["--ciphering", form] if form else []
        for token in tokens:
            command += ["--token", token]
        delivery = Delivery(run_own("gateway", *command, *(arguments or [])), server)
    delivery.check_the_ledger(tokens) if delivery.verdicts else None
    return delivery


@pytest.mark.parametrize(("framing", "security", "form"), MATRIX)
def test_a_token_reaches_a_foreign_meter(peers: Peers, framing: str, security: str, form: str | None) -> None:
    amount = ["--amount", "25.6", "--unit", "kWh"]
    delivery = deliver(peers, [GOOD], framing=framing, security=security, form=form, arguments=amount)
    assert delivery.code == 0, delivery.text
    [verdict] = delivery.verdicts
    assert (verdict["verdict"], verdict["credited"], verdict["status_code"]) == ("accepted", "yes", 3)
    assert verdict["token"] == "…0752"
    assert [event["octets"] for event in delivery.entered] == [GOOD.encode().hex()]
    assert delivery.refused == [], delivery.text
    assert delivery.associated[-1]["ciphered"] == ("--ek" in OWN[security])


@pytest.mark.parametrize(
    ("framing", "meter", "arguments"),
    [
        pytest.param("wrapper", {"chunk": 3}, [], id="replies-in-3-octets"),
        pytest.param("hdlc", {"chunk": 3}, [], id="hdlc-replies-in-3-octets"),
        pytest.param("hdlc", {"chunk": 1, "hdlc_info_max": 40}, [], id="hdlc-info-40-in-single-octets"),
        pytest.param("hdlc", {"hdlc_info_max": 40}, [], id="hdlc-info-40"),
        pytest.param("hdlc", {"hdlc_info_max": 16}, [], id="hdlc-info-16"),
        pytest.param("wrapper", {"account": False, "class_116": False}, [], id="no-account-no-class-116"),
        pytest.param("hdlc", {"account": False, "class_116": False}, [], id="hdlc-no-account-no-class-116"),
        pytest.param("wrapper", {"conformance_without": ["MULTIPLE_REFERENCES"]}, [], id="no-lists"),
        pytest.param("wrapper", {"max_pdu": 64}, [], id="pdu-of-64"),
        pytest.param(
            "wrapper", {"client_sap": 32, "server_sap": 23}, ["--client-sap", "32", "--server-sap", "23"], id="saps"
        ),
        pytest.param(
            "hdlc", {"client_sap": 32, "server_sap": 23}, ["--client-sap", "32", "--server-sap", "23"], id="hdlc-1"
        ),
        pytest.param("hdlc", {"physical": 17}, ["--physical", "17"], id="hdlc-2"),
        pytest.param("hdlc", {"physical": 17}, ["--physical", "17", "--address-bytes", "4"], id="hdlc-4"),
        pytest.param("hdlc", {"physical": 8192}, ["--physical", "8192"], id="hdlc-4-by-itself"),
        pytest.param(
            "hdlc",
            {"server_sap": 128, "physical": 128},
            ["--server-sap", "128", "--physical", "128"],
            id="hdlc-4-zeros",
        ),
        pytest.param("wrapper", {}, ["--meter-system-title", METER_TITLE], id="the-right-system-title"),
        pytest.param("wrapper", {}, ["--pan", "600727000000000009"], id="the-right-pan"),
        pytest.param("wrapper", {}, ["--invocation-counter", "4000000000"], id="a-counter-of-32-bits"),
        pytest.param("wrapper", {"protection": "auth"}, ["--protection", "auth"], id="only-authenticated"),
        pytest.param("wrapper", {"protection": "enc"}, ["--protection", "enc"], id="only-encrypted"),
        pytest.param("wrapper", {"answers": "gurux"}, ["--ciphering", "general-glo"], id="hls-answer-service-specific"),
        pytest.param("wrapper", {"answers": "general-glo"}, ["--ciphering", "service-glo"], id="answers-in-general"),
        pytest.param("wrapper", {"answers": "service-glo"}, ["--ciphering", "general-glo"], id="answers-by-service"),
        pytest.param("wrapper", {"return_data": "00"}, [], id="enter-returns-null-data"),
        pytest.param("wrapper", {"return_data": "0202160304080f"}, [], id="enter-returns-a-status"),
        pytest.param("wrapper", {"action_result": 250}, [], id="refused-by-words-but-booked"),
        pytest.param("wrapper", {"data_values": {"3": "010110011"}}, [], id="nine-bits-of-data-value"),
        pytest.param(
            "wrapper",
            {"last_client_counter": 4294967000},
            ["--invocation-counter", "4294967001"],
            id="counter-near-its-end",
        ),
    ],
)
def test_a_token_reaches_a_foreign_meter_with(
    peers: Peers, framing: str, meter: dict[str, Any], arguments: list[str]
) -> None:
    delivery = deliver(peers, [GOOD], framing=framing, meter=meter, arguments=arguments)
    assert delivery.code == 0, delivery.text
    [verdict] = delivery.verdicts
    assert (verdict["verdict"], verdict["credited"]) == ("accepted", "yes")
    assert verdict["data_value"] == meter.get("data_values", {}).get("3", "")


@pytest.mark.parametrize("framing", ["wrapper", "hdlc"])
@pytest.mark.parametrize("form", ["general-glo", "service-glo"])
def test_a_token_reaches_a_foreign_meter_that_asks_for_hls_sha256(peers: Peers, framing: str, form: str) -> None:
    security = {"security": "hls-sha256", "password": PASSWORD}
    wanted = ["--security", "hls-sha256", "--password", PASSWORD]
    delivery = deliver(peers, [GOOD], framing=framing, form=form, meter=security, arguments=wanted)
    assert delivery.code == 0, delivery.text
    assert delivery.verdicts[0]["verdict"] == "accepted"
    assert delivery.refused == [], delivery.text


def test_a_foreign_meter_refuses_a_wrong_secret_of_hls_sha256(peers: Peers) -> None:
    security = {"security": "hls-sha256", "password": "87654321"}
    wanted = ["--security", "hls-sha256", "--password", PASSWORD]
    delivery = deliver(peers, [GOOD], meter=security, arguments=wanted)
    assert delivery.code == 3, delivery.text
    assert [event["why"] for event in delivery.refused] == ["wrong HLS reply"]
    assert delivery.entered == []


@pytest.mark.parametrize("encoding", ["ascii20", "bcd10"])
def test_the_token_is_coded_as_asked(peers: Peers, encoding: str) -> None:
    delivery = deliver(peers, [GOOD], arguments=["--token-encoding", encoding])
    assert delivery.code == 0, delivery.text
    octets = GOOD.encode().hex() if encoding == "ascii20" else GOOD
    assert [event["octets"] for event in delivery.entered] == [octets]


@pytest.mark.parametrize("framing", ["wrapper", "hdlc"])
def test_a_wrong_token_is_rejected_and_not_credited(peers: Peers, framing: str) -> None:
    delivery = deliver(peers, [BAD], framing=framing)
    [verdict] = delivery.verdicts
    assert delivery.code == 1, delivery.text
    assert (verdict["verdict"], verdict["credited"], verdict["status_code"]) == ("rejected", "no", 5)


def test_a_coding_that_the_meter_does_not_know_is_rejected_for_its_format(peers: Peers) -> None:
    delivery = deliver(peers, [GOOD], arguments=["--token-encoding", "digits20"])
    [verdict] = delivery.verdicts
    assert delivery.code == 1, delivery.text
    assert (verdict["verdict"], verdict["status_code"]) == ("rejected", 4)


def test_two_tokens_go_in_sequence(peers: Peers) -> None:
    delivery = deliver(peers, [GOOD, GOOD_TOO])
    assert delivery.code == 0, delivery.text
    assert [event["digits"] for event in delivery.entered] == [GOOD, GOOD_TOO]
    assert delivery.entered[-1]["available_credit"] == 1257


@pytest.mark.parametrize(
    ("arguments", "meter"),
    [
        pytest.param(["--amount", "10", "--unit", "ZAR"], {}, id="money-for-a-kWh-meter"),
        pytest.param(
            ["--amount", "10", "--unit", "kWh"],
            {"currency": {"name": "ZAR", "scale": -2, "unit": 2}},
            id="kWh-for-money",
        ),
    ],
)
def test_a_token_of_another_unit_is_held_and_never_sent(
    peers: Peers, arguments: list[str], meter: dict[str, Any]
) -> None:
    delivery = deliver(peers, [GOOD], arguments=arguments, meter=meter)
    [verdict] = delivery.verdicts
    assert delivery.code == 3, delivery.text
    assert (verdict["verdict"], verdict["credited"], verdict["reason"]) == ("held", "no", "currency")
    assert delivery.entered == []


@pytest.mark.parametrize("framing", ["wrapper", "hdlc"])
@pytest.mark.parametrize(
    ("security", "meter", "arguments"),
    [
        pytest.param("lls", {"password": "87654321"}, [], id="wrong-password"),
        pytest.param("hls-gmac", {"ek": AK}, [], id="wrong-encryption-key"),
        pytest.param("hls-gmac", {"ak": EK}, [], id="wrong-authentication-key"),
        pytest.param("none", PEER["lls"], [], id="security-too-low"),
        pytest.param("hls-gmac", {}, ["--client-sap", "2"], id="unknown-client"),
        pytest.param("hls-gmac", {}, ["--meter-system-title", "4758580000000002"], id="another-system-title"),
        pytest.param("hls-gmac", {}, ["--pan", "600727000000000017"], id="another-pan"),
        pytest.param("hls-gmac", {"last_client_counter": 5000}, ["--invocation-counter", "17"], id="old-counter"),
    ],
)
def test_nothing_is_entered_where_something_is_wrong_first(
    peers: Peers, framing: str, security: str, meter: dict[str, Any], arguments: list[str]
) -> None:
    delivery = deliver(peers, [GOOD], framing=framing, security=security, meter=meter, arguments=arguments)
    [verdict] = delivery.verdicts
    assert delivery.code == 3, delivery.text
    assert verdict["verdict"] in {"unreached", "held"}
    assert verdict["credited"] == "no"
    assert verdict["reason"]
    assert delivery.entered == []


def test_a_token_that_somebody_entered_before_is_never_called_refundable(peers: Peers) -> None:
    """Verdict rows 5 to 9: `used` can be told from `old` by the profile `sim` only; after a doubt it is the proof."""
    asked = [
        (GOOD, [], "accepted", "yes", None),
        (GOOD_TOO, [], "accepted", "yes", None),
        (GOOD, [], "rejected", "unknown", "validation"),
        (GOOD_TOO, ["--profile", "sim"], "rejected", "unknown", "used"),
        (GOOD, ["--after-doubt"], "held", "unknown", "validation"),
        (GOOD_TOO, ["--profile", "sim", "--after-doubt"], "accepted", "yes", None),
        (GOOD_TOO, [], "rejected", "unknown", "used"),  # it stands in the meter: not even sent
    ]
    with peers.gurux_meter(**PEER["hls-gmac"], accepted={GOOD: 256, GOOD_TOO: 1}) as (server, port):
        told = []
        for token, arguments, *_ in asked:
            command = ["deliver", "--endpoint", endpoint("wrapper", port), *OWN["hls-gmac"], "--json"]
            done = run_own("gateway", *command, "--token", token, *arguments)
            [verdict] = map(json.loads, done.stdout.splitlines())
            told.append((token, arguments, verdict["verdict"], verdict["credited"], verdict["reason"]))
        statuses = [event["status"] for event in server.ended_with("enter")]
    assert told == asked
    assert statuses == [3, 3, 6, 6, 6, 6]


@pytest.mark.parametrize("framing", ["wrapper", "hdlc"])
@pytest.mark.parametrize("order", ["hang_up_before_enter", "hang_up_after_enter"])
def test_a_connection_that_breaks_around_enter_neither_loses_nor_doubles_the_credit(
    peers: Peers, framing: str, order: str
) -> None:
    delivery = deliver(peers, [GOOD], framing=framing, meter={order: 1})
    [verdict] = delivery.verdicts
    assert (verdict["verdict"], verdict["credited"]) == ("accepted", "yes"), delivery.text
    assert [event["status"] for event in delivery.entered].count(3) == 1


# --- simmeters run against foreign clients ---

# A credit of 0.1 kWh and one of 25.6 kWh for this STS identity, made by others (tests/vectors, sts-001 and on).
IDENTITY = ["--pan", "600727000000000009", "--vending-key", "ABABABABABABABAB", "--dkga", "02", "--ea", "07"]
IDENTITY += ["--sgc", "123456", "--ti", "01", "--krn", "1", "--kt", "2", "--base-date", "1993"]


def credit_tokens() -> list[tuple[str, int]]:
    """(token, units of 0.1 kWh), oldest first: a meter refuses what is older than the newest it took."""
    vectors = json.loads((ROOT / "tests/vectors/sts_vectors.json").read_text())["vectors"]
    identity = {"meter_pan": "600727000000000009", "decoder_key_hex": "e653341f9d5bf36f"}
    wanted = {**identity, "token_class": 0, "token_subclass": 0}
    found: dict[int, tuple[str, int]] = {}
    for vector in vectors:
        if all(vector.get(name) == value for name, value in wanted.items()):
            fields = vector["fields"]
            found.setdefault(fields["tid"], (vector["token"], fields["transfer_amount_units"]))
    return [found[tid] for tid in sorted(found)]


def simulated(framing: str, security: str, *arguments: str) -> Any:
    port = free_port()
    command = ["run", "--listen", endpoint(framing, port), *OWN[security], "--system-title", METER_TITLE]
    return serve_own("sim_meters", *command, *IDENTITY, *arguments), port


def read_and_enter(
    peers: Peers,
    client: str,
    tokens: list[str],
    *,
    framing: str = "wrapper",
    security: str = "hls-gmac",
    form: str | None = None,
    arguments: list[str] | None = None,
    **options: Any,
) -> Event:
    """Run a foreign client against our simulated meter; its summary."""
    serving, port = simulated(framing, security, *(arguments or []))
    with serving as server:
        server.wait_for_line("listening ")
        asked = {"port": port, "framing": framing, "tokens": tokens, **PEER[security], **options}
        if form:
            asked["ciphering"] = form
        try:
            return peers.client(client, **asked)[-1]
        except AssertionError as error:
            server.stop()
            error.add_note(server.report())
            raise


CLIENTS = ["gurux_client", "dlms_cosem_client"]
CLIENT_MATRIX = [
    pytest.param(client, framing, security, form, id="-".join(filter(None, (client, framing, security, form))))
    for client in CLIENTS
    for framing in ("wrapper", "hdlc")
    for security, forms in FORMS.items()
    for form in forms
    if not (client == "dlms_cosem_client" and form == "service-glo")
]


@pytest.mark.parametrize(("client", "framing", "security", "form"), CLIENT_MATRIX)
def test_a_foreign_client_enters_a_token_into_our_meter(
    peers: Peers, client: str, framing: str, security: str, form: str | None
) -> None:
    token, units = credit_tokens()[0]
    done = read_and_enter(peers, client, [token], framing=framing, security=security, form=form)
    [entered] = done["entered"]
    assert (entered["result"], entered["status_code"]) == (0, 3)
    assert bytes.fromhex(entered["token"]).decode() == token
    assert entered["token_time"] != done["before"]["token_time"]
    assert entered["delivery_method"] == 0
    assert done["before"]["status_code"] == 0
    name, scale, unit = done["currency"]
    assert (name, unit) == ("kWh", 1)
    gained = entered["available_credit"] - done["before"]["available_credit"]
    assert gained * 10**scale == pytest.approx(units / 10)
    assert (done["sts"]["6"], done["sts"]["7"], done["sts"]["8"], done["sts"]["9"]) == (123456, 1, 1, 2)


@pytest.mark.parametrize("client", CLIENTS)
@pytest.mark.parametrize(
    ("framing", "options", "arguments"),
    [
        pytest.param("wrapper", {"token_encoding": "bcd10"}, ["--token-encoding", "bcd10"], id="bcd10"),
        pytest.param("wrapper", {"token_encoding": "digits20"}, ["--token-encoding", "digits20"], id="digits20"),
        pytest.param("wrapper", {"token_encoding": "binary9"}, ["--token-encoding", "binary9"], id="binary9"),
        pytest.param("hdlc", {}, ["--hdlc-info-max", "40"], id="meter-info-40"),
        pytest.param("hdlc", {"hdlc_info_max": 40}, [], id="client-info-40"),
        pytest.param(
            "wrapper", {"client_sap": 32, "server_sap": 23}, ["--client-sap", "32", "--server-sap", "23"], id="saps"
        ),
        pytest.param("hdlc", {"server_sap": 23}, ["--server-sap", "23"], id="address-1"),
        pytest.param("hdlc", {"physical": 17}, ["--physical", "17"], id="address-2"),
        pytest.param(
            "hdlc", {"physical": 17, "address_bytes": 4}, ["--physical", "17", "--address-bytes", "4"], id="address-4"
        ),
        pytest.param("hdlc", {"physical": 8192}, ["--physical", "8192"], id="address-4-by-itself"),
        pytest.param("wrapper", {"release": "none"}, [], id="no-release"),
        pytest.param("wrapper", {"release": "ciphered"}, [], id="release-with-user-information"),
        pytest.param("wrapper", {"meter_system_title": METER_TITLE}, [], id="system-title"),
    ],
)
def test_a_foreign_client_enters_a_token_into_our_meter_with(
    peers: Peers, client: str, framing: str, options: dict[str, Any], arguments: list[str]
) -> None:
    token, _ = credit_tokens()[0]
    done = read_and_enter(peers, client, [token], framing=framing, arguments=arguments, **options)
    [entered] = done["entered"]
    assert (entered["result"], entered["status_code"]) == (0, 3)


@pytest.mark.parametrize("form", ["general-glo", "service-glo"])
@pytest.mark.parametrize("protection", ["auth", "enc"])
def test_a_foreign_client_enters_a_token_that_is_only_authenticated_or_only_encrypted(
    peers: Peers, protection: str, form: str
) -> None:
    token, _ = credit_tokens()[0]
    strength = ["--protection", protection]
    done = read_and_enter(peers, "gurux_client", [token], form=form, arguments=strength, protection=protection)
    assert done["entered"][0]["status_code"] == 3


@pytest.mark.parametrize("client", CLIENTS)
def test_our_meter_tells_a_foreign_client_used_wrong_and_malformed(peers: Peers, client: str) -> None:
    (first, _), (second, _) = credit_tokens()[:2]
    wrong = first[:-1] + str((int(first[-1]) + 1) % 10)
    done = read_and_enter(peers, client, [first, first, second, wrong])
    assert [entry["status_code"] for entry in done["entered"]] == [3, 6, 3, 5]
    balances = [entry["available_credit"] for entry in done["entered"]]
    assert balances[0] == balances[1] < balances[2] == balances[3]


@pytest.mark.parametrize("client", CLIENTS)
@pytest.mark.parametrize("framing", ["wrapper", "hdlc"])
def test_our_meter_lists_its_objects_to_a_foreign_client(peers: Peers, client: str, framing: str) -> None:
    serving, port = simulated(framing, "hls-gmac")
    with serving as server:
        server.wait_for_line("listening ")
        asked = {"port": port, "framing": framing, **PEER["hls-gmac"], "read_objects": True, "read_list": True}
        events = {event["event"]: event for event in peers.client(client, **asked)}
    objects = {(class_id, name) for class_id, _version, name in events["objects"]["objects"]}
    counter, association = (1, "00002b0100ff"), (15, "0000280000ff")
    account, gateway, sts = (111, "0000130000ff"), (115, "0000132800ff"), (116, "0000133c00ff")
    assert {counter, association, account, gateway, sts} <= objects
    before = events["done"]["before"]
    if (listed := events["list"]["values"]) is not None:  # only where the meter offers GET with list
        assert listed[:2] == [before["token"], before["token_time"]]


@pytest.mark.parametrize("client", CLIENTS)
def test_our_meter_holds_its_account_in_money(peers: Peers, client: str) -> None:
    done = read_and_enter(peers, client, [], arguments=["--currency", "ZAR:-2"])
    assert done["currency"] == ["ZAR", -2, 2]


@pytest.mark.parametrize("client", CLIENTS)
@pytest.mark.parametrize(
    ("framing", "security", "options"),
    [
        pytest.param("wrapper", "lls", {"password": "87654321"}, id="wrong-password"),
        pytest.param("wrapper", "lls", {"security": "none", "password": None}, id="no-password"),
        pytest.param("wrapper", "hls-gmac", {"ek": AK}, id="wrong-encryption-key"),
        pytest.param("hdlc", "hls-gmac", {"ek": AK}, id="wrong-encryption-key-hdlc"),
        pytest.param("wrapper", "hls-gmac", {"ak": EK}, id="wrong-authentication-key"),
        pytest.param("wrapper", "hls-gmac", {"security": "lls", "password": PASSWORD, "ek": None}, id="not-ciphered"),
        pytest.param("wrapper", "hls-gmac", {"client_sap": 2}, id="unknown-client"),
        pytest.param("hdlc", "hls-gmac", {"client_sap": 2}, id="unknown-client-hdlc"),
    ],
)
def test_our_meter_lets_nobody_in_who_should_not_be(
    peers: Peers, client: str, framing: str, security: str, options: dict[str, Any]
) -> None:
    token, _ = credit_tokens()[0]
    serving, port = simulated(framing, security)
    with serving as server:
        server.wait_for_line("listening ")
        asked = {"port": port, "framing": framing, "tokens": [token], **PEER[security], **options}
        code, events, _errors = peers.try_client(client, **asked)
        assert (code, events[-1]["event"]) == (1, "failed")
        assert [event for event in events if event["event"] in {"associated", "entered"}] == []
        untouched = peers.client(client, **{**asked, **PEER[security], "client_sap": 1, "tokens": []})[-1]
    assert (untouched["before"]["token"], untouched["before"]["status_code"]) == ("", 0)


@pytest.mark.parametrize("protection", ["auth", "enc"])
def test_our_meter_takes_no_weaker_protection_than_agreed(peers: Peers, protection: str) -> None:
    serving, port = simulated("wrapper", "hls-gmac")
    with serving as server:
        server.wait_for_line("listening ")
        asked = {"port": port, **PEER["hls-gmac"], "protection": protection}
        code, events, _errors = peers.try_client("gurux_client", **asked)
    assert (code, events[-1]["event"]) == (1, "failed")
    assert [event for event in events if event["event"] == "associated"] == []


@pytest.mark.parametrize("client", CLIENTS)
def test_client_16_of_our_meter_sees_name_and_counter_only(peers: Peers, client: str) -> None:
    serving, port = simulated("wrapper", "hls-gmac")
    with serving as server:
        server.wait_for_line("listening ")
        events = peers.client(client, port=port, client_sap=16)
    refused = [event for event in events if event["event"] == "attribute" and "error" in event]
    read = [event for event in events if event["event"] == "attribute" and "value" in event]
    assert refused
    assert read == []
