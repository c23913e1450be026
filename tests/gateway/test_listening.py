"""The sockets of the API: all addresses of a name, nobody else's port, and nobody served before it is time."""

from __future__ import annotations

import socket
from contextlib import ExitStack, closing

import pytest

from gateway.listening import bind
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


async def test_a_name_means_all_of_its_addresses() -> None:
    taken = await bind("localhost", free_port())
    with ExitStack() as stack:
        for one in taken:
            stack.enter_context(closing(one))
        assert {one.getsockname()[0] for one in taken} <= {"127.0.0.1", "::1"}
        assert len({one.getsockname()[1] for one in taken}) == 1


async def test_any_port_is_one_port() -> None:
    (taken,) = await bind("localhost", 0)
    with closing(taken):
        assert taken.getsockname()[1] > 0


async def test_an_address_of_another_machine_is_refused() -> None:
    with pytest.raises(OSError, match="assign requested address"):
        await bind("192.0.2.1", free_port())
