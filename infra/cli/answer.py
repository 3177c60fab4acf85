"""An answer as a person reads it."""

from typing import Any

from fiel.infra.cli.output import DONE, NO, UNAVAILABLE

STATUS = {"answered": DONE, "abstained": NO, "refused": NO, "pending": NO, "unavailable": UNAVAILABLE}
COLOURS = {"answered": "green", "abstained": "yellow", "refused": "red", "pending": "cyan", "unavailable": "red"}


def show_answer(answer: dict[str, Any], *, verdicts: bool = False) -> None:
    """Print the answer with its markers, the citations, and how it ended. `verdicts`: every verdict, too."""
    from rich.console import Console
    from rich.markup import escape

    # Text of answers and documents is data: escaped, so that nothing in it formats (or links) anything.
    console = Console(highlight=False)
    console.print()
    console.print(escape(answer["answer"]))
    for citation in answer["citations"]:
        place = f"{citation['uri']}  {citation['start']}–{citation['end']}"
        console.print(f"\n[bold]{escape(citation['marker'])}[/bold] {escape(place)}", soft_wrap=True)
        console.print(f"    [dim]“{escape(' '.join(citation['quote'].split()))}”[/dim]")
    console.print()
    shown = [one for one in answer["verdicts"] if verdicts or one["action"] not in ("allow", "not_run")]
    for verdict in shown:
        console.print(f"  {verdict_line(verdict)}")
    if shown:
        console.print()
    outcome = answer["outcome"]
    reason = "" if answer["reason"] == "ok" else f" ({escape(answer['reason'])})"
    console.print(f"[{COLOURS[outcome]}]{outcome}[/]{reason} · run {answer['run_id']}", soft_wrap=True)


def verdict_line(verdict: dict[str, Any]) -> str:
    """One verdict, in rich's markup."""
    from rich.markup import escape

    colour = {"allow": "green", "not_run": "dim", "flag": "yellow", "replace": "cyan", "redact": "cyan"}.get(
        verdict["action"], "red"
    )
    score = f" score {verdict['score']:g} of {verdict['threshold']:g}" if verdict["action"] != "not_run" else ""
    reason = "" if verdict["reason"] == "ok" else f" {verdict['reason']}"
    stage = f"{verdict['stage']:<8}" if "stage" in verdict else ""
    return f"[{colour}]{verdict['action']:<8}[/] {stage}{escape(verdict['check'])}{escape(reason)}[dim]{score}[/dim]"
