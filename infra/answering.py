"""One question in process: from a caller and options to the answer object."""

import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from langchain_core.messages import HumanMessage

from fiel.graphs.answer.graph import Graph
from fiel.graphs.answer.options import Options
from fiel.infra.callers import KEY
from fiel.infra.outward import outward
from fiel.tools.errors import NotProven
from fiel.tools.principal import Principal

_THREADS = uuid.UUID("6f1f9b0e-5c0e-4f0e-9d57-0f6f6b1d2a11")
"""Namespace of the threads that the command line names."""


UNPROVEN: Mapping[str, Any] = {
    "outcome": "unavailable",
    "reason": NotProven.code,
    "answer": "",
    "citations": [],
    "judgement": {},
    "verdicts": [],
}


@dataclass(frozen=True, slots=True)
class Question:
    """One question of one caller."""

    text: str
    principal: Principal
    options: Options
    thread: str | None = None
    """Name of the conversation; None: the question stands alone."""


def thread_id(principal: Principal, name: str) -> str:
    """Id of a named thread: the same name is another thread for another caller."""
    return str(uuid.uuid5(_THREADS, "\0".join((principal.tenant, principal.id, name))))


async def ask(graph: Graph, question: Question, timings: Any = None) -> dict[str, Any]:
    """Run the answer graph once. Returns the answer object; raises only where the graph itself cannot run."""
    run = uuid.uuid4()
    thread = thread_id(question.principal, question.thread) if question.thread else str(run)
    state = await graph.ainvoke(
        {"messages": [HumanMessage(question.text, id=f"{run}:question")]},
        config={"run_id": run, "configurable": {"thread_id": thread, KEY: question.principal}},
        context=question.options,
        durability="exit" if graph.checkpointer else None,
    )
    measured: Mapping[str, float] = timings(str(run)) if timings else {}
    return answer_object(str(run), thread if question.thread else None, state, measured)


def answer_object(
    run: str, thread: str | None, state: Mapping[str, Any], timings: Mapping[str, float]
) -> dict[str, Any]:
    """The answer object of the interfaces. Judgement sentences stand in state only where the run answered.

    A state that somebody has written an end into has an outcome too. The answer of this run is what this run has said
    at its end; where it has said nothing, nothing is proven.
    """
    if state.get("outcome") != "unavailable" and not _said(run, state):
        state = {**state, **UNPROVEN}
    judgement = state.get("judgement") or {}
    answer = {
        "run_id": run,
        "trace_id": run.replace("-", ""),
        "thread_id": thread,
        "outcome": state["outcome"],
        "reason": state["reason"],
        "answer": state["answer"],
        "citations": state["citations"],
        "judgement": {
            "supported": state["outcome"] == "answered" and bool(judgement.get("satisfied")),
            "answered": judgement.get("answered"),
            "sentences": judgement.get("sentences", []),
        },
        "verdicts": state.get("verdicts", []),
        "versions": state.get("versions", {}),
        "timings": dict(timings),
        "usage": state.get("usage", {"input_tokens": 0, "output_tokens": 0, "cost": "0.000000"}),
    }
    plain: dict[str, Any] = outward(answer)
    return plain


def _said(run: str, state: Mapping[str, Any]) -> bool:
    """Whether the last message is this run's answer, in the words of the state."""
    last = (state.get("messages") or [None])[-1]
    return last is not None and last.id == f"{run}:answer" and last.content == state["answer"]
