"""The process in which one target is fuzzed: ``python -m tests.fuzz.engine NAME FOLDER [FLAGS OF LIBFUZZER]``.

The only module here that needs atheris. An input that breaks the target goes into the folder; what the fuzzer says and
returns is read by ``__main__``.
"""

from __future__ import annotations

import sys
from pathlib import Path

import atheris  # type: ignore[import-untyped]

from tests.fuzz.targets import load

# Ours, and the reader of TOML: through it a profile's text has to pass first.
WATCHED = ["cosem_objects", "transports", "gateway", "sim_meters", "tomllib"]


def main(name: str, folder: str, *flags: str) -> None:
    with atheris.instrument_imports(include=WATCHED):
        target = load(name)

    def one_input(octets: bytes) -> None:
        try:
            target.one_input(octets)
        except Exception:
            # The fuzzer does so too, but at the end of the process, where it may be too late.
            Path(folder, "crash").write_bytes(octets)
            raise

    atheris.Setup([name, *flags], one_input)
    atheris.Fuzz()


if __name__ == "__main__":
    main(*sys.argv[1:])
