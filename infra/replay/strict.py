"""A strict replay in the shape of the interfaces."""

from typing import Any

from fiel.graphs.services import Services
from fiel.infra.ledger.store import Store
from fiel.infra.ledger.subjects import Keys
from fiel.infra.replay.record import Record, load
from fiel.infra.replay.walk import Walked, strict
from fiel.infra.telemetry.trace import RunNotFound
from fiel.tools.errors import FielError
from fiel.tools.principal import Principal


class NotPermitted(FielError):
    """The caller may not do this."""

    code = "not_permitted"


async def replay(store: Store, keys: Keys, principal: Principal, run: str, installed: Services) -> dict[str, Any]:
    """Replay a run of the caller's tenant. Raises NotPermitted, RunNotFound, NotReplayable, KeyUnavailable.

    A replay shows what was asked and read, so it is for administrators and auditors.
    """
    if not principal.may("administrator", "auditor"):
        raise NotPermitted("replays are for administrators and auditors", where="replay")
    record = await load(store, keys, run)
    if record.row.tenant != principal.tenant:
        raise RunNotFound("no such run", where=record.row.run)
    return shaped(record, await strict(record, installed))


def shaped(record: Record, found: Walked) -> dict[str, Any]:
    """The replay as one JSON value."""
    ends = [one.entry.decision.get("outcome") for one in record.entries]
    recorded = next((outcome for outcome in reversed(ends) if outcome), None)
    return {
        "run": record.row.run,
        "mode": "strict",
        "identical": found.first is None,
        "first_divergence": found.first,
        "hops": found.hops,
        "outcome": {"recorded": recorded, "replayed": found.outcome},
        "notes": found.notes,
        "live_calls": 0,
    }
