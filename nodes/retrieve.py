"""retrieve: hybrid search over what the caller may read."""

from dataclasses import dataclass
from typing import Any

from langchain_core.runnables import RunnableConfig
from langgraph.runtime import Runtime

from fiel.nodes.base import State, Update
from fiel.tools.embed import Embedder
from fiel.tools.record import Callers
from fiel.tools.search import Passage, Search, SearchRequest

RANK_CONSTANT = 60
"""Reciprocal rank fusion over several queries (Cormack, Clarke, Büttcher 2009)."""


@dataclass(frozen=True, slots=True)
class Retrieve:
    """Searches every query, and fuses the lists where there are several."""

    callers: Callers
    embed: Embedder
    search: Search

    async def __call__(self, state: State, runtime: Runtime[Any], config: RunnableConfig) -> Update:
        options = runtime.context
        requests = [
            SearchRequest(
                collection=options.collection,
                text=query,
                vector=await self.embed.query(query),
                language=state["language"],
                k=options.k,
            )
            for query in state["queries"]
        ]
        lists = await self.search.search(self.callers.principal(config), requests)
        return {"passages": lists[0] if len(lists) == 1 else fuse(lists, options.k)}


def fuse(lists: list[list[Passage]], k: int) -> list[Passage]:
    """The k best passages of several lists by reciprocal rank; a passage keeps the fields of its best list."""
    weights: dict[str, float] = {}
    passages: dict[str, Passage] = {}
    for passages_of_query in lists:
        for rank, passage in enumerate(passages_of_query, start=1):
            weights[passage["chunk"]] = weights.get(passage["chunk"], 0.0) + 1 / (RANK_CONSTANT + rank)
            passages.setdefault(passage["chunk"], passage)
    best = sorted(weights, key=lambda chunk: (-weights[chunk], chunk))[:k]
    return [passages[chunk] for chunk in best]
