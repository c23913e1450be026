"""Reads a report, section by section, each skipped with its reason where the meter lacks it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from datetime import datetime
from functools import partial

from cosem_objects import association_ln, charge, payment, push_setup, security_setup
from cosem_objects.axdr import Data
from cosem_objects.clock import CosemDateTime
from cosem_objects.dlms.apdu import AttributeDescriptor, DataAccessResult
from cosem_objects.errors import RemoteProtocolError
from cosem_objects.names import spell
from cosem_objects.obis import ObisCode
from cosem_objects.payment import AccountAttribute, Currency, StsAttribute
from cosem_objects.profile import MeterProfile
from gateway.meters import Meter
from gateway.obstacles import WrongMeter
from gateway.reading import report_sections as kinds
from gateway.reading.last_token import ATTRIBUTES as TOKEN_ATTRIBUTES
from gateway.reading.last_token import last_token
from gateway.reading.meter_report import Fact, MeterReport, Section, Skipped
from gateway.reading.report_sections import SectionKind
from gateway.reading.report_values import Said, Surroundings
from gateway.session import DATA_CLASS_ID, Session
from transports.channel import ChannelError

CLOCK_OBIS = ObisCode.parse("0-0:1.0.0.255")
_REOPENINGS_MAX = 2
_REFERENCES_MAX = 32
"""Credits and charges of one account that are read; the standard has room for more, no meter seen has."""

_Results = Mapping[int, Data | int]
"""By the number of the attribute: its value, or why there is none."""


class ReportReader:
    """Reads a report, section by section. A refused attribute is no error: it is skipped.

    All its readers raise ``ChannelError`` and ``RemoteProtocolError``. ``session`` is replaced when it breaks; its
    last one is the caller's to close.
    """

    def __init__(self, session: Session, meter: Meter, now: Callable[[], datetime], report: MeterReport) -> None:
        self.session = session
        self._meter = meter
        self._profile = meter.profile
        self._now = now
        self._report = report
        self._account: _Results = {}

    async def read(self, reopen: Callable[[], Awaitable[Session]]) -> Exception | None:
        """All sections. A meter that breaks off at one of them is asked for the rest in a new association; then the
        last such error is returned. Raises also ``WrongMeter``."""
        await self.read_identity()
        broken: Exception | None = None
        reopenings = 0
        for name, read in self._steps():
            try:
                await read()
            except (ChannelError, RemoteProtocolError) as error:
                await self.session.close()
                if reopenings == _REOPENINGS_MAX:
                    raise
                broken, reopenings = error, reopenings + 1
                self._report.skipped.append(Skipped(name, "the meter broke off", str(error)))
                self.session = await reopen()
        return broken

    def _steps(self) -> Iterator[tuple[str, Callable[[], Awaitable[object]]]]:
        profile, read = self._profile, self._read
        yield kinds.CLOCK.name, self._read_clock
        yield kinds.TOKEN_GATEWAY.name, self._read_token_gateway
        yield kinds.STS.name, partial(read, kinds.STS, profile.sts_obis)
        yield kinds.ACCOUNT.name, self._read_account
        yield (
            kinds.CREDIT.name,
            partial(
                self._read_referenced, kinds.CREDIT, AccountAttribute.CREDIT_REFERENCE_LIST, payment.DEFAULT_CREDIT_OBIS
            ),
        )
        yield (
            kinds.CHARGE.name,
            partial(self._read_referenced, kinds.CHARGE, AccountAttribute.CHARGE_REFERENCE_LIST, charge.DEFAULT_OBIS),
        )
        yield kinds.DISCONNECT_CONTROL.name, partial(read, kinds.DISCONNECT_CONTROL, profile.disconnect_control_obis)
        yield kinds.ASSOCIATION.name, partial(read, kinds.ASSOCIATION, association_ln.CURRENT_OBIS)
        yield kinds.SECURITY_SETUP.name, self._read_security_setup
        yield kinds.PUSH_SETUP.name, partial(read, kinds.PUSH_SETUP, push_setup.DEFAULT_OBIS)

    async def read_identity(self) -> None:
        """Who the meter says it is. Raises ``WrongMeter`` when that is not who it must be."""
        profile, meter = self._profile, self._meter
        title = self.session.meter_system_title.hex().upper()
        name = await self._identity("device_name", DATA_CLASS_ID, profile.device_name_obis, 2, lambda data: data.text)
        pan = await self._identity(
            "meter_pan", payment.STS_CLASS_ID, profile.sts_obis, StsAttribute.METER_PAN, payment.meter_pan_from_data
        )
        facts = (
            Fact("device_name", "device name", Said(name or "", name)),
            Fact("system_title", "system title", Said(title, title or None)),
            Fact("meter_pan", "MeterPAN", Said(pan or "", pan)),
        )
        self._report.sections.append(Section("identity", "Identity", "", facts))
        for what, expected, found in (("device name", meter.serial, name), ("MeterPAN", meter.pan, pan)):
            if expected and found is not None and found != expected:
                raise WrongMeter(f"the meter's {what} is {found}, {expected} was expected")

    async def _identity(
        self, name: str, class_id: int, obis: ObisCode | None, attribute: int, meaning: Callable[[Data], str]
    ) -> str | None:
        what = f"identity.{name}"
        if obis is None:
            self._skip(what, class_id, None, _NOT_IN_PROFILE)
            return None
        result = await self.session.get(class_id, obis, attribute)
        try:
            if isinstance(result, Data):
                return meaning(result)
            self._skip(what, class_id, obis, _refusal(result))
        except RemoteProtocolError as error:
            self._skip(what, class_id, obis, _misunderstood(error))
        return None

    async def _read_clock(self) -> None:
        results = await self._read(kinds.CLOCK, CLOCK_OBIS)
        now = self._now()
        ahead = _seconds_ahead(results.get(2), now, self._profile.deviation_sign)
        if ahead is not None:
            words = (
                f"{abs(ahead)} s {'behind' if ahead < 0 else 'ahead of'} this computer"
                if ahead
                else "none from this computer"
            )
            section = self._report.sections.pop()
            facts = (*section.facts, Fact("seconds_ahead", "difference", Said(words, ahead)))
            self._report.sections.append(Section(section.name, section.heading, section.obis, facts))

    async def _read_token_gateway(self) -> None:
        kind, obis = kinds.TOKEN_GATEWAY, self._profile.gateway_obis
        results = await self._get(kind.class_id, obis, TOKEN_ATTRIBUTES)
        if self._is_absent(kind, obis, results):
            return
        facts = []
        for name, label, said in last_token(results, self._profile):
            if isinstance(said, str):
                self._skip(f"{kind.name}.{name}", kind.class_id, obis, said)
            else:
                facts.append(Fact(name, label, said))
        self._report.sections.append(Section(kind.name, kind.heading, str(obis), tuple(facts)))

    async def _read_account(self) -> None:
        kind, obis = kinds.ACCOUNT, self._profile.account_obis
        if obis is None:
            self._skip(kind.name, kind.class_id, None, _NOT_IN_PROFILE)
            return
        self._account = await self._get(kind.class_id, obis, [row.attribute for row in kind.rows])
        self._tell(kind, obis, self._account)

    async def _read_referenced(self, kind: SectionKind, attribute: int, default: ObisCode) -> None:
        """The objects that the account names; perhaps none; where it does not say, the usual one."""
        names = _references(self._account.get(attribute))
        if names is None:
            names = [default]
        for name in names[:_REFERENCES_MAX]:
            await self._read(kind, name)

    async def _read_security_setup(self) -> None:
        """The one that the association names; where it does not say, the usual one."""
        obis, attribute = association_ln.CURRENT_OBIS, association_ln.Attribute.SECURITY_SETUP_REFERENCE
        reference = _reference(await self.session.get(association_ln.CLASS_ID, obis, attribute))
        await self._read(kinds.SECURITY_SETUP, reference or security_setup.DEFAULT_OBIS)

    async def _read(self, kind: SectionKind, obis: ObisCode | None) -> _Results:
        """One object, told. Nothing of one that the profile does not name."""
        if obis is None:
            self._skip(kind.name, kind.class_id, None, _NOT_IN_PROFILE)
            return {}
        results = await self._get(kind.class_id, obis, [row.attribute for row in kind.rows])
        self._tell(kind, obis, results)
        return results

    async def _get(self, class_id: int, obis: ObisCode, attributes: Sequence[int]) -> _Results:
        wanted = [AttributeDescriptor(class_id, obis, attribute) for attribute in attributes]
        return dict(zip(attributes, await self.session.get_many(wanted), strict=True))

    def _tell(self, kind: SectionKind, obis: ObisCode, results: _Results) -> None:
        if self._is_absent(kind, obis, results):
            return
        around = Surroundings(self._profile, _currency(self._profile, self._account.get(AccountAttribute.CURRENCY)))
        facts = []
        for row in kind.rows:
            result, said = results[row.attribute], Said("", None)
            try:
                if isinstance(result, Data):
                    said = row.meaning(result, around)
                else:
                    self._skip(f"{kind.name}.{row.name}", kind.class_id, obis, _refusal(result))
            except RemoteProtocolError as error:
                self._skip(f"{kind.name}.{row.name}", kind.class_id, obis, _misunderstood(error))
            facts.append(Fact(row.name, row.label, said))
        self._report.sections.append(Section(kind.name, kind.heading, str(obis), tuple(facts)))

    def _is_absent(self, kind: SectionKind, obis: ObisCode, results: _Results) -> bool:
        """Whether nothing of an object can be read: then it is skipped as a whole."""
        refusals = [result for result in results.values() if isinstance(result, int)]
        if len(refusals) < len(results):
            return False
        self._skip(kind.name, kind.class_id, obis, _refusal(refusals[0]))
        return True

    def _skip(self, what: str, class_id: int, obis: ObisCode | None, reason: str) -> None:
        place = f"class {class_id}" if obis is None else f"class {class_id} {obis}"
        self._report.skipped.append(Skipped(what, place, reason))


_NOT_IN_PROFILE = "the profile names no such object"


def _refusal(result: int) -> str:
    return spell(DataAccessResult, result)


def _misunderstood(error: RemoteProtocolError) -> str:
    return f"not understood: {error}"


def _currency(profile: MeterProfile, result: Data | int | None) -> Currency | None:
    """The account's, by the name that the profile gives it where it has none."""
    if not isinstance(result, Data):
        return None
    try:
        found = Currency.from_data(result)
    except RemoteProtocolError:
        return None
    return Currency(found.name or profile.currency_name, found.scale, found.unit)


def _references(result: Data | int | None) -> list[ObisCode] | None:
    if not isinstance(result, Data):
        return None
    try:
        return [ObisCode.from_octets(element.octets) for element in result.elements]
    except RemoteProtocolError:
        return None


def _reference(result: Data | int | None) -> ObisCode | None:
    if not isinstance(result, Data) or not isinstance(result.value, bytes) or len(result.value) != 6:
        return None
    return ObisCode(result.value) if any(result.value) else None


def _seconds_ahead(result: Data | int | None, now: datetime, deviation_sign: int) -> int | None:
    """By how much the meter's clock is ahead of ours; None where it does not say its zone."""
    if not isinstance(result, Data) or not isinstance(result.value, bytes):
        return None
    try:
        time = CosemDateTime.from_octets(result.value)
    except RemoteProtocolError:
        return None
    shown = time.to_datetime(deviation_sign)
    if shown is None or shown.tzinfo is None:
        return None
    return round((shown - now).total_seconds() + (time.hundredths or 0) / 100)
