"""review: waits until a person has decided, and goes on as they have decided.

What the run is resumed with is not looked at. The decision comes from the review port, and what it says stands in this
hop's ledger entry, where `release` looks for it.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from langchain_core.runnables import RunnableConfig
from langgraph.runtime import Runtime
from langgraph.types import interrupt

from fiel.nodes.base import State, Update
from fiel.nodes.cite import rewritten
from fiel.nodes.generate import as_plain
from fiel.tools.errors import NotProven
from fiel.tools.record import Callers, Recorder
from fiel.tools.review import Decided, Reviews, Ruling
from fiel.tools.vault import Vault

STATUS: Mapping[Decided, str] = {
    "approve": "approved",
    "edit": "edited",
    "reject": "rejected",
    "expire": "expired",
}
_REASONS: Mapping[Decided, str] = {"reject": "review_rejected", "expire": "review_expired"}


@dataclass(frozen=True, slots=True)
class Review:
    """Interrupts the graph as long as nobody has decided."""

    callers: Callers
    recorder: Recorder
    reviews: Reviews
    vault: Vault

    async def __call__(self, state: State, runtime: Runtime[Any], config: RunnableConfig) -> Update:
        run = self.recorder.run_of(runtime, config)
        asked = state["review"]
        ruling = await self.reviews.ruling(self.callers.principal(config), asked["id"])
        while ruling is None:
            interrupt({"type": "review", "review_id": asked["id"], "stage": asked["stage"], "reason": asked["reason"]})
            # Somebody has resumed the run without a decision: it waits on.
        if ruling.subject != asked["subject"]:
            raise NotProven("what was reviewed is not what waits", where="review")
        return await self._ruled(run, state, ruling)

    async def _ruled(self, run: str, state: State, ruling: Ruling) -> Update:
        review = {**state["review"], "status": STATUS[ruling.decision], "by": ruling.by, "at": ruling.at}
        review["why"] = ruling.why
        if ruling.comment:
            review["comment"] = await self.vault.put(run, {"comment": ruling.comment})
        update: Update = {"review": review, "outcome": None, "answer": "", "reason": _REASONS.get(ruling.decision, "")}
        if ruling.decision != "edit":
            return update
        sentences = await self._edited(run, state, ruling.text)
        if not sentences:
            return {**update, "review": {**review, "status": "rejected"}, "reason": "review_rejected"}
        draft = await self.vault.put(run, {"sentences": sentences})
        return {**update, "review": {**review, "draft": draft}, "draft": draft, "judgement": {}}

    async def _edited(self, run: str, state: State, text: str) -> list[dict[str, Any]]:
        """The person's text as a draft: each sentence with the quotes that its markers had in the draft before."""
        before = await self.vault.get(run, state["review"]["subject"])
        if before is None or state["review"]["stage"] != "output":
            raise NotProven("there is no draft that could be edited", where="review")
        return [as_plain(one) for one in rewritten(text, before["citations"], state["passages"])]
