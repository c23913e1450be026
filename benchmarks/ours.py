"""Ours, in three sizes, against meters or canned replies.

    python -m benchmarks.ours < JOB

``bare``: ``open_session``, attribute 6, ``enter``, attribute 6, release: the steps of the peers. ``session``: the same
with all that a verdict needs for each reading (Token gateway, account, switch). ``delivery``: ``Delivery``, which does
the latter with its checks, events and verdict.
"""

from __future__ import annotations

import secrets
from collections.abc import Awaitable, Callable
from functools import cache
from unittest.mock import patch

from benchmarks.measure import Job, Sale, read_job, run_async
from cosem_objects import axdr, token_gateway
from cosem_objects.axdr import Data
from cosem_objects.dlms.apdu import ActionResult
from cosem_objects.dlms.security import InvocationCounters
from cosem_objects.dlms.settings import SecuritySettings
from cosem_objects.profile import MeterProfile
from cosem_objects.sts_token import Token
from cosem_objects.token_gateway import DataValueMap, StatusCode, TokenStatus
from gateway.delivery import Delivery
from gateway.events import Event
from gateway.meters import Meter
from gateway.readback import MeterState, Readback
from gateway.session import Connect, Session, connect, open_session
from gateway.verdict import Outcome
from transports.endpoint import Endpoint

PROFILE = MeterProfile(data_value_map=DataValueMap.ONEHOT16)
READBACK = Readback(PROFILE)


class NotAcceptedError(Exception):
    """A figure of a delivery that failed would be worth nothing."""


class Contender:
    """Delivers sales to meters that are secured in one way."""

    def __init__(self, security: dict[str, str], through: Connect = connect) -> None:
        self._security = SecuritySettings.parse(security)
        self._connect = through

    def form(self, kind: str) -> Callable[[Sale], Awaitable[None]]:
        return {"bare": self.bare, "session": self.session, "delivery": self.delivery}[kind]

    def meter(self, sale: Sale) -> Meter:
        return Meter(
            endpoint=_endpoint(sale.url),
            profile=PROFILE,
            security=self._security,
            invocation_counter=sale.counter,
            physical=sale.physical,
        )

    async def open(self, sale: Sale) -> Session:
        return await open_session(self.meter(sale), InvocationCounters(sale.counter), self._connect)

    async def bare(self, sale: Sale) -> None:
        session = await self.open(sale)
        await self._status(session)
        await self._enter(session, sale)
        _check_status(await self._status(session))
        await session.release()

    async def session(self, sale: Sale) -> None:
        session = await self.open(sale)
        await self._state(session)
        await self._enter(session, sale)
        _check_status((await self._state(session)).gateway.status)
        await session.release()

    async def delivery(self, sale: Sale) -> None:
        token = Token.parse(sale.token.decode("ascii"))
        (judged,) = await Delivery(self.meter(sale), _forget, connect=self._connect).run([token])
        if judged.verdict.outcome is not Outcome.ACCEPTED:
            raise NotAcceptedError(str(judged))

    async def balance(self, sale: Sale) -> int:
        """What stands on the meter's account; ``sale`` says which meter, and our counter."""
        async with await self.open(sale) as session:
            balance = (await self._state(session)).account.balance_raw
            await session.release()
        if balance is None:
            raise NotAcceptedError("the account cannot be read")
        return balance

    @staticmethod
    async def _state(session: Session) -> MeterState:
        return await READBACK.state(session)

    @staticmethod
    async def _status(session: Session) -> TokenStatus:
        result = await session.get(token_gateway.CLASS_ID, PROFILE.gateway_obis, token_gateway.Attribute.TOKEN_STATUS)
        if not isinstance(result, Data):
            raise NotAcceptedError(f"token_status is answered with {result}")
        return TokenStatus.from_data(result)

    @staticmethod
    async def _enter(session: Session, sale: Sale) -> None:
        data = axdr.octet_string(sale.token)
        response = await session.action(token_gateway.CLASS_ID, PROFILE.gateway_obis, token_gateway.METHOD_ENTER, data)
        if response.result != ActionResult.SUCCESS:
            raise NotAcceptedError(f"enter is answered with {response.result}")


@cache
def _endpoint(url: str) -> Endpoint:
    """Taken apart once: the product keeps its meters' endpoints ready, too."""
    return Endpoint.parse(url)


def _check_status(status: TokenStatus | None) -> None:
    if status is None or status.code != StatusCode.EXECUTION_OK:
        raise NotAcceptedError(f"the meter says: {status.words if status else 'nothing'}")


async def _forget(_event: Event) -> None:
    """The benchmark keeps no story."""


def recorded_challenge(size: int) -> bytes:
    """What takes the place of chance where canned replies answer."""
    return bytes(range(size))


def run(job: Job) -> None:
    run_async(job, Contender(job.secrets).form(job.kind))


def main() -> None:
    job = read_job()
    if job.fixed_challenge:
        with patch.object(secrets, "token_bytes", recorded_challenge):
            run(job)
    else:
        run(job)


if __name__ == "__main__":
    main()
