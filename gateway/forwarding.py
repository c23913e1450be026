"""Meters behind a concentrator: each APDU on the channel to it carries the prefix that names the meter."""

from __future__ import annotations

from cosem_objects.dlms.apdu import ExceptionResponse, NetworkAddress, PrefixedRequest, PrefixedResponse, decode
from cosem_objects.errors import RemoteProtocolError
from transports.channel import ApduChannel


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
        """An APDU of the meter, or the concentrator's own exception-response. Raises ``ChannelError``, and
        ``RemoteProtocolError`` for anything else."""
        octets = await self._concentrator.receive(timeout_seconds)
        if octets[:1] == bytes((ExceptionResponse.TAG,)):
            return octets  # the concentrator itself cannot reach the meter, or knows no prefix
        if octets[:1] != bytes((PrefixedResponse.TAG,)):
            raise RemoteProtocolError(
                f"an APDU ({octets[:1].hex()}) without the prefix of a meter behind {self._meter}"
            )
        response = decode(octets)
        assert isinstance(response, PrefixedResponse)
        if response.address != self._meter:
            raise RemoteProtocolError(f"an APDU from {response.address}; {self._meter} was asked")
        return response.apdu

    async def close(self) -> None:
        await self._concentrator.close()

    def hang_up(self) -> None:
        self._concentrator.hang_up()
