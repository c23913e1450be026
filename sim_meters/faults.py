"""What can go wrong with a meter, and when: the closed list of faults."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum


class Phase(StrEnum):
    """The moments of a management client's conversation in which something can go wrong."""

    ASSOCIATION = "association"
    """AARQ, and the third pass of HLS."""
    READ = "read"
    """A GET before a token was entered in this association."""
    ENTER = "enter"
    """Method 1 of the Token gateway."""
    READBACK = "readback"
    """A GET after a token was entered in this association."""
    RELEASE = "release"
    """RLRQ."""
    OTHER = "other"
    """Any other request: SET, other methods."""
    PUSH = "push"
    """A message that the meter sends unasked."""


class Fault(StrEnum):
    """What goes wrong. The public client is never meant: who finds a meter must be able to ask it its name."""

    # Before the meter has done anything.
    MUTE = "mute"
    """The request is lost: nothing is done, nothing is answered; of a push, the message."""
    HANG_UP = "hang-up"
    """The link is closed instead of an answer; nothing is done."""
    HANG_UP_BEFORE_ENTER = "hang-up-before-enter"
    """The link is closed when a token arrives; nothing is booked."""
    REBOOT = "reboot"
    """The meter starts anew when the request arrives: a token that waits for its booking is forgotten, all associations
    are gone, and nothing is done or answered."""
    LINK_OFFLINE = "link-offline"
    """The meter cannot be reached for VALUE seconds; every conversation is cut."""

    # Refusals.
    REFUSE_ASSOCIATION = "refuse-association"
    """The association is rejected as transient: busy, try again."""
    SECOND_ASSOCIATION_REFUSED = "second-association-refused"
    """As refuse-association, but only while another management association is open."""
    HLS_FAIL = "hls-fail"
    """The authentication fails, as with a wrong key (HLS) or password."""
    TEMPORARY_FAILURE = "temporary-failure"
    """The request is refused with result 2; nothing is done."""
    ACCESS_DENIED = "access-denied"
    """The request is refused with result 3; nothing is done."""
    LOCK_OUT = "lock-out"
    """For VALUE seconds the meter takes no token, neither from a client (result 2) nor from its keypad."""

    # What the Token gateway does with a token.
    STALE_STATUS = "stale-status"
    """The token is booked and answered, but the Token gateway goes on to show the one before."""
    STUCK_PENDING = "stuck-pending"
    """The token is answered and shown as received (8), but worked on only after VALUE seconds."""
    KEYPAD_SAME_TOKEN = "keypad-same-token"  # noqa: S105 - a name
    """The customer typed the same token a moment before: ours is used already."""
    KEYPAD = "keypad"
    """Right after the answer the customer types a token, mistyped: it is shown now, and ours no more."""

    # After the token was booked.
    HANG_UP_AFTER_ENTER = "hang-up-after-enter"
    """The token is booked, then the link is closed without an answer."""
    DROP_ANSWER_AFTER_ENTER = "drop-answer-after-enter"
    """The token is booked and the answer never sent; the link stays."""
    REBOOT_AFTER_ENTER = "reboot-after-enter"
    """The token is booked (one that waits for its booking is forgotten), then the meter starts anew, without an
    answer."""

    # Invocation counters of the meter, where there is ciphering.
    COUNTER_FALLS = "counter-falls"
    """The answer has a counter that is lower than the one before, by VALUE."""
    COUNTER_JUMPS = "counter-jumps"
    """The meter's counter jumps forward by VALUE, and stays there."""
    COUNTER_RESET = "counter-reset"
    """Between two associations both counters of the key are forgotten, the meter's and the client's: they begin
    anew."""

    # The answer on its way.
    DELAY = "delay"
    """The answer comes VALUE seconds late."""
    GARBLED_ANSWER = "garbled-answer"
    """One bit of the answer is turned over before it is framed: nothing but ciphering can notice."""
    DUPLICATE_ANSWER = "duplicate-answer"
    """The answer is sent twice: what an MQTT client does that saw no acknowledgement."""
    BAD_FCS = "bad-fcs"
    """The answer's last frame has a wrong check sequence (on the wrapper, a wrong version)."""
    HALF_FRAME = "half-frame"
    """Half of the answer is sent; the wrapper, which cannot begin anew, hangs up."""
    DUPLICATE_FRAME = "duplicate-frame"
    """The bytes of the answer are sent twice."""

    # The clock.
    CLOCK_STEP = "clock-step"
    """The meter's clock jumps by VALUE seconds."""
    CLOCK_DRIFT = "clock-drift"
    """From now on the meter's clock gains VALUE millionths."""


@dataclass(frozen=True, slots=True)
class Amount:
    """What VALUE means for a fault, and what it is if nothing is said."""

    unit: str
    usual: float
    least: float
    most: float


@dataclass(frozen=True, slots=True)
class FaultKind:
    """One row of the table: in which phases a fault makes sense, and what VALUE is."""

    phases: frozenset[Phase]
    amount: Amount | None = None


_P = Phase
_ENTER = frozenset({_P.ENTER})
_REQUESTS = frozenset({_P.READ, _P.ENTER, _P.READBACK, _P.OTHER})
_ANYTHING_ASKED = _REQUESTS | {_P.ASSOCIATION, _P.RELEASE}
_EVERYTHING = _ANYTHING_ASKED | {_P.PUSH}
_DAY_SECONDS = 86_400.0

FAULTS: Mapping[Fault, FaultKind] = {
    Fault.MUTE: FaultKind(_EVERYTHING),
    Fault.HANG_UP: FaultKind(_ANYTHING_ASKED),
    Fault.HANG_UP_BEFORE_ENTER: FaultKind(_ENTER),
    Fault.REBOOT: FaultKind(_ANYTHING_ASKED),
    Fault.LINK_OFFLINE: FaultKind(_ANYTHING_ASKED, Amount("s", 60.0, 0.0, 30 * _DAY_SECONDS)),
    Fault.REFUSE_ASSOCIATION: FaultKind(frozenset({_P.ASSOCIATION})),
    Fault.SECOND_ASSOCIATION_REFUSED: FaultKind(frozenset({_P.ASSOCIATION})),
    Fault.HLS_FAIL: FaultKind(frozenset({_P.ASSOCIATION})),
    Fault.TEMPORARY_FAILURE: FaultKind(_REQUESTS),
    Fault.ACCESS_DENIED: FaultKind(_REQUESTS),
    Fault.LOCK_OUT: FaultKind(_ENTER, Amount("s", 60.0, 0.0, _DAY_SECONDS)),
    Fault.STALE_STATUS: FaultKind(_ENTER),
    Fault.STUCK_PENDING: FaultKind(_ENTER, Amount("s", _DAY_SECONDS, 0.0, 30 * _DAY_SECONDS)),
    Fault.KEYPAD_SAME_TOKEN: FaultKind(_ENTER),
    Fault.KEYPAD: FaultKind(frozenset({_P.READ, _P.ENTER, _P.READBACK})),
    Fault.HANG_UP_AFTER_ENTER: FaultKind(_ENTER),
    Fault.DROP_ANSWER_AFTER_ENTER: FaultKind(_ENTER),
    Fault.REBOOT_AFTER_ENTER: FaultKind(_ENTER),
    Fault.COUNTER_FALLS: FaultKind(_REQUESTS | {_P.ASSOCIATION}, Amount("", 1.0, 1.0, 4e9)),
    Fault.COUNTER_JUMPS: FaultKind(_REQUESTS | {_P.ASSOCIATION}, Amount("", 1000.0, 1.0, 4e9)),
    Fault.COUNTER_RESET: FaultKind(frozenset({_P.ASSOCIATION})),
    Fault.DELAY: FaultKind(_EVERYTHING, Amount("s", 2.0, 0.0, _DAY_SECONDS)),
    Fault.GARBLED_ANSWER: FaultKind(_EVERYTHING),
    Fault.DUPLICATE_ANSWER: FaultKind(_REQUESTS | {_P.PUSH}),
    Fault.BAD_FCS: FaultKind(_ANYTHING_ASKED),
    Fault.HALF_FRAME: FaultKind(_ANYTHING_ASKED),
    Fault.DUPLICATE_FRAME: FaultKind(_ANYTHING_ASKED),
    Fault.CLOCK_STEP: FaultKind(_ANYTHING_ASKED, Amount("s", 3600.0, -400 * _DAY_SECONDS, 400 * _DAY_SECONDS)),
    Fault.CLOCK_DRIFT: FaultKind(_ANYTHING_ASKED, Amount("ppm", 200.0, -100_000.0, 100_000.0)),
}
