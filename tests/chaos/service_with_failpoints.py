"""``stsgate serve`` with a fail-point armed, if the environment names one."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from gateway.__main__ import main
from tests.chaos.failpoints import ARMED, REACHED, Trap, arm

if __name__ == "__main__":
    armed = os.environ.get(ARMED)
    if armed:
        arm(Trap.parse(armed, Path(os.environ[REACHED])))
    sys.exit(main(["serve", *sys.argv[1:]]))
