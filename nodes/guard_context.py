"""guard_context: instructions hidden in retrieved text lower or remove the passage that carries them."""

from dataclasses import dataclass
from typing import Any

from langchain_core.runnables import RunnableConfig
from langgraph.runtime import Runtime

from fiel.nodes.base import State, Update, found, plain
from fiel.policies.types import Decision, Policies
from fiel.tools.record import Callers, Recorder
from fiel.tools.search import Passage
from fiel.tools.vault import Vault


@dataclass(frozen=True, slots=True)
class GuardContext:
    """Blocked passages are dropped, flagged ones go to the end; a check that fails refuses the run."""

    callers: Callers
    policies: Policies
    recorder: Recorder
    vault: Vault

    async def __call__(self, state: State, runtime: Runtime[Any], config: RunnableConfig) -> Update:
        run = self.recorder.run_of(runtime, config)
        passages: list[Passage] = state["passages"]
        bundle = self.policies.bundle(state["policy"])
        decision = await self.policies.check(
            bundle, "context", [passage["text"] for passage in passages], {"language": state["language"]}
        )
        details = list(state["details"])
        if found(decision):
            details.append(await self.vault.put(run, {"verdicts": plain(decision.verdicts, spans=True)}))
        seen = self.callers.principal(config).sees_unreleased
        update: Update = {
            "verdicts": [*state["verdicts"], *plain(decision.verdicts, spans=seen)],
            "details": details,
        }
        if _unlocated(decision):
            return {**update, "passages": [], "reason": decision.reason, "failure": "check_failed"}
        kept = arrange(passages, decision)
        return {**update, "passages": kept, "reason": "" if kept else "context_blocked"}


def _unlocated(decision: Decision) -> bool:
    """Whether something blocks without saying which passage: a check that failed, above all."""
    return any(verdict.action == "block" and not verdict.spans for verdict in decision.verdicts)


def arrange(passages: list[Passage], decision: Decision) -> list[Passage]:
    """Passages without those that a verdict blocks, those that one flags last; order kept otherwise."""
    blocked: set[int] = set()
    flagged: set[int] = set()
    for verdict in decision.verdicts:
        parts = {span.part for span in verdict.spans}
        if verdict.action == "block":
            blocked |= parts
        elif verdict.action == "flag":
            flagged |= parts
    clean = [passage for index, passage in enumerate(passages) if index not in blocked | flagged]
    return clean + [passages[index] for index in sorted(flagged - blocked)]
