from __future__ import annotations

import asyncio

import pytest

from tests.transports.wires import in_virtual_time
from transports.channel import ChannelClosed, ChannelTimeout
from transports.inbox import Inbox


def test_each_wait_has_its_own_limit_whatever_the_one_before_had() -> None:
    async def story() -> None:
        loop = asyncio.get_running_loop()
        inbox = Inbox()

        async def wait(limit: float | None, *, until: float, arrives: float | None = None) -> None:
            if arrives is not None:
                loop.call_later(arrives, inbox.put, b"apdu")
                assert await inbox.get(limit) == b"apdu"
            else:
                with pytest.raises(ChannelTimeout, match=f"nothing arrived within {limit:g} s"):
                    await inbox.get(limit)
            assert loop.time() == pytest.approx(until)

        await wait(5, arrives=4, until=4)
        await wait(3, until=7)  # past the first wait's alarm at 5
        await wait(100, arrives=1, until=8)
        await wait(2, until=10)  # before the last wait's alarm at 107
        await wait(5, arrives=1, until=11)
        await wait(None, arrives=30, until=41)  # the alarm at 15 is not for this one
        await wait(0, until=41)
        await wait(-1, until=41)
        inbox.end(ChannelClosed("over"))
        with pytest.raises(ChannelClosed, match="over"):
            await inbox.get(5)

    in_virtual_time(story)


def test_what_came_before_the_end_is_handed_out_first_and_the_first_reason_stays() -> None:
    async def story() -> None:
        inbox = Inbox()
        inbox.put(b"one")
        inbox.end(ChannelClosed("first"))
        inbox.end(ChannelClosed("second"))
        assert await inbox.get(None) == b"one"
        for _ in range(2):
            with pytest.raises(ChannelClosed, match="first"):
                await inbox.get(None)

    in_virtual_time(story)


def test_an_apdu_that_comes_as_its_reader_is_cancelled_is_not_lost() -> None:
    async def story() -> None:
        inbox = Inbox()
        reading = asyncio.ensure_future(inbox.get(None))
        await asyncio.sleep(0)
        inbox.put(b"one")
        reading.cancel()
        with pytest.raises(asyncio.CancelledError):
            await reading
        assert await inbox.get(None) == b"one"

    in_virtual_time(story)


def test_two_readers_at_once_are_a_mistake() -> None:
    async def story() -> None:
        inbox = Inbox()
        first = asyncio.ensure_future(inbox.get(None))
        await asyncio.sleep(0)
        with pytest.raises(RuntimeError, match="two tasks"):
            await inbox.get(None)
        inbox.put(b"one")
        assert await first == b"one"

    in_virtual_time(story)
