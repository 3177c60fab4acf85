"""Replays as auditors ask for them: each is an act of the ledger, whatever it finds."""

from collections.abc import Mapping
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from fiel.infra.ledger.acts import Act, record
from fiel.infra.replay.change import Change
from fiel.infra.replay.graphs import Ported
from fiel.infra.replay.kept import Kept
from fiel.infra.replay.many import Progress, Stretch, many, runs_in
from fiel.infra.replay.replays import Replays
from fiel.infra.replay.sight import sight_of
from fiel.infra.replay.stage import Stage
from fiel.infra.replay.summary import Summary
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


async def replayed_many(
    house: "House",
    by: Principal,
    change: Change,
    stretch: Stretch,
    at_once: int,
    progress: Progress,
    graphs: Mapping[str, Ported] | None = None,
) -> Summary:
    """Every run of a stretch of time under one change. That it was asked is an act, before anything is read; what it
    has spent, where it has, is another.
    """
    replays, database = replays_of(house, graphs), house.corpus.database
    replays.check(by, change)
    runs = await runs_in(database, by.tenant, stretch)
    detail = {"mode": "many", "changes": change.plain(), "runs": len(runs), **asdict(stretch)}
    async with database.acting(by) as connection:
        await record(connection, Act(by, "replay", by.tenant, detail))
    summary = await many(replays, by, runs, change, stretch, at_once=at_once, progress=progress)
    if summary.spent.calls:
        detail = {"mode": "many_spent", "changes": change.plain(), "spent": summary.spent.plain(), **asdict(stretch)}
        async with database.acting(by) as connection:
            await record(connection, Act(by, "replay", by.tenant, detail))
    return summary
