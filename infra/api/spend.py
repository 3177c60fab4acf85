"""What runs cost each owner a day (UTC), and the limit of it.

The limit is looked at before a run begins, wherever it begins; a run that goes on may take an owner over it.
"""

import logging
from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal, InvalidOperation
from typing import Any

from fiel.infra.api.errors import TooMany
from fiel.infra.database.connect import Database
from fiel.infra.hosts.own import OwnHost
from fiel.infra.hosts.port import HostEnd, HostItem, RunOrder
from fiel.tools.errors import DatabaseUnavailable
from fiel.tools.principal import Principal
from fiel.tools.sql import load

LOG = logging.getLogger("fiel.api")


class SpendReached(TooMany):
    """The caller's runs have cost as much today as they may."""

    code = "spend_reached"


@dataclass(frozen=True, slots=True)
class Spend:
    """The costs of a database's owners. Raises DatabaseUnavailable."""

    database: Database
    limit: Decimal
    """In the units of `FIEL_CHAT_PRICE`; 0: none."""

    async def check(self, principal: Principal) -> None:
        """Raises SpendReached."""
        if not self.limit:
            return
        spent = await self.today(principal)
        if spent >= self.limit:
            wait = until_midnight(datetime.now(UTC))
            raise SpendReached(
                f"runs have cost {spent.normalize():f} today, and may cost {self.limit.normalize():f} a day",
                retry_after=wait,
                hint="Days end at midnight UTC",
            )

    async def today(self, principal: Principal) -> Decimal:
        """What the caller's runs have cost today."""
        values = {"tenant": principal.tenant, "owner": principal.id}
        async with self.database.acting(principal) as connection:
            row = await (await connection.execute(_sql("today"), values)).fetchone()
        return Decimal(row[0]) if row else Decimal(0)

    async def charge(self, principal: Principal, usage: Mapping[str, Any]) -> None:
        """Note what a run has cost."""
        try:
            cost = Decimal(str(usage.get("cost", "0")))
        except InvalidOperation:
            cost = Decimal(0)
        tokens = {name: int(usage.get(name) or 0) for name in ("input_tokens", "output_tokens")}
        if not cost and not any(tokens.values()):
            return
        values = {"tenant": principal.tenant, "owner": principal.id, "cost": str(cost), **tokens}
        async with self.database.acting(principal) as connection:
            await connection.execute(_sql("charge"), values)


def until_midnight(now: datetime) -> int:
    """Seconds until the day ends."""
    midnight = (now + timedelta(days=1)).replace(hour=0, minute=0, second=0, microsecond=0)
    return max(1, int((midnight - now).total_seconds()) + 1)


def _sql(name: str) -> str:
    return load(__package__, "spend.sql")[name]


@dataclass(frozen=True, slots=True)
class MeteredHost(OwnHost):
    """fiel's own graph, whose runs are charged."""

    spend: Spend

    async def run(self, order: RunOrder) -> AsyncGenerator[HostItem, None]:
        principal = order.caller.principal
        await self.spend.check(principal)
        async with aclosing(OwnHost.run(self, order)) as stream:
            async for item in stream:
                if isinstance(item, HostEnd):
                    await self._charge(principal, item)
                yield item

    async def _charge(self, principal: Principal, end: HostEnd) -> None:
        values = end.value()
        usage = values.get("usage") if isinstance(values, Mapping) else None
        try:
            await self.spend.charge(principal, usage if isinstance(usage, Mapping) else {})
        except DatabaseUnavailable as error:
            # The run has its answer, and the ledger what it cost.
            LOG.warning("a run is not charged", extra={"code": error.code})
