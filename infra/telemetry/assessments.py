"""Feedback on its way to MLflow, where it is an assessment of the run's trace. At least once; twice is once.

A row goes when the trace is there. One that MLflow does not take is tried again later and later, and holds up no other.
"""

import logging
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import orjson

from fiel.infra.ledger.keys import KeyUnavailable
from fiel.infra.ledger.postgres import System
from fiel.infra.ledger.subjects import KeyErased, Keys
from fiel.infra.telemetry.mlflow import Mlflow, MlflowUnavailable, Refused
from fiel.tools.sql import load

_LOG = logging.getLogger("fiel.telemetry")
NAME = "feedback"
"""What MLflow calls the assessment; its own default."""
LONGEST = 3600.0
"""Longest pause between two tries of a row, in seconds."""


@dataclass(frozen=True, slots=True)
class _Row:
    id: int
    feedback: UUID
    key: str
    data: bytes
    tries: int
    run: UUID


class Assessments:
    """Ships the feedback of one database to one MLflow server."""

    def __init__(self, system: System, keys: Keys, mlflow: Mlflow, *, pause: float = 2.0) -> None:
        """`pause`: seconds until a row that was not taken is tried again; each time twice as long."""
        self._system = system
        self._keys = keys
        self._mlflow = mlflow
        self._pause = pause
        self._sql = load(__package__, "assessments.sql")

    async def ship_once(self, limit: int = 32) -> int:
        """Ship at most `limit` rows; returns how many went. 0 too where another process is shipping.

        Raises MlflowUnavailable and DatabaseUnavailable; rows that went are gone all the same.
        """
        failure: MlflowUnavailable | None = None
        gone: list[int] = []
        async with self._system() as connection:
            for row in await self._take(connection, limit):
                try:
                    problem = await self._ship(row)
                except MlflowUnavailable as error:
                    failure, problem = error, error.code
                if problem:
                    await self._later(connection, row, problem)
                else:
                    gone.append(row.id)
                if failure is not None:
                    break
            if gone:
                await connection.execute(self._sql["shipped"], (gone,))
        if failure is not None:
            raise failure
        return len(gone)

    async def _take(self, connection: Any, limit: int) -> list[_Row]:
        alone = await (await connection.execute(self._sql["lock"])).fetchone()
        if not alone or not alone[0]:
            return []
        cursor = connection.cursor(binary=True)
        await cursor.execute(self._sql["take"], (limit,))
        return [
            _Row(id, feedback, key, bytes(data), *rest) for id, feedback, key, data, *rest in await cursor.fetchall()
        ]

    async def _ship(self, row: _Row) -> str:
        """Why the row stays; empty: it is done with. Raises MlflowUnavailable."""
        try:
            key = await self._keys.named(row.key)
            told = orjson.loads(key.cipher.open("assessment", str(row.feedback), row.data, row.key))
        except KeyErased:
            return ""  # whoever said it was erased before MLflow was told
        except KeyUnavailable as error:
            return error.code
        try:
            there = await self._mlflow.assess(row.run.hex, _id(row.feedback), _assessment(row, told))
        except Refused as error:
            return str(error)
        return "" if there else "no_trace"

    async def _later(self, connection: Any, row: _Row, problem: str) -> None:
        _LOG.warning("feedback waits", extra={"feedback": str(row.feedback), "code": problem})
        seconds = min(self._pause * 2 ** min(row.tries, 20), LONGEST)
        values = {"id": row.id, "seconds": seconds, "problem": problem}
        await connection.execute(self._sql["later"], values)


def _id(feedback: UUID) -> str:
    """The assessment's id follows from the feedback's, so that shipping it again makes no second one."""
    return f"a-{feedback.hex}"


def _assessment(row: _Row, told: dict[str, Any]) -> dict[str, Any]:
    """An assessment as `mlflow.log_feedback` sends it: protobuf's JSON."""
    return {
        "assessment_name": NAME,
        "source": {"source_type": "HUMAN", "source_id": told["by"]},
        "create_time": told["at"],
        "last_update_time": told["at"],
        "feedback": {"value": told["score"]},
        "rationale": told["comment"],
        "metadata": {"fiel.run": str(row.run), "fiel.labels": orjson.dumps(told["labels"]).decode()},
        "valid": True,
    }
