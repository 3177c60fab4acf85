"""`fiel audit`: verify the ledger, export it, show a run as it has it."""

from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from fiel.infra.callers import TENANT
from fiel.infra.cli.command import command
from fiel.infra.cli.output import DONE, NO, UNAVAILABLE, Result
from fiel.infra.settings import Settings
from fiel.tools.canonical import MAX_INTEGER
from fiel.tools.errors import UsageError
from fiel.tools.principal import local_administrator

if TYPE_CHECKING:
    from fiel.infra.database.connect import Database
    from fiel.infra.ledger.export import Part

TENANT_OPTION = click.option("--tenant", default=TENANT, show_default=True, help="Whose ledger.")
WITHOUT = {
    "waiting": "spans still on their way",
    "refused": "of these MLflow refuses spans",
    "unrecorded": "no receipts to compare with",
    "erased": "erased by right",
}
"""Runs whose traces were not compared, and why."""


@click.group("audit")
def audit() -> None:
    """Verify, export and show what the ledger has. Each question is an entry of the ledger too."""


@command("verify", audit)
@click.option("--export", "file", type=click.Path(exists=True, dir_okay=False, path_type=Path), metavar="FILE")
@click.option("--key", metavar="HEX", help="Public key that heads must be signed with; without it the home folder's.")
@click.option("--mlflow", "traces", is_flag=True, help="Compare the traces in MLflow with the ledger too.")
@click.option("--since", metavar="TIME", help="Compare traces since then: 2026-01-31, 2026-01-31T12:00+01:00, or 7d.")
@TENANT_OPTION
async def verify(
    settings: Settings, file: Path | None, key: str | None, traces: bool, since: str | None, tenant: str
) -> Result:
    """Check every hash and signature, in the database or in an export.

    Exit status 1: something is broken; 3: a second place of signed heads could not be asked.
    """
    if (file is not None and traces) or (since is not None and not traces):
        raise UsageError("traces are compared with the database: --mlflow, and with it --since", where="--mlflow")
    if file is not None:
        value = _checked(settings, file, key)
    else:
        from fiel.infra.database.open import open_database
        from fiel.infra.desk.audit import verify as verified

        async with open_database(settings, size=2) as database:
            value = await verified(settings, database, local_administrator(tenant))
            if traces:
                value["mlflow"] = await _compared(settings, database, tenant, part_of(None, since).since)
    broken = value["broken"] or value.get("mlflow", {}).get("broken")
    unseen = any(one["problem"] for one in value["places"])
    return Result(value, lambda: _show(value), NO if broken else UNAVAILABLE if unseen else DONE)


async def _compared(settings: Settings, database: "Database", tenant: str, since: int) -> dict[str, Any]:
    from fiel.infra.cli.serve import mlflow
    from fiel.infra.compose import cipher
    from fiel.infra.desk.traces import compare
    from fiel.infra.ledger.subjects import SubjectKeys
    from fiel.infra.telemetry.mlflow import Mlflow

    async with mlflow(settings, 0) as url:
        client, keys = Mlflow(url, settings.mlflow_experiment), SubjectKeys(database.system, cipher(settings))
        try:
            return await compare(database, keys, client, local_administrator(tenant), since)
        finally:
            await client.close()


def _checked(settings: Settings, file: Path, key: str | None) -> dict[str, Any]:
    import orjson

    from fiel.infra.ledger.destroyed import erased_in
    from fiel.infra.ledger.heads import signer_of
    from fiel.infra.ledger.verify import signed_by
    from fiel.infra.ledger.verify import verify as check

    try:
        with file.open(encoding="utf-8", newline="") as lines:
            checker = check(lines, signed_by(key or signer_of(settings.folder).public))
            lines.seek(0)
            erased = None if checker.broken else erased_in(map(orjson.loads, lines))
    except ValueError as error:
        raise UsageError(f"this cannot be verified: {error}", where=str(file)) from error
    return {
        "entries": checker.entries,
        "broken": checker.broken,
        "erased": erased,
        "lost": None,
        "places": [],
        "unsealed": checker.unsealed,
        "head": {"seal": checker.last, "hash": checker.prev, "signed": checker.signed},
    }


@command("export", audit)
@click.option("--run", metavar="RUN", help="This run alone.")
@click.option("--since", metavar="TIME", help="Runs since then: 2026-01-31, 2026-01-31T12:00+01:00, or 7d.")
@click.option("-o", "--output", "file", required=True, type=click.Path(dir_okay=False, path_type=Path), metavar="FILE")
@TENANT_OPTION
async def export(settings: Settings, run: str | None, since: str | None, file: Path, tenant: str) -> Result:
    """Write one file that verifies with nothing but itself, the public key and the verifier."""
    from fiel.infra.database.open import open_database
    from fiel.infra.desk.audit import export as exported

    part = part_of(run, since)
    async with open_database(settings, size=2) as database:
        value = await exported(settings, database, local_administrator(tenant), part, file)
    return Result(value, lambda: click.echo(f"{value['records']} records in {file}; public key {value['public_key']}"))


@command("show", audit)
@click.argument("run", metavar="RUN")
async def show(settings: Settings, run: str) -> Result:
    """Show the hops of a run, as `fiel trace` does."""
    from fiel.infra.cli.trace import show_run
    from fiel.infra.database.open import open_database
    from fiel.infra.desk.audit import show as shown

    async with open_database(settings, size=2) as database:
        value = await shown(database, local_administrator(TENANT), run)
    return Result(value, lambda: show_run(value), DONE if value["intact"] else NO)


def part_of(run: str | None, since: str | None) -> "Part":
    """What is to be exported. Raises UsageError."""
    import uuid

    from fiel.infra.cli.token import seconds
    from fiel.infra.ledger.export import Part

    try:
        name = str(uuid.UUID(run.removeprefix("tr-"))) if run else None
    except ValueError:
        raise UsageError(f"{run!r} is no id of a run", where="--run") from None
    if since is None:
        return Part(name)
    try:
        try:
            start = datetime.fromisoformat(since)
        except ValueError:
            start = datetime.now().astimezone() - timedelta(seconds=seconds(since, "--since") or 0)
        micros = int(start.astimezone().timestamp() * 1_000_000)
    except (OverflowError, ValueError):
        raise UsageError(f"{since!r} lies beyond all time that can be counted", where="--since") from None
    return Part(name, min(max(0, micros), MAX_INTEGER))


def _show(value: dict[str, Any]) -> None:
    head = value["head"]
    click.echo(f"{value['entries']} entries, {head['seal']} seals, head {head['hash'][:16] or 'none'}")
    if value["erased"]:
        click.echo(f"contents erased by right: {value['erased']}")
    if value["lost"]:
        click.echo(click.style(f"contents whose key is not here: {value['lost']}", fg="yellow"))
    if value["unsealed"]:
        click.echo(f"waiting to be sealed: {value['unsealed']}")
    for one in value["places"]:
        there = f"{one['heads']} signed heads" if one["problem"] is None else click.style(one["problem"], fg="yellow")
        click.echo(f"{one['place']}: {there}")
    for one in value["broken"]:
        place = ", ".join(
            f"{name} {one[name]}" for name in one if name not in ("what", "tenant") and one[name] is not None
        )
        click.echo(click.style(f"broken: {one['what']}", fg="red") + f" ({place})")
    if not value["broken"]:
        click.echo(click.style("the chain holds", fg="green"))
    if "mlflow" in value:
        _show_traces(value["mlflow"])


def _show_traces(value: dict[str, Any]) -> None:
    click.echo(f"MLflow: {value['runs']} runs, {value['spans']} spans compared")
    for name, meaning in WITHOUT.items():
        if value[name]:
            click.echo(f"{meaning}: {value[name]} runs")
    for one in value["broken"]:
        place = f"run {one['run']}" + (f", span {one['span']} {one['name']}" if one["span"] else "")
        click.echo(click.style(f"differs: {one['what']}", fg="red") + f" ({place})")
    if not value["broken"]:
        click.echo(click.style("the traces are those of the ledger", fg="green"))
