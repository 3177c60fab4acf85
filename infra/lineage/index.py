"""The index of lineage: follows each tenant's sealed chain and writes down which versions of documents runs used.

Reading the seals that are new and noting how far is one transaction, one process at a time: one that is killed leaves
both or neither. What is indexed twice is there once.
"""

import asyncio
import logging
import uuid
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from itertools import islice
from typing import Any, TypeVar

from fiel.infra.database.connect import Database
from fiel.infra.ledger.acts import Act, record
from fiel.infra.ledger.postgres import System
from fiel.infra.ledger.subjects import Keys
from fiel.infra.ledger.verify import split
from fiel.infra.lineage.catalogue import put
from fiel.infra.lineage.facts import Told, origin, released, told, uses
from fiel.infra.lineage.openlineage import of_answer
from fiel.tools.errors import NotPermitted
from fiel.tools.principal import Principal
from fiel.tools.sql import load

_LOG = logging.getLogger("fiel.lineage")
T = TypeVar("T")
SEALS = 16
"""Seals of a tenant that are read at once."""
RUNS = 200
"""Runs that are read at once."""


class Indexing:
    """Keeps the index of one database."""

    def __init__(self, system: System, keys: Keys, *, tells: bool = False) -> None:
        """`tells`: keep an OpenLineage event of each run, for whoever sends them."""
        self._system = system
        self._keys = keys
        self._tells = tells
        self._sql = load(__package__, "index.sql")

    async def step(self) -> int:
        """Index some of what was sealed; how many seals. None where another process does.

        Raises DatabaseUnavailable.
        """
        async with self._system() as connection:
            lock = await (await connection.execute(self._sql["lock"])).fetchone()
            if not (lock and lock[0]):
                return 0
            seals = await (await connection.execute(self._sql["sealed"], {"most": SEALS})).fetchall()
            runs: dict[str, dict[str, int]] = {}
            for tenant, _, leaves in seals:
                sealed = ((id, seq) for _, kind, id, seq, *_ in split(bytes(leaves)) if kind == b"r")
                runs.setdefault(tenant, {}).update(sealed)
            for tenant, heads in runs.items():
                for part in batched(heads.items(), RUNS):
                    await self._index(connection, tenant, dict(part))
            for tenant, seal in {tenant: number for tenant, number, _ in seals}.items():
                await connection.execute(self._sql["place"], {"tenant": tenant, "seal": seal})
        return len(seals)

    async def catch_up(self) -> int:
        """Index everything that is sealed by now; how many seals."""
        total = 0
        while done := await self.step():
            total += done
        return total

    async def _index(self, connection: Any, tenant: str, heads: Mapping[str, int]) -> None:
        """Index those runs whose last entry was sealed; `heads` has the last sealed one of each."""
        rows: list[dict[str, Any]] = []
        for run, one in (await told(connection, self._keys, list(heads))).items():
            if one.tenant == tenant and len(one.bodies) == heads[run] + 1:
                try:
                    rows += await self._rows(connection, one)
                except (KeyError, TypeError, ValueError):  # contents of another form than fiel's own graph leaves
                    _LOG.exception("the lineage of a run cannot be read", extra={"run_id": run})
        await connection.execute("SELECT fiel.act_as(%s, '', '{}')", (tenant,))
        await connection.execute(self._sql["hold"], {"keys": sorted({row["key"] for row in rows})})
        await connection.execute(self._sql["again"], {"runs": sorted({row["run"] for row in rows})})
        async with connection.cursor() as cursor:
            await cursor.executemany(self._sql["add"], rows)

    async def _rows(self, connection: Any, one: Told) -> list[dict[str, Any]]:
        """Rows of a run that has ended, or has shown something; none of one whose contents cannot be read."""
        outcome, shown = one.end.get("outcome", ""), released(one)
        if one.lost or not (outcome or shown.sentences):
            return []
        _, passages = await origin(connection, self._keys, one, "passages")
        found = [use for use in uses(passages or (), shown) if _are_ids(use.document, use.version, *use.chunks)]
        if self._tells and outcome:
            await put(connection, await asyncio.to_thread(of_answer, one, found))  # it may import for seconds
        same = {"tenant": one.tenant, "run": one.run, "caller": one.caller, "started": one.started}
        return [
            {
                **same,
                "outcome": outcome,
                "key": one.key,
                "document": use.document,
                "version": use.version,
                "chunks": list(use.chunks),
                "sentences": list(use.sentences),
            }
            for use in found
        ]


def batched(items: Iterable[T], size: int) -> Iterator[list[T]]:
    """`items` in lists of that size; the last may be shorter."""
    left = iter(items)
    while part := list(islice(left, size)):
        yield part


def _are_ids(*names: str) -> bool:
    with suppress(ValueError):
        return all(uuid.UUID(name) for name in names)
    return False


async def rebuild(database: Database, by: Principal, indexing: Indexing) -> int:
    """Forget the index of the caller's tenant and make it anew from the ledger; how many seals were read.

    Raises NotPermitted.
    """
    if not by.may("auditor", "administrator"):
        raise NotPermitted("the index is made anew by auditors and administrators", where="lineage")
    sql, values = load(__package__, "index.sql"), {"tenant": by.tenant}
    async with database.acting(by) as connection:
        await record(connection, Act(by, "audit_read", by.tenant, {"what": "lineage_rebuild"}))
        await connection.execute(sql["alone"])  # whoever indexes now would note a place that is none any more
        await connection.execute(sql["begin"], values)
        await connection.execute(sql["clear"], values)
    return await indexing.catch_up()
