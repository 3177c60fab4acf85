"""`fiel db`: the schema."""

import contextlib
from collections.abc import Iterator
from typing import Any

import click

from fiel.infra.cli.command import command
from fiel.infra.cli.output import DONE, NO, Result
from fiel.infra.settings import Settings


@click.group("db")
def db() -> None:
    """Migrate the schema; show its status."""


@contextlib.contextmanager
def _owner(settings: Settings) -> Iterator[tuple[str, bool]]:
    """Address of the database as its owner, and whether it is the embedded one."""
    if settings.database_url:
        yield settings.database_owner_url or settings.database_url, False
        return
    from fiel.infra.database.embedded import Embedded

    with Embedded(settings.folder) as server:
        yield server.owner_url, True


@command("migrate", db)
def migrate(settings: Settings) -> Result:
    """Create the schema, or bring it up to date. Forward only; safe when two processes start at once.

    An external database needs the rights of its owner: FIEL_DATABASE_OWNER_URL.
    """
    from fiel.infra.database.migrate import migrate as run
    from fiel.infra.threads import set_up

    with _owner(settings) as (url, _):
        applied = run(url)
        set_up(url)

    def show() -> None:
        click.echo("\n".join(f"applied {name}" for name in applied) or "nothing to do: the schema is up to date")

    return Result({"applied": list(applied)}, show)


@command("status", db)
def status(settings: Settings) -> Result:
    """Show which migrations are applied. Exits with 1 where this fiel cannot use the database as it is."""
    from fiel.infra.database.status import database_status

    with _owner(settings) as (url, embedded):
        value = {"embedded": embedded, **database_status(url)}
    return Result(value, lambda: _show_status(value), DONE if value["current"] else NO)


def _show_status(value: dict[str, Any]) -> None:
    kind = "embedded" if value["embedded"] else "external"
    click.echo(f"{kind} PostgreSQL {value['server']}, pgvector {value['pgvector'] or 'missing'}, {value['database']}")
    for name in value["applied"]:
        click.echo(f"  applied  {name}")
    for name in value["pending"]:
        click.secho(f"  pending  {name}", fg="yellow")
    if value["problem"]:
        click.secho(f"  problem  {value['problem']}", fg="red")
