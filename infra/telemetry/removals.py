"""Traces that are to go from MLflow, because who asked was erased or the time of their runs is over. At least once.

What an erasure leaves in PostgreSQL is the id of each run; whoever ships spans takes the traces away. The spans of such
runs are gone before their ids are queued, so that no trace comes back.
"""

from uuid import UUID

from fiel.infra.ledger.postgres import System
from fiel.infra.telemetry.mlflow import Mlflow, MlflowUnavailable
from fiel.tools.sql import load


class Removals:
    """Takes traces away from one MLflow server."""

    def __init__(self, system: System, mlflow: Mlflow) -> None:
        self._system = system
        self._mlflow = mlflow
        self._sql = load(__package__, "removals.sql")

    async def remove_once(self, limit: int = 100) -> int:
        """Take at most `limit` traces away; of how many runs they are gone.

        Raises MlflowUnavailable, and DatabaseUnavailable; what was not taken away is due again later.
        """
        failure: MlflowUnavailable | None = None
        async with self._system() as connection:
            rows = await (await connection.execute(self._sql["take"], (limit,))).fetchall()
            runs: list[UUID] = [row[0] for row in rows]
            if not runs:
                return 0
            try:
                await self._mlflow.forget([run.hex for run in runs])
            except MlflowUnavailable as error:
                failure = error
            await connection.execute(self._sql["later" if failure else "removed"], (runs,))
        if failure is not None:
            raise failure
        return len(runs)

    async def waiting(self) -> int:
        """Runs whose traces are still to go. Raises DatabaseUnavailable."""
        async with self._system() as connection:
            row = await (await connection.execute(self._sql["waiting"])).fetchone()
        return int(row[0]) if row else 0
