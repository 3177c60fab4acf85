"""The hops of the answer graph: how each is recorded, shown, and limited in time."""

import asyncio
from collections.abc import Callable, Mapping
from typing import Any

from langchain_core.runnables import RunnableConfig
from langgraph.errors import GraphBubbleUp
from langgraph.runtime import Runtime

from fiel.graphs.answer.options import digest
from fiel.tools.errors import FielError
from fiel.tools.record import Hop, Node

END = ("outcome", "reason")
FREE = frozenset(("guard_input", "abstain", "refuse", "fail"))
"""Hops that no options bind: the one that checks them, and the ends, which must always be able to speak."""

HOPS: dict[str, Hop] = {
    hop.name: hop
    for hop in (
        Hop("guard_input", "GUARDRAIL", ("verdicts", "review", "reason", "failure", "policy", "versions", "language",
             "placeholders"),
            ("question",), ("question", "verdicts", "reason", "failure"), first=True),
        Hop("rewrite", "CHAIN", ("failure", "usage"), ("question",), ("standalone", "queries", "failure")),
        Hop("retrieve", "RETRIEVER", ("failure",), ("queries",), ("passages", "failure")),
        Hop("rerank", "RERANKER", ("relevance", "relevant", "reason", "failure"),
            ("standalone",), ("relevance", "reason", "failure")),
        Hop("guard_context", "GUARDRAIL", ("verdicts", "reason", "failure"), (), ("verdicts", "reason", "failure")),
        Hop("generate", "CHAIN", ("draft", "attempt", "reason", "failure", "usage", "window"),
            ("standalone",), ("draft", "attempt", "usage", "failure")),
        Hop("judge", "EVALUATOR", ("judgement", "reason", "failure"), ("draft",), ("judgement", "reason", "failure")),
        Hop("guard_output", "GUARDRAIL", ("verdicts", "checked", "review", "reason", "failure", "placeholders"),
            ("draft",), ("verdicts", "checked", "reason", "failure")),
        Hop("hold", "CHAIN", ("review", *END, "failure"), ("review",), ("review", *END, "failure")),
        Hop("review", "CHAIN", ("review", "draft", "reason", "failure"), ("review",), ("review", "reason", "failure")),
        Hop("release", "CHAIN", (*END, "failure", "window", "placeholders"),
            ("draft",), ("answer", "citations", *END, "failure"), terminal=True),
        Hop("abstain", "CHAIN", END, ("reason",), ("answer", *END), terminal=True),
        Hop("refuse", "CHAIN", END, ("reason",), ("answer", *END), terminal=True),
        Hop("fail", "CHAIN", END, ("failure",), ("answer", *END), terminal=True),
    )
}  # fmt: skip


def limited(name: str, node: Node, seconds: Callable[[], float], blank: Mapping[str, Any] | None = None) -> Node:
    """`node` with a time limit, its failure turned into a `failure` code that the routes read.

    This is an edge that must turn any failure into *unavailable* or *refused*, hence the broad `except`. What LangGraph
    itself raises (interrupts) and cancellation pass through. `blank` is what the hop leaves beside its failure.

    A run that is resumed brings options of its own. Only `guard_input` has checked any, so every later hop fails where
    they are not the same.
    """
    left = dict(blank or {})

    async def call(state: Mapping[str, Any], runtime: Runtime[Any], config: RunnableConfig) -> Mapping[str, Any]:
        try:
            if name not in FREE and (state.get("versions") or {}).get("options") != digest(runtime.context):
                return {"failure": "options_changed"}
            async with asyncio.timeout(seconds()):
                return await node(state, runtime, config)
        except GraphBubbleUp:
            raise
        except TimeoutError:
            return {**left, "failure": f"{name}_timeout"}
        except FielError as error:
            return {**left, "failure": error.code}
        except Exception:
            return {**left, "failure": f"{name}_failed"}

    return call
