"""The options that say when a token is issued, which makes its TID. The clock is fetched here."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from datetime import UTC, datetime

from cosem_objects.errors import SettingError
from sim_meters.sts.keys.key_attributes import parse_digits
from sim_meters.sts.keys.key_expiry import KEN_NEVER, check_not_expired, parse_ken
from sim_meters.sts.tid import BaseDate
from sim_meters.sts.tokens.token_table import TID


def add_tid_options(parser: ArgumentParser) -> None:
    """``--issued-at`` and ``--tid``, of which one may be given, and ``--ken``."""
    parser.add_argument("--issued-at", metavar="ISO", help="date and time of issue, UTC; default now")
    parser.add_argument(
        f"--{TID.option}",
        metavar="N",
        help=f"the TID itself, {TID.coding.expected}, instead of a time of issue; two tokens need two",
    )
    parser.add_argument(
        "--ken",
        metavar="N",
        default=str(KEN_NEVER),
        help=f"the key's expiry number: no token of a later time is made; default {KEN_NEVER}: it never expires",
    )


def read_moment(options: Namespace) -> datetime:
    """The moment of issue as a plain calendar time, UTC. Raises ``SettingError``."""
    if options.issued_at is None:
        return datetime.now(UTC).replace(tzinfo=None)
    try:
        moment = datetime.fromisoformat(options.issued_at)
        return moment if moment.tzinfo is None else moment.astimezone(UTC).replace(tzinfo=None)
    except (ValueError, OverflowError):
        raise SettingError(f"issued-at: expected a time such as 2014-03-01T13:00; got {options.issued_at!r}") from None


def read_tid(options: Namespace, base_date: BaseDate) -> int:
    """The TID of one token. Raises ``SettingError``, also for one after the key's expiry."""
    tid = _asked_tid(options, base_date)
    check_not_expired(parse_ken(options.ken), tid, base_date)
    return tid


def _asked_tid(options: Namespace, base_date: BaseDate) -> int:
    if options.tid is None:
        moment = read_moment(options)
        try:
            return base_date.tid_at(moment)
        except SettingError as error:
            raise SettingError(f"{error}: give --issued-at within, or another --base-date") from None
    if options.issued_at is not None:
        raise SettingError("tid: expected --tid or --issued-at, not both")
    try:
        return TID.coding.raw(parse_digits("number", options.tid))
    except SettingError as error:
        raise SettingError(f"tid: {error}") from None
