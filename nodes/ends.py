"""abstain, refuse, fail: the ends at which no draft is released. They say so in fixed words, with a reason's code."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from langchain_core.runnables import RunnableConfig
from langgraph.runtime import Runtime

from fiel.nodes import names
from fiel.nodes.base import State, Update, bundle_of, said
from fiel.nodes.turns import closed
from fiel.nodes.windows import WINDOW, released_so_far, window_of
from fiel.policies.types import Policies
from fiel.tools.errors import NotProven, PolicyError
from fiel.tools.record import Callers, Recorder
from fiel.tools.vault import Vault

Outcome = Literal["abstained", "refused", "unavailable"]


@dataclass(frozen=True, slots=True)
class End:
    """An end with its outcome."""

    outcome: Outcome
    callers: Callers
    policies: Policies
    recorder: Recorder
    vault: Vault

    async def __call__(self, state: State, runtime: Runtime[Any], config: RunnableConfig) -> Update:
        run = self.recorder.run_of(runtime, config)
        reason = self._reason(state)
        begun = await released_so_far(self.recorder, self.vault, run, state)
        if begun:
            begun = names.put_back(begun, await self._known(run, state, config))
        return ending(self.policies, run, state, self.outcome, reason, begun)

    async def _known(self, run: str, state: State, config: RunnableConfig) -> names.Known:
        """The placeholders whose values the caller was shown; none where bundle or values have gone."""
        roles = self.callers.principal(config).roles
        try:
            return await names.visible(self.vault, run, state, bundle_of(self.policies, state), roles)
        except (PolicyError, NotProven):
            return {}

    def _reason(self, state: State) -> str:
        """The failure where there is one, else the reason that the last hop left, else the outcome itself."""
        return str(state.get("failure") or state.get("reason") or self.outcome)


def ending(
    policies: Policies,
    run: str,
    state: State,
    outcome: Outcome,
    reason: str,
    begun: Mapping[str, Any] | None = None,
) -> Update:
    """What a run leaves that releases nothing, or nothing more: outcome, reason and fixed words.

    `begun` is what the caller has been shown of an answer already: it stands, and the words say that it ends there.
    """
    text, citations = _words(policies, state, "cut_short" if begun else reason, outcome), []
    more: Update = {}
    if begun:
        text, citations = f"{begun['answer']}\n\n{text}", begun["citations"]
        more[WINDOW] = {**window_of(state), "more": False, "waits": "", "from": len(begun["answer"])}
    return {
        "outcome": outcome,
        "reason": reason,
        "answer": text,
        "citations": citations,
        "draft": "",
        "messages": [said(run, text, outcome, reason)],
        "turns": closed(state, run, text, outcome, reason),
        **more,
    }


def _words(policies: Policies, state: State, reason: str, outcome: Outcome) -> str:
    """The words of the run's bundle; those of the default one where that has gone: an end must be able to speak."""
    try:
        bundle = bundle_of(policies, state)
    except PolicyError:
        bundle = policies.bundle("default")
    return bundle.message(reason, state.get("language") or "en", otherwise=outcome)
