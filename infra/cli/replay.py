"""`fiel replay`: a run goes through the graph again, with every effect from its record."""

from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from fiel.infra.cli.command import command
from fiel.infra.cli.options import options_given
from fiel.infra.cli.output import DONE, NO, Result
from fiel.infra.settings import Settings
from fiel.tools.errors import UsageError

if TYPE_CHECKING:
    from fiel.infra.replay.change import Change


_FILE = click.Path(dir_okay=False, path_type=Path)


@command("replay")
@click.argument("run", required=False)
@click.option("--policy", metavar="B", help="Under this policy bundle.")
@click.option("--prompt", metavar="P", help="Under this version of the prompts.")
@click.option("--chat", metavar="M", help="With this chat model, by its name in the settings.")
@click.option("--option", "given", multiple=True, metavar="K=V", help="Under another option of the graph.")
@click.option("--again", multiple=True, metavar="KIND", help="Ask anew: embed, search, rerank, chat, judge, guard.")
@click.option("--live/--no-live", default=True, help="Ask models and index for what the record does not hold.")
@click.option("--max-live", type=click.IntRange(0), metavar="N", help="Make at most so many live calls.")
@click.option("--max-cost", metavar="AMOUNT", help="Begin no live call once they have cost so much.")
@click.option("--then", is_flag=True, help="Under the bundle and the prompts of then, as they are kept.")
@click.option("--now", is_flag=True, help="Under graph, bundle and prompts of now, to an end of its own.")
@click.option("--graphs", type=_FILE, metavar="FILE", help="A langgraph.json whose graphs over ports are known too.")
@click.option("--since", metavar="TIME", help="Every run since then: 2026-01-31, 2026-01-31T12:00+01:00, or 7d.")
@click.option("--until", metavar="TIME", help="Every run before then.")
@click.option("--collection", default="", metavar="C", help="Of these runs, those over this collection.")
@click.option("--report", type=_FILE, metavar="FILE", help="Write an HTML report.")
@click.option("--jobs", type=click.IntRange(1, 64), default=1, show_default=True, help="Processes that replay.")
@click.option("--at-once", type=click.IntRange(1, 64), default=4, show_default=True, help="Runs side by side in one.")
async def replay(
    settings: Settings,
    run: str | None,
    policy: str | None,
    prompt: str | None,
    chat: str | None,
    given: tuple[str, ...],
    again: tuple[str, ...],
    live: bool,
    max_live: int | None,
    max_cost: str | None,
    then: bool,
    now: bool,
    graphs: Path | None,
    as_json: bool,
    **many: Any,
) -> Result:
    """Replay RUN, or every run of a stretch of time, from the record, and compare hop by hop.

    Without a change no model and no index is asked. Under another bundle, prompt, model or option, requests that are
    unchanged are answered from the record, and the others live. Exit status 0: identical; 1: it differs, and the first
    divergence is named with both values.
    """
    from fiel.infra.replay.change import Change

    named = {"policy": policy, "prompt": prompt, "chat": chat}
    options = {name: value for name, value in named.items() if value is not None} | options_given(
        given, others=graphs is not None
    )
    change = Change(options, frozenset(again), live, then, now, max_live, _amount(max_cost))
    if run is not None:
        if any(many[name] for name in ("since", "until", "collection", "report")):
            raise UsageError("give one run or a stretch of time, not both", where="RUN")
        value = await _replayed(settings, run, change, graphs)
        return Result(value, lambda: show(value), DONE if value["identical"] else NO)
    if not many["since"] and not many["until"]:
        raise UsageError("which run?", where="RUN", hint="Give its id, or --since for every run since then")
    from fiel.infra.cli.replay_many import replayed_many, show_many

    value = await replayed_many(settings, change, graphs, quiet=as_json, **many)
    return Result(value, lambda: show_many(value), DONE if value["identical"] else NO)


def _amount(text: str | None) -> Decimal | None:
    """An amount of money, as it is given. Raises UsageError."""
    if text is None:
        return None
    try:
        amount = Decimal(text)
    except InvalidOperation:
        amount = Decimal("NaN")
    if not amount.is_finite() or amount < 0:
        raise UsageError(f"{text!r} is no amount", where="--max-cost", hint="Write it like 0.50")
    return amount


async def _replayed(settings: Settings, run: str, change: "Change", graphs: Path | None) -> dict[str, Any]:
    from fiel.infra.callers import principal_of
    from fiel.infra.compose import open_house
    from fiel.infra.desk.replays import replayed
    from fiel.infra.replay.graphs import load_graphs

    principal = principal_of(None, ())
    async with open_house(settings) as house:
        await house.loaded()
        return await replayed(house, principal, run, change, load_graphs(graphs) if graphs else None)


def show(value: dict[str, Any]) -> None:
    """The replay, a line a hop, for a person."""
    from fiel.infra.replay.report import bill

    colours = {"same": "green", "differs": "red", "new": "red"}
    for hop in value["hops"]:
        status = click.style(hop["status"], fg=colours.get(hop["status"], "yellow"))
        asked = ", ".join(
            f"{mark['kind']} {mark['from']}" for mark in hop.get("effects", ()) if mark["from"] != "record"
        )
        click.echo(f"{hop['seq']:>3} {hop['node']:<14} {status}" + (f"  ({asked})" if asked else ""))
        for diff in hop["diff"]:
            click.echo(f"    {diff['what']}: recorded {_cut(diff['recorded'])}, replayed {_cut(diff['replayed'])}")
    for note in value["notes"]:
        click.secho(f"note: {note}", fg="yellow")
    if value["mode"] == "counterfactual":
        for side, name in (("then", "recorded"), ("now", "replayed")):
            click.echo(f"{side}: {value['outcome'][name]} ({value['reason'][name]}) {value['answer'][name] or ''}")
        click.echo(bill(value["spent"]))
    first = value["first_divergence"]
    if first:
        click.echo(f"diverged at {first['hop']}")
    else:
        click.echo("identical" if value["whole"] else "identical as far as it could be replayed")


def _cut(value: Any, longest: int = 300) -> str:
    """A value on one line; `--json` has all of it."""
    text = repr(value)
    return text if len(text) <= longest else f"{text[:longest]}…"
