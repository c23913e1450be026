"""A meter as a person or a program describes it: the body of ``PUT /v1/meters/{id}``, a line of a CSV, a stored row.

One description, read in one place, whichever way it comes in; what is wrong is named by its field. No message repeats
what was given: in the wrong field it may be a key.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from typing import Annotated, Any, Self
from zoneinfo import ZoneInfo

from pydantic import BaseModel, ConfigDict, Field, SecretStr

from cosem_objects.dlms.apdu import NetworkAddress
from cosem_objects.dlms.security import COUNTER_MAX
from cosem_objects.dlms.settings import SecuritySettings
from cosem_objects.errors import SettingError
from cosem_objects.obis import ObisCode
from cosem_objects.token_gateway import TokenEncoding
from gateway.meter_fields import MeterFieldError, field_of_message, without_quotations
from gateway.meters import DEFAULT_CLIENT_SYSTEM_TITLE, Meter
from gateway.profiles import load_named_profile
from gateway.schedule import Window
from gateway.store.records import MeterRecord
from transports.endpoint import FORMS, Endpoint, EndpointError
from transports.hdlc.connection import ADDRESS_BYTES, HdlcSettings
from transports.registry import check_callable, shared_name

METER_ID = r"^[A-Za-z0-9][A-Za-z0-9._:-]{0,63}$"
LINK_ID = r"^[A-Za-z0-9][!-~]{0,199}$"
"""Also ``scheme://host:port``, as links without a name are called."""
PROFILE_NAME = r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$"
METER_PAN = r"^[0-9]{18}$"
SUPPLY_GROUP = r"^[0-9]{6}$"
TWO_DIGITS = r"^[0-9]{2}$"
ADDRESS_LENGTH = r"^(auto|1|2|4)$"
ON_ONE_LINE = r"^[^\x00-\x1f\x7f]*$"
SECRETS = ("password", "ek", "ak")

Text = Annotated[str, Field(max_length=200, pattern=ON_ONE_LINE)]
"""No control characters: it is shown on screens."""


class _Body(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)


class OpenSecurity(_Body):
    """How the meter's association is secured, as far as it may be shown."""

    mechanism: Text = Field(default="none", description="none, lls, hls-gmac or hls-sha256")
    suite: int = Field(default=0, description="security suite; only 0 so far")
    ciphering: Text | None = Field(
        default=None,
        description="service-glo, general-glo, service-ded, general-ded or none; default service-glo with keys",
    )
    protection: Text = Field(default="both", description="auth, enc or both")
    client_system_title: Text | None = Field(default=None, description="ours, 16 hex digits")
    meter_system_title: Text | None = Field(default=None, description="the meter's, 16 hex digits; checked when given")
    invocation_counter: int | None = Field(
        default=None, ge=0, le=COUNTER_MAX, description="the first counter that we use; null asks the meter"
    )


class SecurityBody(OpenSecurity):
    """How the meter's association is secured. Secrets can be written, and are never shown; one that is not given stays
    as it was, an empty one is removed."""

    password: SecretStr | None = Field(
        default=None, description="LLS password, or the secret of hls-sha256", max_length=200
    )
    ek: SecretStr | None = Field(
        default=None, description="global unicast encryption key, 32 hex digits", max_length=64
    )
    ak: SecretStr | None = Field(default=None, description="authentication key, 32 hex digits", max_length=64)

    def given_secrets(self) -> dict[str, str]:
        """Those that were given, and be it as empty."""
        values: dict[str, SecretStr | None] = {name: getattr(self, name) for name in SECRETS}
        return {name: value.get_secret_value() for name, value in values.items() if value is not None}

    def settings(self) -> SecuritySettings:
        """Raises ``SettingError``."""
        body: dict[str, Any] = self.model_dump(exclude={"invocation_counter", *SECRETS})
        body |= self.given_secrets()
        body["client_system_title"] = body["client_system_title"] or DEFAULT_CLIENT_SYSTEM_TITLE
        return SecuritySettings.parse(body)


class StsBody(_Body):
    """What is known of the meter's STS identity. The head-end checks ``pan``; the rest is for people."""

    pan: str | None = Field(default=None, pattern=METER_PAN, description="MeterPAN, 18 digits; checked when given")
    sgc: str | None = Field(default=None, pattern=SUPPLY_GROUP, description="supply group code, 6 digits")
    krn: int | None = Field(default=None, ge=1, le=9, description="key revision number")
    ti: str | None = Field(default=None, pattern=TWO_DIGITS, description="tariff index, 2 digits")
    ea: str | None = Field(default=None, pattern=TWO_DIGITS, description="encryption algorithm, 07 or 11")
    base_date: int | None = Field(default=None, ge=1993, le=2035, description="1993, 2014 or 2035")


class OpenMeter(_Body):
    """One meter, as far as it may be shown: where it is, who it must be, how it wants to be spoken to."""

    endpoint: Text = Field(description=f"one of {FORMS}")
    profile: str = Field(default="default", pattern=PROFILE_NAME, description="a name among the meter profiles")
    link: str | None = Field(
        default=None, pattern=LINK_ID, description="what it shares with other meters; default scheme://host:port"
    )
    client_sap: int = Field(default=1, ge=1, le=0xFFFF, description="our SAP")
    server_sap: int = Field(default=1, ge=0, le=0xFFFF, description="the meter's logical device")
    physical: int | None = Field(default=None, ge=0, le=0x3FFF, description="HDLC physical address")
    address_bytes: str = Field(default="auto", pattern=ADDRESS_LENGTH, description="length of the HDLC server address")
    hdlc_window: int | None = Field(
        default=None, ge=1, le=7, description="HDLC frames in a row before an acknowledgement"
    )
    behind: Text | None = Field(default=None, description="NETWORK:HEX, if it is behind a concentrator at the endpoint")
    gateway_obis: Text | None = Field(default=None, description="its Token gateway, if not the profile's")
    token_encoding: Text | None = Field(
        default=None, description="ascii20, bcd10, digits20 or binary9, if not the profile's"
    )
    serial: Text = Field(default="", description="its device name, 0-0:42.0.0.255; checked when given")
    windows: tuple[Text, ...] = Field(
        default=(), max_length=10, description="hours for retries and campaigns, such as 22:00-06:00; empty = always"
    )
    time_zone: Text = Field(default="UTC", description="of the windows, such as Africa/Johannesburg")
    description: Text = ""
    security: OpenSecurity = OpenSecurity()
    sts: StsBody = StsBody()


class MeterBody(OpenMeter):
    """One meter: where it is, who it must be, how it wants to be spoken to."""

    security: SecurityBody = SecurityBody()

    @classmethod
    def of_record(cls, record: MeterRecord) -> Self:
        """What was stored, with its secrets as far as the record has them."""
        return cls.model_validate(record.settings).with_secrets(record.secrets)

    def with_secrets(self, secrets: Mapping[str, str]) -> Self:
        """With these secrets wherever the body itself gives none."""
        merged = {name: SecretStr(value) for name, value in {**secrets, **self.security.given_secrets()}.items()}
        return self.model_copy(update={"security": self.security.model_copy(update=merged)})

    @property
    def link_name(self) -> str:
        """What it shares with other meters. Raises ``EndpointError``."""
        if self.link is not None:
            return self.link
        return shared_name(Endpoint.parse(self.endpoint))

    def record(self, meter_id: str) -> MeterRecord:
        """For the store: settings that may be shown, and the given secrets apart; the endpoint as all write it, so that
        it can be found by it. Raises ``EndpointError``."""
        settings = self.model_dump(mode="json", exclude={"security": set(SECRETS)}, exclude_defaults=True)
        settings["endpoint"] = str(Endpoint.parse(self.endpoint))
        return MeterRecord(id=meter_id, link=self.link_name, settings=settings, secrets=self.security.given_secrets())

    def meter(self) -> Meter:
        """For a delivery. Raises ``MeterFieldError``, which is a ``SettingError``."""
        with _named("profile"):
            profile = load_named_profile(self.profile)
        if self.gateway_obis is not None:
            with _named("gateway_obis"):
                profile = replace(profile, gateway_obis=ObisCode.parse(self.gateway_obis))
        if self.token_encoding is not None:
            with _named("token_encoding"):
                profile = replace(profile, token_encoding=_token_encoding(self.token_encoding))
        self.retry_windows()
        with _named("endpoint"):
            endpoint = Endpoint.parse(self.endpoint)
            check_callable(endpoint)
        with _named("behind"):
            behind = None if self.behind is None else NetworkAddress.parse(self.behind)
        with _named("security"):
            security = self.security.settings()
        meter = Meter(
            endpoint=endpoint,
            profile=profile,
            security=security,
            client_sap=self.client_sap,
            server_sap=self.server_sap,
            physical=self.physical,
            behind=behind,
            hdlc=HdlcSettings(
                address_bytes=ADDRESS_BYTES[self.address_bytes],
                info_max=profile.hdlc_info_max,
                window_max=self.hdlc_window or profile.hdlc_window_max,
                response_timeout_seconds=profile.response_timeout_seconds,
            ),
            invocation_counter=self.security.invocation_counter,
            serial=self.serial,
            pan=self.sts.pan or "",
        )
        with _named(""):
            meter.check()
        return meter

    def retry_windows(self) -> tuple[tuple[Window, ...], ZoneInfo]:
        """When it may be called again, and for campaigns. Raises ``MeterFieldError``."""
        with _named("time_zone"):
            zone = _time_zone(self.time_zone)
        with _named("windows"):
            windows = tuple(map(Window.parse, self.windows))
        return windows, zone


@contextmanager
def _named(field: str) -> Iterator[None]:
    """Errors in here are about this field, unless their words name another one."""
    try:
        yield
    except (SettingError, EndpointError) as error:
        message = without_quotations(str(error))
        raise MeterFieldError(field_of_message(message) or field, message) from None


def _token_encoding(name: str) -> TokenEncoding:
    try:
        return TokenEncoding(name)
    except ValueError:
        raise SettingError(f"expected one of {', '.join(TokenEncoding)}") from None


def _time_zone(name: str) -> ZoneInfo:
    try:
        return ZoneInfo(name)
    except (KeyError, OSError, ValueError):  # unknown, a directory, a path
        raise SettingError("there is no such time zone") from None
