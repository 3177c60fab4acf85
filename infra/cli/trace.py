"""`fiel trace`: a run as the ledger has it, hop by hop."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import click

from fiel.infra.cli.command import command
from fiel.infra.cli.output import Result
from fiel.infra.settings import Settings

if TYPE_CHECKING:
    from rich.tree import Tree


@command("trace")
@click.argument("run")
async def trace(settings: Settings, run: str) -> Result:
    """Show the hops of RUN as a tree: time, decisions, tokens.

    RUN is the id that `fiel ask` prints; the id of its trace is the same one without dashes, and works too.
    """
    value = await _read(settings, run)
    return Result(value, lambda: show_run(value))


async def _read(settings: Settings, run: str) -> dict[str, Any]:
    from fiel.infra.desk.client import reach

    value: dict[str, Any]
    if (service := reach(settings)) is not None:
        value = await service.get(f"/fiel/runs/{quote(run, safe='')}/trace")
        return value

    from fiel.infra.callers import principal_of
    from fiel.infra.database.open import open_database
    from fiel.infra.desk.operations import read_trace

    async with open_database(settings) as database:
        return await read_trace(database, principal_of(None, ()), run)


def show_run(value: dict[str, Any]) -> None:
    """The tree of a run, for a person."""
    from rich.console import Console
    from rich.markup import escape
    from rich.tree import Tree

    from fiel.infra.cli.answer import COLOURS

    outcome = value["outcome"] or "not ended"
    reason = "" if value["reason"] in (None, "", "ok") else f" ({escape(value['reason'])})"
    head = f"[bold]run {value['run']}[/bold]  [{COLOURS.get(outcome, 'yellow')}]{outcome}[/]{reason}"
    tree = Tree(f"{head}  {value['ms']:.1f} ms" + ("  [red]edited[/red]" if value["edited"] else ""))
    branches: dict[int, Tree] = {}
    for hop in value["hops"]:
        number = hop["run_attempt"]
        if len(value["traces"]) > 1 and number not in branches:
            branches[number] = tree.add(f"[yellow]attempt {number} of the run[/yellow]")
        _add(branches.get(number, tree), hop)
    console = Console(highlight=False)
    console.print(tree, soft_wrap=True)
    console.print(f"tokens: {value['tokens']['input']} in, {value['tokens']['output']} out")
    if not value["intact"]:
        console.print("[red]the chain of this run's ledger entries is broken[/red]")
    if value["resumes"]:
        console.print(f"goes on from run {value['resumes']}")


def _add(tree: "Tree", hop: dict[str, Any]) -> None:
    from rich.markup import escape

    failed = hop["status"] != "ok" or hop["decision"].get("failure")
    again = f" (attempt {hop['attempt']})" if hop["attempt"] > 1 else ""
    edited = "  [red]given an edited state[/red]" if hop["edited"] else ""
    branch = tree.add(f"[{'red' if failed else 'cyan'}]{hop['hop']:<14}[/] {hop['ms']:8.1f} ms{again}{edited}")
    for line in decided(hop["hop"], hop["decision"]):
        branch.add(f"[dim]{escape(line)}[/dim]")
    if hop["status"] != "ok":
        branch.add(f"[red]{escape(hop['status'])}[/red]")
    if any(hop["tokens"].values()):
        branch.add(f"[dim]tokens: {hop['tokens']['input']} in, {hop['tokens']['output']} out[/dim]")
    for effect in hop["effects"]:
        if "error" in effect:
            branch.add(f"[red]{escape(effect['kind'])}: {escape(str(effect['error']))}[/red]")


def decided(hop: str, decision: Mapping[str, Any]) -> list[str]:
    """What a hop decided, a line each, in words that fit a terminal. Digests and versions stay in `--json`."""
    lines = []
    # The channel carries the verdicts of the run so far; a guard's own are those of its stage.
    stage = hop.removeprefix("guard_")
    verdicts = [verdict for verdict in decision.get("verdicts") or [] if verdict["stage"] == stage]
    for verdict in verdicts:
        if verdict["action"] not in ("allow", "not_run"):
            lines.append(f"{verdict['check']}: {verdict['action']}, {verdict['reason']}, score {verdict['score']:g}")
    passed = sum(verdict["action"] == "allow" for verdict in verdicts)
    if passed:
        lines.append(f"{passed} of {len(verdicts)} verdicts allow")
    judgement = decision.get("judgement") or {}
    for label, score in zip(judgement.get("labels", ()), judgement.get("scores", ()), strict=True):
        lines.append(f"sentence: {label}, score {score:g}")
    if "answered" in judgement:
        lines.append(f"answers the question: {judgement['answered']:g}")
    for name in ("language", "policy", "relevance", "relevant", "attempt", "outcome", "reason", "failure"):
        if decision.get(name) not in (None, ""):
            lines.append(f"{name}: {decision[name]}")
    return lines


def span_tree(trace: Mapping[str, Any]) -> "Tree":
    """A trace as MLflow gave it back, for a terminal."""
    from rich.tree import Tree

    def label(span: Mapping[str, Any]) -> str:
        facts = span["facts"]
        ends = [str(facts[name]) for name in ("fiel.outcome", "fiel.reason", "fiel.failure") if facts.get(name)]
        colour = "red" if str(span["status"]).endswith("ERROR") else "cyan"
        return f"[{colour}]{span['name']:<14}[/] {span['ms']:8.1f} ms  [dim]{span['type']:<10} {' '.join(ends)}[/dim]"

    def grow(tree: "Tree", span: Mapping[str, Any]) -> None:
        for child in span["children"]:
            grow(tree.add(label(child)), child)

    tree = Tree(label(trace))
    grow(tree, trace)
    return tree
