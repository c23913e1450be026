"""TLS: files, handshakes that fail and why, on both event loops."""

from __future__ import annotations

import asyncio
import os
import socket
import ssl
import threading
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import pytest
import uvloop

from tests.certificates import SERVER_NAMES, Authority
from tests.transports.wires import echo, free_port, listen_somewhere
from transports.channel import ChannelClosed, NotSentError
from transports.endpoint import Endpoint, EndpointError
from transports.registry import listen, open_link
from transports.stream import CLOSE_TIMEOUT_SECONDS
from transports.tls import client_context, server_context
from transports.wire_settings import TlsSettings, WireSettings

LOOPS = pytest.mark.parametrize("new_loop", [asyncio.new_event_loop, uvloop.new_event_loop], ids=["asyncio", "uvloop"])
NewLoop = Callable[[], asyncio.AbstractEventLoop]


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path)


def run(new_loop: NewLoop, story: Coroutine[Any, Any, None]) -> None:
    with asyncio.Runner(loop_factory=new_loop) as runner:
        runner.run(story)


async def ask_once(url: str, tls: TlsSettings) -> bytes:
    endpoint = Endpoint.parse(url)
    async with await open_link(endpoint, wires=WireSettings(tls)) as link, link.channel() as channel:
        await channel.send(b"abc")
        return await channel.receive(10)


@LOOPS
@pytest.mark.parametrize("require_client", [False, True])
def test_both_sides_trust_each_other(authority: Authority, new_loop: NewLoop, require_client: bool) -> None:
    async def story() -> None:
        wires = WireSettings(authority.server(require_client=require_client))
        own = authority.client(authority.issue("head-end", ["head-end"]) if require_client else None)
        async with await listen_somewhere("tcps", echo, wires=wires) as listener:
            assert listener.url.startswith("tcps://")
            assert await ask_once(listener.url, own) == b"cba"

    run(new_loop, story())


@LOOPS
def test_a_server_that_is_not_trusted_gets_no_byte_of_an_apdu(
    authority: Authority, tmp_path: Path, new_loop: NewLoop
) -> None:
    stranger = Authority(tmp_path, "another-ca")
    expired = authority.issue("expired", days=-1)
    elsewhere = authority.issue("elsewhere", ["meter.example"])
    cases = [
        (stranger.server(), "its certificate is not trusted: unable to get local issuer certificate"),
        (authority.server(expired), "its certificate is not trusted: certificate has expired"),
        (authority.server(elsewhere), "its certificate is not trusted: IP address mismatch"),
    ]

    async def story(served: TlsSettings, reason: str) -> None:
        async with await listen_somewhere("tcps", echo, wires=WireSettings(served)) as listener:
            with pytest.raises(NotSentError, match=reason):
                await ask_once(listener.url, authority.client())

    for served, reason in cases:
        run(new_loop, story(served, reason))


@LOOPS
def test_another_name_will_do_where_names_are_not_checked(authority: Authority, new_loop: NewLoop) -> None:
    async def story() -> None:
        served = authority.server(authority.issue("elsewhere", ["meter.example"]))
        async with await listen_somewhere("tcps", echo, wires=WireSettings(served)) as listener:
            assert await ask_once(listener.url, TlsSettings(authority.file, check_host=False)) == b"cba"

    run(new_loop, story())


@LOOPS
def test_who_shows_no_certificate_where_one_is_required_is_not_served(authority: Authority, new_loop: NewLoop) -> None:
    async def story() -> None:
        wires = WireSettings(authority.server(require_client=True))
        async with await listen_somewhere("tcps", echo, wires=wires) as listener:
            # With TLS 1.3 the client believes to be connected until it hears of it.
            with pytest.raises((ChannelClosed, NotSentError)):
                await ask_once(listener.url, authority.client())

    run(new_loop, story())


@LOOPS
def test_a_server_that_says_why_it_refuses_is_understood(authority: Authority, new_loop: NewLoop) -> None:
    context = server_context(authority.server(require_client=True))

    def refuse(listening: socket.socket) -> None:
        taken, _ = listening.accept()
        with taken, pytest.raises(ssl.SSLError), context.wrap_socket(taken, server_side=True) as strict:
            strict.recv(1)

    async def story() -> None:
        with socket.create_server(("127.0.0.1", free_port())) as listening:
            refusing = asyncio.create_task(asyncio.to_thread(refuse, listening))
            host, port = listening.getsockname()
            wires = WireSettings(authority.client())
            async with await open_link(Endpoint("tcps", host, port), wires=wires) as link, link.channel() as channel:
                with pytest.raises(ChannelClosed, match="wants a certificate of ours, and none is set"):
                    await channel.receive(10)
            await refusing

    run(new_loop, story())


@LOOPS
def test_a_peer_that_speaks_no_tls_or_hangs_up_gets_no_byte_of_an_apdu(authority: Authority, new_loop: NewLoop) -> None:
    async def talk(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"\x00\x01\x00\x01\x00\x01\x00\x05hello")
        await writer.drain()
        writer.close()

    async def hang_up(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1)
        writer.transport.abort()

    async def leave(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\x16\x03")
        await reader.read(4096)
        writer.close()

    async def story(serve: Any, reason: str) -> None:
        server = await asyncio.start_server(serve, "127.0.0.1", free_port())
        host, port = server.sockets[0].getsockname()
        try:
            with pytest.raises(NotSentError, match=f"cannot connect to 127.0.0.1:{port}: .*{reason}"):
                await open_link(Endpoint("tcps", host, port), wires=WireSettings(authority.client()))
        finally:
            server.close()
            await server.wait_closed()

    run(new_loop, story(talk, "does not speak TLS"))
    run(new_loop, story(hang_up, "."))
    run(new_loop, story(leave, "."))


@LOOPS
def test_a_peer_that_never_answers_the_handshake_is_given_up(authority: Authority, new_loop: NewLoop) -> None:
    async def story() -> None:
        with socket.create_server(("127.0.0.1", free_port())) as silent:
            endpoint, wires = Endpoint("tcps", *silent.getsockname()), WireSettings(authority.client())
            with pytest.raises(NotSentError, match=r"no connection within 0\.05 s"):
                await open_link(endpoint, wires=wires, connect_timeout_seconds=0.05)

    run(new_loop, story())


@LOOPS
def test_a_listener_survives_callers_that_speak_no_tls(authority: Authority, new_loop: NewLoop) -> None:
    async def story() -> None:
        async with await listen_somewhere("tcps", echo, wires=WireSettings(authority.server())) as listener:
            port = Endpoint.parse(listener.url).port
            for words in (b"", b"GET / HTTP/1.1\r\n\r\n", bytes(100)):
                reader, writer = await asyncio.open_connection("127.0.0.1", port)
                writer.write(words)
                writer.write_eof()
                await reader.read()
                writer.close()
                await asyncio.gather(writer.wait_closed(), return_exceptions=True)
            assert await ask_once(listener.url, authority.client()) == b"cba"

    run(new_loop, story())


@LOOPS
def test_a_peer_that_ignores_the_good_bye_does_not_hold_us(authority: Authority, new_loop: NewLoop) -> None:
    context, is_over = server_context(authority.server()), threading.Event()

    def ignore(listening: socket.socket) -> None:
        taken, _ = listening.accept()
        with taken, context.wrap_socket(taken, server_side=True):
            is_over.wait(60)

    async def story() -> None:
        with socket.create_server(("127.0.0.1", free_port())) as listening:
            ignoring = asyncio.create_task(asyncio.to_thread(ignore, listening))
            endpoint = Endpoint("tcps", *listening.getsockname())
            link = await open_link(endpoint, wires=WireSettings(authority.client()))
            try:
                async with asyncio.timeout(CLOSE_TIMEOUT_SECONDS * 10):
                    await link.close()
            finally:
                is_over.set()
                await ignoring

    run(new_loop, story())


async def test_tls_older_than_1_2_is_not_spoken(authority: Authority) -> None:
    for context in (client_context(authority.client()), server_context(authority.server())):
        assert context.minimum_version == ssl.TLSVersion.TLSv1_2


def test_files_that_cannot_be_used_are_named(authority: Authority, tmp_path: Path) -> None:
    pair, other = authority.issue("one"), authority.issue("two")
    locked = authority.issue("locked", password="lab")
    text = tmp_path / "text"
    text.write_text("no certificate")
    missing = str(tmp_path / "missing")
    cases = [
        (TlsSettings(ca_file=missing), f"^{missing}: expected a file with trusted certificates .No such file"),
        (TlsSettings(ca_file=str(tmp_path)), "expected a file with trusted certificates .Is a directory"),
        (TlsSettings(ca_file=str(text)), f"^{text}: expected trusted certificates, as PEM$"),
        (TlsSettings(authority.file, pair.certificate), f"go together; only the certificate {pair.certificate} is"),
        (TlsSettings(authority.file, None, pair.key), f"go together; only the key {pair.key} is given"),
        (TlsSettings(authority.file, pair.certificate, other.key), "certificate and key do not belong together"),
        (TlsSettings(authority.file, pair.certificate, str(text)), f"^{text}: expected the key of {pair.certificate}"),
        (TlsSettings(authority.file, str(text), pair.key), f"^{text}: expected a certificate, as PEM"),
        (TlsSettings(authority.file, locked.certificate, locked.key), f"^{locked.key}: .* not locked by a password"),
        (TlsSettings(authority.file, missing, pair.key), f"^{missing}: expected a file with a certificate"),
        (TlsSettings(authority.file, pair.certificate, missing), f"^{missing}: expected a file with a key"),
    ]
    for settings, message in cases:
        for new_context in (client_context, server_context):
            if settings.certificate_file is None and new_context is server_context:
                continue  # it says first that it needs one
            with pytest.raises(EndpointError, match=message):
                new_context(settings)


async def test_who_listens_with_tls_needs_a_certificate() -> None:
    with pytest.raises(EndpointError, match="needs a certificate and its key"):
        await listen(Endpoint("tcps", "127.0.0.1", 0), echo)


def test_renewed_files_are_read_and_damaged_ones_are_not_used(
    authority: Authority, caplog: pytest.LogCaptureFixture
) -> None:
    settings = authority.server()
    first = server_context(settings)
    assert server_context(settings) is first
    authority.issue("server", SERVER_NAMES)
    _touch(settings)
    renewed = server_context(settings)
    assert renewed is not first
    assert settings.key_file is not None
    Path(settings.key_file).write_text("half a key")
    _touch(settings)
    assert server_context(settings) is renewed
    assert "the certificates read before are used on" in caplog.text
    assert "half a key" not in caplog.text


def _touch(settings: TlsSettings) -> None:
    """A time stamp that no coarse clock can leave as it was."""
    assert settings.key_file is not None
    status = Path(settings.key_file).stat()
    os.utime(settings.key_file, ns=(status.st_atime_ns, status.st_mtime_ns + 1_000_000_000))
