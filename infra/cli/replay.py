"""`fiel replay`: a run goes through the graph again, with every effect from its record."""

from typing import TYPE_CHECKING, Any

import click

from fiel.infra.cli.command import command
from fiel.infra.cli.options import options_given
from fiel.infra.cli.output import DONE, NO, Result
from fiel.infra.settings import Settings

if TYPE_CHECKING:
    from fiel.infra.replay.change import Change


@command("replay")
@click.argument("run")
@click.option("--policy", metavar="B", help="Under this policy bundle.")
@click.option("--prompt", metavar="P", help="Under this version of the prompts.")
@click.option("--chat", metavar="M", help="With this chat model, by its name in the settings.")
@click.option("--option", "given", multiple=True, metavar="K=V", help="Under another option of the graph.")
@click.option("--again", multiple=True, metavar="KIND", help="Ask anew: embed, search, rerank, chat, judge, guard.")
@click.option("--live/--no-live", default=True, help="Ask models and index for what the record does not hold.")
async def replay(
    settings: Settings,
    run: str,
    policy: str | None,
    prompt: str | None,
    chat: str | None,
    given: tuple[str, ...],
    again: tuple[str, ...],
    live: bool,
) -> Result:
    """Replay RUN from its record and compare it hop by hop.

    Without a change no model and no index is asked. Under another bundle, prompt, model or option, requests that are
    unchanged are answered from the record, and the others live. Exit status 0: identical; 1: it differs, and the first
    divergence is named with both values.
    """
    from fiel.infra.replay.change import Change

    named = {"policy": policy, "prompt": prompt, "chat": chat}
    options = {name: value for name, value in named.items() if value is not None} | options_given(given)
    value = await _replayed(settings, run, Change(options, frozenset(again), live))
    return Result(value, lambda: show(value), DONE if value["identical"] else NO)


async def _replayed(settings: Settings, run: str, change: "Change") -> dict[str, Any]:
    from fiel.infra.callers import principal_of
    from fiel.infra.compose import open_house
    from fiel.infra.desk.replays import replayed

    principal = principal_of(None, ())
    async with open_house(settings) as house:
        await house.loaded()
        return await replayed(house, principal, run, change)


def show(value: dict[str, Any]) -> None:
    """The replay, a line a hop, for a person."""
    colours = {"same": "green", "differs": "red", "new": "red"}
    for hop in value["hops"]:
        status = click.style(hop["status"], fg=colours.get(hop["status"], "yellow"))
        asked = ", ".join(
            f"{mark['kind']} {mark['from']}" for mark in hop.get("effects", ()) if mark["from"] != "record"
        )
        click.echo(f"{hop['seq']:>3} {hop['node']:<14} {status}" + (f"  ({asked})" if asked else ""))
        for diff in hop["diff"]:
            click.echo(f"    {diff['what']}: recorded {diff['recorded']!r}, replayed {diff['replayed']!r}")
    for note in value["notes"]:
        click.secho(f"note: {note}", fg="yellow")
    if value["mode"] == "counterfactual":
        outcome, reason = value["outcome"], value["reason"]
        click.echo(
            f"then: {outcome['recorded']} ({reason['recorded']}); now: {outcome['replayed']} ({reason['replayed']})"
        )
        click.echo(f"calls that were made live: {value['live_calls']}")
    first = value["first_divergence"]
    click.echo(
        "identical" if value["identical"] else f"diverged at {first['hop']}" if first else "not all of it replayed"
    )
