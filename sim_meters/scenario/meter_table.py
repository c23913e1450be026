"""A meter in a scenario file, in the words of a group of a fleet file."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, StringConstraints

from sim_meters.scenario.values import HEX_OF_KEYS, Decimals, Digits, Key, Moment, Seconds, Table, Text, Title
from sim_meters.sts.machine.machine_settings import SETTING_HELP

SettingName = Annotated[str, StringConstraints(pattern=f"^({'|'.join(SETTING_HELP)})$")]


class SecurityTable(Table):
    """How the management client is secured, in the words of the options of both commands."""

    mechanism: Literal["none", "lls", "hls-gmac", "hls-sha256"] | None = None
    suite: Literal[0] | None = None
    ciphering: Literal["none", "service-glo", "general-glo", "service-ded", "general-ded"] | None = None
    protection: Literal["auth", "enc", "both"] | None = None
    password: Annotated[str, StringConstraints(min_length=1, max_length=64)] | None = Field(default=None, repr=False)
    ek: Key | None = Field(default=None, repr=False)
    ak: Key | None = Field(default=None, repr=False)
    master_key: Key | None = Field(default=None, repr=False)


class StsTable(Table):
    """Who the meter is for STS, and its key. What is not said is the published lab meter's, each meter with a PAN of
    its own."""

    pan: Digits | None = None
    sgc: Digits | None = None
    ti: Digits | None = None
    krn: Digits | None = None
    kt: Digits | None = None
    base_date: Digits | None = None
    ea: Digits | None = None
    dkga: Digits | None = None
    vending_key: Annotated[str, HEX_OF_KEYS] | None = Field(default=None, repr=False)
    decoder_key: Annotated[str, HEX_OF_KEYS] | None = Field(default=None, repr=False)
    manufactured: Moment | None = None
    """tokens from before are too old"""
    ken: Annotated[int, Field(ge=0, le=255)] | None = None
    """key expiry number of the meter's first key"""
    settings: dict[SettingName, Text | bool | int | tuple[int, ...]] = Field(default_factory=dict)
    """of the token machine: what the standard leaves open; simulated meters only"""


class MqttTable(Table):
    """How a meter speaks MQTT."""

    payload: Literal["wrapper", "hdlc"] | None = None
    protocol: Literal["5", "3.1.1"] | None = None
    topic_root: Title | None = None


class LineTable(Table):
    """What is wrong with a simulated serial line."""

    echo: bool | None = None
    noise: Annotated[float, Field(ge=0, le=1)] | None = None
    noise_octets_max: Annotated[int, Field(ge=1, le=255)] | None = None
    gap_seconds: Annotated[float, Field(ge=0, le=10)] | None = None


class MeterTable(Table):
    """One meter: a simulated one, described as a group of a fleet file is; or, with an endpoint, one that is there
    already."""

    name: Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,39}$")]
    endpoint: Title | None = None
    """where a real meter is, such as serial:///dev/ttyUSB0?baud=9600"""
    response_timeout_seconds: Annotated[float, Field(ge=0.01, le=600)] | None = None
    """how long our client waits for an answer; the profile's if it is not said"""
    profile: Title | None = None
    """the meter's model: a name of config/meter_profiles, or a file; sim if it is not said"""
    token_encoding: Literal["ascii20", "bcd10", "digits20", "binary9"] | None = None
    currency: Annotated[str, StringConstraints(pattern=r"^[A-Z]{3}(:-?[0-9])?$")] | None = None
    """account in money, such as ZAR or ZAR:-2, instead of the commodity's own unit"""
    commodity: Literal["electricity", "water", "gas", "time"] | None = None
    """what the meter sells; electricity if it is not said"""
    system_title: Digits | Annotated[str, StringConstraints(pattern=r"^[0-9A-Fa-f]{16}$")] | None = None
    """the meter's own"""
    client_sap: Annotated[int, Field(ge=1, le=127)] | None = None
    server_sap: Annotated[int, Field(ge=1, le=65_535)] | None = None
    physical: Annotated[int, Field(ge=1, le=16_383)] | None = None
    address_bytes: Literal["auto", "1", "2", "4", 1, 2, 4] | None = None
    hdlc_info_max: Annotated[int, Field(ge=8, le=2030)] | None = None
    hdlc_window: Annotated[int, Field(ge=1, le=7)] | None = None
    security: SecurityTable = SecurityTable()
    sts: StsTable = StsTable()
    mqtt: MqttTable = MqttTable()

    listen: Title | None = None
    """where a simulated meter listens; TCP on a free port if it is not said. In it {directory} is one of the run's own,
    for pseudo-terminals: pty://{directory}/line"""
    debt: Annotated[str, StringConstraints(pattern=r"^[0-9.]{1,40}:[0-9.]{1,40}$")] | None = None
    """AMOUNT:PERCENT: what the customer owes, and how much of each token pays it back; simulated meters only"""
    emergency_credit: Decimals | int | None = None
    """an advance that the customer may take; simulated meters only"""
    pdu_max: Annotated[int, Field(ge=64, le=65_535)] | None = None
    """longest APDU; simulated meters only"""
    status_delay_seconds: Seconds | None = None
    """how long a token shows as received (8); simulated meters only"""
    control_mode: Annotated[int, Field(ge=0, le=6)] | None = None
    """of the load switch; simulated meters only"""
    associations_max: Annotated[int, Field(ge=1, le=1000)] | None = None
    """at a time; simulated meters only"""
    hdlc_push: bool | None = None
    """send HDLC notifications at once; simulated meters only"""
    line: LineTable = LineTable()
    """simulated meters only"""
