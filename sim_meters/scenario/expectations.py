"""What can be expected of the steps of a case that have more than one thing to say."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from sim_meters.scenario.values import Byte, Digits, Member, Number, OneOf, Table, Text, Title

Result = Literal["accepted", "rejected", "pending", "refused", "in_doubt", "unreached"]
Reason = Literal[
    "crc",
    "manufacturer-code",
    "old",
    "used",
    "key-expired",
    "default-key",
    "overflow",
    "key-type",
    "field-format",
    "range",
    "function",
]
SwitchState = Literal["connected", "disconnected", "ready-for-reconnection"]
Section = Annotated[int, Field(ge=1, le=4)]
"""Of a key-change set."""


class EnterExpectation(Table):
    """What came of a token that a client entered, as the client saw it in that association."""

    result: OneOf[Result] | None = None
    """accepted (status 3), rejected (4 to 7), pending (0, 1, 2, 8), refused (by the action-result), in_doubt (it left,
    and nothing tells what became of it), unreached (it did not leave)"""
    reason: OneOf[Reason] | None = None
    """which STS check refused it, if the meter's profile can tell"""
    section: OneOf[Section] | None = None
    """which section of a key-change set was stored and waits for the others, if the meter's profile can tell"""
    status_code: OneOf[Byte] | None = None
    """token_status.status_code as read back"""
    data_value: OneOf[str] | None = None
    """token_status.data_value as read back, as 0 and 1"""
    action_result: OneOf[Byte] | None = None
    """what the ACTION was answered with"""
    balance: Number | None = None
    """available credit afterwards, in the account's unit"""
    balance_change: Number | None = None
    """available credit afterwards, less what it was before"""


class KeypadExpectation(Table):
    """What the display said."""

    result: OneOf[Literal["accepted", "rejected", "refused"]] | None = None
    """refused: the keypad did not take it, it is locked or busy"""
    reason: OneOf[Reason] | None = None
    """which STS check refused it"""
    section: OneOf[Section] | None = None
    """which section of a key-change set was stored and waits for the others"""


class ProgramExpectation(Table):
    """What a program did."""

    exit_code: OneOf[Byte] | None = None
    output: (
        Annotated[
            tuple[dict[Title, Member], ...],
            Field(max_length=1000),
        ]
        | None
    ) = None
    """the JSON objects on standard output, line by line: as many as there are, each with at least these members; a
    name such as account.balance goes down into an object"""
    stdout_has: Annotated[tuple[Text, ...], Field(max_length=100)] = ()
    """texts that standard output must hold"""
    stderr_has: Annotated[tuple[Text, ...], Field(max_length=100)] = ()
    """texts that standard error must hold"""


class StsExpectation(Table):
    """What class 116 says."""

    pan: str | None = None
    sgc: Digits | None = None
    ti: Digits | None = None
    krn: Digits | None = None
    kt: Digits | None = None
    ken: Digits | None = None
    ea: Digits | None = None
