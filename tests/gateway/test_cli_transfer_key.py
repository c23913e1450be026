"""``stsgate dlms transfer-key`` against meters on real sockets: what it says is true, and no key is ever lost.

Every outcome is compared with the keys that the meter holds, in ``Change.told``; no key is ever on a screen, ``Said``
and ``Change.told`` look.
"""

from __future__ import annotations

import asyncio
import json
import os
import re
import signal
import stat
import sys
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as some

from cosem_objects.dlms.apdu import ExceptionResponse, ServiceError, StateError
from cosem_objects.dlms.security import COUNTER_MAX, InvocationCounters
from cosem_objects.errors import SettingError
from gateway.cli.pending_keys import PendingKeys
from gateway.key_transfer import KeysHeld, NewKeys
from sim_meters.lab import LAB_MASTER_KEY
from sim_meters.records import digest_of_key
from tests.gateway.test_cli import AK, EK, ROOT, TIMEOUT_SECONDS, Said, Stsgate, end, start
from tests.gateway.test_delivery import HLS, WIRES
from tests.gateway.test_key_transfer import Place, _dies, meter_at
from tests.transports.wires import free_port, listen_somewhere
from transports.channel import ApduChannel

NEW_EK, NEW_AK, OTHER = "E1" * 16, "A1" * 16, "0F" * 16
MASTER = LAB_MASTER_KEY.hex()
TITLE = "53494D0000000001"
NEVER_SHOWN = (EK, AK, NEW_EK, NEW_AK, OTHER, MASTER)


@pytest.fixture
def stsgate(capsys: pytest.CaptureFixture[str]) -> Stsgate:
    return Stsgate(capsys)


@pytest.fixture(scope="module")
def quick(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A profile without long waits."""
    path = tmp_path_factory.mktemp("profiles") / "quick.toml"
    path.write_text("response_timeout_seconds = 0.5\ndoubt_rounds_max = 2\n")
    return path


@dataclass(frozen=True)
class Change:
    """A command line, and what is on the disk."""

    stsgate: Stsgate
    pending: Path
    profile: Path
    url: str = ""

    def options(self, *more: str) -> list[str]:
        keys = ["--security", "hls-gmac", "--ek", EK, "--ak", AK]
        where = ["--endpoint", self.url, "--profile", str(self.profile), "--pending", str(self.pending)]
        return ["dlms", "transfer-key", *where, *keys, *more]

    def transferring(self, *more: str) -> list[str]:
        return self.options("--new-ek", NEW_EK, "--new-ak", NEW_AK, "--master-key", MASTER, *more)

    async def transfer(self, place: Place, *more: str) -> Said:
        return self.told(place, await self.stsgate.beside(*self.transferring(*more)))

    async def prove(self, place: Place, *more: str) -> Said:
        return self.told(place, await self.stsgate.beside(*self.options("--prove", *more)))

    def told(self, place: Place, said: Said) -> Said:
        """What was said, held against the truth."""
        for text in (said.out, said.err):
            assert not [key for key in NEVER_SHOWN if key.lower() in re.sub(r"[\s:]", "", text.lower())]
        held = {0: NEW_EK, 1: EK}.get(said.code)
        assert held is None or place.keys.security.ek.hex().upper() == held
        return said

    def is_safe_with(self, place: Place) -> bool:
        """No key is lost, and no counter that the meter has seen would be used again."""
        if place.keys.security.ek.hex().upper() == EK and not self.pending.exists():
            return True
        pending = PendingKeys.read(self.pending)
        assert pending is not None
        assert (pending.new_keys.ek.hex().upper(), pending.new_keys.ak.hex().upper()) == (NEW_EK, NEW_AK)
        ledger = place.meter.ledger
        used = [ledger.counters_of(digest_of_key(bytes.fromhex(key))).received for key in (EK, NEW_EK)]
        return used[0] < pending.next_old_counter and used[1] < pending.next_new_counter


@pytest.fixture
def change(stsgate: Stsgate, tmp_path: Path, quick: Path) -> Change:
    return Change(stsgate, tmp_path / "pending.json", quick)


def at(change: Change, place: Place) -> Change:
    return replace(change, url=place.url)


# What people and programs read.


@pytest.mark.parametrize("wire", WIRES)
async def test_a_person_reads_what_happened_and_what_to_do_now(change: Change, wire: str) -> None:
    async with meter_at(wire=wire) as place:
        said = await at(change, place).transfer(place)
    assert (said.code, said.err) == (0, "")
    associated, written, held, advice = said.out.splitlines()
    assert associated == f"{place.url}: associated with the meter {TITLE}"
    assert written == f"{change.pending}: the new keys are written down, and leave now"
    assert held == "NEW: the meter answered success (0); the meter opened an association under the new keys"
    assert advice.startswith("use the new keys from now on")


async def test_a_program_reads_one_object_and_the_story_is_on_standard_error(change: Change) -> None:
    async with meter_at() as place:
        said = await at(change, place).transfer(place, "--json")
        proven = await at(change, place).prove(place, "--json")
    assert (said.code, proven.code) == (0, 0)
    expected = {"held": "new", "sent": True, "pending": str(change.pending), "meter_system_title": TITLE}
    (shown,) = said.objects
    assert shown.pop("detail").endswith("under the new keys")
    assert shown == expected
    (shown,) = proven.objects
    assert shown.pop("detail") == "the meter opened an association under the new keys"
    assert shown == {**expected, "sent": False}
    assert len(said.err.splitlines()) == 2


def documented(heading: str, column: int = 1) -> list[str]:
    text = (ROOT / "docs" / "transfer-key.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| .*$", text.partition(f"## {heading}\n")[2].partition("\n## ")[0], re.MULTILINE)
    return [name for row in rows[1:] for name in re.findall(r"`?([\w-]+)`?", row.split(" | ")[column - 1])]


async def test_verdicts_json_and_file_are_documented(change: Change) -> None:
    async with meter_at() as place:
        (shown,) = (await at(change, place).transfer(place, "--json")).objects
    assert sorted(documented("JSON")) == sorted(shown)
    assert documented("The pending file") == list(json.loads(change.pending.read_text()))
    assert documented("Verdicts", 2) == [held.value for held in KeysHeld]


async def test_the_pending_file_is_its_owners_alone_and_nothing_is_left_beside_it(change: Change) -> None:
    mask = os.umask(0)
    try:
        async with meter_at() as place:
            assert (await at(change, place).transfer(place)).code == 0
            assert (await at(change, place).prove(place)).code == 0
    finally:
        os.umask(mask)
    assert stat.S_IMODE(change.pending.stat().st_mode) == 0o600
    assert list(change.pending.parent.iterdir()) == [change.pending]
    written = json.loads(change.pending.read_text())
    assert (written["new_ek"], written["new_ak"]) == (NEW_EK.lower(), NEW_AK.lower())
    assert EK.lower() not in change.pending.read_text()


async def test_all_keys_may_come_from_files(change: Change, tmp_path: Path) -> None:
    keys = {"ek": EK, "ak": AK, "new-ek": NEW_EK, "new-ak": NEW_AK, "master-key": MASTER}
    options = []
    for name, key in keys.items():
        (tmp_path / name).write_text(key + "\n")
        options += [f"--{name}-file", str(tmp_path / name)]
    async with meter_at() as place:
        where = ["--endpoint", place.url, "--pending", str(change.pending), "--security", "hls-gmac"]
        said = await change.stsgate.beside("dlms", "transfer-key", *where, *options)
        assert change.told(place, said).code == 0


@pytest.mark.parametrize("new", [("--new-ek", NEW_EK), ("--new-ak", NEW_AK)])
async def test_one_key_alone(change: Change, new: tuple[str, str]) -> None:
    async with meter_at() as place:
        command = at(change, place).options(*new, "--master-key", MASTER)
        assert (await change.stsgate.beside(*command)).code == 0
        held = place.keys.security
        old, given = (HLS.ek, HLS.ak), bytes.fromhex(new[1])
        assert (held.ek, held.ak) == ((given, old[1]) if new[0] == "--new-ek" else (old[0], given))
        assert (await change.stsgate.beside(*at(change, place).options("--prove"))).code == 0


async def test_a_wrong_master_key_changes_nothing_and_the_right_one_may_follow(change: Change) -> None:
    async with meter_at() as place:
        mine = at(change, place)
        new = ("--new-ek", NEW_EK, "--new-ak", NEW_AK)
        said = mine.told(place, await change.stsgate.beside(*mine.options(*new, "--master-key", OTHER)))
        assert said.code == 1
        assert "OLD: the meter answered other-reason (250), often a wrong master key; " in said.out
        assert (await mine.prove(place)).code == 1
        assert (await mine.transfer(place)).code == 0
        assert mine.is_safe_with(place)


async def test_who_cannot_be_reached_was_sent_nothing(change: Change) -> None:
    nowhere = replace(change, url=f"tcp://127.0.0.1:{free_port()}")
    said = await change.stsgate.beside(*nowhere.transferring())
    assert said.code == 3
    assert re.fullmatch(r"NOT SENT: no association under the old keys, nothing was sent: [^\n]+\n", said.out)
    assert not change.pending.exists()
    said = await change.stsgate.beside(*nowhere.transferring("--json"))
    assert said.code == 3
    (shown,) = said.objects
    assert (shown["held"], shown["sent"]) == ("not-sent", False)


async def test_wrong_old_keys_end_before_anything_is_written_down(change: Change) -> None:
    async with meter_at() as place:
        options = [OTHER if option == AK else option for option in at(change, place).transferring()]
        said = change.told(place, await change.stsgate.beside(*options))
        assert place.keys.security == HLS
    assert said.code == 3
    assert said.out.startswith("NOT SENT: ")
    assert "check password or keys" in said.out
    assert "--prove" not in said.out
    assert not change.pending.exists()


async def test_once_changed_the_old_keys_open_nothing_and_the_proof_is_recommended(change: Change) -> None:
    async with meter_at() as place:
        assert (await at(change, place).transfer(place)).code == 0
        said = await at(change, place).transfer(place)
        assert said.code == 3
        assert said.out.startswith("UNKNOWN: no association under the old keys, nothing was sent: ")
        assert said.out.endswith("run the command again with --prove\n")
        assert (await at(change, place).prove(place)).code == 0


async def test_keys_that_the_meter_held_before_are_proven_with_the_counter_that_it_kept(change: Change) -> None:
    """They go on where they were; the proof asks for that, and uses no counter that the file does not reserve."""
    old_and_new = {EK: NEW_EK, AK: NEW_AK, NEW_EK: EK, NEW_AK: AK}
    async with meter_at() as place:
        mine = at(change, place)
        assert (await mine.transfer(place, "--invocation-counter", "20000")).code == 0
        back = replace(mine, pending=mine.pending.with_name("back.json"))
        said = await back.stsgate.beside(*(old_and_new.get(one, one) for one in back.transferring()))
        assert place.keys.security == HLS
        used = place.meter.ledger.counters_of(digest_of_key(HLS.ek)).received
    assert said.code == 0, said.out
    assert "under the new keys the meter's counter is further on; asking it for that\n" in said.out
    assert "NEW: the meter answered success (0); keep both; under the new keys: " in said.out
    assert "; then the meter opened an association under the new keys\n" in said.out
    pending = PendingKeys.read(back.pending)
    assert pending is not None
    assert 20_000 < used < pending.next_new_counter


async def test_a_file_that_cannot_be_kept_any_more_ends_the_proof_before_a_counter_is_used(change: Change) -> None:
    old_and_new = {EK: NEW_EK, AK: NEW_AK, NEW_EK: EK, NEW_AK: AK}
    async with meter_at() as place:
        mine = at(change, place)
        assert (await mine.transfer(place, "--invocation-counter", "20000")).code == 0
        folder = mine.pending.with_name("folder")
        folder.mkdir()
        back = replace(mine, pending=folder / "back.json")
        place.keys.after = lambda: folder.rename(mine.pending.with_name("elsewhere"))
        said = await back.stsgate.beside(*(old_and_new.get(one, one) for one in back.transferring()))
        used = place.meter.ledger.counters_of(digest_of_key(HLS.ek)).received
    assert said.code == 3
    assert re.search(r"^UNKNOWN: .*; then pending: \S+ cannot be written \([^)]+\)$", said.out, re.MULTILINE)
    assert used < 20_010


async def test_the_options_of_tokens_are_not_shown(stsgate: Stsgate) -> None:
    shown = stsgate("dlms", "transfer-key", "--help").out
    assert "--meter-system-title" in shown
    assert not [option for option in ("--serial ", "--pan ", "--token-encoding") if option in shown]


async def test_another_meter_at_the_address_proves_nothing(change: Change) -> None:
    """A whole fleet may have the same old keys."""
    async with meter_at() as place:
        assert (await at(change, place).transfer(place)).code == 0
    other = replace(HLS, meter_system_title=bytes.fromhex("53494D0000000002"))
    async with meter_at() as place:
        place.meters.append(type(place.meter)(replace(place.meter.config, security=other)))
        said = await at(change, place).prove(place)
    assert said.code == 3
    assert said.out.startswith("UNKNOWN: keep both; ")


async def test_a_meter_without_a_readable_counter_is_proven_with_those_of_the_file(change: Change) -> None:
    change.profile.with_name("silent.toml").write_text('counter_obis = "0-0:43.1.9.255"\ndoubt_rounds_max = 1\n')
    async with meter_at() as place:
        assert (await at(change, place).transfer(place)).code == 0
        silent = replace(at(change, place), profile=change.profile.with_name("silent.toml"))
        said = await silent.prove(place)
    assert said.code == 0
    assert f"the counters of {change.pending} are used" in said.out


async def test_nobody_makes_the_proof_use_counters_that_the_file_does_not_reserve(change: Change) -> None:
    """What was used and is not written down could be used again after the next kill, under the same key."""
    claimed = 1_000_000
    said = ExceptionResponse(StateError.SERVICE_NOT_ALLOWED, ServiceError.INVOCATION_COUNTER_ERROR, claimed).encode()
    heard: list[bytes] = []

    async def claim(channel: ApduChannel) -> None:
        while True:
            heard.append(await channel.receive(None))
            await channel.send(said)

    a_pending().write(change.pending, is_new=True)
    async with await listen_somewhere("tcp", claim) as listener:
        command = replace(change, url=listener.url).options("--prove", "--invocation-counter", "20000")
        assert (await change.stsgate.beside(*command)).code == 3
    pending = PendingKeys.read(change.pending)
    assert pending is not None
    assert max(pending.next_old_counter, pending.next_new_counter) < claimed
    assert [(20_000).to_bytes(4, "big") in apdu for apdu in heard[:2]] == [True, True]
    assert not [apdu for apdu in heard if claimed.to_bytes(4, "big") in apdu]


# What is refused: one line, exit code 2, and nothing was sent.

WRONG = [
    ("new keys: at least one", ["--master-key", MASTER]),
    ("master-key: one is needed", ["--new-ek", NEW_EK]),
    ("new-ek: expected 32", ["--new-ek", NEW_EK[:-2], "--master-key", MASTER]),
    ("new-ek: expected 32", ["--new-ek", "", "--master-key", MASTER]),
    ("new-ak: expected 32", ["--new-ak", NEW_AK[:-1] + "X", "--master-key", MASTER]),
    ("master-key: expected 32", ["--new-ek", NEW_EK, "--master-key", MASTER + "00"]),
    ("new-ek-file", ["--new-ek-file", "/no/such/file", "--master-key", MASTER]),
    ("not allowed with", ["--new-ek", NEW_EK, "--new-ek-file", "/dev/null", "--master-key", MASTER]),
    ("the meter's present ones", ["--new-ek", EK, "--master-key", MASTER]),
    ("ciphered and authenticated", ["--new-ek", NEW_EK, "--master-key", MASTER, "--ciphering", "none"]),
    ("ciphered and authenticated", ["--new-ek", NEW_EK, "--master-key", MASTER, "--protection", "enc"]),
    ("serial and pan", ["--new-ek", NEW_EK, "--master-key", MASTER, "--serial", "SIM1"]),
    ("token-encoding", ["--new-ek", NEW_EK, "--master-key", MASTER, "--token-encoding", "bcd10"]),
    ("prove: there is no", ["--prove"]),
    ("prove: the new keys are in", ["--prove", "--new-ek", NEW_EK]),
    ("prove: the new keys are in", ["--prove", "--master-key", MASTER]),
    ("--new-keys", ["--new-keys", NEW_EK]),
    ("unknown option or argument", [NEW_EK]),
]


def refused(said: Said, place: Place, named: str) -> bool:
    assert (said.code, place.keys.security) == (2, HLS)
    assert re.fullmatch(r"stsgate( dlms transfer-key)?: [^\n]+\n", said.err), said.err
    assert said.err.startswith("stsgate dlms transfer-key: ") or "unknown option" in said.err
    return named in said.err


@pytest.mark.parametrize(("named", "more"), WRONG, ids=[f"{number}-{row[0]}" for number, row in enumerate(WRONG)])
async def test_wrong_usage_is_one_line_and_the_meter_hears_nothing(change: Change, named: str, more: list[str]) -> None:
    async with meter_at() as place:
        said = change.told(place, await change.stsgate.beside(*at(change, place).options(*more)))
        assert refused(said, place, named)
        assert place.heard == 0
    assert not change.pending.exists()


def test_without_a_pending_file_nothing_is_done(stsgate: Stsgate) -> None:
    said = stsgate("dlms", "transfer-key", "--endpoint", "tcp://127.0.0.1:1", "--new-ek", NEW_EK)
    assert (said.code, said.out) == (2, "")
    assert "--pending" in said.err


def other_new_keys(pending: PendingKeys) -> PendingKeys:
    return replace(pending, new_keys=NewKeys(bytes.fromhex(OTHER)))


def other_old_keys(pending: PendingKeys) -> PendingKeys:
    return replace(pending, old_keys_digest="0" * 64)


CHANGES: dict[str, Callable[[PendingKeys], PendingKeys]] = {
    "has the new keys of another change": other_new_keys,
    "from other keys than those of --ek and --ak": other_old_keys,
}


def a_pending() -> PendingKeys:
    keys = NewKeys(bytes.fromhex(NEW_EK), bytes.fromhex(NEW_AK))
    return PendingKeys.of(keys, HLS, "tcp://127.0.0.1:1", InvocationCounters(), InvocationCounters())


@pytest.mark.parametrize("named", CHANGES)
async def test_the_file_of_another_change_is_never_replaced(change: Change, named: str) -> None:
    CHANGES[named](a_pending()).write(change.pending, is_new=True)
    before = change.pending.read_bytes()
    async with meter_at() as place:
        said = await at(change, place).transfer(place)
        assert refused(said, place, named)
        assert place.heard == 0
    assert change.pending.read_bytes() == before


async def test_the_file_of_another_meter_is_refused_when_the_meter_is_named_and_unreached_when_not(
    change: Change,
) -> None:
    replace(a_pending(), system_title=b"SIM\0\0\0\0\7").write(change.pending, is_new=True)
    before = change.pending.read_bytes()
    async with meter_at() as place:
        mine = at(change, place)
        assert refused(await mine.transfer(place, "--meter-system-title", TITLE), place, "is of another meter")
        assert refused(await mine.prove(place, "--meter-system-title", TITLE), place, "is of another meter")
        assert (await mine.transfer(place)).code == 3
        assert place.keys.security == HLS
    assert change.pending.read_bytes() == before


@pytest.mark.parametrize("content", [b"", b"{}", b"[]", b"7", b"\xff", b"{" * 5000, b'{"format": "other"}'])
async def test_a_file_that_is_something_else_is_left_alone(change: Change, content: bytes) -> None:
    change.pending.write_bytes(content)
    async with meter_at() as place:
        for said in (await at(change, place).transfer(place), await at(change, place).prove(place)):
            assert refused(said, place, "is not the file of a key transfer")
        assert place.heard == 0
    assert change.pending.read_bytes() == content


@pytest.mark.parametrize("name", ["nowhere/pending.json", "a_file/pending.json"])
async def test_keys_that_cannot_be_written_down_stay_here(change: Change, tmp_path: Path, name: str) -> None:
    (tmp_path / "a_file").touch()
    async with meter_at() as place:
        said = await replace(at(change, place), pending=tmp_path / name).transfer(place)
        assert refused(said, place, "pending: ")


# The file itself.


@given(
    some.binary(min_size=16, max_size=16),
    some.sampled_from([b"", bytes(16)]),
    some.integers(0, COUNTER_MAX + 1),
    some.integers(0, COUNTER_MAX + 1),
)
def test_what_is_written_is_read(
    tmp_path_factory: pytest.TempPathFactory, ek: bytes, ak: bytes, old: int, new: int
) -> None:
    path = tmp_path_factory.mktemp("keys") / "pending"
    pending = replace(a_pending(), new_keys=NewKeys(ek, ak), next_old_counter=old, next_new_counter=new)
    pending.write(path, is_new=True)
    assert PendingKeys.read(path) == pending


def test_a_file_with_one_wrong_value_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "pending"
    a_pending().write(path, is_new=True)
    right = json.loads(path.read_text())
    wrong: tuple[object, ...] = (None, 7, -1, "", "zz", "00", 1.5, True, [], {}, 1 << 40)
    taken = []
    for name in ("format", "system_title", "new_ek", "new_ak", "next_old_counter", "next_new_counter"):
        for value in wrong:
            path.write_text(json.dumps({**right, name: value}))
            try:
                PendingKeys.read(path)
            except SettingError:
                continue
            taken.append((name, value))
    # One key alone is a change, too, and counters may be small.
    assert taken == [("new_ek", ""), ("new_ak", ""), ("next_old_counter", 7), ("next_new_counter", 7)]


def test_of_two_that_begin_at_once_only_one_writes(tmp_path: Path) -> None:
    path = tmp_path / "pending"
    a_pending().write(path, is_new=True)
    with pytest.raises(SettingError, match="written by somebody else"):
        other_new_keys(a_pending()).write(path, is_new=True)
    assert PendingKeys.read(path) == a_pending()


def test_the_file_is_on_the_disk_before_it_is_in_its_place_and_its_place_afterwards(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    steps: list[str] = []
    fsync, link = os.fsync, os.link

    def noted_fsync(handle: int) -> None:
        steps.append("folder" if stat.S_ISDIR(os.fstat(handle).st_mode) else "file")
        fsync(handle)

    def noted_link(source: Path, target: Path) -> None:
        steps.append("link")
        link(source, target)

    monkeypatch.setattr(os, "fsync", noted_fsync)
    monkeypatch.setattr(os, "link", noted_link)
    a_pending().write(tmp_path / "pending", is_new=True)
    assert steps == ["file", "link", "folder"]


def test_counters_are_reserved_up_to_the_last_one() -> None:
    last = InvocationCounters(COUNTER_MAX)
    pending = a_pending().reserving(last, InvocationCounters(7))
    assert (pending.next_old_counter, pending.next_new_counter) == (COUNTER_MAX + 1, 10_007)
    said = InvocationCounters(20_000)
    old, new = pending.counters(HLS.ek, said)
    assert (old.next_own, new.next_own) == (COUNTER_MAX + 1, 20_000)


def test_it_does_not_show_its_keys() -> None:
    assert repr(a_pending()) == f"<PendingKeys for {TITLE}>"


# Killed, as a process.

HEARD_IN_ALL = 10
"""Counter read as public client: 3; the association under the old keys: 4; the proof: 3."""


@pytest.mark.parametrize("number", range(1, HEARD_IN_ALL + 1))
async def test_killed_at_any_moment_no_key_is_lost_and_the_truth_is_found(change: Change, number: int) -> None:
    """With SIGKILL, when its n-th APDU has arrived; the meter answers all the same."""
    async with meter_at() as place:
        mine = at(change, place)
        process = await start(*mine.transferring())
        place.on_heard = lambda heard: process.kill() if heard == number else None
        said = await end(process)
        place.on_heard = lambda _heard: None
        assert said.code == -signal.SIGKILL
        assert mine.is_safe_with(place)
        assert change.pending.exists() == (number >= 6), "the sixth is the transfer itself"
        if not change.pending.exists():
            assert refused(await mine.prove(place), place, "there is no")
            return
        assert (await mine.prove(place)).code == 0, "it arrived"
        assert mine.is_safe_with(place)


async def test_killed_before_the_transfer_arrives_the_old_keys_are_proven(change: Change) -> None:
    """The meter is switched off and on when the transfer arrives: it has never seen it."""
    async with meter_at() as place:
        mine = at(change, place)
        process = await start(*mine.transferring())

        def cut() -> None:
            process.kill()
            place.restart()
            _dies()

        place.keys.before = cut
        said = await end(process)
        assert said.code == -signal.SIGKILL
        assert (await mine.prove(place)).code == 1
        assert mine.is_safe_with(place)
        assert (await mine.transfer(place)).code == 0


KILLED_AT = """
import os, signal, sys
from gateway.__main__ import main
name, moment = sys.argv[1:3]
real = getattr(os, name)
def killed(*arguments, **named):
    if moment == "after":
        real(*arguments, **named)
    os.kill(os.getpid(), signal.SIGKILL)
setattr(os, name, killed)
main(sys.argv[3:])
"""


@pytest.mark.parametrize("moment", ["before", "after"])
@pytest.mark.parametrize("step", ["fdopen", "fsync", "link", "close"])
async def test_killed_while_it_writes_the_file_is_whole_or_absent(change: Change, step: str, moment: str) -> None:
    async with meter_at() as place:
        mine = at(change, place)
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-c", KILLED_AT, step, moment, *mine.transferring()),
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            cwd=ROOT,
        )
        assert (await end(process)).code == -signal.SIGKILL
        assert place.keys.security == HLS
        assert place.heard == 5, "nothing of the transfer has left"
        assert mine.is_safe_with(place)
        assert (await mine.prove(place)).code == (1 if change.pending.exists() else 2)
        assert (await mine.transfer(place)).code == 0, "what it left behind is in nobody's way"


@pytest.mark.parametrize("stop", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("number", [2, 6])
async def test_who_is_stopped_says_what_to_do(change: Change, stop: signal.Signals, number: int) -> None:
    async with meter_at() as place:
        mine = at(change, place)
        process = await start(*mine.transferring())
        arrived = asyncio.Event()

        def hold(heard: int) -> None:
            if heard == number:
                place.loses_answer = True
                process.send_signal(stop)
                arrived.set()

        place.on_heard = hold
        said = mine.told(place, await end(process))
        assert arrived.is_set()
        place.on_heard, place.loses_answer = lambda _heard: None, False
        assert (said.code, said.err) == (3, "")
        if number == 2:
            assert said.out == "NOT SENT: stopped by the user; nothing was sent\n"
            return
        assert said.out.splitlines()[-2] == "UNKNOWN: stopped by the user"
        assert said.out.endswith("run the command again with --prove\n")
        async with asyncio.timeout(TIMEOUT_SECONDS):
            assert (await mine.prove(place)).code == 0
