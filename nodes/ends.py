"""abstain, refuse, fail: the ends at which no draft is released. They say so in fixed words, with a reason's code."""

from dataclasses import dataclass
from typing import Any, Literal

from langchain_core.runnables import RunnableConfig
from langgraph.runtime import Runtime

from fiel.nodes.base import State, Update, said
from fiel.policies.types import Policies
from fiel.tools.record import Recorder


@dataclass(frozen=True, slots=True)
class End:
    """An end with its outcome."""

    outcome: Literal["abstained", "refused", "unavailable"]
    policies: Policies
    recorder: Recorder

    async def __call__(self, state: State, runtime: Runtime[Any], config: RunnableConfig) -> Update:
        run = self.recorder.run_of(runtime, config)
        reason = self._reason(state)
        bundle = self.policies.bundle(state.get("policy") or "default")
        text = bundle.message(reason, state.get("language") or "en", otherwise=self.outcome)
        return {
            "outcome": self.outcome,
            "reason": reason,
            "answer": text,
            "citations": [],
            "draft": "",
            "messages": [said(run, text, self.outcome, reason)],
        }

    def _reason(self, state: State) -> str:
        """The failure where there is one, else the reason that the last hop left, else the outcome itself."""
        return str(state.get("failure") or state.get("reason") or self.outcome)
