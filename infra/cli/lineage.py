"""`fiel lineage`: from a document to the answers that used it, and from a sentence of an answer back to its source."""

from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from fiel.infra.callers import TENANT, principal_of
from fiel.infra.cli.callers import caller_options
from fiel.infra.cli.command import command
from fiel.infra.cli.output import DONE, NO, Result
from fiel.infra.settings import Settings
from fiel.tools.principal import local_administrator

if TYPE_CHECKING:
    from fiel.infra.database.connect import Database
    from fiel.infra.ledger.subjects import SubjectKeys
    from fiel.infra.lineage.documents import Used

HIDDEN = "(you may not read this)"


@click.group("lineage")
def lineage() -> None:
    """Follow a document to the answers that used it, or a sentence of an answer back to its source."""


@command("document", lineage)
@click.argument("target", metavar="FILE|URI|ID")
@click.option("--version", metavar="ID", help="This version alone.")
@click.option("--used", type=click.Choice(["cited", "read", "any"]), default="read", show_default=True,
              help="Answers that cite it; those and the ones whose model read it; any outcome.")  # fmt: skip
@click.option("--limit", type=click.IntRange(1, 1000), default=100, show_default=True, help="Most runs that are shown.")
@click.option("--offset", type=click.IntRange(0), default=0, help="So many are left out.")
@caller_options
async def document(
    settings: Settings,
    target: str,
    version: str | None,
    used: "Used",
    limit: int,
    offset: int,
    as_user: str | None,
    groups: tuple[str, ...],
) -> Result:
    """Which answers used this document, in which versions? Exit status 1: none did."""
    from fiel.infra.database.open import open_database
    from fiel.infra.lineage.documents import answers
    from fiel.infra.runs.pages import Window

    async with open_database(settings, size=4) as database:
        await _fresh(settings, database)
        who, window = principal_of(as_user, groups), Window(limit, offset)
        found, page = await answers(database, who, _address(target), window, used, version)
    value = {**found, "runs": page.items, "next": page.next}
    return Result(value, lambda: _show_document(value), DONE if page.items else NO)


@command("run", lineage)
@click.argument("run", metavar="RUN")
@click.option("--sentence", type=click.IntRange(1), help="This sentence of the answer alone, counted from 1.")
@caller_options
async def run(
    settings: Settings, run: str, sentence: int | None, as_user: str | None, groups: tuple[str, ...]
) -> Result:
    """Where did each sentence of an answer come from? Exit status 1: nowhere, or the record is broken."""
    from fiel.infra.database.open import open_database
    from fiel.infra.lineage.runs import sources

    async with open_database(settings, size=4) as database:
        value = await sources(database, _keys(settings, database), principal_of(as_user, groups), run, sentence)
    return Result(value, lambda: _show_run(value), DONE if value["sentences"] and value["intact"] else NO)


@command("rebuild", lineage)
async def rebuild(settings: Settings) -> Result:
    """Make the index of lineage anew from the ledger."""
    from fiel.infra.database.open import open_database
    from fiel.infra.ledger.sealing import Sealing
    from fiel.infra.lineage import index

    async with open_database(settings, size=4) as database:
        await Sealing(database.system).drain()
        indexing = index.Indexing(database.system, _keys(settings, database))
        seals = await index.rebuild(database, local_administrator(TENANT), indexing)
    return Result({"seals": seals}, lambda: click.echo(f"the runs of {seals} seals were read again"))


def _address(target: str) -> str:
    """The address under which an ingest keeps a file, where `target` is the path of one."""
    from fiel.infra.corpus.walk import root

    return root(target).uri if Path(target).is_file() else target


def _keys(settings: Settings, database: "Database") -> "SubjectKeys":
    from fiel.infra.compose import cipher
    from fiel.infra.ledger.subjects import SubjectKeys

    return SubjectKeys(database.system, cipher(settings))


async def _fresh(settings: Settings, database: "Database") -> None:
    """Seal and index what waits: no serving process may be there to do it."""
    from fiel.infra.ledger.sealing import Sealing
    from fiel.infra.lineage.index import Indexing

    await Sealing(database.system).drain()
    keys, told = _keys(settings, database), bool(settings.openlineage_url)
    await Indexing(database.system, keys, tells=told).catch_up()


def _show_document(value: dict[str, Any]) -> None:
    for one in value["documents"]:
        if not one["readable"]:
            click.echo(f"{one['document']} {HIDDEN}")
            continue
        gone = ", deleted" if one["deleted"] else ""
        click.echo(click.style(f"{one['uri']}", bold=True) + f"  {one['document']} in {one['collection']}{gone}")
        for version in one["versions"]:
            now = ", the current one" if version["current"] else ""
            click.echo(f"  version {version['number']}  {version['version']}  since {version['created_at'][:16]}{now}")
    for one in value["runs"]:
        number = "?" if one["number"] is None else one["number"]
        sentences = ", ".join(map(str, one["sentences"]))
        how = f"cited in sentence {sentences}" if sentences else "read, not cited"
        at = datetime.fromtimestamp(one["started"] / 1e6, UTC).strftime("%Y-%m-%d %H:%M")
        click.echo(f"run {one['run']}  {at} UTC  {one['caller']}  {one['outcome']}  version {number}: {how}")
    if not value["runs"]:
        click.echo("no answer used it")
    if value["next"] is not None:
        click.echo(f"more with --offset {value['next']}")


def _show_run(value: dict[str, Any]) -> None:
    click.echo(click.style(f"run {value['run']}", bold=True) + f"  {value['outcome']} ({value['reason']})")
    for query in value["queries"]:
        text = HIDDEN if query["text"] is None else query["text"]
        click.echo(f"query {query['number']}: {text}  ({query['found']} passages of index {query['index']})")
    for one in value["sentences"]:
        click.echo(click.style(f"{one['number']}. {one['text'] or HIDDEN}", bold=True) + f"  {one['label']}")
        for source in one["sources"]:
            _show_source(source)
    if not value["intact"]:
        click.secho("the chain of this run's ledger entries is broken", fg="red")


def _show_source(source: dict[str, Any]) -> None:
    place = f"version {source['version']}, characters {source['start']} to {source['end']}, chunk {source['chunk']}"
    click.echo(f"   {source['marker']} {source['uri'] or HIDDEN}")
    click.echo(f"       document {source['document']}, {place}")
    if source["readable"]:
        state = "deleted" if source["deleted"] else "current" if source["current"] else "no longer current"
        click.echo(f"       version {source['number']} is {state}; “{' '.join(source['quote'].split())}”")
    for found in source["found_by"]:
        click.echo(f"       found by query {found['query']} in place {found['rank']}")
