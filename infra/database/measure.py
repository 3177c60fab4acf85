"""How long a caller's transaction takes, for the benchmark."""

import time

from fiel.infra.database.connect import Database
from fiel.tools.principal import Principal


async def round_trip(database: Database, principal: Principal, times: int = 1000) -> dict[str, float]:
    """`acting` with one SELECT, `times` over: median and 95th percentile, and CPU time of this process, in µs each."""
    taken = []
    begun = time.process_time()
    for _ in range(times):
        start = time.perf_counter()
        async with database.acting(principal) as connection:
            await (await connection.execute("SELECT 1")).fetchone()
        taken.append(time.perf_counter() - start)
    cpu = (time.process_time() - begun) / times
    taken.sort()
    return {"p50": taken[times // 2] * 1e6, "p95": taken[int(times * 0.95)] * 1e6, "cpu": cpu * 1e6}
