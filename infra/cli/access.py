"""`fiel grant`, `fiel revoke`, `fiel access`: who may read what, and why."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import asdict
from typing import TYPE_CHECKING

import click

from fiel.infra.callers import TENANT, principal_of
from fiel.infra.cli.command import command
from fiel.infra.cli.output import Result
from fiel.infra.settings import Settings
from fiel.tools.principal import local_administrator

if TYPE_CHECKING:
    from fiel.infra.corpus.grants import Changed, Grants


@asynccontextmanager
async def _grants(settings: Settings) -> AsyncIterator["Grants"]:
    from fiel.infra.corpus.grants import Grants
    from fiel.infra.database.open import open_database

    async with open_database(settings, size=2) as database:
        yield Grants(database)


@command("grant")
@click.argument("target", metavar="COLLECTION|DOCUMENT")
@click.option("--to", required=True, metavar="WHOM", help="group:NAME, user:NAME or everyone.")
async def grant(settings: Settings, target: str, to: str) -> Result:
    """Let a group or a user read a collection (by name) or one document (by id)."""
    async with _grants(settings) as grants:
        done = await grants.grant(local_administrator(TENANT), target, to)
    return _changed(done, f"{to} may read {target}", f"{to} was granted {target} already")


@command("revoke")
@click.argument("target", metavar="COLLECTION|DOCUMENT")
@click.option("--from", "whom", required=True, metavar="WHOM", help="group:NAME, user:NAME or everyone.")
async def revoke(settings: Settings, target: str, whom: str) -> Result:
    """End a grant. Whoever an ingest or another grant allows still reads."""
    async with _grants(settings) as grants:
        done = await grants.revoke(local_administrator(TENANT), target, whom)
    return _changed(done, f"the grant of {target} to {whom} has ended", f"{whom} has no such grant on {target}")


@click.group("access")
def access() -> None:
    """Explain who may read a document."""


@command("explain", access)
@click.argument("user")
@click.argument("document")
@click.option(
    "--group", "groups", multiple=True, metavar="GROUP", help="A group of that user, beside those kept; repeatable."
)
async def explain(settings: Settings, user: str, document: str, groups: tuple[str, ...]) -> Result:
    """Say by which grants a reader may read a document. Exit status 1: by none."""
    from fiel.infra.corpus.grants import Grants
    from fiel.infra.database.open import open_database
    from fiel.infra.people.people import People

    principal_of(user, groups)  # a name that cannot be is told before anything is opened
    async with open_database(settings, size=2) as database:
        reader = await People(database).spoken_for(user, groups)
        paths = await Grants(database).explain(local_administrator(TENANT), reader, document)
    lines = [f"{path.name}, let in by the {path.by}" for path in paths] or [f"{user} may not read it: no grant matches"]
    value = {"readable": bool(paths), "paths": [asdict(path) for path in paths]}
    return Result(value, lambda: click.echo("\n".join(lines)), status=0 if paths else 1)


def _changed(done: "Changed", changed: str, unchanged: str) -> Result:
    line = f"{changed}; {done.chunks} chunks changed" if done.changed else unchanged
    return Result(asdict(done), lambda: click.echo(line))
