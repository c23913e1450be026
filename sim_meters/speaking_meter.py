"""What a meter's conversations need of it, and what they tell it to do."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from cosem_objects.dlms.server import ServerAssociation
from sim_meters.asked import Association
from sim_meters.faults import Fault
from sim_meters.prepayment import PrepaymentMeter
from sim_meters.wire_faults import WireFaults

if TYPE_CHECKING:
    from sim_meters.conversation import Conversation


@dataclass(frozen=True, slots=True, repr=False)
class Reaction:
    """What follows from an APDU: an answer, or silence; then a message that was not asked for, or the link's end."""

    octets: bytes | None
    unasked: bytes | None = None
    hangs_up: bool = False
    delay_seconds: float = 0.0
    is_doubled: bool = False
    wire: Fault | None = None
    """How the answer's bytes are broken below."""

    def through(self, put_on: Callable[[bytes], bytes]) -> Reaction:
        """With all that is said put into something."""
        said = (None if octets is None else put_on(octets) for octets in (self.octets, self.unasked))
        return replace(self, octets=next(said), unasked=next(said))


class SpeakingMeter(PrepaymentMeter, ABC):
    """What a conversation needs of its meter, beside the prepayment half."""

    wire: WireFaults
    """Below its framing."""

    @abstractmethod
    def association(self, client_sap: int) -> tuple[ServerAssociation, Association] | None:
        """A new association for a client, and what it may see; ``None`` for clients that nobody knows."""

    @abstractmethod
    def associations_beside(self, conversation: Conversation) -> int:
        """How many other management associations are open."""

    @abstractmethod
    def next_push(self) -> int:
        """The number of a message."""

    @abstractmethod
    def reboot(self, spared: Conversation | None = None) -> None:
        """Lose all that stands in memory, and all conversations but one."""

    @abstractmethod
    def go_offline(self, seconds: float | None = None) -> None:
        """Be out of reach, for so long or until told otherwise."""
