"""Reading one meter: what it says about itself, its objects, any attribute, its token log."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime

from cosem_objects import axdr
from cosem_objects.axdr import Data
from cosem_objects.dlms.apdu import AttributeDescriptor, DataAccessResult
from cosem_objects.dlms.describe import Context, Place, Source, describe_data
from cosem_objects.dlms.describe.node import Json, Node
from cosem_objects.errors import LocalProtocolError, RemoteProtocolError
from cosem_objects.interface_classes import describe_attribute
from cosem_objects.names import spell
from cosem_objects.obis import ObisCode
from gateway.contact import AskedCounters, CounterKeeper
from gateway.meters import Meter
from gateway.obstacles import obstacle_of
from gateway.reading.meter_log import Log, LogUnreadable, Wanted, read_log
from gateway.reading.meter_report import MeterReport, skipped_to_json
from gateway.reading.object_list import ListedObject, ListUnreadable, read_object_list
from gateway.reading.report_reader import ReportReader
from gateway.session import Connect, Session, connect, open_session
from gateway.shown import printable
from gateway.verdict import Obstacle
from transports.channel import ChannelError
from transports.endpoint import EndpointError


@dataclass(frozen=True, slots=True)
class Choice:
    """What is to be read; nothing of this: the report."""

    objects: bool
    attributes: tuple[AttributeDescriptor, ...]
    log: ObisCode | None
    wanted: Wanted

    @property
    def is_report(self) -> bool:
        return not (self.objects or self.attributes or self.log)


@dataclass(frozen=True, slots=True)
class ReadAttribute:
    """An attribute, and its value or why there is none."""

    place: AttributeDescriptor
    result: Data | int

    @property
    def node(self) -> Node | None:
        if not isinstance(self.result, Data):
            return None
        place = Place(self.place.class_id, self.place.attribute, obis=self.place.obis)
        return describe_data(Source(axdr.encode(self.result)), Context(), place)[0]

    @property
    def refusal(self) -> str:
        return "" if isinstance(self.result, Data) else spell(DataAccessResult, self.result)


@dataclass(slots=True)
class Findings:
    """All that was read, and how it ended."""

    system_title: str = ""
    report: MeterReport = field(default_factory=MeterReport)
    objects: list[ListedObject] | None = None
    attributes: list[ReadAttribute] = field(default_factory=list)
    log: Log | None = None
    obstacle: Obstacle | None = None


REPORT = Choice(objects=False, attributes=(), log=None, wanted=None)
"""All that has words."""


async def read_meter(
    meter: Meter, choice: Choice = REPORT, links: Connect = connect, keeper: CounterKeeper | None = None
) -> Findings:
    """Read it in an association of its own. Trouble on the way is a finding: ``obstacle``."""
    findings = Findings()
    try:
        await _read_into(findings, meter, choice, links, keeper or AskedCounters(meter, links))
    except (LogUnreadable, ListUnreadable) as refusal:
        findings.obstacle = Obstacle("refused", str(refusal))
    except (ChannelError, RemoteProtocolError, LocalProtocolError, EndpointError) as error:
        findings.obstacle = obstacle_of(error, meter.endpoint)
    return findings


async def _read_into(findings: Findings, meter: Meter, choice: Choice, links: Connect, keeper: CounterKeeper) -> None:
    counters = await keeper.open()

    async def reopen() -> Session:
        await asyncio.sleep(meter.profile.wait_between_associations_seconds)
        return await open_session(meter, counters, links, keeper.ensure)

    session = await open_session(meter, counters, links, keeper.ensure)
    findings.system_title = session.meter_system_title.hex().upper()
    reader = ReportReader(session, meter, lambda: datetime.now(UTC), findings.report)
    try:
        if choice.is_report:
            broken = await reader.read(reopen)
            findings.obstacle = None if broken is None else obstacle_of(broken, meter.endpoint)
        else:
            await _read_chosen(findings, meter, choice, reader)
        await reader.session.release()
    finally:
        await reader.session.close()


async def _read_chosen(findings: Findings, meter: Meter, choice: Choice, reader: ReportReader) -> None:
    session = reader.session
    if meter.serial or meter.pan:
        await reader.read_identity()
    if choice.objects:
        findings.objects = await read_object_list(session)
    if choice.attributes:
        results = await session.get_many(choice.attributes)
        findings.attributes = list(map(ReadAttribute, choice.attributes, results))
    if choice.log is not None:
        findings.log = await read_log(session, meter.profile, choice.log, choice.wanted)


def to_json(meter: Meter, choice: Choice, findings: Findings) -> dict[str, Json]:
    """One object for programs (``docs/readback.md``)."""
    shown: dict[str, Json] = {
        "endpoint": str(meter.endpoint),
        "meter_system_title": findings.system_title or None,
    }
    if choice.is_report:
        shown |= findings.report.to_json()
    if choice.objects:
        objects = findings.objects
        shown["objects"] = None if objects is None else [one.to_json() for one in objects]
    if choice.attributes:
        shown["attributes"] = [_attribute_json(one) for one in findings.attributes]
    if choice.log is not None:
        shown["log"] = None if findings.log is None else findings.log.to_json()
    shown["skipped"] = skipped_to_json(findings.report.skipped)
    obstacle = findings.obstacle
    shown["error"] = None if obstacle is None else {"reason": obstacle.reason, "detail": obstacle.detail}
    return {name: _without_tokens(value, name) for name, value in shown.items()}


def _attribute_json(one: ReadAttribute) -> dict[str, Json]:
    node = one.node
    return {
        "class_id": one.place.class_id,
        "obis": str(one.place.obis),
        "attribute": one.place.attribute,
        "name": describe_attribute(one.place.class_id, one.place.attribute),
        "value": None if node is None else node.to_json(),
        "refused": one.refusal or None,
    }


def _without_tokens(shown: Json, name: str = "") -> Json:
    """Texts of a meter may hold control characters, or a token; its data_value is bits."""
    if isinstance(shown, str):
        return shown if name == "data_value" else printable(shown)
    if isinstance(shown, Mapping):
        return {key: _without_tokens(value, key) for key, value in shown.items()}
    if isinstance(shown, Sequence):
        return [_without_tokens(value, name) for value in shown]
    return shown
