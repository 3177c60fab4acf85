"""Replays as auditors ask for them: each is an act of the ledger, whatever it finds."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

from fiel.infra.ledger.acts import Act, record
from fiel.infra.replay.change import Change
from fiel.infra.replay.graphs import Ported
from fiel.infra.replay.jobs import spread, told
from fiel.infra.replay.kept import Kept
from fiel.infra.replay.many import AT_ONCE, Progress, Stretch, many, runs_in
from fiel.infra.replay.replays import Replays
from fiel.infra.replay.sight import sight_of
from fiel.infra.replay.stage import Stage
from fiel.infra.replay.summary import Summary
from fiel.tools.errors import UsageError
from fiel.tools.principal import Principal

if TYPE_CHECKING:
    from fiel.infra.compose import House


def replays_of(house: "House", graphs: Mapping[str, Ported] | None = None) -> Replays:
    """Replays over the ledger of `house`, with its models, bundles and prompts, and graphs beside its own."""
    recorder = house.recorder
    return Replays(
        recorder.store,
        recorder.keys,
        Stage(house.services),
        sight_of(house.corpus.database),
        Kept(house.corpus.database),
        graphs or {},
    )


@dataclass(frozen=True, slots=True)
class Bulk:
    """How many runs are replayed."""

    at_once: int = AT_ONCE
    """So many side by side in this process."""
    jobs: int = 1
    """Processes; with more than one, each replays one run at a time."""
    graphs: Mapping[str, Ported] = field(default_factory=dict)
    file: str = ""
    """Where processes find `graphs`."""
    progress: Progress = lambda done, of: None


async def replayed(
    house: "House", by: Principal, run: str, change: Change, graphs: Mapping[str, Ported] | None = None
) -> dict[str, Any]:
    """One replay and its act. Raises as `Replays.one` does; what raises leaves no act, and has shown nothing."""
    value = await replays_of(house, graphs).one(by, run, change)
    detail = {
        "mode": value["mode"],
        "identical": value["identical"],
        "changes": change.plain(),
        "live_calls": value["live_calls"],
        **({"spent": value["spent"]} if "spent" in value else {}),
    }
    async with house.corpus.database.acting(by) as connection:
        await record(connection, Act(by, "replay", value["run"], detail))
    return value


async def replayed_many(house: "House", by: Principal, change: Change, stretch: Stretch, bulk: "Bulk") -> Summary:
    """Every run of a stretch of time under one change. That it was asked is an act, before anything is read; what it
    has spent, where it has, is another.
    """
    replays, database = replays_of(house, bulk.graphs), house.corpus.database
    replays.check(by, change)
    if bulk.jobs > 1 and (change.most_calls is not None or change.most_cost is not None):
        raise UsageError("what live calls may cost is counted in one process", where="--jobs", hint="Use one")
    runs = await runs_in(database, by.tenant, stretch)
    detail = {"mode": "many", "changes": change.plain(), "runs": len(runs), **asdict(stretch)}
    async with database.acting(by) as connection:
        await record(connection, Act(by, "replay", by.tenant, detail))
    if bulk.jobs > 1:
        head = told(by, change, stretch.collection, bulk.file)
        summary = await spread(head, runs, change, bulk.jobs, bulk.progress)
    else:
        summary = await many(replays, by, runs, change, stretch, at_once=bulk.at_once, progress=bulk.progress)
    if summary.spent.calls:
        detail = {"mode": "many_spent", "changes": change.plain(), "spent": summary.spent.plain(), **asdict(stretch)}
        async with database.acting(by) as connection:
            await record(connection, Act(by, "replay", by.tenant, detail))
    return summary
