"""abstain, refuse, fail: the ends at which no draft is released. They say so in fixed words, with a reason's code."""

from dataclasses import dataclass
from typing import Any, Literal

from langchain_core.runnables import RunnableConfig
from langgraph.runtime import Runtime

from fiel.nodes.base import State, Update, bundle_of, said
from fiel.nodes.turns import closed
from fiel.policies.types import Policies
from fiel.tools.errors import PolicyError
from fiel.tools.record import Recorder

Outcome = Literal["abstained", "refused", "unavailable"]


@dataclass(frozen=True, slots=True)
class End:
    """An end with its outcome."""

    outcome: Outcome
    policies: Policies
    recorder: Recorder

    async def __call__(self, state: State, runtime: Runtime[Any], config: RunnableConfig) -> Update:
        run = self.recorder.run_of(runtime, config)
        reason = self._reason(state)
        return ending(self.policies, run, state, self.outcome, reason)

    def _reason(self, state: State) -> str:
        """The failure where there is one, else the reason that the last hop left, else the outcome itself."""
        return str(state.get("failure") or state.get("reason") or self.outcome)


def ending(policies: Policies, run: str, state: State, outcome: Outcome, reason: str) -> Update:
    """What a run that releases nothing leaves: outcome, reason and fixed words."""
    text = _words(policies, state, outcome, reason)
    return {
        "outcome": outcome,
        "reason": reason,
        "answer": text,
        "citations": [],
        "draft": "",
        "messages": [said(run, text, outcome, reason)],
        "turns": closed(state, run, text, outcome, reason),
    }


def _words(policies: Policies, state: State, outcome: Outcome, reason: str) -> str:
    """The words of the run's bundle; those of the default one where that has gone: an end must be able to speak."""
    try:
        bundle = bundle_of(policies, state)
    except PolicyError:
        bundle = policies.bundle("default")
    return bundle.message(reason, state.get("language") or "en", otherwise=outcome)
