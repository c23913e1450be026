"""``simmeters run`` as people start it: a real process on real sockets."""

from __future__ import annotations

import signal
import socket
import sys
from collections.abc import Coroutine
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from cosem_objects import axdr
from cosem_objects.dlms.apdu import AttributeDescriptor, DataNotification, GetRequest
from cosem_objects.dlms.refusals import AssociationRefused
from cosem_objects.dlms.security import InvocationCounters
from cosem_objects.dlms.settings import Ciphering
from cosem_objects.obis import ObisCode
from cosem_objects.payment import Currency, CurrencyUnit, meter_pan_from_data
from cosem_objects.sts_token import Token
from sim_meters.__main__ import _loop_factory, main
from sim_meters.ledger import read_ledger
from sim_meters.meter_config import lab_config
from sim_meters.notices import LAB
from sim_meters.sts.keys.decoder_key import VendingKey, derive_decoder_key
from sim_meters.sts.keys.key_attributes import KeyAttributes
from sim_meters.sts.tokens.clear_token import encode_credit
from sim_meters.sts.tokens.key_change import key_change_set
from sim_meters.sts.tokens.token_kind import Commodity
from sim_meters.sts.tokens.token_table import credit_kind
from tests.sim_meters.meter_client import (
    AK,
    EK,
    HLS,
    METER_TITLE,
    TIMEOUT_SECONDS,
    credit,
    free_ports,
    running,
    simmeters,
)
from tests.sim_meters.meter_tokens import a_key
from transports.channel import Address, ChannelClosed

CONFIG = lab_config()
VENDING_KEY = "abababababababab949494949494949401234567"


async def test_alone_it_works() -> None:
    """Nothing but a place: lab keys, kWh, no security. First the lines that people and programs wait for."""
    port = free_ports()
    async with running("--listen", f"tcp://127.0.0.1:{port}") as meter:
        assert meter.lines[0].startswith(f"{LAB}. The STS key is made of the vending key of the published")
        assert meter.urls == [f"tcp://127.0.0.1:{port}"]
        assert meter.lines[-1] == f"listening tcp://127.0.0.1:{port}"
        client = await meter.client()
        token = credit(CONFIG)
        assert await client.enter(token) == 0
        assert (await client.status()).code == 3
        assert await client.balance() == 256
        await client.release()
        code, errors = await meter.stop()
    assert code == 0
    assert errors.count(token.masked) == 1
    assert token.digits not in errors
    assert VENDING_KEY not in "".join(meter.lines) + errors


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_it_stops_with_open_connections(number: signal.Signals) -> None:
    async with running("--listen", "tcp://127.0.0.1:0") as meter:
        client = await meter.client()
        assert await client.balance() == 0
        meter.process.send_signal(number)
        code, errors = await meter.ended()
        assert (code, "Traceback" in errors) == (0, False)
        with pytest.raises(ChannelClosed):
            await client.channel.receive(5)


async def test_the_public_client_reads_name_and_counter_of_a_secured_meter(tmp_path: Path) -> None:
    (tmp_path / "ek").write_text(EK + "\n")
    (tmp_path / "ak").write_text(AK)
    options = ("--security", "hls-gmac", "--ek-file", str(tmp_path / "ek"), "--ak-file", str(tmp_path / "ak"))
    async with running("--listen", "tcp://127.0.0.1:0", "--system-title", METER_TITLE, *options) as meter:
        public = await meter.client(16)
        assert await public.value(1, "0-0:42.0.0.255", 2) == axdr.octet_string(b"SIM00000000000")
        assert await public.value(1, "0-0:43.1.0.255", 2) == axdr.double_long_unsigned(0)
        client = await meter.client(1, HLS, InvocationCounters(next_own=41))
        assert await client.enter(credit(CONFIG)) == 0
        last = (await public.value(1, "0-0:43.1.0.255", 2)).integer
        again = await meter.client(1, HLS, InvocationCounters(next_own=last + 1))
        assert await again.balance() == 256
        _, errors = await meter.stop()
    assert EK not in errors
    assert AK not in errors


async def test_a_form_of_ciphering_that_is_given_is_the_meters_own() -> None:
    keys = ("--security", "hls-gmac", "--ek", EK, "--ak", AK, "--system-title", METER_TITLE)
    asks_general = replace(HLS, ciphering=Ciphering.GENERAL_GLO)
    for options, tag in (((), 0xDB), (("--ciphering", "service-glo"), 0xCC)):
        async with running("--listen", "tcp://127.0.0.1:0", *keys, *options) as meter:
            client = await meter.client(1, asks_general)
            read = GetRequest(AttributeDescriptor(111, ObisCode.parse("0-0:19.0.0.255"), 5))
            await client.channel.send(client.association.request(read))
            assert (await client.channel.receive(10))[0] == tag


@pytest.mark.parametrize("first", [0, 1])
async def test_many_meters_count_up(tmp_path: Path, first: int) -> None:
    port = free_ports(3) if first else 0
    options = ("--meters", "3", "--state-dir", str(tmp_path), "--system-title", "4142430000000009")
    async with running("--listen", f"tcp://127.0.0.1:{port}", *options, meters=3) as meters:
        ports = [int(url.rpartition(":")[2]) for url in meters.urls]
        assert len(set(ports)) == 3
        if first:
            assert ports == [port, port + 1, port + 2]
        for number in range(3):
            config = lab_config(number)
            client = await meters.client(meter=number)
            assert meter_pan_from_data(await client.value(116, "0-0:19.60.0.255", 2)) == config.pan.digits
            assert await client.value(1, "0-0:42.0.0.255", 2) == axdr.octet_string(config.device_name.encode())
            assert await client.enter(credit(config, units=10 + number)) == 0
            assert await client.balance() == 10 + number
        titles = [line.rpartition(" ")[2] for line in meters.lines if line.startswith("meter ")]
        assert titles == ["4142430000000009", "414243000000000A", "414243000000000B"]
    for number in range(3):
        assert read_ledger(tmp_path / f"{lab_config(number).device_name}.ledger").units_credited == 10 + number


async def test_a_state_directory_is_taken_up_again(tmp_path: Path) -> None:
    token, state = credit(CONFIG), tmp_path / "deep" / "state"
    options = ("--listen", "tcp://127.0.0.1:0", "--state-dir", str(state))
    async with running(*options) as meter:
        assert await (await meter.client()).enter(token) == 0
        code, _, errors = await simmeters("run", *options)
        assert (code, errors.count("\n")) == (1, 1)
        assert "another process" in errors
        await meter.stop()
    async with running(*options) as meter:
        client = await meter.client()
        assert await client.gateway(2) == axdr.octet_string(token.digits.encode())
        assert (await client.status()).code == 3
        assert await client.enter(token) == 0
        assert (await client.status()).code == 6
        assert await client.balance() == 256
        await meter.stop()
    assert state.stat().st_mode & 0o777 == 0o700
    code, out, errors = await simmeters("run", *options, "--currency", "ZAR")
    assert (code, out, errors.count("\n")) == (2, "", 1)
    assert "its unit is 'kWh', expected 'ZAR'" in errors


async def test_an_account_in_money() -> None:
    money = credit_kind(Commodity.ELECTRICITY, currency=True)
    async with running("--listen", "tcp://127.0.0.1:0", "--currency", "ZAR:-3") as meter:
        client = await meter.client()
        currency = Currency.from_data(await client.value(111, "0-0:19.0.0.255", 15))
        assert currency == Currency("ZAR", -3, CurrencyUnit.MONETARY)
        assert await client.enter(credit(CONFIG)) == 0
        assert (await client.status()).code == 7
        assert await client.enter(credit(CONFIG, units=12_300, kind=money, tid=7_000_000)) == 0
        assert await client.balance() == 123


async def test_another_sts_identity(tmp_path: Path) -> None:
    """Every STS option, against the published DKGA02 key of the same attributes."""
    (tmp_path / "key").write_text("abababababababab\n")
    options = ("--pan", "6007 2700 0000 0000 09", "--sgc", "123456", "--ti", "01", "--krn", "1", "--kt", "2")
    more = ("--base-date", "1993", "--dkga", "02", "--ea", "07", "--manufactured", "2004-01-01")
    key = ("--vending-key-file", str(tmp_path / "key"))
    async with running("--listen", "tcp://127.0.0.1:0", *options, *more, *key) as meter:
        client = await meter.client()
        # sts-001 of tests/vectors/sts_vectors.json: 0.1 kWh of 2004-03-01
        assert await client.enter(Token.parse("23716100501183194197")) == 0
        assert ((await client.status()).code, await client.balance()) == (3, 1)
        assert await client.value(116, "0-0:19.60.0.255", 6) == axdr.double_long_unsigned(123456)
        attributes = KeyAttributes.parse("600727000000000009", "123456", base_date="1993", dkga="02")
        decoder_key = derive_decoder_key(VendingKey.parse("abababababababab", 2), attributes)
        old = encode_credit(decoder_key, credit_kind(Commodity.ELECTRICITY, currency=False), 5, 5_000_000, 5)
        assert await client.enter(old) == 0
        assert (await client.status()).code == 6
    given = ("--decoder-key", decoder_key.octets.hex(), "--base-date", "1993")
    async with running("--listen", "tcp://127.0.0.1:0", *given) as meter:
        client = await meter.client()
        assert await client.enter(Token.parse("23716100501183194197")) == 0
        assert (await client.status()).code == 3


async def test_profile_encoding_delay_and_faults(tmp_path: Path) -> None:
    profile = tmp_path / "bcd.toml"
    profile.write_text('token_encoding = "ascii20"\ngateway_obis = "0-0:19.40.1.255"\n')
    options = ("--profile", str(profile), "--token-encoding", "bcd10", "--fault", "hang-up-after-enter:1")
    more = ("--status-delay", "3600", "--seed", "7", "--fault", "refuse-association:1")
    async with running("--listen", "tcp://127.0.0.1:0", *options, *more) as meter:
        with pytest.raises(AssociationRefused):
            await meter.client()
        client = await meter.client()
        octets = axdr.octet_string(bytes.fromhex(credit(CONFIG).digits))
        with pytest.raises(ChannelClosed):
            await client.act(115, "0-0:19.40.1.255", 1, octets)
        client = await meter.client()
        assert await client.value(115, "0-0:19.40.1.255", 2) == octets
        assert (await client.value(115, "0-0:19.40.1.255", 6)).elements[0].integer == 8
        assert (await client.act(115, "0-0:19.40.1.255", 1, octets)).result == 2
        assert (await meter.stop())[0] == 0


async def test_hdlc_with_small_frames_and_physical_addresses() -> None:
    options = ("--physical", "17", "--address-bytes", "2", "--hdlc-info-max", "40", "--meters", "2")
    async with running("--listen", "hdlc+tcp://127.0.0.1:0", *options, meters=2) as meters:
        for number in range(2):
            config = lab_config(number)
            client = await meters.client(meter=number, physical=17 + number)
            assert await client.enter(credit(config)) == 0
            assert await client.balance() == 256
            assert len((await client.value(15, "0-0:40.0.0.255", 2)).elements) == 13, "an answer in many segments"
            await client.release()
            await client.channel.close()
        assert (await meters.stop())[0] == 0


async def test_with_hdlc_push_a_notification_does_not_wait_for_a_poll() -> None:
    options = ("--hdlc-push", "--hdlc-info-max", "128", "--hdlc-window", "3")
    async with running("--listen", "hdlc+tcp://127.0.0.1:0", *options) as meter:
        client = await meter.client()
        assert (await client.act(40, "0-0:25.9.0.255", 1, axdr.integer(0))).result == 0
        assert (await client.channel.receive(TIMEOUT_SECONDS))[:1] == bytes((DataNotification.TAG,))
        assert await client.balance() == 0
        assert (await meter.stop())[0] == 0


async def test_a_port_that_is_taken_leaves_nothing_listening() -> None:
    first = free_ports(3)
    with socket.socket() as taken:
        taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # as the probe: old connections do not count
        taken.bind(("127.0.0.1", first + 2))
        taken.listen()
        code, out, errors = await simmeters("run", "--listen", f"tcp://127.0.0.1:{first}", "--meters", "3")
    assert code == 1
    assert "listening" not in out
    assert errors.count("\n") == 1
    assert errors.startswith(f"simmeters run: cannot listen on 127.0.0.1:{first + 2}")


SECRET = "00112233445566778899aabbccddeeff00"
BAD = {
    "no URL": (("--listen", "4059"), "--listen: expected"),
    "a scheme nobody listens on": (("--listen", "inbound:53494D0000000001"), "--listen: expected one of"),
    "a broker elsewhere": (("--listen", "mqtt://broker.example:1883/a/b"), "--listen: expected a loopback address"),
    "a shared line without addresses": (("--listen", "pty:///tmp/no", "--meters", "2"), "--physical: expected one"),
    "too many on the line": (
        ("--listen", "pty:///tmp/no", "--meters", "2", "--physical", "16383"),
        "--physical: expected at most 16383 for the last",
    ),
    "everybody's address": (
        ("--listen", "pty:///tmp/no", "--meters", "9", "--physical", "120"),
        "--physical: expected none of the meters at 127",
    ),
    "all interfaces": (("--listen", "tcp://0.0.0.0:0"), "--listen: expected a loopback address"),
    "a name": (("--listen", "tcp://meter.example:0"), "--listen: expected a loopback address"),
    "ports beyond the last": (("--listen", "tcp://127.0.0.1:65535", "--meters", "2"), "--listen: expected 2 ports"),
    "no meters": (("--meters", "0"), "--meters: expected a whole number from 1"),
    "half a meter": (("--meters", "1.5"), "--meters: expected"),
    "public client": (("--client-sap", "16"), "client-sap: expected"),
    "client": (("--client-sap", "128"), "--client-sap: expected"),
    "server": (("--server-sap", "x"), "--server-sap: expected"),
    "physical on the wrapper": (("--physical", "17"), "--physical: expected none"),
    "address bytes": (("--address-bytes", "3"), "--address-bytes: expected"),
    "address too long": (
        ("--listen", "hdlc+tcp://127.0.0.1:0", "--physical", "300", "--address-bytes", "2"),
        "--server-sap and --physical: ",
    ),
    "info": (("--hdlc-info-max", "5000"), "--hdlc-info-max: "),
    "no window": (("--hdlc-window", "0"), "--hdlc-window: expected a whole number from 1 to 7"),
    "window": (("--hdlc-window", "8"), "--hdlc-window: expected a whole number from 1 to 7"),
    "behind nothing": (("--behind", "0"), "behind '0': expected NETWORK:ADDRESS"),
    "behind no network": (("--behind", "256:01"), "behind '256:01': expected NETWORK:ADDRESS"),
    "behind the last": (("--behind", "0:ff", "--meters", "2"), "behind: "),
    "mechanism": (("--security", "hls"), "expected one of"),
    "mechanism to come": (("--security", "hls-ecdsa"), "not supported yet"),
    "no password": (("--security", "lls"), "password"),
    "no keys": (("--security", "hls-gmac"), "both keys are needed"),
    "suite": (("--suite", "1"), "suite 1"),
    "form": (("--ciphering", "glo"), "expected one of"),
    "protection": (("--protection", "strong"), "expected one of"),
    "long key": (("--ek", SECRET, "--ak", AK), "ek: expected 32 hex digits"),
    "key that is no hex": (("--ek", "x" * 32, "--ak", AK), "ek: expected 32 hex digits"),
    "key twice": (("--ek", EK, "--ek-file", "/dev/null"), "--ek: expected it once"),
    "key file": (("--ek-file", "/no/such/file"), "--ek-file: cannot read"),
    "short master key": (("--master-key", SECRET[:-4]), "--master-key: expected 32 hex digits"),
    "master key that is no hex": (("--master-key", "x" * 32), "--master-key: expected 32 hex digits"),
    "no master key": (("--master-key", ""), "--master-key: expected 32 hex digits"),
    "master key twice": (("--master-key", EK, "--master-key-file", "/dev/null"), "--master-key: expected it once"),
    "master key file": (("--master-key-file", "/no/such/file"), "--master-key-file: cannot read"),
    "system title": (("--system-title", "4D4D"), "--system-title: expected 16 hex digits"),
    "last title": (("--system-title", "4D4D4DFFFFFFFFFF", "--meters", "2"), "system-title: "),
    "profile": (("--profile", "nobody"), "--profile: expected default, lab_bcd"),
    "profile file": (("--profile", "/no/such.toml"), "--profile: cannot read"),
    "profile content": (("--profile", "pyproject.toml"), "profile field"),
    "no TOML": (("--profile", "./LICENSE"), "is no valid TOML"),
    "encoding": (("--token-encoding", "hex"), "--token-encoding: expected one of"),
    "pan": (("--pan", "600727000000000008"), "pan: "),
    "last pan": (("--pan", "600727009999999997", "--meters", "2"), "pan: "),
    "two keys": (("--vending-key", VENDING_KEY, "--decoder-key", "0123456789abcdef"), "key: expected exactly one"),
    "short vending key": (("--vending-key", SECRET), "vending key: expected 40 hex digits"),
    "dkga": (("--dkga", "03"), "dkga: expected"),
    "ea": (("--ea", "09"), "ea: expected"),
    "sgc": (("--sgc", "1"), "sgc: expected"),
    "ti": (("--ti", "100"), "ti: expected"),
    "krn": (("--krn", "0"), "krn: expected"),
    "kt": (("--kt", "9"), "kt: expected"),
    "common key": (
        ("--vending-key", "ab" * 8, "--dkga", "02", "--kt", "3"),
        "kt: expected 0 to 2; a common key",
    ),
    "no emergency credit": (("--emergency-credit", "0"), "simmeters run: emergency credit: expected more than nothing"),
    "base date": (("--base-date", "2000"), "base date: expected"),
    "made": (("--manufactured", "yesterday"), "--manufactured: expected a date"),
    "made too early": (("--manufactured", "1992-12-31"), "TID: "),
    "currency": (("--currency", "rand"), "currency: expected"),
    "delay": (("--status-delay", "-1"), "--status-delay: expected"),
    "endless delay": (("--status-delay", "inf"), "--status-delay: expected"),
    "no delay": (("--status-delay", "nan"), "--status-delay: expected"),
    "debt": (("--debt", "100"), "debt: expected AMOUNT:PERCENT such as 100:25"),
    "debt in words": (("--debt", "much:25"), "debt: expected AMOUNT:PERCENT such as 100:25"),
    "more than everything": (("--debt", "100:101"), "debt: expected 0 to 100 per cent"),
    "too fine": (("--debt", "100:12.345"), "debt: expected at most two decimals"),
    "too deep in debt": (("--debt", "999999999999:10"), "cannot be shown in 32 bits"),
    "small PDU": (("--pdu-max", "63"), "--pdu-max: expected a whole number from 64 to 65535"),
    "large PDU": (("--pdu-max", "65536"), "--pdu-max: expected a whole number from 64 to 65535"),
    "seed": (("--seed", "-1"), "--seed: expected"),
    "fault": (("--fault", "fire"), "fault: expected NAME"),
    "unknown option": (("--colour", "blue"), "unknown option or argument --colour"),
    "misspelt secret": (("--eek", SECRET), "unknown option or argument --eek"),
    "misspelt secret in one": ((f"--eek={SECRET}",), "unknown option or argument --eek"),
    "abbreviation": (("--vending", SECRET), "unknown option or argument --vending"),
    "an argument": ((SECRET,), "unknown option or argument"),
    "no value": (("--meters",), "--meters: expected one argument"),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_values_are_one_line_and_nothing_listens(
    name: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    started: list[str] = []

    def would_listen(command: Coroutine[Any, Any, int]) -> int:
        started.append(name)
        command.close()
        return 0

    monkeypatch.setattr("sim_meters.__main__._run_to_its_end", would_listen)
    options, message = BAD[name]
    try:
        code = main(["run", *_with_place(options)])
    except SystemExit as end:  # argparse
        code = int(end.code or 0)
    out, errors = capsys.readouterr()
    assert (code, out, started) == (2, "", [])
    assert errors.startswith("simmeters run: ")
    assert message in errors
    assert errors.count("\n") == 1
    assert SECRET not in errors
    assert EK not in errors


@pytest.mark.parametrize("name", ["all interfaces", "no keys", "misspelt secret", "no value", "fault"])
async def test_a_real_process_refuses_too(name: str) -> None:
    options, message = BAD[name]
    code, out, errors = await simmeters("run", *_with_place(options))
    assert (code, out, errors.count("\n")) == (2, "", 1)
    assert errors.startswith("simmeters run: ")
    assert message in errors


def _with_place(options: tuple[str, ...]) -> tuple[str, ...]:
    return options if "--listen" in options else ("--listen", "tcp://127.0.0.1:0", *options)


async def test_other_machines_are_let_in_only_on_demand() -> None:
    async with running("--listen", "tcp://0.0.0.0:0", "--allow-remote") as meter:
        assert meter.urls[0].startswith("tcp://0.0.0.0:")
        assert (await meter.stop())[0] == 0


@pytest.mark.parametrize(
    ("arguments", "start"),
    [((), "simmeters: "), (("fly",), "simmeters: "), (("sts",), "simmeters sts: ")],
)
async def test_wrong_usage_of_the_command_itself(arguments: tuple[str, ...], start: str) -> None:
    code, out, errors = await simmeters(*arguments)
    assert (code, out, errors.count("\n")) == (2, "", 1)
    assert errors.startswith(start)


async def test_a_state_directory_that_cannot_be() -> None:
    code, out, errors = await simmeters("run", "--listen", "tcp://127.0.0.1:0", "--state-dir", "/dev/null/state")
    assert (code, out, errors.count("\n")) == (2, "", 1)
    assert errors.startswith("simmeters run: --state-dir: cannot make /dev/null/state")


async def test_the_key_of_a_ledger_is_announced_and_not_the_factorys(tmp_path: Path) -> None:
    options = ("--listen", "tcp://127.0.0.1:0", "--state-dir", str(tmp_path))
    new = a_key("next", krn=2, sgc=123_456)
    async with running(*options) as meter:
        assert any("SGC 201457, KRN 1, " in line for line in meter.lines)
        client = await meter.client()
        for token in key_change_set(CONFIG.decoder_key, new, rollover=False):
            assert await client.enter(token) == 0
        await meter.stop()
    async with running(*options) as meter:
        assert any("SGC 123456, KRN 2, " in line for line in meter.lines)


async def test_a_damaged_ledger_is_said_in_one_line(tmp_path: Path) -> None:
    options = ("--listen", "tcp://127.0.0.1:0", "--state-dir", str(tmp_path))
    async with running(*options) as meter:
        assert await (await meter.client()).enter(credit(CONFIG)) == 0
        await meter.stop()
    file = tmp_path / f"{CONFIG.device_name}.ledger"
    file.write_bytes(file.read_bytes().replace(b'"units":256', b'"units":999'))
    code, out, errors = await simmeters("run", *options)
    assert (code, out, errors.count("\n")) == (1, "", 1)
    assert f"{file}, line 2" in errors


async def test_the_lab_makes_tokens_for_the_lab_meter() -> None:
    """``simmeters sts encode`` and ``simmeters run`` agree about keys."""
    key = ("--vending-key", VENDING_KEY, "--pan", CONFIG.pan.digits, "--sgc", "201457")
    code, out, _ = await simmeters("sts", "encode", "credit", "--kwh", "25.6", *key)
    assert code == 0
    digits = next(line for line in out.splitlines() if line.startswith("token ")).removeprefix("token")
    async with running("--listen", "tcp://127.0.0.1:0") as meter:
        client = await meter.client()
        assert await client.enter(Token.parse(digits)) == 0
        assert await client.balance() == 256


def test_without_uvloop_it_takes_the_loop_of_the_library(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "uvloop", None)
    assert _loop_factory() is None


def test_the_meters_own_address() -> None:
    plain, addressed = CONFIG, replace(CONFIG, server_sap=2, physical=17)
    assert plain.is_for_us(Address(1, 1, None))
    assert plain.is_for_us(Address(16, 1, 33)), "alone on its wire, it takes any physical address"
    assert not plain.is_for_us(Address(1, 2, None))
    assert addressed.is_for_us(Address(1, 2, 17))
    assert not addressed.is_for_us(Address(1, 2, None))
    assert not addressed.is_for_us(Address(1, 2, 18))
    assert not addressed.is_for_us(Address(1, 1, 17))
