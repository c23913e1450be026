"""What a webhook is told: one event of an order as a CloudEvents 1.0 message, and the signature over it. Pure.

The message is signed octet by octet: whoever receives it verifies the raw body, before any JSON is read.
``docs/webhooks.md`` shows both sides.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import re
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta

from cosem_objects.errors import SettingError
from gateway.store.records import Details, EventRecord, OrderRecord, TokenRecord

CONTENT_TYPE = "application/cloudevents+json"
SIGNATURE = "Stsgate-Signature"
DELIVERY = "Stsgate-Delivery"
TOLERANCE = timedelta(minutes=5)
"""How far the clocks of sender and receiver may lie apart, the way of the message included."""
SECRET_LENGTHS = range(16, 201)
SECRETS_MAX = 2
_SIGNATURES_MAX = 8
"""More in one header is not ours."""

_INSTALLATION = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_SECONDS = re.compile(r"[0-9]{1,12}")


def check_installation(name: str) -> None:
    """The name under which receivers know this installation. Raises ``SettingError``."""
    if not _INSTALLATION.fullmatch(name):
        raise SettingError("installation: expected 1 to 64 letters, digits, dots, dashes or underscores")


def envelope(event: EventRecord, order: OrderRecord, installation: str) -> Details:
    """The message in CloudEvents' structured form. ``id`` and ``sequence`` come from the event's number, so a message
    that is sent again carries the same; ``data`` is the order as it stands now, which may be later than the event."""
    return {
        "specversion": "1.0",
        "id": f"{installation}/{event.number}",
        "source": f"urn:stsgate:{installation}",
        "type": f"stsgate.{event.name}",
        "subject": order.id,
        "time": _written(event.at),
        "datacontenttype": "application/json",
        # CloudEvents' extension "sequence": text that sorts as the events happened.
        "sequence": f"{event.number:020d}",
        "data": {
            "id": order.id,
            "meter": order.meter,
            "state": order.state.value,
            "reason": order.reason,
            "maybe_delivered": order.maybe_delivered,
            "text": str(event.details.get("text", "")),
            "tokens": [_token(token) for token in order.tokens],
        },
    }


def _token(token: TokenRecord) -> Details:
    amount = token.amount
    return {
        "token": token.masked,
        "kind": token.kind.value,
        "amount": None if amount is None else {"value": str(amount.value), "unit": amount.unit},
        "verdict": None if token.verdict is None else token.verdict.value,
        "credited": None if token.credited is None else token.credited.value,
        "status_code": token.status_code,
        "reason": token.reason,
        "evidence": token.evidence,
    }


def _written(moment: datetime) -> str:
    """RFC 3339, in UTC."""
    return moment.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def encode(message: Details) -> bytes:
    """The octets that are signed and sent: the same message always gives the same."""
    return json.dumps(message, sort_keys=True, separators=(",", ":")).encode("ascii")


def secrets_of(text: str) -> tuple[str, ...]:
    """The secrets that sign a webhook's messages. Two, with a blank between them, while a receiver changes over from
    the one to the other. Raises ``SettingError``, without repeating them."""
    secrets = tuple(text.split(" "))
    if len(secrets) > SECRETS_MAX or not all(_is_secret(secret) for secret in secrets):
        raise SettingError(
            f"secret: expected {SECRET_LENGTHS[0]} to {SECRET_LENGTHS[-1]} printable ASCII characters, "
            f"or two of these with one blank between them"
        )
    return secrets


def _is_secret(text: str) -> bool:
    return len(text) in SECRET_LENGTHS and text.isascii() and text.isprintable()


def headers(body: bytes, secret: str, delivery: int, now: datetime) -> dict[str, str]:
    """What goes with the body. Each try is signed anew, with its own time."""
    seconds = str(int(now.timestamp()))
    signatures = ",".join(f"v1={_signature(seconds, body, one)}" for one in secrets_of(secret))
    return {"Content-Type": CONTENT_TYPE, SIGNATURE: f"t={seconds},{signatures}", DELIVERY: str(delivery)}


def _signature(seconds: str, body: bytes, secret: str) -> str:
    return hmac.new(secret.encode(), seconds.encode() + b"." + body, hashlib.sha256).hexdigest()


def verify(
    received: Mapping[str, str], body: bytes, secret: str, now: datetime, tolerance: timedelta = TOLERANCE
) -> bool:
    """The receiver's side: whether this body was signed with this secret, and not long ago."""
    text = next((value for name, value in received.items() if name.lower() == SIGNATURE.lower()), "")
    parts = [part.strip().partition("=") for part in text.split(",", _SIGNATURES_MAX)]
    times = [value for name, _, value in parts if name == "t"]
    if len(times) != 1 or not _SECONDS.fullmatch(times[0]):
        return False
    if abs(now.timestamp() - int(times[0])) > tolerance.total_seconds():
        return False
    expected = _signature(times[0], body, secret).encode()
    return any(hmac.compare_digest(expected, value.encode()) for name, _, value in parts if name == "v1")
