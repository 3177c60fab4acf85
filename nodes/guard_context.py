"""guard_context: instructions hidden in retrieved text lower or remove the passage that carries them."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from langchain_core.runnables import RunnableConfig
from langgraph.runtime import Runtime

from fiel.nodes.base import State, Update, bundle_of, plain
from fiel.nodes.sift import sift
from fiel.policies.types import HELD, MASKING, Policies, Verdict
from fiel.tools.record import Callers, Recorder
from fiel.tools.search import Passage
from fiel.tools.vault import Vault

ORDER = "order"
"""Kind of the spans that the check `orders` gives."""
DROP = HELD | MASKING
"""Quotes are verbatim, so a passage cannot be masked: what a bundle would redact is dropped like what it blocks. So is
what it wants reviewed: a person is asked about a question or an answer, not about every passage on the way."""


@dataclass(frozen=True, slots=True)
class GuardContext:
    """Blocked passages are dropped, flagged ones go to the end; a check that fails refuses the run.

    Orders in a passage that stays are marked, so that no prompt shows them and no answer quotes them; for them alone it
    does not lose its place.
    """

    callers: Callers
    policies: Policies
    recorder: Recorder
    vault: Vault

    async def __call__(self, state: State, runtime: Runtime[Any], config: RunnableConfig) -> Update:
        run = self.recorder.run_of(runtime, config)
        passages: list[Passage] = state["passages"]
        bundle = bundle_of(self.policies, state)
        facts = {
            "language": state["language"],
            "licence": [passage.get("licence", "") for passage in passages],
            "trust": [passage.get("trust", "") for passage in passages],
        }
        sifted = await sift(self.policies, bundle, "context", [seen_text(one) for one in passages], facts, DROP)
        details = list(state["details"])
        if any(verdict.spans for verdict in sifted.verdicts):
            details.append(await self.vault.put(run, {"verdicts": plain(sifted.verdicts, spans=True)}))
        seen = self.callers.principal(config).sees_unreleased
        update: Update = {
            "verdicts": [*state["verdicts"], *plain(sifted.verdicts, spans=seen)],
            "details": details,
        }
        if sifted.failed:
            return {**update, "passages": [], "reason": sifted.failed, "failure": "check_failed"}
        # A passage whose orders are hidden is as good as it was; else whoever plants one could push it down.
        suspected = sifted.flagged & {
            span.part for verdict in sifted.verdicts for span in verdict.spans if span.kind != ORDER
        }
        kept = [
            _marked(passages[place], place, sifted.verdicts)
            for place in sorted(sifted.kept, key=lambda place: place in suspected)
        ]
        return {**update, "passages": kept, "reason": "" if kept else "context_blocked"}


def _marked(passage: Passage, place: int, verdicts: Sequence[Verdict]) -> Passage:
    """The passage with the places of its orders; as it was where it has none."""
    found = sorted(
        {
            (span.start, span.end)
            for verdict in verdicts
            for span in verdict.spans
            if span.part == place and span.kind == ORDER
        }
    )
    return {**passage, "orders": [list(one) for one in found]} if found else passage


def seen_text(passage: Passage) -> str:
    """All of a passage that may reach a prompt: its text, then its headings and its title, which documents choose too.

    The text stands first, so that spans within it keep their places.
    """
    return "\n".join((passage["text"], passage["context"], passage["title"]))
