"""Chores: crons that fire, threads and items that expire. Every process looks; what one takes, another does not get."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from typing import TYPE_CHECKING

from fiel.infra.ledger.sealing import Sealing
from fiel.infra.runs.assistants import Assistants
from fiel.infra.runs.crons import Crons, Firing
from fiel.infra.runs.deadlines import Due
from fiel.infra.runs.expiry import Expiry
from fiel.infra.runs.names import new_id
from fiel.infra.runs.reviewing import Reviewing
from fiel.infra.runs.rights import Now
from fiel.infra.runs.spec import Basis, asker, spec_of
from fiel.tools.errors import DatabaseUnavailable, FielError

if TYPE_CHECKING:
    from fiel.infra.runs.engine import Engine

_LOG = logging.getLogger("fiel.runs")
CRONS = 1.0
EXPIRY = 30.0
LINEAGE = 1.0
"""Seconds between looks."""


class Chores:
    """What an engine does by the clock."""

    def __init__(
        self,
        engine: "Engine",
        assistants: Assistants,
        crons: Crons,
        expiry: Expiry,
        rights: Now,
        reviewing: Reviewing,
        sealing: Sealing,
        others: Sequence[Callable[[], Awaitable[int]]] = (),
        following: Sequence[Callable[[], Awaitable[int]]] = (),
    ) -> None:
        """`others`: what is done at every look for what has expired; `following`: what follows the sealed chain."""
        self._engine = engine
        self._assistants = assistants
        self._crons = crons
        self._expiry = expiry
        self._rights = rights
        self._reviewing = reviewing
        self.sealing = sealing
        self._others = others
        self._following = following

    async def run(self) -> None:
        """Until cancelled."""
        await asyncio.gather(
            self._again(CRONS, self.fire),
            self._again(EXPIRY, self._expiry.sweep),
            self._again(EXPIRY, self._reviewing.expire),
            self.sealing.run(),
            *(self._again(LINEAGE, follow) for follow in self._following),
            *(self._again(EXPIRY, other) for other in self._others),
        )

    async def _again(self, every: float, act: Callable[[], Awaitable[int]]) -> None:
        while True:
            await asyncio.sleep(every)
            try:
                await act()
            except FielError as error:
                _LOG.warning("a chore waits: %s", error.code)
            except Exception:
                _LOG.exception("a chore failed")

    async def fire(self) -> int:
        """Make the runs of crons that are due; how many were. Raises DatabaseUnavailable."""
        due = await self._crons.due()
        for one in due:
            try:
                await self._fire(one)
            except DatabaseUnavailable:
                raise
            except Exception:  # one that cannot be read must not keep the others; it is due again after a while
                _LOG.exception("a cron could not fire", extra={"cron": str(one.id)})
        return len(due)

    async def _fire(self, due: Due) -> None:
        async with self._crons.firing(due) as firing:
            if firing is None:
                return
            try:
                async with firing.connection.transaction():
                    await self._make(firing)
            except FielError as error:  # this occurrence is none; the next may be
                _LOG.warning("a cron made no run", extra={"code": error.code, "cron": str(due.id)})

    async def _make(self, firing: Firing) -> None:
        cron, owner = firing.cron, firing.owner
        who = await self._rights(asker({"tenant": owner.tenant, "id": owner.id, **cron.asker}))
        if who is None:
            _LOG.warning("a cron's owner has no right any more", extra={"cron": str(cron.cron_id)})
            return
        found = await self._assistants.resolve(firing.connection, owner, str(cron.assistant_id))
        basis = Basis(found.assistant_id, found.graph_id, found.config, found.context, found.metadata)
        sent = {**cron.payload, "on_completion": cron.on_run_completed}
        sent["metadata"] = {**cron.metadata, "cron_id": str(cron.cron_id)}
        spec = spec_of(sent, basis, cron.thread_id or new_id(), stateless=cron.thread_id is None)
        await self._engine.runs.submit_in(firing.connection, who, spec, firing.run_id, None)
