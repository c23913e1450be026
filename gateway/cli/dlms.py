"""``stsgate dlms``: tools for DLMS/COSEM. ``decode`` is the translator; ``transfer-key`` has a file of its own."""

from __future__ import annotations

import argparse
import json
import os
import re
import sys
from pathlib import Path

from cosem_objects.dlms.describe import Keys, Place
from cosem_objects.dlms.settings import TITLE_SIZE
from cosem_objects.errors import SettingError
from gateway.cli.meter_options import secret_from
from gateway.cli.parser import whole_number
from gateway.cli.traced_frames import traced_frames
from gateway.cli.transfer_key import add_transfer_key
from gateway.translator import INPUT_SIZE_MAX, Form, Translation, translate

DESCRIPTION = """\
Reads DLMS/COSEM messages and says what they mean: HDLC frames (also a whole captured stream, both directions), wrapper
messages, bare APDUs, and bare COSEM values. Ciphered APDUs are opened when keys are given. Several messages may follow
each other; a request before an answer gives the answer its names.

Passwords, keys and tokens are not shown, unless you ask with --show-secrets.

Exit code: 0 all was read; 1 something could not be, and the error says where; 2 wrong usage."""

_SEPARATORS = re.compile(r"0[xX]|[\s:,;_-]+")
_NOT_HEX = re.compile(r"[^0-9A-Fa-f]")
_KEY_SIZES = (16, 32)
_TEXT_SIZE_MAX = 4 * INPUT_SIZE_MAX
"""Of a file: two digits, and two separators, for each octet."""


def add_command(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = commands.add_parser(
        "dlms", help="read DLMS/COSEM messages, give a meter new keys", description="Tools for DLMS/COSEM."
    )
    subcommands = parser.add_subparsers(
        title="commands", dest="dlms_command", required=True, metavar="COMMAND", parser_class=type(parser)
    )
    _add_decode(subcommands)
    add_transfer_key(subcommands)


def _add_decode(subcommands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = subcommands.add_parser(
        "decode",
        help="say what messages mean",
        description=DESCRIPTION,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    what = parser.add_argument_group("what to read")
    what.add_argument(
        "hex",
        nargs="*",
        metavar="HEX",
        help="octets in hex; blanks, colons, hyphens and 0x do not count; - is standard input",
    )
    what.add_argument(
        "--file",
        metavar="PATH",
        help="read the hex from a file, or the frames of a trace (.jsonl, .pcapng); - is standard input",
    )
    what.add_argument("--binary", action="store_true", help="the file holds the octets themselves, not hex")
    what.add_argument(
        "--as",
        dest="form",
        choices=[form.value for form in Form],
        default=Form.AUTO.value,
        help="what the octets are (default %(default)s: each message is recognised by itself)",
    )
    what.add_argument("--data", action="store_true", help="bare COSEM values; the same as --as data")
    what.add_argument(
        "--class", dest="class_id", type=whole_number(0, 0xFFFF), metavar="N", help="with --data: the interface class"
    )
    what.add_argument("--attribute", type=whole_number(1, 127), metavar="N", help="with --data: the attribute")

    keys = parser.add_argument_group(
        "keys", "System titles, and the dedicated key, are learnt from the messages where they stand in them."
    )
    for option, text in (
        ("--ek", "global encryption key, 32 hex digits (64 in suite 2)"),
        ("--ak", "authentication key, 32 hex digits (64 in suite 2)"),
        ("--dedicated-key", "dedicated key, if the messages do not hold it"),
    ):
        one = keys.add_mutually_exclusive_group()
        one.add_argument(option, metavar="HEX", help=text)
        one.add_argument(f"{option}-file", metavar="PATH", help="the same, read from a file")
    keys.add_argument("--system-title", metavar="HEX", help="of the client, 16 hex digits")
    keys.add_argument("--meter-system-title", metavar="HEX", help="of the meter, 16 hex digits")

    how = parser.add_argument_group("what to show")
    how.add_argument("--json", action="store_true", help="the tree as one JSON object, described in docs/translator.md")
    how.add_argument("--show-secrets", action="store_true", help="show passwords, keys and tokens, too")
    parser.set_defaults(func=decode, command="dlms decode")


def decode(args: argparse.Namespace) -> int:
    """Read, translate, print. Raises ``SettingError``."""
    if sys.stdout is None:
        raise SettingError("standard output is closed: nothing can be shown there")
    form, place = _form(args), _place(args)
    keys = _keys(args)
    octets, complaint = _octets(args)
    translation = translate(octets, keys, form=form, place=place, show_secrets=args.show_secrets)
    errors = [(problem.offset, problem.value) for problem in translation.problems]
    if complaint:
        errors = [*(errors if octets else []), (len(octets), complaint)]
    try:
        _print(args, translation, octets, errors)
    except BrokenPipeError:  # the reader, such as head, has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    for offset, message in errors:
        print(f"stsgate dlms decode: offset {offset}: {message}", file=sys.stderr)
    return 1 if errors else 0


def _print(args: argparse.Namespace, translation: Translation, octets: bytes, errors: list[tuple[int, str]]) -> None:
    if args.json:
        shown = dict(translation.to_json())
        shown["errors"] = [{"offset": offset, "message": message} for offset, message in errors]
        print(json.dumps(shown, ensure_ascii=False, indent=2))
    elif octets:
        print(translation.to_text())
    sys.stdout.flush()


def _form(args: argparse.Namespace) -> Form:
    form = Form(args.form)
    if args.data and form not in (Form.AUTO, Form.DATA):
        raise SettingError(f"data: --data and --as {form} contradict each other")
    return Form.DATA if args.data else form


def _place(args: argparse.Namespace) -> Place | None:
    if args.class_id is None and args.attribute is None:
        return None
    if args.class_id is None or args.attribute is None:
        raise SettingError("class and attribute go together: --data --class 115 --attribute 6")
    if _form(args) is not Form.DATA:
        raise SettingError("class and attribute name a bare value: they go with --data")
    return Place(args.class_id, args.attribute)


def _keys(args: argparse.Namespace) -> Keys:
    return Keys(
        ek=_secret(args, "ek"),
        ak=_secret(args, "ak"),
        dedicated_key=_secret(args, "dedicated_key"),
        client_system_title=_hex_option("system-title", args.system_title, (TITLE_SIZE,)),
        meter_system_title=_hex_option("meter-system-title", args.meter_system_title, (TITLE_SIZE,)),
    )


def _secret(args: argparse.Namespace, name: str) -> bytes:
    return _hex_option(name.replace("_", "-"), secret_from(args, name), _KEY_SIZES)


def _hex_option(name: str, text: str | None, sizes: tuple[int, ...]) -> bytes:
    if text is None:
        return b""
    expected = " or ".join(str(2 * size) for size in sizes)
    try:
        octets = bytes.fromhex(text)
    except ValueError:
        raise SettingError(f"{name}: expected {expected} hex digits") from None  # not repeated: it may be a key
    if len(octets) not in sizes:
        raise SettingError(f"{name}: expected {expected} hex digits, got {len(octets)} octets")
    return octets


def _octets(args: argparse.Namespace) -> tuple[bytes, str]:
    """The octets, and what is wrong with the text behind them."""
    if args.file is not None and args.hex:
        raise SettingError("file: either --file or HEX on the command line, not both")
    path = args.file if args.file is not None else "-" if args.hex == ["-"] else None
    if args.binary and path is None:
        raise SettingError("binary: it goes with --file or -")
    if path is None and not args.hex:
        raise SettingError("hex: nothing to decode; give HEX, or - or --file PATH")
    raw = " ".join(args.hex).encode("utf-8", "replace") if path is None else _read(path)
    frames = traced_frames(raw)
    if args.binary or frames is not None:
        is_cut = frames is not None and len(raw) == _TEXT_SIZE_MAX
        complaint = f"only the first {_TEXT_SIZE_MAX} octets of the trace were read" if is_cut else ""
        return (raw if frames is None else frames), complaint
    return parse_hex(raw.decode("utf-8", "replace"))


def _read(path: str) -> bytes:
    if path == "-" and sys.stdin is None:
        raise SettingError("file: standard input is closed")
    try:
        if path == "-":
            return sys.stdin.buffer.read(_TEXT_SIZE_MAX)
        with Path(path).open("rb") as file:
            return file.read(_TEXT_SIZE_MAX)
    except OSError as error:
        raise SettingError(f"file: {path} cannot be read ({error.strerror})") from None


def parse_hex(text: str) -> tuple[bytes, str]:
    """The octets up to the first character that is no hex digit, and a complaint about that; empty = none."""
    digits = _SEPARATORS.sub("", text)
    wrong = _NOT_HEX.search(digits)
    if wrong is not None:
        octets = bytes.fromhex(digits[: wrong.start() & ~1])
        return octets, f"{wrong[0]!r} is no hex digit; two of them were expected for each octet"
    if len(digits) % 2:
        return bytes.fromhex(digits[:-1]), "half an octet: the number of hex digits is odd"
    return bytes.fromhex(digits), ""
