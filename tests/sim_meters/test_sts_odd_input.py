"""Whatever is typed after ``simmeters sts``: an answer, or one line that says what is wrong, and no key in it."""

from __future__ import annotations

import json

from hypothesis import example, given, settings
from hypothesis import strategies as st

from sim_meters.notices import LAB
from sim_meters.sts.commands.encode_commands import CREDIT
from sim_meters.sts.tokens.token_table import KEY_CHANGE, TOKEN_KINDS
from tests.sim_meters.sts_command_line import DECODER, TOKEN, VENDING, VENDING_KEY, whole_command

ODD = st.one_of(
    st.text(max_size=30),
    st.text(st.characters(categories=("Cs", "Nd", "Zs", "Cc")), max_size=8),
    st.integers(-(10**25), 10**25).map(str),
    st.integers(0, 300).map(str),
    st.decimals(allow_nan=True, allow_infinity=True).map(str),
    st.datetimes(timezones=st.none() | st.timezones()).map(lambda moment: moment.isoformat()),
    st.sampled_from(["", "0x", "0x" + "f" * 5000, "9" * 5000, "1" * 41, "-", ".", "flag::", "1:", "a,b", "é", "１"]),
)
HEX = st.one_of(ODD, st.binary(max_size=24).map(bytes.hex))

KEY_OPTIONS = ("--pan", "--sgc", "--ti", "--krn", "--kt", "--base-date", "--dkga", "--ea")
SECRETS = ("--vending-key", "--decoder-key", "--new-vending-key", "--new-decoder-key")
FILES = ("--vending-key-file", "--decoder-key-file", "--new-vending-key-file", "--new-decoder-key-file")
NEW_OPTIONS = tuple(f"--new-{name[2:]}" for name in KEY_OPTIONS[1:])
CREDIT_OPTIONS = (
    "--amount",
    "--unit",
    "--kwh",
    "--m3",
    "--min",
    "--commodity",
    "--issued-at",
    "--tid",
    "--ken",
    "--rnd",
)

OPTIONS_OF: dict[tuple[str, ...], tuple[str, ...]] = {
    ("key",): (*KEY_OPTIONS, *SECRETS[:2], *FILES[:2]),
    ("decode",): (*KEY_OPTIONS, *SECRETS[:2], *FILES[:2], "--token", "--ken"),
    ("encode", CREDIT): (*KEY_OPTIONS, *SECRETS[:2], *CREDIT_OPTIONS),
    ("encode", KEY_CHANGE): (*KEY_OPTIONS, *SECRETS, *FILES, *NEW_OPTIONS, "--new-ken", "--issued-at"),
    **{
        ("encode", kind.command): tuple(f"--{field.option}" for field in kind.layout if field.option)
        for kind in TOKEN_KINDS
        if kind.command not in (CREDIT, KEY_CHANGE)
    },
}
USUAL = {
    ("key",): VENDING,
    ("decode",): (*VENDING, TOKEN),
    ("encode", CREDIT): VENDING,
    ("encode", KEY_CHANGE): VENDING,
    ("encode", "test"): (),
    ("encode", "test-4"): (),
    ("encode", "extended-read"): (),
}


@st.composite
def typed(draw: st.DrawFn) -> list[str]:
    command = draw(st.sampled_from(sorted(OPTIONS_OF)))
    names = draw(st.lists(st.sampled_from(OPTIONS_OF[command]), unique=True, max_size=4))
    # NAME=VALUE: otherwise values that begin with a hyphen would be options
    options = [f"{name}={draw(HEX if name in SECRETS else ODD)}" for name in names]
    usual = draw(st.sampled_from([(), USUAL.get(command, DECODER)]))
    return [*command, *usual, *options, *draw(st.sampled_from([[], ["--json"]]))]


@settings(max_examples=250)
@given(typed())
@example(["encode", "credit", *DECODER, "--kwh=1", "--issued-at=0001-01-01T00:00+14:00"])
@example(["encode", "credit", *DECODER, "--kwh=1", "--issued-at=9999-12-31T23:59-14:00"])
@example(["key", "--vending-key-file=\0", *VENDING[2:]])
@example(["key", "--vending-key-file=a\nb", *VENDING[2:]])
@example(["encode", "test", "--control=0x" + "f" * 5000])
@example(["decode", *DECODER, "--token=", TOKEN])
def test_odd_input_is_answered_or_refused_in_one_line(words: list[str]) -> None:
    code, out, error = whole_command(*words)
    if code == 2:
        assert out == ""
        assert error.startswith("simmeters sts")
        assert error.count("\n") == 1
    else:
        assert code in (0, 1)
        assert error == ""
        assert (json.loads(out)["lab"] == LAB) if "--json" in words else out.startswith(f"{LAB}\n")
    assert VENDING_KEY not in error


@settings(max_examples=100)
@given(st.lists(ODD, max_size=4))
def test_odd_words_behind_decode_are_a_token_or_none(words: list[str]) -> None:
    code, _, error = whole_command("decode", *DECODER, "--", *words)
    assert code in (0, 1, 2)
    assert error.count("\n") == (code == 2)
