"""`fiel ingest` and `fiel search`: what goes into a collection, and what a caller finds in it."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import click

from fiel.infra.callers import principal_of
from fiel.infra.cli.callers import caller_options
from fiel.infra.cli.command import command
from fiel.infra.cli.output import DONE, NO, USAGE, Result
from fiel.infra.cli.text import clean
from fiel.infra.settings import Settings
from fiel.tools.errors import UsageError

if TYPE_CHECKING:
    from fiel.infra.corpus.report import Report
    from fiel.tools.search import Trust

TRUST = ("trusted", "internal", "external")
"""The values of `Trust`, which lies in a module that takes long to import."""
MOST_ERRORS = 20
"""Refused files that are printed for a person; `--json` lists them all."""


@command("ingest")
@click.argument("paths", nargs=-1, required=True, metavar="PATH…", type=click.Path())
@click.option("--collection", required=True, metavar="C", help="The collection; made when it is not there.")
@click.option("--allow", multiple=True, metavar="GROUP", help="Who may read it; `everyone`: every user. Repeatable.")
@click.option("--licence", default="", metavar="SPDX", help="Licence of what lies there; empty: not known.")
@click.option("--trust", default="internal", show_default=True, type=click.Choice(TRUST), help="In its source.")
async def ingest(
    settings: Settings,
    paths: tuple[str, ...],
    collection: str,
    allow: tuple[str, ...],
    licence: str,
    trust: "Trust",
    as_json: bool,
) -> Result:
    """Sync files or folders into a collection: text, Markdown, HTML, PDF and DOCX.

    A changed file is replaced, a file that is gone from a folder is deleted, and an unchanged text is never embedded
    again. Exits with 1 where some documents were refused, with 2 where all were.
    """
    from fiel.infra.cli.progress import progress_bar
    from fiel.infra.corpus.names import checked_licence
    from fiel.infra.corpus.opened import open_corpus
    from fiel.infra.corpus.store import Marks

    marks = Marks(checked_licence(licence), trust)
    async with open_corpus(settings) as corpus:
        with progress_bar(quiet=as_json) as progress:
            report = await corpus.ingest(
                paths,
                collection=collection,
                principal=principal_of(None, ()),
                allow=allow,
                marks=marks,
                progress=progress,
            )
    return Result(report.as_dict(), lambda: show_report(report), _status(report))


def _status(report: "Report") -> int:
    if not report.failed:
        return DONE
    return NO if report.added or report.updated or report.unchanged else USAGE


def show_report(report: "Report") -> None:
    """What an ingest did, for a person."""
    for error in report.errors[:MOST_ERRORS]:
        click.secho(f"refused {error['uri']}: {error['what']}", fg="yellow", err=True)
        if error["hint"]:
            click.echo(f"   hint: {error['hint']}", err=True)
    if report.failed > MOST_ERRORS:
        click.secho(f"… and {report.failed - MOST_ERRORS} more; --json lists them", fg="yellow", err=True)
    counts = {
        "added": report.added,
        "updated": report.updated,
        "deleted": report.deleted,
        "unchanged": report.unchanged,
        "refused": report.failed,
    }
    click.echo(f"documents: {', '.join(f'{number} {name}' for name, number in counts.items() if number) or 'none'}")
    click.echo(f"chunks: {report.embedded} embedded, {report.reused} reused, {report.dropped} deleted")
    click.echo(f"{report.seconds:.1f} s")
    if report.curators_only and (report.added or report.updated or report.unchanged):
        click.secho("Only curators and administrators can read them: --allow GROUP opens them to others.", fg="yellow")


@command("search")
@click.argument("query", required=False)
@click.option("--collection", default="default", show_default=True, metavar="C", help="Where to search.")
@click.option("-k", default=10, show_default=True, type=click.IntRange(1, 100), help="How many passages.")
@click.option("--lines", "by_line", is_flag=True, help="One JSON value a line from standard input, one object a line.")
@caller_options
async def search(
    settings: Settings,
    query: str | None,
    collection: str,
    k: int,
    by_line: bool,
    as_user: str | None,
    groups: tuple[str, ...],
) -> Result | int:
    """Search a collection for QUERY with the caller's rights, by meaning and by words."""
    if by_line == (query is not None):
        raise UsageError("give one QUERY, or --lines and queries on standard input", where="fiel search")
    async with _searching(settings, as_user, groups, collection, k) as hits:
        if by_line:
            from fiel.infra.cli import lines

            async def work(text: str) -> dict[str, Any]:
                return {"hits": await hits(text)}

            return await lines.serve(work)
        found = await hits(str(query))
    return Result(found, lambda: _show_hits(found), DONE if found else NO)


@asynccontextmanager
async def _searching(
    settings: Settings, as_user: str | None, groups: tuple[str, ...], collection: str, k: int
) -> AsyncIterator[Callable[[str], Awaitable[list[dict[str, Any]]]]]:
    """Searches: through the service that runs, or over the database itself."""
    from fiel.infra.desk.client import reach

    if (service := reach(settings, as_user, groups)) is not None:

        async def through(text: str) -> list[dict[str, Any]]:
            body = {"query": clean(text, "QUERY"), "collection": collection, "k": k}
            hits: list[dict[str, Any]] = await service.send("POST", "/fiel/search", body)
            return hits

        yield through
        return

    from fiel.infra.corpus.opened import open_corpus
    from fiel.infra.desk.operations import search as searched
    from fiel.infra.people.people import People

    principal_of(as_user, groups)  # a name that cannot be is told before anything is opened
    async with open_corpus(settings) as corpus:
        principal = await People(corpus.database).spoken_for(as_user, groups)

        async def here(text: str) -> list[dict[str, Any]]:
            return await searched(corpus, principal, collection, clean(text, "QUERY"), k)

        yield here


def _show_hits(hits: list[dict[str, Any]]) -> None:
    from rich.console import Console
    from rich.markup import escape

    console = Console(highlight=False)
    for number, one in enumerate(hits, 1):
        ranks = f"meaning {one['dense_rank'] or '–'}, words {one['text_rank'] or '–'}"
        console.print(
            f"[bold]{number}[/bold] {escape(one['uri'])}  [dim]{one['score']:.3f} ({ranks})[/dim]", soft_wrap=True
        )
        console.print(f"    {escape(' '.join(one['text'].split()))}\n")
    if not hits:
        console.print("nothing found")
