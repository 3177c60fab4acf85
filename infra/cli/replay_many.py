"""`fiel replay --since`: many runs under one change, with a bar, a table and a report."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from fiel.infra.cli.audit import part_of
from fiel.infra.settings import Settings
from fiel.tools.errors import UsageError

if TYPE_CHECKING:
    from fiel.infra.replay.change import Change
    from fiel.infra.replay.many import Progress


async def replayed_many(
    settings: Settings,
    change: "Change",
    graphs: Path | None,
    *,
    since: str | None,
    until: str | None,
    collection: str,
    report: Path | None,
    at_once: int,
    jobs: int,
    quiet: bool,
) -> dict[str, Any]:
    """The summary; the report is written beside. Raises UsageError for a report that cannot be written."""
    from fiel.infra.callers import principal_of
    from fiel.infra.compose import open_house
    from fiel.infra.desk import replays
    from fiel.infra.replay.graphs import load_graphs
    from fiel.infra.replay.many import Stretch

    ported, file = (load_graphs(graphs), str(graphs)) if graphs else ({}, "")
    known = {name: part_of(None, one).since for name, one in (("since", since), ("until", until)) if one is not None}
    stretch = Stretch(**known, collection=collection)
    async with open_house(settings) as house:
        await house.loaded()
        with _bar(quiet=quiet) as progress:
            bulk = replays.Bulk(at_once, jobs, ported, file, progress)
            summary = await replays.replayed_many(house, principal_of(None, ()), change, stretch, bulk)
    value = summary.plain()
    if report is not None:
        _write(report, value, since, until)
    return value


def _write(file: Path, value: dict[str, Any], since: str | None, until: str | None) -> None:
    from fiel.infra.replay.report import page

    title = "Replays" + (f" since {since}" if since else "") + (f" until {until}" if until else "")
    try:
        file.write_text(page(value, title), encoding="utf-8")
    except OSError as error:
        raise UsageError(f"the report cannot be written: {error.strerror}", where=str(file)) from error


@contextmanager
def _bar(*, quiet: bool) -> "Iterator[Progress]":
    """A callback that draws how many runs are done, on standard error, where that is a terminal."""
    from rich.console import Console

    console = Console(stderr=True)
    if quiet or not console.is_terminal:
        yield lambda done, of: None
        return
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, transient=True) as bar:
        task = bar.add_task("runs", total=None)
        yield lambda done, of: bar.update(task, completed=done, total=of)


def show_many(value: dict[str, Any]) -> None:
    """The summary as tables, for a person."""
    from rich.console import Console
    from rich.table import Table

    from fiel.infra.replay.report import bill
    from fiel.infra.replay.summary import KINDS

    console = Console()
    table = Table(title=f"{value['runs']} runs", title_justify="left")
    for name in ("runs", "", "meaning"):
        table.add_column(name, justify="right" if name == "runs" else "left")
    for kind, meaning in KINDS.items():
        table.add_row(str(value["counts"][kind]), kind, meaning)
    console.print(table)
    for kind, examples in value["examples"].items():
        for one in examples[:3]:
            click.echo(f"{kind}: {one['run']}  {_line(one)}")
    for one in value["lost"]:
        click.secho(f"the process {one['pid']} {one['how']} over the run {one['run']}", fg="red")
    click.echo(f"{bill(value['spent'])}, {value['seconds']} s")


def _line(one: dict[str, Any]) -> str:
    if error := one.get("error"):
        return f"{error['code']}: {error['what']}"
    question = one["question"] or ("(masked)" if one["masked"] else "")
    first = one["first_divergence"]
    return f"{question}  at {first['hop']}" if first else question
