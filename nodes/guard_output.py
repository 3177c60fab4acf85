"""guard_output: runs the output checks on the draft and on every quote; leaves the draft as it may be released."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from langchain_core.runnables import RunnableConfig
from langgraph.runtime import Runtime

from fiel.nodes import names
from fiel.nodes.base import State, Update, bundle_of, due, found, plain
from fiel.nodes.cite import Composed, compose
from fiel.nodes.moderate import moderated
from fiel.nodes.prompts import Prompts
from fiel.nodes.turns import mark_of
from fiel.nodes.windows import going_on, shown, shown_content, window_of
from fiel.policies.placeholders import alike
from fiel.policies.types import HELD, Bundle, Decision, Policies
from fiel.policies.windows import opened
from fiel.tools.errors import NotProven
from fiel.tools.guard import Guard
from fiel.tools.record import Callers, Recorder
from fiel.tools.vault import Vault


def written_by_reviewer(state: State) -> bool:
    """Whether the draft is a reviewer's own: they are not asked about it again, but what blocks it still does."""
    review = state.get("review") or {}
    return bool(review.get("status") == "edited" and review.get("draft") == state["draft"])


@dataclass(frozen=True, slots=True)
class GuardOutput:
    """Composes answer and citations from the draft, checks them, masks what the bundle masks."""

    callers: Callers
    guard: Guard
    policies: Policies
    prompts: Callable[[str], Prompts]
    recorder: Recorder
    vault: Vault

    async def __call__(self, state: State, runtime: Runtime[Any], config: RunnableConfig) -> Update:
        run = self.recorder.run_of(runtime, config)
        content = await self.vault.get(run, state["draft"])
        if content is None:
            raise NotProven("the draft is not in the vault", where="guard_output")
        bundle = bundle_of(self.policies, state)
        principal = self.callers.principal(config)
        known = await names.own(self.vault, run, state) if names.replacing(bundle) else {}
        facts = {
            "question": state["question"],
            "language": state["language"],
            "prompt": self.prompts(runtime.context.prompt).secret,
            "canary": mark_of(state, run),
            "passages": [passage["text"] for passage in state["passages"]],
            **names.fact(bundle, known),
        }
        before = await shown_content(self.vault, run, state)
        drafted = [*before["drafted"], *content["sentences"]]
        if names.replacing(bundle):
            facts |= names.taken(state)
            drafted = names.genuine(drafted, known if written_by_reviewer(state) else alike(state["standalone"]))
        composed = compose(drafted, state["passages"])
        decision = await self._decided(bundle, composed, content.get("ahead", ""), state, facts)
        seen = principal.sees_unreleased
        update: Update = {"verdicts": self._verdicts(state, plain(decision.verdicts, spans=seen))}
        checked = {"draft": state["draft"], "action": decision.action, "policy": bundle.version, "released": ""}
        if window_of(state):
            checked["shown"] = shown(state)
        if decision.action == "block" or (decision.action == "review" and shown(state)):
            return {**update, "checked": {**checked, "action": "block"}, "reason": decision.reason}
        if going_on(state):
            alone = await self._settled(bundle, composed, decision, facts)
            if alone is None:
                return {**update, "checked": checked}
            decision = alone
        if names.replacing(bundle):
            decision = names.in_order(decision, known)
        masked, known = await self._masked(bundle, composed, decision, facts)
        if names.replacing(bundle):
            update["placeholders"] = await names.kept(self.vault, run, names.thread_of(runtime), principal, known)
        if not masked["answer"].startswith(before["answer"]):
            return {**update, "checked": {**checked, "action": "block"}, "reason": "check_failed"}
        if window_of(state):
            masked["drafted"] = drafted
        released = await self.vault.put(run, masked)
        update |= {"checked": {**checked, "released": released}, "draft": released}
        if decision.action == "review" and not written_by_reviewer(state):
            update["review"] = await due(self.vault, run, "output", released, composed.parts, decision)
        return update

    async def _decided(
        self, bundle: Bundle, composed: Composed, ahead: str, state: State, facts: dict[str, Any]
    ) -> Decision:
        """What the checks say of everything that is drafted; what has come behind it is in sight."""
        answer, *quotes = composed.parts
        seen = f"{answer} {ahead}" if ahead else answer
        scored = await moderated(self.guard, bundle, "output", state["question"], seen)
        return await self.policies.check(bundle, "output", [seen, *quotes], {**facts, **scored})

    async def _settled(
        self, bundle: Bundle, composed: Composed, decision: Decision, facts: dict[str, Any]
    ) -> Decision | None:
        """What the checks say of a window by itself; None where it must wait.

        It waits where a finding lies across its end, and where something stands open in it that what follows may close.
        What a person must see is shown to nobody before it is whole.
        """
        answer = composed.parts[0]
        if decision.action == "review" or opened(answer) < len(answer):
            return None
        alone = await self.policies.check(bundle, "output", composed.parts, facts)
        return alone if alone.action not in HELD and decision.parts[0].startswith(alone.parts[0]) else None

    @staticmethod
    def _verdicts(state: State, more: list[dict[str, Any]]) -> list[dict[str, Any]]:
        """The verdicts of the run; those of the window before are of the same text and more."""
        earlier = [one for one in state["verdicts"] if not (window_of(state) and one["stage"] == "output")]
        return [*earlier, *more]

    async def _masked(
        self, bundle: Bundle, composed: Composed, decision: Decision, facts: dict[str, Any]
    ) -> tuple[dict[str, Any], names.Known]:
        """The draft as it may be released, with the verdicts that it got; and the placeholders after that."""
        verdicts = plain(decision.verdicts, spans=True) if found(decision) else []
        if decision.parts == tuple(composed.parts):
            return {**composed.content, "verdicts": verdicts}, decision.placeholders
        texts = [sentence["text"] for sentence in composed.content["sentences"]]
        facts = {**facts, **names.fact(bundle, decision.placeholders)}
        again = await self.policies.check(bundle, "output", texts, facts)
        sentences = again.parts if again.action not in HELD or again.action == decision.action else [""] * len(texts)
        known = {**decision.placeholders, **again.placeholders}
        return {**composed.masked(decision.parts, sentences), "verdicts": verdicts}, known
