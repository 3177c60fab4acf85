"""What callers say about runs: a row, an act of the ledger, and what MLflow is to be told, in one transaction."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from uuid import UUID

import orjson

from fiel.infra.database.connect import Database
from fiel.infra.desk.operations import SEES_RUNS
from fiel.infra.ledger.acts import Act, record
from fiel.infra.ledger.attempts import attempts
from fiel.infra.ledger.encode import digest
from fiel.infra.ledger.subjects import DataKey, Keys
from fiel.infra.runs.errors import NotFound
from fiel.infra.runs.names import new_id, place
from fiel.infra.runs.rows import Connection, Row, one
from fiel.tools.canonical import canonical, score
from fiel.tools.principal import Principal
from fiel.tools.sql import load

Shown = Callable[[str], str]
"""A text as it may stand in a trace."""


@dataclass(frozen=True, slots=True)
class Said:
    """What a caller says about a run."""

    score: float
    """From -1, bad, to 1, good."""
    comment: str = ""
    labels: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Given:
    """Feedback as it was kept."""

    feedback_id: UUID
    run_id: UUID
    created_at: datetime


class Feedback:
    """The feedback of a database. `shown` redacts what MLflow is told; None: these graphs have no traces."""

    def __init__(self, database: Database, keys: Keys, shown: Shown | None) -> None:
        self._database = database
        self._keys = keys
        self._shown = shown
        self._sql = load(__package__, "feedback.sql")

    async def give(self, principal: Principal, run: UUID, said: Said) -> Given:
        """Keep what the caller says about a run that they may see; saying more later is one more row.

        Raises NotFound, DatabaseUnavailable, KeyUnavailable.
        """
        key = await self._keys.of(principal.tenant, principal.id)
        feedback_id = new_id()
        told = _told(key, principal, feedback_id, said, self._shown) if self._shown else None
        values = {
            "tenant": principal.tenant,
            "principal": principal.id,
            "every": principal.may(*SEES_RUNS),
            "run": run,
            "attempts": [UUID(name) for name in attempts(str(run))],
            "feedback_id": feedback_id,
            "score": said.score,
            "key": key.id,
        }
        async with self._database.acting(principal) as connection:
            await self._see(connection, values)
            row = await one(
                connection, self._sql["give"], values | {"data": _sealed(key, principal, feedback_id, said)}
            )
            if told is not None:
                await connection.execute(self._sql["tell"], values | {"told": told})
            await record(connection, _act(key, principal, run, feedback_id, said))
        assert row is not None  # noqa: S101 - an insertion without a condition
        return Given(feedback_id, run, row["at"])

    async def _see(self, connection: Connection, values: Row) -> None:
        for name in ("seen", "of_thread"):
            if await one(connection, self._sql[name], values) is not None:
                return
        raise NotFound(f"there is no run {values['run']}", where="run_id")


def _sealed(key: DataKey, principal: Principal, id: UUID, said: Said) -> bytes:
    content = {"comment": said.comment, "labels": said.labels}
    return key.cipher.seal("feedback", place(principal, id), orjson.dumps(content))


def _told(key: DataKey, principal: Principal, id: UUID, said: Said, shown: Shown) -> bytes:
    """What MLflow is to be told, with the texts redacted as in traces."""
    told = {
        "by": principal.id,
        "at": datetime.now(UTC).isoformat(timespec="milliseconds"),
        "score": said.score,
        "comment": shown(said.comment) if said.comment else "",
        "labels": [shown(label) for label in said.labels],
    }
    return key.cipher.seal("assessment", str(id), orjson.dumps(told))


def _act(key: DataKey, principal: Principal, run: UUID, id: UUID, said: Said) -> Act:
    """The act proves what was said by its digest, under a key that goes with the person."""
    content = digest(canonical({"comment": said.comment, "labels": list(said.labels)}), key.mac)
    return Act(principal, "feedback", str(run), {"feedback": str(id), "score": score(said.score), "digest": content})
