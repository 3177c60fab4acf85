"""The hops of the answer graph: how each is recorded, shown, and limited in time."""

import asyncio
from collections.abc import Callable, Mapping
from typing import Any

from langchain_core.runnables import RunnableConfig
from langgraph.errors import GraphBubbleUp
from langgraph.runtime import Runtime

from fiel.tools.errors import FielError
from fiel.tools.record import Hop, Node

END = ("outcome", "reason")

HOPS: dict[str, Hop] = {
    hop.name: hop
    for hop in (
        Hop("guard_input", "GUARDRAIL", ("verdicts", "reason", "failure", "policy", "versions", "language"),
            ("question",), ("question", "verdicts", "reason", "failure"), first=True),
        Hop("rewrite", "CHAIN", ("failure", "usage"), ("question",), ("standalone", "queries", "failure")),
        Hop("retrieve", "RETRIEVER", ("failure",), ("queries",), ("passages", "failure")),
        Hop("rerank", "RERANKER", ("relevance", "relevant", "reason", "failure"),
            ("standalone",), ("relevance", "reason", "failure")),
        Hop("guard_context", "GUARDRAIL", ("verdicts", "reason", "failure"), (), ("verdicts", "reason", "failure")),
        Hop("generate", "CHAIN", ("draft", "attempt", "reason", "failure", "usage"),
            ("standalone",), ("draft", "attempt", "usage", "failure")),
        Hop("judge", "EVALUATOR", ("judgement", "reason", "failure"), ("draft",), ("judgement", "reason", "failure")),
        Hop("guard_output", "GUARDRAIL", ("verdicts", "checked", "reason", "failure"),
            ("draft",), ("verdicts", "checked", "reason", "failure")),
        Hop("release", "CHAIN", (*END, "failure"), ("draft",), ("answer", "citations", *END, "failure"), terminal=True),
        Hop("abstain", "CHAIN", END, ("reason",), ("answer", *END), terminal=True),
        Hop("refuse", "CHAIN", END, ("reason",), ("answer", *END), terminal=True),
        Hop("fail", "CHAIN", END, ("failure",), ("answer", *END), terminal=True),
    )
}  # fmt: skip


def limited(name: str, node: Node, seconds: Callable[[], float]) -> Node:
    """`node` with a time limit, its failure turned into a `failure` code that the routes read.

    This is an edge that must turn any failure into *unavailable* or *refused*, hence the broad `except`. What LangGraph
    itself raises (interrupts) and cancellation pass through.
    """

    async def call(state: Mapping[str, Any], runtime: Runtime[Any], config: RunnableConfig) -> Mapping[str, Any]:
        try:
            async with asyncio.timeout(seconds()):
                return await node(state, runtime, config)
        except GraphBubbleUp:
            raise
        except TimeoutError:
            return {"failure": f"{name}_timeout"}
        except FielError as error:
            return {"failure": error.code}
        except Exception:
            return {"failure": f"{name}_failed"}

    return call
