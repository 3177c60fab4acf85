"""`fiel policy`: bundles and verdicts. Only `require` needs a database, and none a model."""

import sys
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, cast, get_args

import click

from fiel.infra.cli.command import command
from fiel.infra.cli.output import DONE, NO, Result
from fiel.infra.cli.text import clean
from fiel.infra.outward import outward
from fiel.infra.settings import Settings
from fiel.policies.types import STAGES, Decision, Stage, Status, Verdict
from fiel.tools.errors import UsageError

if TYPE_CHECKING:
    from fiel.policies.bundle import PolicyBundle

COLOURS: Mapping[Status, str] = {"allow": "green", "flag": "yellow", "redact": "cyan", "block": "red", "not_run": ""}
assert set(COLOURS) == set(get_args(Status))  # noqa: S101 - a new status needs a colour


@click.group("policy")
def policy() -> None:
    """List and show policy bundles; check a text against one."""


def _bundles(settings: Settings) -> "dict[str, PolicyBundle]":
    from fiel.policies.bundle import load_bundles

    return load_bundles(settings.policies or None)


@command("list", policy)
def bundles(settings: Settings) -> Result:
    """List the bundles there are: fiel's own, and those in the folder that FIEL_POLICIES names."""
    rows = [
        {
            "name": bundle.name,
            "version": bundle.version,
            "extends": bundle.lineage[1] if len(bundle.lineage) > 1 else None,
            "description": bundle.description,
            "checks": [entry.id for entry in bundle.entries],
        }
        for bundle in _bundles(settings).values()
    ]

    def show() -> None:
        for row in rows:
            extends = f" extends {row['extends']}" if row["extends"] else ""
            click.echo(click.style(str(row["name"]), bold=True) + f"  {str(row['version'])[:12]}{extends}")
            click.echo(f"    {row['description']}")

    return Result(rows, show)


@command("show", policy)
@click.argument("name", metavar="BUNDLE")
def show(settings: Settings, name: str) -> Result:
    """Show one bundle: its checks, stages, thresholds and parameters."""
    from fiel.policies.plain import PlainPolicies

    bundle = PlainPolicies(_bundles(settings)).bundle(name)
    value = {
        "name": bundle.name,
        "version": bundle.version,
        "lineage": list(bundle.lineage),
        "description": bundle.description,
        "file": bundle.file,
        "checks": [
            {
                "id": entry.id,
                "check": entry.check.name,
                "reason": entry.check.reason,
                "stages": {
                    stage: {band.action: band.threshold for band in bands} for stage, bands in entry.stages.items()
                },
                "with": entry.check.parameters(),
                "limit_ms": entry.limit_ms,
            }
            for entry in bundle.entries
        ],
        "messages": {language: dict(words) for language, words in bundle.messages.items()},
    }
    return Result(value, lambda: _show_bundle(value))


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
@click.argument("text", required=False)
async def check(settings: Settings, stage: str, name: str, by_line: bool, text: str | None) -> Result | int:
    """Check TEXT (or standard input, with - or without TEXT) as a run would. Exits with 1 where it is blocked."""
    from fiel.policies.evaluate import GuardrailsPolicies

    if by_line and text is not None:
        raise UsageError("--lines reads standard input: leave TEXT out", where="fiel policy check")
    policies = GuardrailsPolicies(_bundles(settings))
    bundle = policies.bundle(name)

    async def work(given: str) -> dict[str, Any]:
        return as_plain(await policies.check(bundle, cast("Stage", stage), [given], {}))

    if by_line:
        from fiel.infra.cli import lines

        return await lines.serve(work)
    value = await work(clean(sys.stdin.read() if text in (None, "-") else str(text), "TEXT"))
    return Result(value, lambda: _show_decision(value), NO if value["action"] == "block" else DONE)


def as_plain(decision: Decision) -> dict[str, Any]:
    """A decision on one text, in the shape of the interfaces."""
    plain: dict[str, Any] = outward(
        {
            "action": decision.action,
            "verdicts": [_verdict(one) for one in decision.verdicts],
            "text": decision.parts[0],
        }
    )
    return plain


def _verdict(verdict: Verdict) -> dict[str, Any]:
    return {
        "check": verdict.check,
        "version": verdict.version,
        "action": verdict.action,
        "score": verdict.score,
        "threshold": verdict.threshold,
        "reason": verdict.reason,
        "ms": round(verdict.ms, 3),
        "spans": [{"start": span.start, "end": span.end, "kind": span.kind} for span in verdict.spans],
    }


def _show_decision(value: dict[str, Any]) -> None:
    for verdict in value["verdicts"]:
        action = click.style(f"{verdict['action']:<8}", fg=COLOURS[verdict["action"]] or None)
        where = ", ".join(f"{span['kind']} {span['start']}–{span['end']}" for span in verdict["spans"])
        score = "" if verdict["action"] == "not_run" else f"  {verdict['score']:g} of {verdict['threshold']:g}"
        reason = "" if verdict["reason"] in ("ok", "not_run") else f"  {verdict['reason']}"
        click.echo(f"{action} {verdict['check']:<10}{score}{reason}" + (f"  ({where})" if where else ""))
    if value["action"] == "redact":
        click.echo(f"\n{value['text']}")


@command("require", policy)
@click.argument("name", metavar="BUNDLE", required=False)
@click.option("--collection", required=True, metavar="C", help="The collection whose runs must use it.")
@click.option("--none", "nothing", is_flag=True, help="Demand no bundle any more.")
async def require(settings: Settings, name: str | None, collection: str, nothing: bool) -> Result:
    """Name the least BUNDLE that any run over a collection must use: it, or one that extends it."""
    if nothing == (name is not None):
        raise UsageError("name one BUNDLE, or --none", where="fiel policy require")

    from fiel.infra.cli.callers import principal_of
    from fiel.infra.corpus.least import require_policy
    from fiel.infra.database.open import open_database
    from fiel.policies.plain import PlainPolicies

    bundle = PlainPolicies(_bundles(settings)).bundle(name).name if name else ""
    async with open_database(settings) as database:
        await require_policy(database, principal_of(None, ()), collection, bundle)
    value = {"collection": collection, "policy": bundle or None}
    return Result(value, lambda: click.echo(f"{collection}: {bundle or 'no bundle'} at least"))
