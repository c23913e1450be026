"""The sockets of the API: all addresses of a name, nobody else's port, and nobody served before it is time."""

from __future__ import annotations

import asyncio
import socket
from contextlib import ExitStack, closing

import pytest

from gateway.serving.listening import bind
from tests.transports.wires import free_port


async def test_nobody_can_connect_before_it_listens() -> None:
    (taken,) = await bind("127.0.0.1", free_port())
    with closing(taken):
        host, port = taken.getsockname()
        with socket.socket() as caller, pytest.raises(ConnectionRefusedError):
            caller.connect((host, port))
        taken.listen()
        with socket.create_connection((host, port), timeout=5) as caller:
            assert caller.getpeername() == (host, port)


async def test_a_port_in_use_is_refused() -> None:
    port = free_port()
    with socket.socket() as other:
        other.bind(("127.0.0.1", port))
        other.listen()
        with pytest.raises(OSError, match="ddress already in use"):
            await bind("127.0.0.1", port)


@pytest.fixture
async def two_addresses(monkeypatch: pytest.MonkeyPatch) -> None:
    """``localhost`` has two, as on machines with IPv6."""

    async def found(_host: str, port: int, **_: object) -> list[tuple[object, ...]]:
        return [
            (socket.AF_INET, socket.SOCK_STREAM, protocol, "", (host, port))
            for protocol in (0, 6)  # the same more than once, as resolvers say it
            for host in ("127.0.0.1", "127.0.0.2", "192.0.2.1")
        ]

    monkeypatch.setattr(asyncio.get_running_loop(), "getaddrinfo", found)


@pytest.mark.usefixtures("two_addresses")
async def test_a_name_means_all_of_its_addresses_that_are_on_this_machine() -> None:
    port = free_port()
    taken = await bind("localhost", port)
    with ExitStack() as stack:
        for one in taken:
            stack.enter_context(closing(one))
        assert [one.getsockname() for one in taken] == [("127.0.0.1", port), ("127.0.0.2", port)]


@pytest.mark.usefixtures("two_addresses")
async def test_any_port_is_one_port() -> None:
    (taken,) = await bind("localhost", 0)
    with closing(taken):
        assert taken.getsockname()[1] > 0


async def test_an_address_of_another_machine_is_refused() -> None:
    with pytest.raises(OSError, match="assign requested address"):
        await bind("192.0.2.1", free_port())
