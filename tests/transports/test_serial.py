"""Serial lines on real pseudo-terminals: opened, shared, cut and joined again; echo, noise and mode E on them."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path

import pytest

from tests.transports.lines import listen_on_pty
from tests.transports.wires import echo
from transports.channel import (
    Address,
    ApduChannel,
    ChannelClosed,
    ChannelError,
    ChannelTimeout,
    Link,
    Listener,
    NotSentError,
)
from transports.endpoint import Endpoint, EndpointError
from transports.hdlc.connection import HdlcSettings
from transports.hdlc.frame import UA
from transports.link_pool import LinkPool
from transports.registry import listen, open_link, shared_name
from transports.serial.format import SerialFormat, serial_hdlc
from transports.serial.pty import Pty, PtyStream
from transports.serial.simulated_line import SimulatedLine
from transports.stream import ByteStream
from transports.trace.trace import Knowledge, Ring, Trace
from transports.wire_settings import SerialSettings, WireSettings

SECONDS = 10.0  # a limit, never a measure
# Bits of a baud rate do not matter where there is no pace, but time-outs follow from it.
FAST = "?baud=921600"
IMPATIENT = HdlcSettings(response_timeout_seconds=0.1, retries=1)


async def ask(channel: ApduChannel, apdu: bytes = b"abc") -> bytes:
    await channel.send(apdu)
    return await channel.receive(SECONDS)


async def talk(link: Link, physical: int | None = None, apdu: bytes = b"abc") -> None:
    """One association, from its beginning to its end."""
    async with link, link.channel(1, 1, physical) as channel:
        await channel.open(SECONDS)
        assert await ask(channel, apdu) == apdu[::-1]


@asynccontextmanager
async def pool_of_lines(wires: WireSettings | None = None) -> AsyncIterator[LinkPool]:
    pool = LinkPool(wires or WireSettings(), linger_seconds=60)
    try:
        yield pool
    finally:
        await pool.close()


# Opening.


@pytest.mark.parametrize(
    ("what", "words"),
    [
        ("nothing", "No such file or directory"),
        ("a directory", "Is a directory"),
        ("a file", "Inappropriate ioctl for device"),
    ],
)
async def test_what_cannot_be_opened_is_told_in_the_systems_words(tmp_path: Path, what: str, words: str) -> None:
    path = tmp_path / "line"
    if what == "a directory":
        path.mkdir()
    elif what == "a file":
        path.touch()
    endpoint = Endpoint("serial", path=str(path))
    with pytest.raises(NotSentError, match=f"^cannot open {path}: {words}"):
        await open_link(endpoint)
    with pytest.raises(EndpointError, match=f"^cannot open {path}: {words}"):
        await listen(endpoint, echo)


async def test_a_line_has_one_user_at_a_time() -> None:
    async with await listen_on_pty(echo, "") as listener:
        endpoint = Endpoint.parse(listener.url)
        async with await open_link(endpoint):
            with pytest.raises(NotSentError, match=f"cannot open {endpoint.path}: .*another process"):
                await open_link(endpoint)
        await talk(await open_link(endpoint))


async def test_another_process_gets_a_clear_error() -> None:
    program = "import asyncio, sys; from transports.registry import open_link; from transports.endpoint import Endpoint"
    program += "\ntry:\n asyncio.run(open_link(Endpoint.parse(sys.argv[1])))\nexcept Exception as error: print(error)"
    async with await listen_on_pty(echo, "") as listener, await open_link(Endpoint.parse(listener.url)):
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-c", program, listener.url, stdout=subprocess.PIPE
        )
        said, _ = await process.communicate()
        assert b"cannot open" in said
        assert b"in use by another process" in said or b"locked by another process" in said


async def test_a_pseudo_terminal_is_called_by_either_name() -> None:
    async with await listen_on_pty(echo, FAST) as listener:
        called = Endpoint.parse(listener.url)
        assert called.scheme == "serial"
        assert called.baud == 921_600
        await talk(await open_link(called))
        await talk(await open_link(Endpoint("pty", path=called.path)))


# Where a pseudo-terminal is made.


@pytest.mark.parametrize(
    ("what", "words"),
    [("a file", "there is a file already"), ("a link", "there is a link to /etc/passwd already")],
)
async def test_nothing_is_overwritten_by_a_new_line(tmp_path: Path, what: str, words: str) -> None:
    path = tmp_path / "line"
    if what == "a file":
        path.write_text("mine")
    else:
        path.symlink_to("/etc/passwd")
    with pytest.raises(EndpointError, match=f"cannot make a line at {path}: {words}"):
        await listen(Endpoint("pty", path=str(path)), echo)
    assert path.exists()


async def test_a_line_in_use_is_not_taken_over_and_a_dead_one_is(tmp_path: Path) -> None:
    endpoint = Endpoint("pty", path=str(tmp_path / "line"))
    async with await listen(endpoint, echo):
        with pytest.raises(EndpointError, match="there is a line already"):
            await listen(endpoint, echo)
    (tmp_path / "line").symlink_to("/dev/pts/999999")  # it was free: the first line took its link with it
    async with await listen(endpoint, echo) as listener:
        await talk(await open_link(Endpoint.parse(listener.url)))


async def test_links_that_a_killed_process_left_behind_may_name_lines_that_are_others_now(tmp_path: Path) -> None:
    """A fleet that was killed and starts again gets the same numbers of devices, in another order."""
    first, second = Pty(str(tmp_path / "a")), Pty(str(tmp_path / "b"))
    devices = first.device, second.device
    first.close()
    second.close()
    long_ago = (0, 0)
    for name, device in zip("ba", devices, strict=True):
        (tmp_path / name).symlink_to(device)
        os.utime(tmp_path / name, long_ago, follow_symlinks=False)
    lines = [Pty(str(tmp_path / name)) for name in "ab"]
    try:
        assert [str((tmp_path / name).readlink()) for name in "ab"] == [line.device for line in lines]
        with pytest.raises(EndpointError, match="there is a line already"):
            Pty(str(tmp_path / "a"))
    finally:
        for line in lines:
            line.close()


async def test_where_there_is_no_directory_there_is_no_line(tmp_path: Path) -> None:
    with pytest.raises(EndpointError, match="No such file or directory"):
        await listen(Endpoint("pty", path=str(tmp_path / "none" / "line")), echo)


# A line that vanishes, and comes back.


async def test_a_line_that_vanishes_is_told_and_comes_back_by_itself(tmp_path: Path) -> None:
    endpoint = Endpoint("pty", path=str(tmp_path / "line"))
    async with pool_of_lines() as pool:
        listener = await listen(endpoint, echo)
        called = Endpoint.parse(listener.url)
        async with await pool.open_link(called) as link, link.channel() as channel:
            await channel.open(SECONDS)
            await ask(channel)
            receiving = asyncio.ensure_future(channel.receive(SECONDS))
            await asyncio.sleep(0)
            await listener.close()
            with pytest.raises(ChannelClosed, match=f"the line {called.path} is gone: "):
                await receiving
            with pytest.raises(NotSentError):
                await channel.send(b"more")
        with pytest.raises(NotSentError, match=f"cannot open {called.path}: No such file"):
            await pool.open_link(called)
        async with await listen(endpoint, echo):
            await talk(await pool.open_link(called))


async def test_a_plug_that_is_pulled_inside_a_question_leaves_doubt_and_the_next_one_is_answered() -> None:
    pulled = 0

    async def pull_the_plug_once(channel: ApduChannel) -> None:
        nonlocal pulled
        while True:
            apdu = await channel.receive(None)
            if not pulled:
                pulled += 1
                channel.hang_up()
            await channel.send(apdu[::-1])

    async with await listen_on_pty(pull_the_plug_once, "") as listener, pool_of_lines() as pool:
        endpoint = Endpoint.parse(listener.url)
        async with await pool.open_link(endpoint) as link, link.channel() as channel:
            await channel.open(SECONDS)
            await channel.send(b"abc")
            with pytest.raises(ChannelClosed, match="is gone"):
                await channel.receive(SECONDS)
        await talk(await pool.open_link(endpoint))
        assert pulled == 1


async def test_a_client_that_goes_without_a_word_ends_its_conversation_and_the_next_one_is_served() -> None:
    ended: asyncio.Queue[ChannelError] = asyncio.Queue()

    async def serve(channel: ApduChannel) -> None:
        try:
            await echo(channel)
        except ChannelError as error:
            ended.put_nowait(error)

    async with await listen_on_pty(serve, "") as listener:
        endpoint = Endpoint.parse(listener.url)
        for _ in range(3):
            link = await open_link(endpoint)
            channel = link.channel()
            await channel.open(SECONDS)
            await ask(channel)
            channel.hang_up()
            error = await asyncio.wait_for(ended.get(), SECONDS)
            assert "nobody has the line" in str(error)
            await link.close()


class Socket:
    """A device file with a bare client behind it."""

    SNRM = bytes.fromhex("7EA0070321930F017E")  # client 16 to server 1, one-byte addresses, no parameters

    def __init__(self, path: Path) -> None:
        self._pty = Pty(str(path))
        self._heard: asyncio.Queue[bytes] = asyncio.Queue()
        self._plug_in()

    def pull_the_plug_and_put_it_back(self) -> None:
        self._stream.hang_up()
        self._pty.make_anew()
        self._plug_in()

    async def ask(self) -> bytes:
        """SNRM until it is answered: perhaps nobody has the device open yet."""
        async with asyncio.timeout(SECONDS):
            while True:
                self._stream.write(self.SNRM)
                with suppress(TimeoutError):
                    return await asyncio.wait_for(self._heard.get(), 0.05)

    def close(self) -> None:
        self._stream.hang_up()
        self._pty.close()

    def _plug_in(self) -> None:
        self._stream = PtyStream(self._pty, lambda _cut: None)
        self._stream.start(self._heard.put_nowait, lambda _error: None)


async def test_a_meter_waits_quietly_for_who_comes_next() -> None:
    """Where nobody is at the other end, the system says so again and again to who asks."""
    stays = 0

    def count(stream: ByteStream) -> ByteStream:
        nonlocal stays
        stays += 1
        return stream

    async with await listen_on_pty(echo, "", through=count) as listener:
        endpoint = Endpoint.parse(listener.url)
        for number in range(1, 4):
            assert stays == number
            await talk(await open_link(endpoint))
            for _ in range(100):
                await asyncio.sleep(0)


async def test_a_meter_finds_its_device_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("transports.serial.link.REOPEN_SECONDS", 0.01)
    path = tmp_path / "line"
    socket = Socket(path)
    async with await listen(Endpoint("serial", path=str(path)), echo) as listener:
        assert listener.url == f"serial://{path}"
        for _ in range(3):
            assert (await socket.ask())[5] == UA
            socket.pull_the_plug_and_put_it_back()
        assert (await socket.ask())[5] == UA
    socket.close()
    assert [record.message for record in caplog.records].count(f"the line {path} is back") == 3


# Several meters on one line.


@asynccontextmanager
async def village(*, dead: int | None = None) -> AsyncIterator[tuple[Listener, LinkPool, Endpoint]]:
    """Meters 17 to 26 on one line; one of them may be dead."""

    def accept(address: Address) -> bool:
        return address.physical in range(17, 27) and address.physical != dead

    async with await listen_on_pty(echo, FAST, accept=accept) as listener, pool_of_lines() as pool:
        yield listener, pool, Endpoint.parse(listener.url)


async def test_ten_meters_on_one_line_are_all_served() -> None:
    async with village() as (_, pool, endpoint), asyncio.TaskGroup() as group:
        for physical in range(17, 27):
            for turn in range(2):
                apdu = bytes((physical, turn)) * 20
                link = await pool.open_link(endpoint)
                if turn == 0:
                    group.create_task(talk(link, physical, apdu))
                else:
                    await link.close()


async def test_the_exchanges_of_several_meters_do_not_mix_and_everybody_has_a_turn() -> None:
    turns: list[int] = []

    async def customer(pool: LinkPool, endpoint: Endpoint, physical: int) -> None:
        async with await pool.open_link(endpoint) as link, link.channel(1, 1, physical) as channel:
            await channel.open(SECONDS)
            for number in range(20):
                apdu = bytes((physical, number)) * 30
                assert await ask(channel, apdu) == apdu[::-1]
                turns.append(physical)

    async with village() as (_, pool, endpoint), asyncio.TaskGroup() as group:
        for physical in (17, 18, 19):
            group.create_task(customer(pool, endpoint, physical))
    # While all three have something to say, nobody speaks twice before each of the others has spoken.
    middle = turns[10:40]
    assert all(set(middle[at : at + 5]) == {17, 18, 19} for at in range(len(middle) - 5))


async def test_a_dead_meter_does_not_starve_the_others() -> None:
    async def try_dead(pool: LinkPool, endpoint: Endpoint) -> None:
        async with await pool.open_link(endpoint, hdlc=IMPATIENT) as link, link.channel(1, 1, 20) as channel:
            with pytest.raises(ChannelTimeout):
                await channel.open(SECONDS)

    async with village(dead=20) as (_, pool, endpoint), asyncio.TaskGroup() as group:
        group.create_task(try_dead(pool, endpoint))
        for physical in (17, 18, 19, 21):
            group.create_task(talk(await pool.open_link(endpoint), physical))


async def test_a_meter_that_answers_too_late_does_not_disturb_the_next_one() -> None:
    late = asyncio.Event()
    is_answered = asyncio.Event()

    async def serve(channel: ApduChannel) -> None:
        if channel.address.physical != 17:
            await echo(channel)
        apdu = await channel.receive(None)
        await late.wait()
        await channel.send(apdu[::-1])
        is_answered.set()
        await channel.receive(None)

    async with await listen_on_pty(serve, FAST) as listener, pool_of_lines() as pool:
        endpoint = Endpoint.parse(listener.url)
        async with await pool.open_link(endpoint, hdlc=IMPATIENT) as slow, slow.channel(1, 1, 17) as channel:
            await channel.open(SECONDS)
            await channel.send(b"abc")
            with pytest.raises(ChannelTimeout):
                await channel.receive(SECONDS)
            async with await pool.open_link(endpoint) as link, link.channel(1, 1, 18) as other:
                await other.open(SECONDS)
                late.set()
                await is_answered.wait()
                for number in range(5):
                    assert await ask(other, bytes([number]) * 50) == bytes([number]) * 50


async def test_meters_that_want_one_line_at_two_speeds_take_turns() -> None:
    async with await listen_on_pty(echo, "") as listener, pool_of_lines() as pool:
        slow = Endpoint("serial", path=Endpoint.parse(listener.url).path, baud=2400)
        fast = Endpoint("serial", path=slow.path, baud=9600)
        assert shared_name(slow) == shared_name(fast) == f"serial://{slow.path}"
        async with await pool.open_link(slow) as link, link.channel(1, 1, 17) as channel:
            await channel.open(SECONDS)
            async with await pool.open_link(fast) as other, other.channel(1, 1, 18) as refused:
                with pytest.raises(NotSentError, match="in use with 2400 baud 8N1, not with 9600 baud 8N1"):
                    await refused.open(SECONDS)
            assert await ask(channel) == b"cba"
        await talk(await pool.open_link(fast), 18)
        await talk(await pool.open_link(slow), 17)


async def test_a_line_with_mode_e_is_shared_like_any_other() -> None:
    async with await listen_on_pty(echo, "?mode=e") as listener, pool_of_lines() as pool:
        endpoint = Endpoint.parse(listener.url)
        for physical in (17, 18):
            await talk(await pool.open_link(endpoint), physical)
        async with asyncio.TaskGroup() as group:
            for physical in (17, 18, 19):
                group.create_task(talk(await pool.open_link(endpoint), physical))


# Time-outs.


@pytest.mark.parametrize(
    ("line", "info_max", "window_max", "response_seconds"),
    [
        (SerialFormat(9600), 128, 1, 5 + 284 * 10 / 9600),
        (SerialFormat(300), 128, 1, 5 + 284 * 10 / 300),
        (SerialFormat(9600, "even"), 128, 1, 5 + 284 * 11 / 9600),
        (SerialFormat(9600), 2030, 7, 5 + 7 * 4088 * 10 / 9600),
    ],
)
def test_the_response_time_out_leaves_time_for_the_longest_frames(
    line: SerialFormat, info_max: int, window_max: int, response_seconds: float
) -> None:
    settings = serial_hdlc(HdlcSettings(info_max=info_max, window_max=window_max), line)
    assert settings.response_timeout_seconds == pytest.approx(response_seconds)
    assert 0.225 < settings.inter_octet_timeout_seconds < 0.4
    assert settings.inter_octet_timeout_seconds > 4 * line.octet_seconds


async def test_a_slow_line_is_waited_for_as_long_as_its_frames_take() -> None:
    """At 9600 baud the answer is longer on the line than the meter may think."""
    hdlc = HdlcSettings(info_max=128, response_timeout_seconds=0.05, retries=0)
    async with (
        await listen_on_pty(echo, "?baud=9600") as listener,
        await open_link(Endpoint.parse(listener.url), hdlc=hdlc) as link,
        link.channel() as channel,
    ):
        await channel.open(SECONDS)
        assert await ask(channel, bytes(range(120))) == bytes(range(120))[::-1]
        assert channel.repeats == 0


# Echo, noise, gaps.


def bad_line(**faults: float | bool) -> WireSettings:
    return WireSettings(serial=SerialSettings(line=SimulatedLine(**faults)))  # type: ignore[arg-type]


@pytest.mark.parametrize("mode", ["hdlc", "e"])
@pytest.mark.parametrize("echo_is_expected", [True, False])
@pytest.mark.parametrize("line_has_echo", [True, False])
async def test_a_line_may_give_back_what_is_said(mode: str, *, echo_is_expected: bool, line_has_echo: bool) -> None:
    """In HDLC, our own frames are for nobody here; mode E needs to be told where there is an echo."""
    client = WireSettings(serial=SerialSettings(echo=echo_is_expected))
    async with await listen_on_pty(echo, f"?mode={mode}", wires=bad_line(echo=line_has_echo)) as listener:
        endpoint = Endpoint.parse(listener.url)
        async with await open_link(endpoint, wires=client) as link, link.channel(1, 1, 17) as channel:
            await channel.open(SECONDS)
            for size in (1, 100, 500):
                assert await ask(channel, bytes(range(100)) * (size // 100 or 1))
            assert channel.repeats == 0


async def test_an_echo_that_is_taken_away_is_not_in_the_trace() -> None:
    client = WireSettings(serial=SerialSettings(echo=True))
    async with await listen_on_pty(echo, "", wires=bad_line(echo=True)) as listener:
        ring = Ring()
        trace = Trace(Knowledge(new_mask=None), lambda: datetime.now(UTC), [ring])
        await talk(await open_link(Endpoint.parse(listener.url), wires=client, trace=trace))
    frames = [json.loads(line) for line in ring.lines() if '"frame"' in line]
    assert [frame["kind"] for frame in frames if frame["direction"] == "sent"][:2] == ["SNRM", "I"]
    assert [frame["kind"] for frame in frames if frame["direction"] == "received"][:2] == ["UA", "I"]


async def test_noise_between_frames_costs_nothing_but_its_time() -> None:
    wires = bad_line(noise=1.0, noise_octets_max=20, seed=5)
    async with (
        await listen_on_pty(echo, FAST, wires=wires) as listener,
        await open_link(Endpoint.parse(listener.url)) as link,
        link.channel(1, 1, 17) as channel,
    ):
        await channel.open(SECONDS)
        for number in range(30):
            apdu = bytes([number]) * 60
            assert await ask(channel, apdu) == apdu
        assert channel.repeats == 0


async def test_gaps_inside_frames_are_waited_out() -> None:
    async with (
        await listen_on_pty(echo, FAST, wires=bad_line(gap_seconds=0.02)) as listener,
        await open_link(Endpoint.parse(listener.url)) as link,
        link.channel(1, 1, 17) as channel,
    ):
        await channel.open(SECONDS)
        assert await ask(channel, bytes(1200)) == bytes(1200)
        assert channel.repeats == 0
