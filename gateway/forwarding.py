"""Meters behind a concentrator: each APDU on the channel to it carries the prefix that names the meter."""

from __future__ import annotations

from cosem_objects.dlms.apdu import ExceptionResponse, NetworkAddress, PrefixedRequest, PrefixedResponse, decode
from cosem_objects.dlms.refusals import ServiceRefused
from cosem_objects.errors import RemoteProtocolError
from transports.channel import ApduChannel


class NotForwarded(ServiceRefused):
    """Whoever is at the endpoint answers for itself: it reaches no such meter, or is no concentrator. Like every
    exception-response, it proves nothing."""

    def __init__(self, response: ExceptionResponse, meter: NetworkAddress) -> None:
        super().__init__(response)
        self._meter = meter

    def __str__(self) -> str:
        answered = f"what is at the endpoint answered {self.response}"
        return f"{answered} and reaches no meter behind {self._meter}: check --behind"


class ForwardingChannel(ApduChannel):
    """A channel to one meter over the channel to the concentrator in front of it."""

    def __init__(self, concentrator: ApduChannel, meter: NetworkAddress) -> None:
        self.address = concentrator.address
        self._concentrator = concentrator
        self._meter = meter

    @property
    def repeats(self) -> int:
        return self._concentrator.repeats

    async def open(self, timeout_seconds: float) -> None:
        await self._concentrator.open(timeout_seconds)

    async def send(self, apdu: bytes) -> None:
        await self._concentrator.send(PrefixedRequest(self._meter.network_id, self._meter.physical, apdu).encode())

    async def receive(self, timeout_seconds: float | None) -> bytes:
        """An APDU of the meter. Raises ``ChannelError``, ``NotForwarded``, and ``RemoteProtocolError`` for anything
        else."""
        octets = await self._concentrator.receive(timeout_seconds)
        if octets[:1] == bytes((ExceptionResponse.TAG,)):
            response = decode(octets)
            assert isinstance(response, ExceptionResponse)
            raise NotForwarded(response, self._meter)
        if octets[:1] != bytes((PrefixedResponse.TAG,)):
            raise RemoteProtocolError(
                f"an APDU ({octets[:1].hex()}) without the prefix of a meter behind {self._meter}: check --behind"
            )
        prefixed = decode(octets)
        assert isinstance(prefixed, PrefixedResponse)
        if prefixed.address != self._meter:
            raise RemoteProtocolError(f"an APDU from {prefixed.address}; {self._meter} was asked")
        return prefixed.apdu

    async def close(self) -> None:
        await self._concentrator.close()

    def hang_up(self) -> None:
        self._concentrator.hang_up()
