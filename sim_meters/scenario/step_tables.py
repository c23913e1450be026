"""The steps of a case, and what can be expected of each."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, StringConstraints

from sim_meters.scenario.values import (
    Byte,
    Count,
    Digits20,
    Hex,
    Member,
    Name,
    Number,
    OneOf,
    Seconds,
    Table,
    Text,
    Title,
)

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


class EnterExpectation(Table):
    """What came of a token that a client entered, as the client saw it in that association."""

    result: OneOf[Result] | None = None
    """accepted (status 3), rejected (4 to 7), pending (0, 1, 2, 8), refused (by the action-result), in_doubt (it left,
    and nothing tells what became of it), unreached (it did not leave)"""
    reason: OneOf[Reason] | None = None
    """which STS check refused it, if the meter's profile can tell"""
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
    sgc: int | None = None
    ti: int | None = None
    krn: int | None = None
    kt: int | None = None
    ken: int | None = None
    ea: int | None = None


class Step(Table):
    """What all steps have."""

    name: Title | None = None
    """for people: the story says it before what was done"""


class MeterStep(Step):
    meter: Name | None = None
    """which one; the case's meter if it is not said"""


class KeyChoice(Table):
    """Attributes of another key than the meter's."""

    sgc: Annotated[str, StringConstraints(pattern=r"^[0-9]{6}$")] | None = None
    ti: Annotated[int, Field(ge=0, le=99)] | None = None
    krn: Annotated[int, Field(ge=1, le=9)] | None = None


class TokenStep(MeterStep):
    """Make a token under a meter's key, or take one as it is, and keep it under a name."""

    do: Literal["token"]
    token: Name
    """the name under which it is kept"""
    digits: Digits20 | None = None
    """the token itself; nothing is made then"""
    amount: Number | None = None
    unit: Annotated[str, StringConstraints(pattern=r"^[A-Za-z][A-Za-z0-9]{1,3}$")] | None = None
    """kWh, m3, min or a currency code of three capitals; the meter's own unit if it is not said"""
    minutes_ago: Annotated[int, Field(ge=0, le=20_000_000)] | None = None
    """when it was issued; if it is not said: now, each token of a meter at least a minute after the one before"""
    key: KeyChoice | None = None
    """attributes of another key, to make a token under the wrong one"""


class EnterStep(MeterStep):
    """A DLMS client associates, enters a token, and reads back."""

    do: Literal["enter"]
    token: Name | None = None
    octets: Hex | None = None
    """instead of a token: octets that are none"""
    expect: EnterExpectation = EnterExpectation()


class KeypadStep(MeterStep):
    """A customer types a token. Simulated meters only."""

    do: Literal["keypad"]
    token: Name
    expect: KeypadExpectation = KeypadExpectation()


class RunStep(MeterStep):
    """Run a program. In its arguments, {endpoint}, {pan} and {serial} are the meter's, {token:NAME} is a token,
    {folder} is where the scenario file is; an argument that is {meter} alone becomes all options with which stsgate
    speaks to the meter. Tokens and keys in arguments can be seen by everybody on the machine."""

    do: Literal["run"]
    command: Annotated[tuple[Text, ...], Field(min_length=1, max_length=200)]
    stdin: Text = ""
    """what it reads; the same placeholders, but {meter}"""
    timeout_seconds: Seconds = 120.0
    expect: ProgramExpectation = ProgramExpectation()


class FaultStep(MeterStep):
    """Let something go wrong, or no more. Simulated meters only."""

    do: Literal["fault"]
    fault: Annotated[str, StringConstraints(pattern=r"^[a-z]+(-[a-z]+){0,9}$", max_length=60)]
    """its name, see docs/faults.md"""
    off: bool = False
    """no more of it"""
    count: Annotated[int, Field(ge=1, le=999_999)] | None = None
    """how often; always if it is not said"""
    percent: Annotated[float, Field(ge=0, le=100)] | None = None
    """with this chance each time; it comes from the seed"""
    phase: Literal["association", "read", "enter", "readback", "release", "other", "push"] | None = None
    """only there; wherever the fault can strike if it is not said"""
    value: Annotated[float, Field(ge=-1e12, le=1e12)] | None = None
    """what it means is the fault's: seconds, or how many"""
    skip: Annotated[int, Field(ge=0, le=999_999)] = 0
    """let it pass so many times first"""


class LinkStep(MeterStep):
    """Take the meter's link away, or give it back. Simulated meters only."""

    do: Literal["link"]
    state: Literal["offline", "online"]


class RebootStep(MeterStep):
    """Cut the meter's power and give it back: what it keeps is its ledger. Simulated meters only."""

    do: Literal["reboot"]


class AdvanceStep(Step):
    """Let the virtual clock go on."""

    do: Literal["advance"]
    seconds: Seconds | None = None
    minutes: Annotated[int, Field(ge=0, le=20_000_000)] | None = None
    hours: Annotated[int, Field(ge=0, le=400_000)] | None = None
    days: Annotated[int, Field(ge=0, le=20_000)] | None = None


class MarkStep(MeterStep):
    """Note the balance: from then on balance_change counts from here."""

    do: Literal["mark"]


class ExpectStep(MeterStep):
    """Look at the meter: at a simulated one directly, at a real one over its wire."""

    do: Literal["expect"]
    over_wire: bool = False
    """ask a simulated meter over its wire, too"""
    within_seconds: Seconds = 0.0
    """look again until all is as expected, at most for so long"""
    status_code: OneOf[Byte] | None = None
    data_value: OneOf[str] | None = None
    reason: OneOf[Reason] | None = None
    """which STS check refused the token that the Token gateway shows, if the profile can tell"""
    token: Name | None = None
    """the token that the Token gateway shows"""
    delivery: OneOf[Literal["remote", "local", "manual"]] | None = None
    """how that token came in"""
    balance: Number | None = None
    balance_change: Number | None = None
    """since the last mark"""
    unit: Title | None = None
    """of the balance"""
    switch: OneOf[SwitchState] | None = None
    sts: StsExpectation | None = None
    times_credited: dict[Name, Count] = Field(default_factory=dict)
    """by the ledger, for each token; simulated meters only"""
    strikes: dict[Name, Count] = Field(default_factory=dict)
    """how often each fault has struck in this case; simulated meters only"""


AnyStep = Annotated[
    TokenStep
    | EnterStep
    | KeypadStep
    | RunStep
    | FaultStep
    | LinkStep
    | RebootStep
    | AdvanceStep
    | MarkStep
    | ExpectStep,
    Field(discriminator="do"),
]
