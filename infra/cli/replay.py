"""`fiel replay`: a run goes through the graph again, with every effect from its record."""

from typing import Any

import click

from fiel.infra.cli.command import command
from fiel.infra.cli.output import DONE, NO, Result
from fiel.infra.settings import Settings


@command("replay")
@click.argument("run")
async def replay(settings: Settings, run: str) -> Result:
    """Replay RUN from its record and compare it hop by hop; no model and no index is asked.

    Exit status 0: identical; 1: it diverged, and the first divergence is named with both values.
    """
    value = await _replayed(settings, run)
    return Result(value, lambda: show(value), DONE if value["identical"] else NO)


async def _replayed(settings: Settings, run: str) -> dict[str, Any]:
    from fiel.infra.callers import principal_of
    from fiel.infra.compose import open_house
    from fiel.infra.ledger.acts import Act, record
    from fiel.infra.replay.stage import Stage
    from fiel.infra.replay.strict import replay

    principal = principal_of(None, ())
    async with open_house(settings) as house:
        await house.loaded()
        recorder = house.recorder
        value = await replay(recorder.store, recorder.keys, principal, run, Stage(house.services))
        async with house.corpus.database.acting(principal) as connection:
            detail = {"mode": value["mode"], "identical": value["identical"]}
            await record(connection, Act(principal, "replay", value["run"], detail))
    return value


def show(value: dict[str, Any]) -> None:
    """The replay, a line a hop, for a person."""
    colours = {"same": "green", "differs": "red"}
    for hop in value["hops"]:
        status = click.style(hop["status"], fg=colours.get(hop["status"], "yellow"))
        click.echo(f"{hop['seq']:>3} {hop['node']:<14} {status}")
        for diff in hop["diff"]:
            click.echo(f"    {diff['what']}: recorded {diff['recorded']!r}, replayed {diff['replayed']!r}")
    for note in value["notes"]:
        click.secho(f"note: {note}", fg="yellow")
    click.echo("identical" if value["identical"] else f"diverged at {value['first_divergence']['hop']}")
