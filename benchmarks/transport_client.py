"""The client of ``benchmarks.transports``: whole deliveries as the service makes them, over links that meters share.

python -m benchmarks.transport_client < JOB
"""

from __future__ import annotations

import asyncio

from benchmarks.measure import Job, loop_factory, measure, read_job
from benchmarks.ours import Contender
from gateway.session import connect_through
from transports.link_pool import LinkPool


async def _deliver(job: Job) -> None:
    pool = LinkPool()
    try:
        await measure(job, Contender(job.secrets, connect_through(pool)).delivery)
    finally:
        await pool.close()


def main() -> None:
    job = read_job()
    with asyncio.Runner(loop_factory=loop_factory(uses_uvloop=job.uvloop)) as runner:
        runner.run(_deliver(job))


if __name__ == "__main__":
    main()
