"""`fiel policy`: bundles and verdicts, of the service that runs, or of this process."""

import asyncio
import sys
from collections.abc import Awaitable, Callable, Mapping
from typing import TYPE_CHECKING, Any, cast, get_args
from urllib.parse import quote

import click

from fiel.infra.cli.command import command
from fiel.infra.cli.output import DONE, NO, Result
from fiel.infra.cli.policy_code import COMMANDS
from fiel.infra.cli.text import clean
from fiel.infra.settings import Settings
from fiel.policies.types import HELD, MASKING, STAGES, Stage, Status
from fiel.tools.errors import UsageError

if TYPE_CHECKING:
    from fiel.policies.bundle import PolicyBundle
    from fiel.tools.guard import Guard

COLOURS: Mapping[Status, str] = {
    "allow": "green", "flag": "yellow", "replace": "cyan", "redact": "cyan", "review": "magenta", "block": "red",
    "not_run": "",
}  # fmt: skip
assert set(COLOURS) == set(get_args(Status))  # noqa: S101 - a new status needs a colour


@click.group("policy")
def policy() -> None:
    """List, show, compare and test policy bundles; check a text against one."""


for _command in COMMANDS:
    policy.add_command(_command)


def _bundles(settings: Settings) -> "dict[str, PolicyBundle]":
    """The bundles to look at, unproved, so that no model is needed."""
    from fiel.policies.bundle import read_bundles

    return read_bundles(settings.policies or None)


@command("list", policy)
async def bundles(settings: Settings) -> Result:
    """List the bundles there are: fiel's own, and those in the folder that FIEL_POLICIES names."""
    rows = await _rows(settings)

    def show() -> None:
        for row in rows:
            extends = f" extends {row['extends']}" if row["extends"] else ""
            click.echo(click.style(str(row["name"]), bold=True) + f"  {str(row['version'])[:12]}{extends}")
            click.echo(f"    {row['description']}")
        if stale := rows[0].get("stale"):
            click.secho(f"older than the folder, which does not load: {stale['what']} ({stale['where']})", fg="red")

    return Result(rows, show)


@command("reload", policy)
async def reload(settings: Settings) -> Result:
    """Let the service that runs load the folder of bundles now; it also does so by itself, within seconds."""
    from fiel.infra.desk.client import reach

    if (service := reach(settings)) is None:
        raise UsageError("no service runs", where="fiel policy reload", hint="A new process loads the folder by itself")
    value = await service.send("POST", "/fiel/policies/reload", {})
    return Result(value, lambda: click.echo("\n".join(f"changed {name}" for name in value["changed"]) or "no change"))


async def _rows(settings: Settings) -> list[dict[str, Any]]:
    from fiel.infra.desk.client import reach
    from fiel.infra.desk.operations import bundle_rows

    if (service := reach(settings)) is not None:
        rows: list[dict[str, Any]] = await service.get("/fiel/policies")
        return rows
    return bundle_rows(_bundles(settings))


@command("show", policy)
@click.argument("name", metavar="BUNDLE")
async def show(settings: Settings, name: str) -> Result:
    """Show one bundle: its checks, stages, thresholds and parameters."""
    value = await _bundle(settings, name)
    return Result(value, lambda: _show_bundle(value))


async def _bundle(settings: Settings, name: str) -> dict[str, Any]:
    from fiel.infra.desk.client import reach

    if (service := reach(settings)) is not None:
        value: dict[str, Any] = await service.get(f"/fiel/policies/{quote(name, safe='')}")
        return value

    from fiel.policies.describe import show_bundle
    from fiel.policies.plain import PlainPolicies

    return show_bundle(PlainPolicies(_bundles(settings)).bundle(name))


def _show_bundle(value: dict[str, Any]) -> None:
    click.echo(click.style(value["name"], bold=True) + f"  {value['version']}")
    click.echo(f"{value['description']}\n{value['file']}")
    for check in value["checks"]:
        click.echo("\n" + click.style(check["id"], bold=True) + f"  reason {check['reason']}")
        for stage, bands in check["stages"].items():
            click.echo(f"    {stage:<8}" + ", ".join(f"{action} from {at:g}" for action, at in bands.items()))
        for name, parameter in check["with"].items():
            shown = ", ".join(parameter) if isinstance(parameter, list) else parameter
            click.echo(f"    {name}: {shown if shown != '' else '–'}")


@command("check", policy)
@click.option("--stage", required=True, type=click.Choice(STAGES), help="Where the text stands.")
@click.option("--policy", "name", default="default", show_default=True, metavar="B", help="The bundle.")
@click.option("--lines", "by_line", is_flag=True, help="One JSON value a line from standard input, one object a line.")
@click.option("--question", default="", metavar="Q", help="The question that TEXT answers, for the stage output.")
@click.argument("text", required=False)
async def check(
    settings: Settings, stage: str, name: str, by_line: bool, question: str, text: str | None
) -> Result | int:
    """Check TEXT (or standard input, with - or without TEXT) as a run would. Exits with 1 where it is blocked."""
    if by_line and text is not None:
        raise UsageError("--lines reads standard input: leave TEXT out", where="fiel policy check")
    work = _checking(settings, cast("Stage", stage), name, clean(question, "--question"))
    if by_line:
        from fiel.infra.cli import lines

        return await lines.serve(work)
    value = await work(clean(sys.stdin.read() if text in (None, "-") else str(text), "TEXT"))
    return Result(value, lambda: _show_decision(value), NO if value["action"] in HELD else DONE)


def _checking(settings: Settings, stage: Stage, name: str, question: str) -> Callable[[str], Awaitable[dict[str, Any]]]:
    """Checks texts: as the service that runs would, or with bundles of one's own. Raises PolicyError."""
    from fiel.infra.desk.client import reach

    if (service := reach(settings)) is not None:

        async def through(text: str) -> dict[str, Any]:
            asked = {"text": text, "stage": stage, "policy": name, "question": question}
            value: dict[str, Any] = await service.send("POST", "/fiel/policies/check", asked)
            return value

        return through

    from fiel.infra import models
    from fiel.infra.desk.operations import check as checked
    from fiel.policies.bundle import load_bundles
    from fiel.policies.evaluate import GuardrailsPolicies

    models.quiet_threads()
    policies = GuardrailsPolicies(load_bundles(settings.policies or None))
    policies.bundle(name)

    made: list[Guard] = []

    async def guard() -> "Guard":
        if not made:
            made.append(models.guard(settings, await asyncio.to_thread(models.embedder, settings)))
        return made[0]

    async def here(text: str) -> dict[str, Any]:
        return await checked(policies, guard, name, stage, text, question)

    return here


def _show_decision(value: dict[str, Any]) -> None:
    for verdict in value["verdicts"]:
        action = click.style(f"{verdict['action']:<8}", fg=COLOURS[verdict["action"]] or None)
        where = ", ".join(f"{span['kind']} {span['start']}–{span['end']}" for span in verdict["spans"])
        score = "" if verdict["action"] == "not_run" else f"  {verdict['score']:g} of {verdict['threshold']:g}"
        reason = "" if verdict["reason"] in ("ok", "not_run") else f"  {verdict['reason']}"
        click.echo(f"{action} {verdict['check']:<10}{score}{reason}" + (f"  ({where})" if where else ""))
    if value["action"] in MASKING:
        click.echo(f"\n{value['text']}")


@command("require", policy)
@click.argument("name", metavar="BUNDLE", required=False)
@click.option("--collection", required=True, metavar="C", help="The collection whose runs must use it.")
@click.option("--none", "nothing", is_flag=True, help="Demand no bundle any more.")
async def require(settings: Settings, name: str | None, collection: str, nothing: bool) -> Result:
    """Name the least BUNDLE that any run over a collection must use: it, or one that extends it."""
    if nothing == (name is not None):
        raise UsageError("name one BUNDLE, or --none", where="fiel policy require")

    value = await _demand(settings, collection, name)
    return Result(value, lambda: click.echo(f"{collection}: {value['policy'] or 'no bundle'} at least"))


async def _demand(settings: Settings, collection: str, name: str | None) -> dict[str, Any]:
    from fiel.infra.desk.client import reach

    if (service := reach(settings)) is not None:
        value: dict[str, Any] = await service.send(
            "PUT", "/fiel/policies/least", {"collection": collection, "policy": name}
        )
        return value

    from fiel.infra.callers import principal_of
    from fiel.infra.corpus.least import require_policy
    from fiel.infra.database.open import open_database
    from fiel.policies.plain import PlainPolicies

    bundle = PlainPolicies(_bundles(settings)).bundle(name).name if name else ""
    async with open_database(settings) as database:
        await require_policy(database, principal_of(None, ()), collection, bundle)
    return {"collection": collection, "policy": bundle or None}
