"""What MLflow has of the runs of a tenant, compared with the ledger: traces are a view, and this says how true a one.

The ledger keeps a receipt of each span that left. Whoever compares should have verified the chain: it covers receipts.
"""

import asyncio
import uuid
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from typing import Any

from fiel.infra.database.connect import Database
from fiel.infra.ledger.acts import Act, record
from fiel.infra.ledger.receipts import receipts
from fiel.infra.ledger.subjects import KeyErased, Keys
from fiel.infra.lineage.facts import Told, told
from fiel.infra.telemetry.compare import differences, of_runs
from fiel.infra.telemetry.mlflow import Mlflow
from fiel.tools.errors import NotPermitted
from fiel.tools.principal import Principal
from fiel.tools.sql import load

Json = dict[str, Any]
RUNS = 20
"""Traces that are asked for at once."""
ARRIVAL = 2.0
"""Seconds that MLflow may take to show what it has accepted."""


@dataclass(slots=True)
class Found:
    """What the comparison of some runs came to."""

    runs: int = 0
    spans: int = 0
    waiting: int = 0
    """Runs whose spans have not all been sent, or whose erased trace has not been removed yet."""
    refused: int = 0
    """Runs of which MLflow would not take some."""
    unrecorded: int = 0
    """Runs of a version of fiel that kept no receipts, or whose key is missing: nothing to compare with."""
    erased: int = 0
    broken: list[Json] = field(default_factory=list)
    """`{"run", "span", "name", "what"}`; without a span it is the trace as a whole."""

    def fail(self, run: str, what: str, span: str | None = None, name: str | None = None) -> None:
        self.broken.append({"run": run, "span": span, "name": name, "what": what})

    def add(self, other: "Found") -> None:
        for each in fields(self):
            setattr(self, each.name, getattr(self, each.name) + getattr(other, each.name))


async def compare(database: Database, keys: Keys, mlflow: Mlflow, by: Principal, since: int = 0) -> Json:
    """Compare the traces of the caller's tenant; `since` in microseconds since 1970.

    `{"runs", "spans", "waiting", "refused", "unrecorded", "erased", "broken"}`. Raises NotPermitted, MlflowUnavailable.
    """
    if not by.may("auditor", "administrator"):
        raise NotPermitted("the audit interface is for auditors and administrators", where="audit")
    async with database.acting(by) as connection:
        await record(connection, Act(by, "audit_read", by.tenant, {"what": "traces"}))
    comparison, total = _Comparison(database, keys, mlflow), Found()
    async for runs in comparison.runs(by.tenant, since):
        total.add(await comparison.batch(runs))
    async for names in mlflow.names(since // 1000):
        total.add(await comparison.strangers(names))
    return asdict(total)


@dataclass(frozen=True, slots=True)
class _Comparison:
    database: Database
    keys: Keys
    mlflow: Mlflow

    async def runs(self, tenant: str, since: int) -> AsyncIterator[list[str]]:
        """All runs of the tenant, in parts."""
        values = {"tenant": tenant, "since": since, "after": -1, "last": str(uuid.UUID(int=0)), "limit": RUNS}
        while rows := await self._rows("runs", values):
            yield [run for run, _ in rows]
            values |= {"last": rows[-1][0], "after": rows[-1][1]}

    async def batch(self, runs: Sequence[str]) -> Found:
        """What differs at two looks: between reading the ledger and asking MLflow, a run may have gone on."""
        looked = await self._look(runs)
        if again := [run for run, found in looked.items() if found.broken]:
            await asyncio.sleep(ARRIVAL)
            looked |= await self._look(again)
        total = Found()
        for found in looked.values():
            total.add(found)
        return total

    async def _look(self, runs: Sequence[str]) -> dict[str, Found]:
        async with self.database.system() as connection:
            facts = await told(connection, self.keys, runs)
        waiting = dict(await self._rows("waiting", {"runs": list(runs)}))
        names = [run.replace("-", "") for run in runs if run not in waiting]
        traces = of_runs(await self.mlflow.traces(names)) if names else {}
        return {
            run: Found(runs=1, waiting=1, refused=int(waiting[run]))
            if run in waiting
            else await self._one(one, traces.get(run.replace("-", "")))
            for run, one in facts.items()
        }

    async def _one(self, one: Told, trace: Mapping[str, Any] | None) -> Found:
        found, kept = Found(runs=1), receipts(one.contents)
        if isinstance(one.lost, KeyErased):
            found.erased = 1
            if trace is not None:
                found.fail(one.run, "the run was erased, and its trace is still there")
        elif not kept:
            found.unrecorded = 1
        elif trace is None:
            found.fail(one.run, "the trace is missing")
        else:
            found.spans = len(kept)
            for each in differences(trace, kept, (await self.keys.named(one.key)).mac):
                found.fail(one.run, each["what"], each["span"], each["name"])
        return found

    async def strangers(self, names: Sequence[str]) -> Found:
        """Traces of no run that the ledger has, of whichever tenant."""
        found, runs = Found(), [str(uuid.UUID(name)) for name in names]
        known = {row[0] for row in await self._rows("known", {"runs": runs})}
        for run in runs:
            if run not in known:
                found.fail(run, "the ledger knows no run of this trace")
        return found

    async def _rows(self, query: str, values: Mapping[str, Any]) -> list[tuple[Any, ...]]:
        async with self.database.system() as connection:
            return await (await connection.execute(load(__package__, "traces.sql")[query], values)).fetchall()
