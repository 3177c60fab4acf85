"""What the whole stage `input` of `default` refuses of texts that the injection head has not seen: what a user meets.

The head of a line is the one that was fitted without its source; the other checks, with the built-in moderation, are
those that serve. A text that a person would have to review counts as refused, one that is masked does not.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from typing import Any

from fiel.infra.evaluation.statistics import Figure, share
from fiel.nodes.moderate import moderated
from fiel.policies.bundle import load_bundles
from fiel.policies.plain import judged
from fiel.policies.rules import SEVERITY
from fiel.policies.types import Decision
from fiel.tools.embed import Embedder
from fiel.tools.guard.heads import HeadsGuard

HEAD = "injection_head"


async def beside(texts: Iterable[str], embed: Embedder) -> dict[str, str]:
    """Text to the reason why the other checks refuse it; empty where they do not."""
    bundle, guard = load_bundles()["default"], HeadsGuard(embed)
    rules = [rule for rule in bundle.rules["input"] if rule.check.name != HEAD]
    found = {}
    for text in dict.fromkeys(texts):
        why = refusal(judged(rules, [text], {}))
        # A text that is too long to be let in is not embedded for the guard.
        found[text] = why or refusal(judged(rules, [text], await moderated(guard, bundle, "input", text)))
    return found


def refusal(decision: Decision) -> str:
    """The reason of a decision that gives no answer, or waits for a person; empty for any other."""
    return decision.reason if SEVERITY[decision.action] >= SEVERITY["review"] else ""


def refused(texts: Sequence[str], scores: Sequence[float], why: Mapping[str, str], threshold: float) -> Figure:
    """The share that is refused, by the head or by any other check."""
    return share([score >= threshold or bool(why[text]) for text, score in zip(texts, scores, strict=True)])


def report(lines: Sequence[Any], why: Mapping[str, str], threshold: float) -> list[dict[str, Any]]:
    """Print one row a line (`policies.Line`): the figure, and which other checks refuse what the head lets through."""
    rows = []
    print("\nthe whole stage `input` of `default`, beside its built-in moderation")
    for line in lines:
        figure = refused(line.texts, line.scores, why, threshold)
        what = "recall" if line.label else "false positives"
        more = Counter(why[text] for text, score in zip(line.texts, line.scores, strict=True) if score < threshold)
        others = ", ".join(f"{reason} {count}" for reason, count in more.most_common() if reason)
        print(f"{line.held:<36}{line.source:<20}{what:<16}{figure}  {others}")
        rows.append({"held": line.held, "source": line.source, "figure": what, **asdict(figure)})
    return rows
