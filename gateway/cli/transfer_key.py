"""``stsgate dlms transfer-key``: new global keys for one meter, and the proof which ones it holds."""

from __future__ import annotations

import argparse
import asyncio
import json
import signal
import sys
import threading
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from cosem_objects.dlms.security import InvocationCounters
from cosem_objects.errors import LocalProtocolError, RemoteProtocolError, SettingError
from cosem_objects.security_setup import KEY_SIZE
from gateway.cli.command_links import CommandLinks, add_link_options
from gateway.cli.meter_options import add_meter_options, meter_from, secret_from
from gateway.cli.pending_keys import PendingKeys
from gateway.key_transfer import KeyChange, KeysHeld, KeyTransfer, NewKeys, prove_keys, transfer_keys
from gateway.meters import Meter
from gateway.session import CounterUnreadable, open_session, read_counters
from gateway.shown import printable
from transports.channel import ChannelError

DESCRIPTION = """\
Gives one meter new global keys: the unicast encryption key (EK), the authentication key (AK), or both. They travel
wrapped under the meter's master key, over an association under its present keys (--ek, --ak).

From the first byte until the proof, the meter holds either the old keys or the new ones, and nobody can say which. So
the new keys are written to the file of --pending before anything leaves, and the command ends with a proof: an
association that the meter opened under one of the two. Keep the old keys until the proof says NEW. The meter is known
by its system title (--meter-system-title).

After UNKNOWN, or if the command was killed, run it again with --prove, the same --pending, and the same old keys: it
transfers nothing, and only asks the meter which keys it holds. NOT SENT needs no proof, and if there is no pending
file, nothing was sent.

The pending file holds the new keys in clear, and only its owner may read it. A file of another change is never
replaced; delete it yourself when you have its keys elsewhere.

Exit code: 0 the meter holds the new keys; 1 the old ones; 3 unknown, or not sent because no association was opened;
2 wrong usage, nothing was sent. All is described in docs/transfer-key.md."""

_ADVICE = {
    KeysHeld.NEW: "use the new keys from now on; {path} may be deleted once they are kept elsewhere",
    KeysHeld.OLD: "go on with the old keys; run the command again, or delete {path}",
    KeysHeld.UNKNOWN: "keep the old keys and {path}, and run the command again with --prove",
}
_EXIT_CODES = {KeysHeld.NEW: 0, KeysHeld.OLD: 1, KeysHeld.UNKNOWN: 3, KeysHeld.NOT_SENT: 3}
_UNREACHED = (ChannelError, RemoteProtocolError, LocalProtocolError)


def add_transfer_key(subcommands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = subcommands.add_parser(
        "transfer-key",
        help="give a meter new keys",
        description=DESCRIPTION,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    what = parser.add_argument_group("what to transfer")
    for option, text in (
        ("--new-ek", "new global unicast encryption key, 32 hex digits"),
        ("--new-ak", "new authentication key, 32 hex digits"),
        ("--master-key", "the meter's master key (KEK), under which they are wrapped, 32 hex digits"),
    ):
        one = what.add_mutually_exclusive_group()
        one.add_argument(option, metavar="HEX", help=text)
        one.add_argument(f"{option}-file", metavar="PATH", help="the same, read from a file")
    what.add_argument(
        "--pending", required=True, metavar="FILE", help="where the new keys are written before they are sent"
    )
    what.add_argument(
        "--prove", action="store_true", help="transfer nothing: read the pending file, and prove which keys are held"
    )
    what.add_argument("--json", action="store_true", help="one JSON object; the story on standard error")
    add_meter_options(parser, is_for_tokens=False)
    add_link_options(parser)
    parser.set_defaults(func=run, command="dlms transfer-key")


def run(args: argparse.Namespace) -> int:
    """Check everything, then transfer or prove. Raises ``SettingError``, ``EndpointError``: nothing was sent."""
    given = {name: _key(args, name) for name in ("new_ek", "new_ak", "master_key")}
    path, meter = Path(args.pending), meter_from(args)
    if meter.serial or meter.pan:
        raise SettingError("serial and pan: keys belong to a system title; give --meter-system-title instead")
    if args.token_encoding is not None:
        raise SettingError("token-encoding: no token is sent here")
    task = _Task(meter, path, CommandLinks(args), tell=_teller(args))
    if args.prove:
        if any(given.values()):
            raise SettingError("prove: the new keys are in the pending file, and no master key is needed; give neither")
        pending = task.read_pending()
        if pending is None:
            raise SettingError(f"prove: there is no {path}; if no transfer wrote it, none sent anything")
        work = task.prove(pending)
    else:
        new_keys = NewKeys(given["new_ek"], given["new_ak"])
        if not given["master_key"]:
            raise SettingError("master-key: one is needed, by --master-key or --master-key-file")
        KeyChange.begin(meter, new_keys, InvocationCounters())  # what cannot be proven afterwards is refused here
        work = task.transfer(new_keys, given["master_key"], task.read_pending(new_keys))
    result: KeyTransfer = args.run_async(_until_stopped(task, work))
    _print(args, task, result)
    return _EXIT_CODES[result.held]


def _key(args: argparse.Namespace, name: str) -> bytes:
    text, label = secret_from(args, name), name.replace("_", "-")
    try:
        key = bytes.fromhex(text or "")
    except ValueError:
        key = b"?"
    if (text is not None or key) and len(key) != KEY_SIZE:
        raise SettingError(f"{label}: expected {2 * KEY_SIZE} hex digits")  # not repeated: it is a key
    return key


def _teller(args: argparse.Namespace) -> Callable[[str], None]:
    stream = sys.stderr if args.json else sys.stdout
    return lambda line: print(printable(line), file=stream, flush=True)


@dataclass(slots=True)
class _Task:
    """One command: a meter, the file between its old keys and its new ones, and what became of them."""

    meter: Meter
    path: Path
    links: CommandLinks
    tell: Callable[[str], None]
    is_sent: bool = False
    """Whether something may have left."""
    is_doubtful: bool = False
    """The same, or an earlier command wrote the file that lies there."""
    system_title: bytes = b""

    def read_pending(self, new_keys: NewKeys | None = None) -> PendingKeys | None:
        """The file, if there is one. Raises ``SettingError`` if it is of another change."""
        pending = PendingKeys.read(self.path)
        if pending is None:
            return None
        security, title = self.meter.security, pending.system_title
        if new_keys not in (None, pending.new_keys):
            raise SettingError(f"pending: {self.path} has the new keys of another change; it is not replaced")
        if not pending.is_from(security):
            raise SettingError(f"pending: {self.path} is of a change from other keys than those of --ek and --ak")
        if security.meter_system_title not in (b"", title):
            raise SettingError(f"pending: {self.path} is of another meter than that of --meter-system-title")
        self.is_doubtful = True
        return pending

    async def transfer(self, new_keys: NewKeys, master_key: bytes, earlier: PendingKeys | None) -> KeyTransfer:
        """Raises ``SettingError`` if the pending file cannot be written; nothing was sent then."""
        self._know_title(b"" if earlier is None else earlier.system_title)
        security = self.meter.security
        try:
            counters, new_counters = await read_counters(self.meter, self.links.connect), InvocationCounters()
            if earlier is not None:
                counters, new_counters = earlier.counters(security.ek, counters)
            elif new_keys.ek in (b"", security.ek):
                new_counters = counters
            session = await open_session(self.meter, counters, self.links.connect)
        except _UNREACHED as error:
            return self.unproven(f"no association under the old keys, nothing was sent: {error}")
        written: list[PendingKeys] = []
        async with session:
            self._know_title(session.meter_system_title)
            self.tell(f"{self.meter.endpoint}: associated with the meter {self.system_title.hex().upper()}")
            change = KeyChange(_without_jumps(self.meter), new_keys, counters, new_counters, self.links.connect)

            async def commit(new_keys: NewKeys) -> None:
                known = self.meter.security
                pending = PendingKeys.of(new_keys, known, str(self.meter.endpoint), counters, new_counters)
                pending.write(self.path, is_new=earlier is None)
                written.append(pending)
                self.tell(f"{self.path}: the new keys are written down, and leave now")
                self.is_sent = self.is_doubtful = True

            result = await transfer_keys(session, change, master_key, commit)
        return await self._prove_again(written[-1], result) if result.is_counter_behind else result

    async def _prove_again(self, pending: PendingKeys, result: KeyTransfer) -> KeyTransfer:
        """To keys that the meter held before, it counts on from where it was: as ``--prove`` does, it is asked."""
        self.tell(f"{self.meter.endpoint}: under the new keys the meter's counter is further on; asking it for that")
        try:
            proof = await self.prove(pending)
        except SettingError as error:  # the file: without it no counter is used
            proof = KeyTransfer(KeysHeld.UNKNOWN, str(error))
        return replace(proof, detail=f"{result.detail}; then {proof.detail}")

    def unproven(self, detail: str) -> KeyTransfer:
        """The end without a proof. Where an earlier command wrote the file, it is not known what that one sent."""
        return KeyTransfer(KeysHeld.UNKNOWN if self.is_doubtful else KeysHeld.NOT_SENT, detail)

    async def prove(self, pending: PendingKeys) -> KeyTransfer:
        self._know_title(pending.system_title)
        try:
            said = await read_counters(self.meter, self.links.connect)
        except CounterUnreadable as error:
            self.tell(f"{self.meter.endpoint}: {error}; the counters of {self.path} are used")
            said = InvocationCounters()
        except _UNREACHED as error:
            return KeyTransfer(KeysHeld.UNKNOWN, f"keep both; {error}")
        counters, new_counters = pending.counters(self.meter.security.ek, said)
        pending.reserving(counters, new_counters).write(self.path, is_new=False)
        return await prove_keys(
            KeyChange(_without_jumps(self.meter), pending.new_keys, counters, new_counters, self.links.connect)
        )

    def _know_title(self, title: bytes) -> None:
        """From now on nobody else is taken for this meter."""
        self.system_title = title
        if title:
            self.meter = replace(self.meter, security=replace(self.meter.security, meter_system_title=title))


def _without_jumps(meter: Meter) -> Meter:
    """Counters beyond those that the pending file reserves are not used, whatever an unauthenticated answer claims."""
    return replace(meter, profile=replace(meter.profile, counter_jump_max=0))


async def _until_stopped(task: _Task, work: Coroutine[Any, Any, KeyTransfer]) -> KeyTransfer:
    """Ctrl-C and SIGTERM end the work, and not the telling of it."""
    if threading.current_thread() is threading.main_thread():  # signals are its business
        loop, current = asyncio.get_running_loop(), asyncio.current_task()
        assert current is not None
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, current.cancel)
    try:
        async with task.links:
            return await work
    except asyncio.CancelledError:
        return task.unproven("stopped by the user" + ("" if task.is_sent else "; nothing was sent"))


def _print(args: argparse.Namespace, task: _Task, result: KeyTransfer) -> None:
    if args.json:
        shown = {
            "held": result.held.value,
            "sent": task.is_sent,
            "detail": printable(result.detail),
            "pending": str(task.path),
            "meter_system_title": task.system_title.hex().upper() or None,
        }
        print(json.dumps(shown), flush=True)
        return
    task.tell(f"{result.held.name.replace('_', ' ')}: {result.detail}")
    if result.held in _ADVICE and task.path.exists():
        task.tell(_ADVICE[result.held].format(path=task.path))
