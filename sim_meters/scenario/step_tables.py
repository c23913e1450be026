"""The steps of a case. What can be expected of them stands in ``expectations.py``."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, StringConstraints

from sim_meters.issuing import CREDIT, OTHER_KINDS
from sim_meters.scenario.expectations import (
    EnterExpectation,
    KeypadExpectation,
    ProgramExpectation,
    Reason,
    Section,
    StsExpectation,
    SwitchState,
)
from sim_meters.scenario.values import (
    HEX_OF_KEYS,
    Byte,
    Count,
    Digits,
    Digits20,
    Hex,
    Name,
    Number,
    OneOf,
    Seconds,
    Table,
    Text,
    Title,
)

KEY_CHANGE = "key-change"
KINDS = (CREDIT, *OTHER_KINDS, KEY_CHANGE)
"""Of tokens: the commands of the table of token types."""


class Step(Table):
    """What all steps have."""

    name: Title | None = None
    """for people: the story says it before what was done"""


class MeterStep(Step):
    meter: Name | None = None
    """which one; the case's meter if it is not said"""


class KeyTable(Table):
    """What is other in another key of the meter; all the rest is as it was."""

    sgc: Digits | None = None
    ti: Digits | None = None
    krn: Digits | None = None
    kt: Digits | None = None
    base_date: Digits | None = None
    ea: Digits | None = None
    dkga: Digits | None = None
    vending_key: Annotated[str, HEX_OF_KEYS] | None = Field(default=None, repr=False)
    """the meter's own if it is not said"""
    ken: Byte | None = None
    """key expiry number; of a key-change set alone"""

    @property
    def texts(self) -> dict[str, str]:
        """As whoever makes keys reads them."""
        said = self.model_dump(exclude_none=True)
        return {name: str(value).zfill(6 if name == "sgc" else 0) for name, value in said.items()}


class TokenStep(MeterStep):
    """Make a token under a meter's key, or take one as it is, and keep it under a name."""

    do: Literal["token"]
    token: Name
    """the name under which it is kept; the sections of a key-change set are kept as NAME.1, NAME.2 ..."""
    digits: Digits20 | None = None
    """the token itself; nothing is made then"""
    kind: Annotated[str, StringConstraints(pattern=f"^({'|'.join(KINDS)})$")] = CREDIT
    """its type, as simmeters sts encode calls it"""
    amount: Number | None = None
    """of a credit token"""
    unit: Annotated[str, StringConstraints(pattern=r"^[A-Za-z][A-Za-z0-9]{1,3}$")] | None = None
    """kWh, m3, min or a currency code of three capitals; the meter's own unit if it is not said"""
    commodity: Literal["electricity", "water", "gas", "time"] | None = None
    """what a credit token buys; what the meter sells if it is not said, and if its unit measures that"""
    fields: dict[Name, Text | Annotated[int, Field(ge=0)]] = Field(default_factory=dict)
    """what tokens of the other types say, in the words of simmeters sts encode: watts, register, control-value,
    control, manufacturer-code"""
    new_key: KeyTable | None = None
    """what is other in the key that a key-change set brings"""
    rollover: bool | None = None
    """RO of a key-change set, which clears the meter's memory of TIDs; if it is not said: when the new base date is
    later"""
    with_sgc: bool | None = None
    """whether a set for EA07 brings the supply group code, and has three sections; if it is not said: when that
    changes"""
    minutes_ago: Annotated[int, Field(ge=0, le=20_000_000)] | None = None
    """when it was issued; if it is not said: now, each token of a meter at least a minute after the one before"""
    key: KeyTable | None = None
    """what is other in the key under which it is made; the key that the meter began with if it is not said"""
    key_of: Name | None = None
    """or: the key that this key-change set brings"""


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
    token: Name | None = None
    digits: Annotated[str, StringConstraints(pattern=r"^[0-9]{1,100}$")] | None = None
    """instead of a token: digits that are none"""
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


class TamperStep(MeterStep):
    """Open the meter's cover. Simulated meters only."""

    do: Literal["tamper"]


class EmergencyStep(MeterStep):
    """The customer takes the meter's emergency credit. Simulated meters only."""

    do: Literal["emergency"]


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
    display_has: Annotated[tuple[Text, ...], Field(max_length=100)] = ()
    """texts that the token's description must hold: attribute 4 of the Token gateway, which has what a class 1 token
    makes the meter show"""
    power_limit: Annotated[int, Field(ge=0)] | None = None
    """in watts, as the Limiter shows it"""
    sts: StsExpectation | None = None
    sections: tuple[Section, ...] | None = None
    """of a key-change set, those that the meter holds while it waits for the others; simulated meters only"""
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
    | TamperStep
    | EmergencyStep
    | AdvanceStep
    | MarkStep
    | ExpectStep,
    Field(discriminator="do"),
]
