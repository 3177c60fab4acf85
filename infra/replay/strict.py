"""A strict replay in the shape of the interfaces."""

from typing import Any

from fiel.infra.ledger.store import Store
from fiel.infra.ledger.subjects import Keys
from fiel.infra.replay.record import Record, load
from fiel.infra.replay.stage import Stage
from fiel.infra.replay.walk import Walked, strict
from fiel.infra.telemetry.trace import RunNotFound
from fiel.tools.errors import NotPermitted
from fiel.tools.principal import Principal


async def replay(store: Store, keys: Keys, principal: Principal, run: str, stage: Stage) -> dict[str, Any]:
    """Replay a run of the caller's tenant. Raises NotPermitted, RunNotFound, NotReplayable, KeyUnavailable.

    A replay is for administrators and auditors. A difference holds what was asked and read; an auditor, who need not be
    allowed to read the passages, sees where it is and not the values.
    """
    if not principal.may("administrator", "auditor"):
        raise NotPermitted("replays are for administrators and auditors", where="replay")
    record = await load(store, keys, run)
    if record.row.tenant != principal.tenant:
        raise RunNotFound("no such run", where=record.row.run)
    value = shaped(record, await strict(record, stage))
    return value if principal.may("administrator") else masked(value)


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


def masked(value: dict[str, Any]) -> dict[str, Any]:
    """The same without a value of anybody: the place of each difference, down to its channel."""
    first = value["first_divergence"]
    hops = [{**hop, "diff": [_place(diff) for diff in hop["diff"]]} for hop in value["hops"]]
    return {**value, "first_divergence": first and {"hop": first["hop"], **_place(first)}, "hops": hops}


def _place(diff: dict[str, Any]) -> dict[str, Any]:
    channel = ".".join(diff["what"].split("[")[0].split(".")[:2])
    return {"what": channel, "recorded": None, "replayed": None, "masked": True}
