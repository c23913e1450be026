"""The rules of the project that a machine can check: layers, purity, secrets, form, and tests that look."""

from __future__ import annotations

import ast
import dataclasses
import importlib
import re
import shutil
import subprocess
import sys
import typing
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PACKAGES = ("cosem_objects", "transports", "gateway", "sim_meters")

# Who may import whom. gateway and sim_meters never meet: what touches STS keys is out of the head-end's reach.
MAY_IMPORT = {
    "cosem_objects": set(),
    "transports": set(),
    "gateway": {"cosem_objects", "transports"},
    "sim_meters": {"cosem_objects", "transports"},
}
NEVER_IMPORTED = {"config", "tests", "benchmarks"}

# Files that understand something and wait for nothing: bytes or values in, values out.
PURE = {
    "transports/endpoint.py",
    "transports/wrapper.py",
    "transports/hdlc/connection.py",
    "transports/hdlc/client.py",
    "transports/hdlc/frame.py",
    "transports/hdlc/receiver.py",
    "transports/hdlc/server.py",
    "transports/serial/mode_e.py",
    "transports/trace/pcapng.py",
    "transports/serial/format.py",
    "transports/serial/simulated_line.py",
    "transports/trace/hdlc.py",
    "transports/trace/observer.py",
    "transports/trace/wrapper.py",
    "gateway/captured_frames.py",
    "gateway/consequence.py",
    "gateway/links.py",
    "gateway/meters.py",
    "gateway/orders.py",
    "gateway/schedule.py",
    "gateway/shown.py",
    "gateway/store/records.py",
    "gateway/timeline.py",
    "gateway/translator.py",
    "gateway/verdict.py",
    "gateway/verdict_words.py",
    "gateway/webhooks/backlog.py",
    "gateway/webhooks/message.py",
    "gateway/webhooks/retry.py",
    "gateway/webhooks/target.py",
}
PURE_ONCE_WRITTEN = {"gateway/campaigns.py"}
NOT_PURE = {
    "asyncio",
    "contextvars",
    "http",
    "io",
    "logging",
    "multiprocessing",
    "os",
    "pathlib",
    "random",
    "secrets",
    "select",
    "selectors",
    "signal",
    "socket",
    "ssl",
    "subprocess",
    "tempfile",
    "threading",
    "time",
    "uvloop",
}
FETCHED = {"now", "utcnow", "today"}
"""Methods that ask a clock: time is handed in."""


@cache
def tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"), str(path))


def sources(*folders: str) -> list[Path]:
    return sorted(path for folder in folders for path in (ROOT / folder).rglob("*.py"))


def name_of(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def imported(path: Path) -> Iterator[str]:
    """Full names of all that a file imports, wherever in it; relative imports made absolute."""
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            parts = path.relative_to(ROOT).parts[: -node.level] if node.level else ()
            module = ".".join((*parts, node.module or "")).strip(".")
            yield module
            yield from (f"{module}.{alias.name}" for alias in node.names)
        elif isinstance(node, ast.Call) and ast.unparse(node.func) in {"importlib.import_module", "__import__"}:
            first = node.args[0] if node.args else None
            yield first.value if isinstance(first, ast.Constant) and isinstance(first.value, str) else "?"


def packages_imported(path: Path) -> set[str]:
    return {module.partition(".")[0] for module in imported(path)}


# Layers.


@pytest.mark.parametrize("path", sources(*PACKAGES), ids=name_of)
def test_a_package_imports_only_what_lies_below_it(path: Path) -> None:
    own = path.relative_to(ROOT).parts[0]
    others = packages_imported(path) & ({*PACKAGES} | NEVER_IMPORTED) - {own}
    assert others <= MAY_IMPORT[own], f"{name_of(path)} imports {', '.join(sorted(others - MAY_IMPORT[own]))}"


def test_the_meaning_layer_needs_only_the_standard_library_and_cryptography() -> None:
    for path in sources("cosem_objects"):
        foreign = packages_imported(path) - sys.stdlib_module_names - {"cosem_objects"}
        assert foreign <= {"cryptography"}, f"{name_of(path)} imports {foreign}"


def _pure_files() -> list[Path]:
    chosen = [ROOT / name for name in sorted(PURE)]
    chosen += [ROOT / name for name in sorted(PURE_ONCE_WRITTEN) if (ROOT / name).exists()]
    chosen += [path for path in sources(*PACKAGES) if _says_it_is_pure(path)]
    return sorted({*sources("cosem_objects"), *chosen})


def _says_it_is_pure(path: Path) -> bool:
    return re.search(r"\bPure[.:;]", ast.get_docstring(tree(path)) or "") is not None


@pytest.mark.parametrize("path", _pure_files(), ids=name_of)
def test_what_understands_a_protocol_waits_for_nothing_and_fetches_nothing(path: Path) -> None:
    forbidden = packages_imported(path) & NOT_PURE
    assert not forbidden, f"{name_of(path)} imports {forbidden}"
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.Call):
            called = node.func.attr if isinstance(node.func, ast.Attribute) else ast.unparse(node.func)
            assert called not in FETCHED, f"{name_of(path)}:{node.lineno} asks a clock"
            assert ast.unparse(node.func) not in {"open", "input", "print"}, f"{name_of(path)}:{node.lineno} does I/O"
        assert not isinstance(node, ast.AsyncFunctionDef | ast.Await), f"{name_of(path)} waits"


def test_every_file_of_hdlc_without_a_wire_is_among_the_pure_ones() -> None:
    waiting = {name_of(path) for path in sources("transports") if "asyncio" in packages_imported(path)}
    async_names = {
        name_of(path)
        for path in sources("transports")
        if any(isinstance(node, ast.AsyncFunctionDef) for node in ast.walk(tree(path)))
    }
    hdlc = {name_of(path) for path in sources("transports") if path.name.startswith(("hdlc", "wrapper", "endpoint"))}
    assert hdlc - waiting - async_names <= PURE


def test_the_meaning_layer_can_be_imported_without_an_event_loop() -> None:
    modules = [name_of(path).removesuffix(".py").replace("/", ".") for path in sources("cosem_objects")]
    imports = "; ".join(f"import {module.removesuffix('.__init__')}" for module in modules)
    program = f"{imports}; import sys; sys.exit('asyncio' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", program], cwd=ROOT, check=False).returncode == 0


# Form.


@pytest.mark.parametrize(
    "command",
    [["ruff", "check", "--quiet", "."], ["ruff", "format", "--check", "--quiet", "."], ["mypy"]],
    ids=["lint", "format", "types"],
)
def test_the_tools_have_nothing_to_say(command: list[str]) -> None:
    done = subprocess.run(
        [sys.executable, "-m", *command], cwd=ROOT, capture_output=True, text=True, timeout=300, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr


# What must not be in the repository.


@cache
def tracked() -> list[Path]:
    """The files under version control, or about to be; all of them where there is no git."""
    git = shutil.which("git")
    if git is None or not (ROOT / ".git").exists():
        return [path for path in ROOT.rglob("*") if path.is_file() and path.relative_to(ROOT).parts[0][0] != "."]
    listed = subprocess.run(
        [git, "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    return [path for name in listed.stdout.split("\0") if name and (path := ROOT / name).is_file()]


def _text(path: Path) -> str:
    return path.read_bytes().decode("utf-8", "replace")


def test_lock_files_name_no_index_and_no_place() -> None:
    locks = [path for path in tracked() if path.suffix == ".lock" or path.name.endswith((".lock.json", "-lock.json"))]
    assert locks
    for path in locks:
        for number, line in enumerate(_text(path).splitlines(), 1):
            assert not re.search(r"://|--(extra-)?index-url|--find-links|@ file:|^\s*-e |^/", line), (
                f"{name_of(path)}:{number}"
            )


def test_every_locked_requirement_has_its_hashes() -> None:
    for path in tracked():
        if path.suffix == ".lock" and path.parent.name == "requirements":
            for requirement in re.split(r"\n(?=\S)", _text(path)):
                pinned = not requirement.startswith("#") and requirement.strip()
                assert not pinned or ("==" in requirement and "--hash=sha256:" in requirement), requirement[:80]


def test_no_file_names_a_place_on_this_machine() -> None:
    places = {str(ROOT), str(Path.home())}
    deep_enough = [place for place in places if len(Path(place).parts) >= 3]
    for path in tracked():
        text = _text(path)
        for place in deep_enough:
            assert not re.search(rf"(?<![\w/.-]){re.escape(place)}(?![\w-])", text), f"{name_of(path)} names {place}"


# Secrets.

SECRET_NAME = re.compile(r"(^|_)(password|passwords|secret|secrets|key|keys|ek|ak|kek|digits|token|tokens)$")
OPEN_OCTETS = re.compile(r"(^|_)(time|title|challenge)$")
"""Octets that anybody may see. In all others an APDU may stand, and in it a token."""
SHOWABLE = {
    "cosem_objects.dlms.apdu.prefix.NetworkAddress.physical": "where a meter is to be found",
    "sim_meters.sts.keys.identity.MeterPan.digits": "the number that is printed on the meter",
}


def dataclasses_of_ours() -> Iterator[type]:
    for path in sources(*PACKAGES):
        name = name_of(path).removesuffix(".py").replace("/", ".").removesuffix(".__init__")
        if name.endswith("__main__"):
            continue
        module = importlib.import_module(name)
        for value in vars(module).values():
            if isinstance(value, type) and value.__module__ == name and dataclasses.is_dataclass(value):
                yield value


def _may_be_secret(kind: type, field: dataclasses.Field[object]) -> bool:
    """Octets without a harmless name, and text or numbers in a field that is called like a secret.

    ``Token``, ``Data`` and the like know by themselves what not to show.
    """
    try:
        hint = typing.get_type_hints(kind).get(field.name)
    except NameError:  # a name that only the type checker knows
        hint = field.type
    words = set(re.findall(r"\w+", hint.__name__ if isinstance(hint, type) else str(hint)))
    if words & {"bytes", "bytearray", "memoryview"} and not OPEN_OCTETS.search(field.name):
        return True
    return bool(words & {"str", "int"} and SECRET_NAME.search(field.name))


def _has_generated_repr(kind: type) -> bool:
    return hasattr(kind.__repr__, "__wrapped__")  # dataclasses wraps its own against recursion


def test_no_dataclass_shows_a_field_that_may_hold_a_secret() -> None:
    shown = [
        name
        for kind in dataclasses_of_ours()
        if _has_generated_repr(kind)
        for field in dataclasses.fields(kind)
        if (name := f"{kind.__module__}.{kind.__qualname__}.{field.name}") not in SHOWABLE
        if field.repr and _may_be_secret(kind, field)
    ]
    assert not shown


def test_the_rule_about_secrets_recognises_one() -> None:
    @dataclasses.dataclass
    class Leaky:
        password: str
        key_type: int
        meter: str
        frame: bytes
        system_title: bytes
        hidden_key: bytes = dataclasses.field(repr=False)

    @dataclasses.dataclass
    class Discreet:
        password: str

        def __repr__(self) -> str:
            return "<Discreet>"

    suspects = [field.name for field in dataclasses.fields(Leaky) if _may_be_secret(Leaky, field)]
    assert suspects == ["password", "frame", "hidden_key"]
    assert _has_generated_repr(Leaky)
    assert not _has_generated_repr(Discreet)


# Tests that look.


_LOOKING_CALLS = {"pytest.raises", "pytest.fail", "pytest.warns", "run_state_machine_as_test"}


def _looks(function: ast.AST, lookers: set[str]) -> bool:
    """It asserts something; or it throws chosen things at the code, and lets through only the errors it names."""
    is_property = any("given" in ast.unparse(decorator) for decorator in getattr(function, "decorator_list", []))
    for node in ast.walk(function):
        if isinstance(node, ast.Assert) or (is_property and isinstance(node, ast.ExceptHandler)):
            return True
        if isinstance(node, ast.Call):
            called = ast.unparse(node.func)
            if called in _LOOKING_CALLS or called.rpartition(".")[2] in lookers:
                return True
            if is_property and called in {"suppress", "contextlib.suppress"}:
                return True
    return False


def _functions(module: ast.Module) -> list[ast.FunctionDef | ast.AsyncFunctionDef]:
    return [node for node in ast.walk(module) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)]


@cache
def lookers() -> frozenset[str]:
    """Helpers of the tests that look, themselves or through one another."""
    known: set[str] = set()
    helpers = [
        function
        for path in sources("tests")
        for function in _functions(tree(path))
        if not function.name.startswith("test_")
    ]
    while True:
        found = {function.name for function in helpers if function.name not in known and _looks(function, known)}
        if not found:
            return frozenset(known)
        known |= found


@pytest.mark.parametrize("path", [path for path in sources("tests") if path.name.startswith("test_")], ids=name_of)
def test_every_test_looks_at_something(path: Path) -> None:
    tests = [function for function in _functions(tree(path)) if function.name.startswith("test_")]
    blind = [function.name for function in tests if not _looks(function, set(lookers()))]
    assert tests, f"{name_of(path)} holds no test"
    assert not blind, f"{name_of(path)}: {', '.join(blind)} can never fail"


def test_the_rule_about_tests_recognises_a_blind_one() -> None:
    blind, seeing = ast.parse("def test_a(): run()\ndef test_b(): assert run()").body
    assert not _looks(blind, set())
    assert _looks(seeing, set())
    assert _looks(blind, {"run"})
