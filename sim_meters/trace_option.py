"""``--trace``: everything that goes over the links of the simulated meters; ``stsgate deliver`` has the same option."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from collections.abc import Sequence

from cosem_objects.dlms.describe import Keys
from cosem_objects.dlms.masking import Masker, TraceDescriber, apdu_name
from cosem_objects.dlms.settings import SecuritySettings
from cosem_objects.errors import SettingError
from transports.trace.files import TraceTargetError, open_trace
from transports.trace.trace import Describe, Knowledge, Trace


def add_trace_options(parser: ArgumentParser) -> None:
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


def trace_from(options: Namespace, security: SecuritySettings) -> Trace | None:
    """The trace that the options ask for; its owner closes it. Raises ``SettingError``."""
    if not options.trace:
        if options.trace_secrets:
            raise SettingError("--trace-secrets: expected together with --trace")
        return None
    return trace_to(options.trace, security, shows_secrets=options.trace_secrets)


def trace_to(targets: Sequence[str], security: SecuritySettings, *, shows_secrets: bool = False) -> Trace:
    """A trace to files; its owner closes it. Raises ``SettingError``."""
    knowledge = Knowledge(
        new_mask=None if shows_secrets else lambda: Masker().mask,
        new_describe=lambda: _describer(security, shows_secrets=shows_secrets),
        name=apdu_name,
    )
    try:
        return open_trace(targets, knowledge)
    except TraceTargetError as error:
        raise SettingError(f"--trace: {error}") from None


def _describer(security: SecuritySettings, *, shows_secrets: bool) -> Describe:
    """For one conversation: what its APDUs say, deciphered with the keys of the meters. Each meter has a title of its
    own, which is seen when the association begins."""
    keys = Keys(
        ek=security.ek,
        ak=security.ak,
    )
    return TraceDescriber(keys, shows_secrets=shows_secrets).describe
