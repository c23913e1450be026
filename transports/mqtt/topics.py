"""Topics of DLMS over MQTT: where requests, answers, pushes and presence go. Pure.

There is no standard; this is the layout that docs/mqtt.md describes:

    {root}/{site}/{meter}/rq                                to the meter        MQTT 5.0
    {root}/{site}/{meter}/rs/{worker}                       its answer
    {root}/{site}/{meter}/rq/{worker}/{id}/{deadline}       to the meter        MQTT 3.1.1, which has no properties
    {root}/{site}/{meter}/rs/{worker}/{id}                  its answer
    {root}/{site}/{meter}/push, .../state                   unasked messages, presence (retained)

``id`` is the correlation data in hexadecimal, ``deadline`` are Unix seconds after which a request is dead.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from transports.endpoint import EndpointError
from transports.wrapper import HEADER, VERSION

CONTENT_TYPE = "application/vnd.dlms.wpdu"
CONTENT_TYPE_HDLC = "application/vnd.dlms.hdlc"
DEADLINE = "deadline"
"""The user property of a request in 5.0 that says the same as the deadline in a topic of 3.1.1: the message expiry
only counts from when the broker has read the message, and a broker may stand still before that."""

CORRELATION_SIZE = 16
TOPIC_SIZE_MAX = 0xFFFF

_ID = re.compile(r"(?:[0-9A-Fa-f]{2}){1,64}")
_DEADLINE = re.compile(r"[0-9]{1,12}")


@dataclass(frozen=True, slots=True)
class MeterTopics:
    """The topics of one meter."""

    root: str
    site: str
    meter: str

    @classmethod
    def of(cls, root: str, path: str) -> MeterTopics:
        """From the ``site/meter`` of an endpoint. Raises ``EndpointError``."""
        site, _, meter = path.partition("/")
        topics = cls(root, site, meter)
        if not _is_levels(root) or not _is_level(site) or not _is_level(meter):
            raise EndpointError("a meter on a broker is named root/site/meter, without + # or NUL in it")
        if len(topics.base.encode()) > TOPIC_SIZE_MAX // 2:
            raise EndpointError("the topics of this meter would be too long for MQTT")
        return topics

    @property
    def name(self) -> str:
        return f"{self.site}/{self.meter}"

    @property
    def base(self) -> str:
        return f"{self.root}/{self.site}/{self.meter}"

    @property
    def request(self) -> str:
        return f"{self.base}/rq"

    @property
    def push(self) -> str:
        return f"{self.base}/push"

    @property
    def state(self) -> str:
        return f"{self.base}/state"

    def response(self, worker: str) -> str:
        return f"{self.base}/rs/{worker}"

    def request_3(self, worker: str, correlation: bytes, deadline: int) -> str:
        return f"{self.base}/rq/{worker}/{correlation.hex()}/{deadline}"

    def response_3(self, worker: str, hex_id: str) -> str:
        return f"{self.base}/rs/{worker}/{hex_id}"


@dataclass(frozen=True, slots=True)
class Request3:
    """What the topic of a request says in 3.1.1."""

    worker: str
    hex_id: str = field(repr=False)
    """In the letters in which it was written: whoever asked may look for the same ones in the answer's topic."""
    deadline: int

    @property
    def correlation(self) -> bytes:
        return bytes.fromhex(self.hex_id)


def parse_request_3(topics: MeterTopics, topic: str) -> Request3 | None:
    """``None`` for topics that are no request of 3.1.1 to this meter."""
    rest = topic.removeprefix(f"{topics.request}/")
    parts = rest.split("/")
    if rest == topic or len(parts) != 3:
        return None
    worker, hex_id, deadline = parts
    if not worker or not _ID.fullmatch(hex_id) or not _DEADLINE.fullmatch(deadline):
        return None
    return Request3(worker, hex_id, int(deadline))


def parse_response_3(topic: str) -> tuple[str, bytes]:
    """The part of an answer's topic that names meter and worker, and the correlation data; empty if it has none."""
    head, _, last = topic.rpartition("/")
    return head, bytes.fromhex(last) if _ID.fullmatch(last) else b""


def parse_deadline(text: str) -> int | None:
    """Unix seconds; ``None`` for what is no deadline."""
    return int(text) if _DEADLINE.fullmatch(text) else None


def is_wpdu(payload: bytes) -> bool:
    """Whether this is one whole wrapper message, neither more nor less."""
    if len(payload) <= HEADER.size:
        return False
    version, _, _, size = HEADER.unpack_from(payload)
    return bool(version == VERSION and size == len(payload) - HEADER.size)


def is_response_topic(topics: MeterTopics, topic: str) -> bool:
    """Whether a meter may answer there: only below its own ``rs``."""
    worker = topic.removeprefix(f"{topics.base}/rs/")
    return worker != topic and _is_level(worker)


def parse_unasked(root: str, topic: str) -> tuple[str, str, str] | None:
    """Site, meter and ``push`` or ``state``; ``None`` for other topics."""
    rest = topic.removeprefix(f"{root}/")
    parts = rest.split("/")
    if rest == topic or len(parts) != 3 or not parts[0] or not parts[1] or parts[2] not in {"push", "state"}:
        return None
    return parts[0], parts[1], parts[2]


def responses_filter(root: str, worker: str, *, is_5: bool) -> str:
    """Answers of all meters to one worker."""
    return f"{root}/+/+/rs/{worker}" if is_5 else f"{root}/+/+/rs/{worker}/+"


def unasked_filter(root: str, kind: str, shared_group: str = "") -> str:
    """``push`` or ``state`` of all meters; with a group each message goes to one of its members."""
    every = f"{root}/+/+/{kind}"
    return f"$share/{shared_group}/{every}" if shared_group else every


def _is_level(text: str) -> bool:
    return bool(text) and not set(text) & set("+#/\0")


def _is_levels(text: str) -> bool:
    return all(_is_level(level) for level in text.split("/"))
