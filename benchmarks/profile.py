"""Where our time goes: cProfile around deliveries of ours against canned replies.

python -m benchmarks.profile [KIND] [WIRE] [SECURITY] [COUNT]      default: bare tcp hls-gmac 2000
"""

from __future__ import annotations

import asyncio
import cProfile
import os
import pstats
import secrets
import sys
from importlib.util import find_spec
from unittest.mock import patch

from benchmarks.measure import HOST, Sale, cores, loop_factory
from benchmarks.ours import Contender, recorded_challenge
from benchmarks.stock import SECURITIES, CannedReplies, Meters

CONCURRENCY = 50
LINES = 45


async def _deliver(contender: Contender, kind: str, lanes: list[list[Sale]]) -> None:
    async def serve(lane: list[Sale]) -> None:
        for sale in lane:
            await contender.form(kind)(sale)

    await asyncio.gather(*map(serve, lanes))


def main() -> None:
    given = dict(enumerate(sys.argv[1:]))
    kind, wire, security = given.get(0, "bare"), given.get(1, "tcp"), given.get(2, "hls-gmac")
    each = int(given.get(3, "2000")) // CONCURRENCY
    core, other_core = cores()
    if core is not None:
        os.sched_setaffinity(0, {core})
    with Meters.listening(f"{wire}://{HOST}:0", security, 1, other_core) as meters:
        with meters.side.running():
            deliveries = asyncio.run(meters.record())
        with CannedReplies.listening(deliveries, other_core) as canned, canned.side.running():
            contender = Contender(SECURITIES[security])
            lanes = canned.sell(kind, each, CONCURRENCY)
            profile = cProfile.Profile()
            loop = loop_factory(uses_uvloop=find_spec("uvloop") is not None)
            with patch.object(secrets, "token_bytes", recorded_challenge), asyncio.Runner(loop_factory=loop) as runner:
                runner.run(_deliver(contender, kind, [lane[:1] for lane in lanes]))
                profile.runcall(runner.run, _deliver(contender, kind, lanes))
    pstats.Stats(profile).sort_stats("tottime").print_stats(LINES)


if __name__ == "__main__":
    main()
