"""The translator: any octets become a tree that can be written as text and as JSON, without secrets in it."""

from __future__ import annotations

import json

from cosem_objects.dlms.describe import Keys, Node
from gateway.translator import Form, translate
from tests.fuzz.properties import assert_says_nothing_of
from tests.fuzz.settings import AK, CLIENT_TITLE, EK, METER_TITLE
from tests.fuzz.targets import NAMES, load
from tests.fuzz.targets.masking import SECRET, WITH_SECRETS
from tests.vectors import dlms_vectors

SIZE_MAX = 500
FORMS = tuple(Form)
KEYS = Keys(EK, AK, b"", CLIENT_TITLE, METER_TITLE)
NODES_PER_OCTET_MAX = 24
"""A compact-array makes several values of one octet; each has a name, and some have a unit."""


def seeds() -> list[bytes]:
    known = [vector.octets for vector in dlms_vectors().values() if vector.octets]
    written = [seed for name in NAMES if name in {"axdr", "apdu", "acse"} for seed in load(name).seeds()]
    head, with_keys, as_data = b"\0", bytes((len(FORMS),)), bytes((FORMS.index(Form.DATA),))
    whole = b"".join(octets for octets in known if octets[:2] in {b"\x00\x01", b"\x7e\xa0"})
    several = [head + octets for octets in (*known, *written, *WITH_SECRETS)] + [with_keys + octets for octets in known]
    return [*several, *(as_data + octets for octets in load("axdr").seeds()), head + whole]


def one_input(octets: bytes) -> None:
    how, message = octets[0] if octets else 0, octets[1:]
    form, keys = FORMS[how % len(FORMS)], KEYS if how // len(FORMS) & 1 else None
    translation = translate(message, keys, form=form)
    text, written = translation.to_text(), json.dumps(translation.to_json())
    assert json.loads(written)["octets"] == len(message)
    assert text
    count = sum(assert_within(node, len(message)) for node in translation.messages)
    assert count <= 20 + NODES_PER_OCTET_MAX * len(message), "few octets made many lines"
    for problem in translation.problems:
        assert problem.value
    has_damaged_secret = SECRET[:16] in message or bytes.fromhex(SECRET[:16].decode()) in message
    if form is Form.AUTO and not translation.problems and not has_damaged_secret:
        # A conversation so far, without a loose end that would swallow the beginning of what comes next. (Damaged
        # digits are no token, and may be shown.)
        with_secret = translate(message + WITH_SECRETS[(how >> 4) % len(WITH_SECRETS)], keys)
        shown = with_secret.to_text() + json.dumps(with_secret.to_json())
        assert_says_nothing_of([SECRET[:16]], shown)


def assert_within(node: Node, size: int) -> int:
    """Each part of the tree was read from octets that are there; returns how many parts there are."""
    count, open_nodes = 0, [node]
    while open_nodes:
        one = open_nodes.pop()
        count += 1
        assert 0 <= one.offset <= size, "a place behind the end"
        assert one.name
        open_nodes.extend(one.children)
    return count
