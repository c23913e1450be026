"""``--trace``: everything that goes over the link to a meter, in files; ``simmeters run`` has the same option."""

from __future__ import annotations

import argparse

from cosem_objects.dlms.settings import SecuritySettings
from cosem_objects.errors import SettingError
from gateway.order_traces import knowledge_of
from transports.trace.files import TraceTargetError, open_trace
from transports.trace.trace import Trace


def add_trace_options(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("trace of the link")
    group.add_argument(
        "--trace",
        action="append",
        default=[],
        metavar="FILE",
        help="write bytes, frames, APDUs and values to FILE.jsonl, or frames to FILE.pcapng for Wireshark; - is JSON "
        "lines on standard error; may be repeated; secrets are masked",
    )
    group.add_argument("--trace-secrets", action="store_true", help="show tokens, passwords and keys in the trace")


def trace_from(args: argparse.Namespace, security: SecuritySettings) -> Trace | None:
    """The trace that the options ask for; its owner closes it. Raises ``SettingError``."""
    if not args.trace:
        if args.trace_secrets:
            raise SettingError("trace-secrets: goes with --trace")
        return None
    try:
        return open_trace(args.trace, knowledge_of(security, shows_secrets=args.trace_secrets))
    except TraceTargetError as error:
        raise SettingError(f"trace: {error}") from None
