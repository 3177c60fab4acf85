"""rerank: cross-encoder order, and the grade *does any of these answer it?*"""

from dataclasses import dataclass
from typing import Any

from langchain_core.runnables import RunnableConfig
from langgraph.runtime import Runtime

from fiel.nodes.base import State, Update
from fiel.tools.canonical import score
from fiel.tools.rerank import Reranker


@dataclass(frozen=True, slots=True)
class Rerank:
    """Orders the passages and grades them; too low a grade ends the run without generating."""

    rerank: Reranker

    async def __call__(self, state: State, runtime: Runtime[Any], config: RunnableConfig) -> Update:
        passages = state["passages"]
        if not passages:
            return {"relevance": score(0.0), "relevant": False, "reason": "nothing_found"}
        ranking = await self.rerank.rank(state["standalone"], passages, language=state["language"])
        relevant = ranking.relevance >= self.rerank.threshold(state["language"])
        return {
            "passages": [passages[index] for index in ranking.order],
            "relevance": score(ranking.relevance),
            "relevant": relevant,
            "reason": "" if relevant else "nothing_relevant",
        }
