"""hold: keeps a question or a draft back until a person has looked at it, and says so."""

from dataclasses import dataclass
from typing import Any

from langchain_core.runnables import RunnableConfig
from langgraph.runtime import Runtime

from fiel.nodes.base import State, Update, bundle_of, said
from fiel.policies.types import Policies
from fiel.tools.errors import NotProven
from fiel.tools.record import Recorder
from fiel.tools.review import Case, Reviews
from fiel.tools.vault import Vault

PENDING = "pending"
REASON = "under_review"


@dataclass(frozen=True, slots=True)
class Hold:
    """Gathers what the reviewer must see, asks for the review, and tells the caller that a person reviews."""

    policies: Policies
    recorder: Recorder
    reviews: Reviews
    vault: Vault

    async def __call__(self, state: State, runtime: Runtime[Any], config: RunnableConfig) -> Update:
        run = self.recorder.run_of(runtime, config)
        due, bundle = state["review"], bundle_of(self.policies, state)
        case = Case(
            run=run,
            stage=due["stage"],
            subject=due["subject"],
            reason=due["reason"],
            policy=state["policy"],
            collection=runtime.context.collection,
            language=state["language"],
            dossier=await self._dossier(run, state),
            roles=bundle.review.roles,
            hours=bundle.review.hours,
            own=bundle.review.own,
        )
        review = await self.reviews.ask(config, case)
        if review is None:
            return {"reason": "review_unavailable"}
        shown = await self.vault.put(run, dict(case.dossier))
        words = bundle.message(PENDING, state["language"])
        return {
            "review": {**due, "status": "asked", "id": review, "shown": shown},
            "outcome": PENDING,
            "reason": REASON,
            "answer": words,
            "messages": [said(run, words, PENDING, REASON)],
        }

    async def _dossier(self, run: str, state: State) -> dict[str, Any]:
        due = state["review"]
        found = await self.vault.get(run, due["found"])
        draft = await self.vault.get(run, due["subject"]) if due["stage"] == "output" else {}
        if found is None or draft is None:
            raise NotProven("what is to be reviewed is not in the vault", where="hold")
        return {"question": state["question"], "draft": draft, **found}
