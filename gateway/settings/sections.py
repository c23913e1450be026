"""Every setting of the service: its name, its default, its limits, and what it is for.

``config/gateway.toml`` holds the same, section by section, for people; ``tests/gateway/test_settings.py`` compares the
two in both directions. A text that is empty stands for "not set": TOML has no word for nothing.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from gateway.calling_in.texts import TITLE_LINE, checked_brokers, checked_group, checked_listen, checked_login_pattern
from gateway.http_address import FORM, split_http_address
from gateway.webhooks.message import check_installation
from transports.wire_options import checked_topic_root

_INSTALLATION_FORM = "1 to 64 letters, digits, dots, dashes or underscores"


def _http_address(text: str) -> str:
    split_http_address(text)
    return text


def _installation(text: str) -> str:
    check_installation(text)
    return text


def _ascii(text: str) -> str:
    text.encode("ascii")
    return text


def _not_empty(text: str) -> str:
    if not text.strip():
        raise ValueError("it is empty")
    return text


@dataclass(frozen=True, slots=True)
class Form:
    """What a text must look like, in words."""

    words: str


Path = Annotated[str, Form("a path"), Field(max_length=4096)]
Text = Annotated[str, Form("at most 200 ASCII characters"), Field(max_length=200), AfterValidator(_ascii)]
Seconds = Annotated[float, Field(gt=0, le=30 * 86_400)]


class Section(BaseModel):
    """One table of the file. Values are taken as they are written: ``"5"`` is no number."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, hide_input_in_errors=True, allow_inf_nan=False)


class ServiceSection(Section):
    """The process: where it listens, what it keeps on disk, how it ends."""

    http: Annotated[str, Form(FORM), AfterValidator(_http_address)] = Field(
        default="127.0.0.1:8321",
        description="Where the API listens. Any other than a loopback address needs TLS or insecure.",
    )
    data_dir: Annotated[str, Form("the path of a directory"), AfterValidator(_not_empty)] = Field(
        default="stsgate-data",
        description="What the service keeps; made with mode 0700. One process at a time works in it.",
    )
    key_file: Path = Field(
        default="",
        description="The key-encryption key, mode 0600. Empty: the file key-encryption.key in data_dir, made at the "
        "first start. Keep a copy elsewhere: without it the store cannot be read.",
    )
    tls_certificate: Path = Field(
        default="", description="PEM file with the certificate and its chain. Goes with tls_key."
    )
    tls_key: Path = Field(default="", description="PEM file with the private key, without a password.")
    insecure: bool = Field(
        default=False,
        description="Allow plain HTTP on other than loopback addresses: API keys and tokens can be overheard.",
    )
    drain_seconds: Annotated[float, Field(ge=0, le=3600)] = Field(
        default=45.0,
        description="How long a stop waits for meters that are being spoken to. What is cut off is in doubt.",
    )


class DatabaseSection(Section):
    """Where orders are kept."""

    url: Annotated[str, Form("empty"), Field(max_length=1000)] = Field(
        default="", description="Empty: SQLite in data_dir, the only one that is supported so far."
    )


class DeliverySection(Section):
    """How orders are delivered."""

    in_flight_max: Annotated[int, Field(ge=1, le=20_000)] = Field(
        default=1000, description="Meters spoken to at a time, over all links."
    )
    campaign_share: Annotated[float, Field(gt=0, le=1)] = Field(
        default=0.8, description="Part of in_flight_max, and of each link, that orders of priority campaign may fill."
    )
    first_wait_seconds: Seconds = Field(
        default=60.0, description="Wait after the first try that reached nobody; it doubles from try to try."
    )
    longest_wait_seconds: Seconds = Field(default=6 * 3600.0, description="The longest wait between two tries.")
    doubt_associations: Annotated[int, Field(ge=1, le=100)] = Field(
        default=1, description="Associations anew at once for a token in doubt, before the waits begin."
    )
    doubt_rounds: Annotated[int, Field(ge=1, le=1000)] = Field(
        default=100,
        description="Rounds of reading back after a doubt that settle nothing, before a person has to decide.",
    )
    doubt_first_wait_seconds: Seconds = Field(default=10.0, description="Wait before the second round of reading back.")
    doubt_longest_wait_seconds: Seconds = Field(default=3600.0, description="The longest wait between two rounds.")
    expire_interval_seconds: Seconds = Field(
        default=1.0, description="How often orders are looked for whose time is over."
    )
    repair_interval_seconds: Seconds = Field(
        default=60.0,
        description="How often lanes are looked for that sleep though they have work. There should be none.",
    )
    readback_wait_seconds: Seconds = Field(
        default=30.0, description="How long a readback waits for a meter that is busy with orders."
    )
    counter_block: Annotated[int, Field(ge=400, le=1_000_000)] = Field(
        default=1000, description="Invocation counters reserved on disk at a time, for each meter key."
    )


class LinksSection(Section):
    """Links that nobody gave limits to: how many associations run at a time on one that meters share."""

    tcp_concurrency: Annotated[int, Field(ge=1, le=20_000)] = Field(
        default=8, description="On a host and port that several meters name with tcp://, such as a concentrator."
    )
    hdlc_tcp_concurrency: Annotated[int, Field(ge=1, le=20_000)] = Field(
        default=1, description="The same for hdlc+tcp://: behind it usually is one serial line, for one at a time."
    )
    serial_concurrency: Annotated[int, Field(ge=1, le=250)] = Field(
        default=1, description="On a serial line. It carries one exchange at a time, so more only take turns."
    )
    mqtt_concurrency: Annotated[int, Field(ge=1, le=20_000)] = Field(
        default=200, description="Through one broker: mqtt:// and mqtts://."
    )
    linger_seconds: Annotated[float, Field(ge=0, le=3600)] = Field(
        default=5.0,
        description="How long a line, a device server's socket or a broker's connection stays open that nobody uses.",
    )


class TlsSection(Section):
    """How we speak TLS with meters (tcps://) and brokers (mqtts://); not for the API."""

    ca_file: Path = Field(
        default="", description="PEM file with the certificates that are trusted. Empty: those of the system."
    )
    certificate_file: Path = Field(
        default="", description="PEM file with our own certificate and its chain, where we have to show one."
    )
    key_file: Path = Field(default="", description="PEM file with its private key. Goes with certificate_file.")
    check_host: bool = Field(
        default=True,
        description="A certificate has to name the host that is called. Off: any of a trusted CA will do.",
    )


class MqttSection(Section):
    """How we speak to brokers: all meters with mqtt:// and mqtts:// endpoints."""

    username: Annotated[str, Form("at most 200 characters"), Field(max_length=200)] = Field(
        default="", description="Our name at the broker."
    )
    password_file: Path = Field(default="", description="File with our password at the broker, on its first line.")
    protocol: Literal["5", "3.1.1"] = Field(default="5", description="Version of the protocol.")
    payload: Literal["wrapper", "hdlc"] = Field(
        default="wrapper",
        description="What messages hold: a wrapper message, or the HDLC frames of a transparent modem.",
    )
    topic_root: Annotated[
        str, Form("levels with a / between them, such as dlms/v1, without + or #"), AfterValidator(checked_topic_root)
    ] = Field(default="dlms/v1", description="What stands before /SITE/METER in all topics.")
    reply_timeout_seconds: Annotated[float, Field(ge=1, le=600)] = Field(
        default=30.0, description="After this a request that waits in the broker is dead; its meter never sees it."
    )


class SerialSection(Section):
    """Serial lines of this machine; their baud rate and mode stand in the endpoint."""

    echo: bool = Field(
        default=False,
        description="Lines give back what we send (two-wire RS-485, optical heads): it is taken away again.",
    )


class InboundSection(Section):
    """Meters that call in: they open the connection, and we speak to them on it (endpoint inbound:SYSTEMTITLE)."""

    listen: Annotated[
        str, Form("empty, or where to listen: tcp://host:port or tcps://host:port"), AfterValidator(checked_listen)
    ] = Field(default="", description="Where meters call in. Empty: nobody can.")
    framing: Literal["wrapper", "hdlc"] = Field(default="wrapper", description="What is on these connections.")
    identify_by_message: bool = Field(
        default=True, description="A first message whose header (or first value) names its sender says who calls."
    )
    login_pattern: Annotated[
        str,
        Form("empty, or a regular expression with a group named title or name"),
        AfterValidator(checked_login_pattern),
    ] = Field(
        default=TITLE_LINE,
        description="Regular expression for a whole first line that says who calls, with a group (?P<title>...) for 16 "
        "hexadecimal digits, or (?P<name>...) for a name of names_file. Empty: no such lines.",
    )
    login_answer: Text = Field(default="", description="What a login line is answered with, with its line end.")
    names_file: Path = Field(default="", description="CSV file of lines NAME,SYSTEMTITLE, for names in login lines.")
    wports_file: Path = Field(
        default="",
        description="CSV file of lines WPORT,SYSTEMTITLE: the source wPort of the first message says who calls.",
    )
    certificate_file: Path = Field(
        default="", description="PEM file with our certificate and its chain, for tcps://. Goes with key_file."
    )
    key_file: Path = Field(default="", description="PEM file with its private key.")
    ca_file: Path = Field(
        default="", description="PEM file with the certificates that callers' certificates are checked against."
    )
    require_client: bool = Field(default=False, description="Callers have to show a certificate. Needs ca_file.")
    certificate_names_meter: bool = Field(
        default=False,
        description="The common name of a caller's certificate has to be the system title (or the name in names_file) "
        "that it claims. Needs require_client.",
    )
    keep_alive: Text = Field(
        default="", description="What modems say to keep the connection open, between messages; it is dropped."
    )
    keep_alive_answer: Text = Field(default="", description="What it is answered with; with framing wrapper only.")
    tcp_keep_alive_seconds: Annotated[int, Field(ge=1, le=7200)] = Field(
        default=60,
        description="The system asks silent modems so often; after three times without an answer it hangs up.",
    )
    idle_seconds: Seconds = Field(
        default=900.0, description="Connections on which nothing comes for so long, and nobody speaks, are closed."
    )
    identify_seconds: Annotated[float, Field(gt=0, le=3600)] = Field(
        default=30.0, description="In this time a caller has to say who it is."
    )
    unidentified_max: Annotated[int, Field(ge=1, le=100_000)] = Field(
        default=1000, description="Connections at a time that have not said who they are."
    )
    connections_max: Annotated[int, Field(ge=1, le=1_000_000)] = Field(default=20_000, description="All of them.")
    per_address_max: Annotated[int, Field(ge=1, le=1_000_000)] = Field(
        default=20_000,
        description="From one address. Mobile networks put many modems behind one; lower it where they do not.",
    )


class HintsSection(Section):
    """What meters say unasked (pushes), or that they come online: it wakes orders that wait, and judges nothing."""

    believe_plain: bool = Field(default=False, description="Pushes in clear wake orders of meters that have keys, too.")
    push_interval_seconds: Seconds = Field(default=10.0, description="Pushes wake a meter at most so often.")
    presence_interval_seconds: Seconds = Field(
        default=60.0, description="Calling in or coming online, which nothing proves, wakes a meter at most so often."
    )
    brokers: Annotated[
        str,
        Form("empty, or mqtt://host:port and mqtts://host:port, with blanks between them"),
        AfterValidator(checked_brokers),
    ] = Field(
        default="",
        description="Brokers whose pushes and states are heard, as the endpoints of their meters name them: "
        "mqtt://host:port, several with blanks between them.",
    )
    shared_group: Annotated[str, Form("letters, digits, dashes or underscores"), AfterValidator(checked_group)] = Field(
        default="gw", description="Head-ends with the same group share what brokers tell: each message goes to one."
    )


class ApiSection(Section):
    """Limits of the API."""

    body_octets_max: Annotated[int, Field(ge=1024, le=1 << 30)] = Field(
        default=1 << 20, description="Size of a request's body, bulk intake apart."
    )
    batch_octets_max: Annotated[int, Field(ge=1024, le=1 << 40)] = Field(
        default=1 << 30, description="Size of one bulk intake; it is read as a stream."
    )
    batch_rows_max: Annotated[int, Field(ge=1, le=100_000_000)] = Field(
        default=1_000_000, description="Rows of one bulk intake."
    )
    batch_rows: Annotated[int, Field(ge=1, le=10_000)] = Field(
        default=100, description="Rows of a bulk intake that are committed at a time."
    )
    batches_max: Annotated[int, Field(ge=1, le=1000)] = Field(default=8, description="Bulk intakes at a time.")
    requests_per_second: Annotated[float, Field(gt=0, le=1_000_000)] = Field(
        default=5000.0, description="Requests of one API key, on average; more are answered with 429."
    )
    requests_burst: Annotated[int, Field(ge=1, le=1_000_000)] = Field(
        default=10_000, description="Requests of one API key at once after a quiet time."
    )
    failed_logins_per_minute: Annotated[int, Field(ge=1, le=1_000_000)] = Field(
        default=60, description="Requests with a wrong API key from one address, before all of its requests get 429."
    )
    event_streams_max: Annotated[int, Field(ge=0, le=100_000)] = Field(
        default=200, description="Open streams of server-sent events."
    )
    event_ping_seconds: Annotated[float, Field(ge=1, le=3600)] = Field(
        default=15.0,
        description="A quiet stream of events gets a comment this often, so that nobody takes it for dead.",
    )
    request_timeout_seconds: Annotated[float, Field(gt=0, le=3600)] = Field(
        default=30.0,
        description="For one request with its body; of a bulk intake and a stream of events: for each wait.",
    )
    readback_timeout_seconds: Annotated[float, Field(gt=0, le=3600)] = Field(
        default=120.0, description="For reading a meter while somebody waits."
    )


class WebhooksSection(Section):
    """Who is told of events."""

    installation: Annotated[str, Form(_INSTALLATION_FORM), AfterValidator(_installation)] = Field(
        default="stsgate", description="The name under which receivers know this installation: part of every message."
    )
    attempts_max: Annotated[int, Field(ge=1, le=1000)] = Field(
        default=15, description="Tries before an event is put aside as dead, until somebody replays it."
    )
    timeout_seconds: Annotated[float, Field(gt=0, le=300)] = Field(
        default=10.0, description="How long one call of a webhook may take."
    )
    first_wait_seconds: Seconds = Field(default=30.0, description="Wait after the first failure; it doubles.")
    longest_wait_seconds: Seconds = Field(default=43_200.0, description="The longest wait between two tries.")
    retry_after_seconds_max: Seconds = Field(
        default=3600.0, description="The longest pause that a receiver may ask for (Retry-After)."
    )
    in_flight_max: Annotated[int, Field(ge=1, le=1000)] = Field(
        default=64, description="Calls of webhooks at a time, over all receivers."
    )
    in_flight_per_webhook_max: Annotated[int, Field(ge=1, le=1000)] = Field(
        default=8, description="Calls of one webhook at a time."
    )
    allow_http: bool = Field(default=False, description="Let webhooks use plain HTTP to other machines.")
    allow_private_addresses: bool = Field(default=False, description="Let webhooks point into private networks.")


class RetentionSection(Section):
    """How long finished orders are kept. That their tokens were used is never forgotten."""

    days: Annotated[int, Field(ge=0, le=36_500)] = Field(
        default=730, description="Finished orders and their story; 0 = for ever."
    )
    purge_interval_seconds: Seconds = Field(default=3600.0, description="How often older ones are removed.")


class HealthSection(Section):
    """When /readyz says no."""

    disk_free_mib_min: Annotated[int, Field(ge=0, le=1 << 30)] = Field(
        default=200, description="Space that must be left on the disk of data_dir, in MiB."
    )
    loop_lag_seconds_max: Annotated[float, Field(gt=0, le=3600)] = Field(
        default=5.0, description="How late the process may be with its own work."
    )
    claim_age_seconds_max: Annotated[float, Field(gt=0, le=3600)] = Field(
        default=30.0, description="How long ago the dispatcher may have looked for work last."
    )


class MetricsSection(Section):
    """Figures for Prometheus at /metrics."""

    open: bool = Field(default=True, description="Show them without an API key.")
    refresh_seconds: Annotated[float, Field(ge=0.1, le=3600)] = Field(
        default=5.0, description="How often the figures are taken that are counted in the store."
    )


class TraceSection(Section):
    """What went over the wire, for GET /v1/orders/{id}/trace: in memory, secrets masked, gone with a restart."""

    orders_kept: Annotated[int, Field(ge=0, le=100_000)] = Field(
        default=0, description="Of how many orders the latest trace is kept; 0 traces nothing. Costs time and memory."
    )


class LogSection(Section):
    """What is written on standard error."""

    level: Literal["debug", "info", "warning", "error"] = Field(
        default="info", description="The least important that is shown."
    )
    format: Literal["text", "json"] = Field(
        default="text", description="Lines for people, or one JSON object in each line."
    )


class Settings(Section):
    """All of them."""

    service: ServiceSection = ServiceSection()
    database: DatabaseSection = DatabaseSection()
    delivery: DeliverySection = DeliverySection()
    links: LinksSection = LinksSection()
    tls: TlsSection = TlsSection()
    mqtt: MqttSection = MqttSection()
    serial: SerialSection = SerialSection()
    inbound: InboundSection = InboundSection()
    hints: HintsSection = HintsSection()
    api: ApiSection = ApiSection()
    webhooks: WebhooksSection = WebhooksSection()
    retention: RetentionSection = RetentionSection()
    health: HealthSection = HealthSection()
    metrics: MetricsSection = MetricsSection()
    trace: TraceSection = TraceSection()
    log: LogSection = LogSection()
