"""The descriptors 0, 1 and 2: standard input, standard output and standard error."""

from __future__ import annotations

import os
from contextlib import suppress


def fill_standard_descriptors() -> None:
    """Open nothing in place of those that are closed.

    Else the next socket gets one of these numbers: what is printed would go to the meter, and uvloop aborts. The
    streams of ``sys`` stay ``None``, as Python has set them.
    """
    for descriptor in range(3):
        try:
            os.fstat(descriptor)
        except OSError:
            with suppress(OSError):
                os.open(os.devnull, os.O_RDWR)  # gets the lowest free number, which is this one
