"""`fiel policy diff`, `test` and `schema`: bundles as code. They look at files of this machine and need no service."""

from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import click

from fiel.infra.cli.command import command
from fiel.infra.cli.output import DONE, NO, Result, write_json
from fiel.infra.settings import Settings
from fiel.policies.types import STAGES, Stage
from fiel.tools.errors import UsageError

if TYPE_CHECKING:
    from fiel.policies.bundle import PolicyBundle


def _named(settings: Settings, *names: str) -> "list[PolicyBundle]":
    """Bundles by name, or by the path of a file that ends in .yaml or .yml."""
    from fiel.policies.bundle import read_bundles, read_file
    from fiel.policies.plain import PlainPolicies

    loaded = PlainPolicies(read_bundles(settings.policies or None))
    return [
        read_file(name, loaded.bundles) if Path(name).suffix in (".yaml", ".yml") else loaded.bundle(name)
        for name in names
    ]


@command("diff")
@click.argument("old", metavar="A")
@click.argument("new", metavar="B")
def diff(settings: Settings, old: str, new: str) -> Result:
    """Show what changes from bundle A to B: names, or paths of YAML files. Exits with 1 where anything does."""
    from fiel.policies.compare import compare

    before, after = _named(settings, old, new)
    changes = [
        {"kind": change.kind, "where": change.where, "before": change.before, "after": change.after}
        for change in compare(before, after)
    ]
    value = {
        "from": {"name": before.name, "version": before.version},
        "to": {"name": after.name, "version": after.version},
        "changes": changes,
    }
    return Result(value, lambda: _show_changes(changes), NO if changes else DONE)


def _show_changes(changes: list[dict[str, Any]]) -> None:
    if not changes:
        click.echo("no difference")
    for change in changes:
        click.echo(click.style(change["where"], bold=True))
        if change["before"] is not None:
            click.secho(f"  - {change['before']}", fg="red")
        if change["after"] is not None:
            click.secho(f"  + {change['after']}", fg="green")


@command("test")
@click.argument("name", metavar="BUNDLE")
@click.option("--file", type=click.Path(path_type=Path), metavar="F", help="Labelled texts, one JSON object a line.")
@click.option("--stage", default="input", show_default=True, type=click.Choice(STAGES), help="Stage of lines without.")
@click.option("--at", default="replace", show_default=True, help="Least action by which a text counts as caught.")
@click.option("--min-recall", type=click.FloatRange(0, 1), metavar="X", help="Exit with 1 below this recall.")
@click.option("--max-fpr", type=click.FloatRange(0, 1), metavar="X", help="Exit with 1 above this share.")
def test(
    settings: Settings,
    name: str,
    file: Path | None,
    stage: str,
    at: str,
    min_recall: float | None,
    max_fpr: float | None,
) -> Result:
    """Run the examples of BUNDLE (a name, or the path of a YAML file), and what it makes of labelled texts.

    A line of the file is {"text": …, "label": 0 or 1}, with "stage", "check" and "facts" where it needs them.
    """
    from fiel.infra import models
    from fiel.infra.evaluation.trial import as_plain, read_rows, tried
    from fiel.policies.bundle import prove
    from fiel.policies.entries import ACTIONS

    if at not in ACTIONS:
        raise UsageError(f"there is no action {at!r}", where="--at", hint=f"Actions: {', '.join(ACTIONS)}")
    if file is None and (min_recall is not None or max_fpr is not None):
        raise UsageError("--min-recall and --max-fpr need --file", where="fiel policy test")
    [bundle] = _named(settings, name)
    models.quiet_threads()
    prove(bundle)
    value: dict[str, Any] = {"bundle": bundle.name, "version": bundle.version, "examples": len(bundle.examples)}
    if file is None:
        return Result(value, lambda: _show_test(value))
    trial = tried(bundle, read_rows(file, cast("Stage", stage), bundle), at)
    value |= {"file": str(file), "at": at, **as_plain(trial)}
    return Result(value, lambda: _show_test(value), NO if trial.fails(min_recall, max_fpr) else DONE)


def _show_test(value: dict[str, Any]) -> None:
    click.echo(click.style(value["bundle"], bold=True) + f"  {value['version'][:12]}")
    click.echo(f"{value['examples']} examples of its own hold")
    if "file" not in value:
        return
    for name, meaning in (("recall", "recall"), ("false_positives", "false positives")):
        figure = value[name]
        click.echo(f"{meaning:<16}" + (_shown(figure) if figure else "– (no such texts)"))
    ms = value["ms"]
    click.echo(f"{'latency':<16}{ms['p50']:g} ms p50, {ms['p95']:g} ms p95, n={ms['n']}")
    for check, count in value["caught_by"].items():
        click.echo(f"    {check:<12}{count}")
    if value["failed"]:
        click.secho(f"a check failed on {value['failed']} texts", fg="red")


def _shown(figure: dict[str, Any]) -> str:
    return f"{figure['value']:.3f} [{figure['low']:.3f}, {figure['high']:.3f}] n={figure['n']}"


@command("schema")
def schema(settings: Settings) -> Result:
    """Print the JSON Schema of a bundle's file, for editors."""
    from fiel.policies.schema import schema as made

    value = made()
    return Result(value, lambda: write_json(value))


COMMANDS = (diff, test, schema)
