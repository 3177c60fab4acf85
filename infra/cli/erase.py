"""`fiel erase` and `fiel retention`: keys are destroyed, rows and traces removed; the ledger says so and verifies."""

from functools import partial
from typing import Any

import click

from fiel.infra.callers import TENANT
from fiel.infra.cli.command import command
from fiel.infra.cli.output import Result
from fiel.infra.settings import Settings
from fiel.tools.errors import UsageError
from fiel.tools.principal import local_administrator


@command("erase")
@click.option("--subject", required=True, metavar="USER", help="Whose questions, answers and comments are erased.")
@click.option("--tenant", default=TENANT, show_default=True, help="Of that user.")
@click.option("--yes", is_flag=True, help="Do not ask: what is erased cannot be brought back.")
async def erase(settings: Settings, subject: str, tenant: str, yes: bool, as_json: bool) -> Result:
    """Erase a person. Interrupted, it goes on when it is called again, or in a service that runs."""
    from fiel.infra.cli.serve import mlflow
    from fiel.infra.database.open import open_database
    from fiel.infra.erasure.erase import erase as erased
    from fiel.infra.erasure.traces import remove_traces

    _sure(f"Erase everything of {subject} in the tenant {tenant}? It cannot be brought back", yes, as_json)
    async with open_database(settings, size=3) as database:
        done = await erased(database, local_administrator(tenant), subject)
        waiting = await remove_traces(settings, database, partial(mlflow, settings, 0))
    value = done.plain() | {"traces_waiting": waiting}
    return Result(value, lambda: _show(value))


def _sure(question: str, yes: bool, as_json: bool) -> None:
    """Ask, unless it was said. Raises UsageError where nobody can be asked, or does not agree."""
    if yes:
        return
    if as_json:
        raise UsageError("with --json nobody is asked", where="--yes", hint="Say --yes")
    try:
        agreed = click.confirm(question)
    except click.Abort:  # also where there is no terminal to answer from
        agreed = False
    if not agreed:
        raise UsageError("nobody agreed, and nothing was erased", where="--yes", hint="Say --yes to be asked nothing")


def _show(value: dict[str, Any]) -> None:
    removed = ", ".join(f"{count} {name.replace('_', ' ')}" for name, count in value["removed"].items() if count)
    click.echo(f"{value['subject']}: {value['keys']} keys destroyed; removed: {removed or 'nothing was left'}")
    click.echo(f"act {value['act']}; `fiel audit verify` tells the contents as erased by right")
    if value["traces_waiting"]:
        click.echo(f"{value['traces_waiting']} traces wait for an MLflow server; `fiel up` removes them")


@command("retention")
@click.option(
    "--days", type=click.IntRange(1), help="Contents older than so many days; without it the rules of FIEL_RETENTION."
)
@click.option("--collection", metavar="C", help="Of runs about this collection alone.")
@click.option("--dry-run", is_flag=True, help="Say what would go.")
@click.option("--tenant", default=TENANT, show_default=True, help="Whose runs.")
@click.option("--yes", is_flag=True, help="Do not ask: what goes cannot be brought back.")
async def retention(
    settings: Settings, days: int | None, collection: str | None, dry_run: bool, tenant: str, yes: bool, as_json: bool
) -> Result:
    """Destroy the contents of runs whose time is over. Entries, times and codes stay, and the chain verifies."""
    from fiel.infra.cli.serve import mlflow
    from fiel.infra.database.open import open_database
    from fiel.infra.erasure.retention import Rule, retain, rules
    from fiel.infra.erasure.traces import remove_traces

    kept = rules(settings.retention) if days is None else [Rule(days, collection)]
    if not kept or (days is None and collection):
        raise UsageError("how many days is not said", where="--days", hint="Say --days, or set FIEL_RETENTION")
    if not dry_run:
        _sure("Destroy the contents of runs whose time is over? They cannot be brought back", yes, as_json)
    async with open_database(settings, size=3) as database:
        done = [await retain(database, local_administrator(tenant), rule, dry_run=dry_run) for rule in kept]
        waiting = 0 if dry_run else await remove_traces(settings, database, partial(mlflow, settings, 0))
    value = {"dry_run": dry_run, "rules": [one.plain() for one in done], "traces_waiting": waiting}
    return Result(value, lambda: _show_rules(value))


def _show_rules(value: dict[str, Any]) -> None:
    for rule in value["rules"]:
        about = f" about {rule['collection']}" if rule["collection"] else ""
        how = "would go" if value["dry_run"] else "went"
        click.echo(f"before {rule['before']}{about}: contents of {rule['runs']} runs {how}, {rule['keys']} keys")
