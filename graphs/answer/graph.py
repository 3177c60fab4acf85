"""The answer graph: nodes, wired by pure routes, each worn by the recorder."""

from collections.abc import Callable, Mapping
from typing import Any

from langgraph.checkpoint.base import BaseCheckpointSaver
from langgraph.graph import END, START, StateGraph
from langgraph.graph.state import CompiledStateGraph

from fiel.graphs.answer import routes
from fiel.graphs.answer.branch import Branch, ends, lightly
from fiel.graphs.answer.hops import HOPS, limited
from fiel.graphs.answer.options import Options, digest, forbidden
from fiel.graphs.answer.prompt_files import prompts as prompt_files
from fiel.graphs.answer.state import Input, State
from fiel.graphs.services import Services
from fiel.graphs.version import code_version
from fiel.nodes.ends import End, ending
from fiel.nodes.generate import Generate
from fiel.nodes.guard_context import GuardContext
from fiel.nodes.guard_input import BLANK, GuardInput
from fiel.nodes.guard_output import GuardOutput
from fiel.nodes.hold import Hold
from fiel.nodes.judge import Judge
from fiel.nodes.release import Release
from fiel.nodes.rerank import Rerank
from fiel.nodes.retrieve import Retrieve
from fiel.nodes.review import Review
from fiel.nodes.rewrite import Rewrite
from fiel.nodes.spending import PRICE
from fiel.policies.types import Policies
from fiel.tools.record import Node

NAME = "answer"

Graph = CompiledStateGraph[State, Options, Input, State]


def build(services: Services, checkpointer: BaseCheckpointSaver[Any] | None = None) -> Graph:
    """The compiled graph. `checkpointer` keeps threads; without one every question stands alone."""
    graph: StateGraph[State, Options, Input, State] = StateGraph(State, context_schema=Options, input_schema=Input)
    for name, node in _nodes(services).items():
        # The recorder wears the limited node, so that a time-out and a failure are recorded like any other update.
        blank = BLANK if HOPS[name].first else None
        limit = limited(name, node, lambda: services.timeout, blank)
        worn: Any = services.recorder.wear(HOPS[name], limit)
        graph.add_node(name, worn)
    graph.add_edge(START, "guard_input")
    for route in (
        routes.after_guard_input,
        routes.after_rewrite,
        routes.after_retrieve,
        routes.after_rerank,
        routes.after_guard_context,
        routes.after_generate,
        routes.after_judge,
        routes.after_guard_output,
        routes.after_hold,
        routes.after_review,
        routes.after_release,
    ):
        graph.add_conditional_edges(route.__name__.removeprefix("after_"), Branch(route), ends(route))
    for end in ("abstain", "refuse", "fail"):
        graph.add_edge(end, END)
    return lightly(graph.compile(checkpointer=checkpointer, name=NAME))


def _nodes(services: Services) -> dict[str, Node]:
    callers, policies, recorder, vault = services.callers, services.policies, services.recorder, services.vault
    chat, prompts = services.chat, services.prompts or prompt_files
    return {
        "guard_input": GuardInput(
            callers,
            services.guard,
            services.second,
            services.language,
            policies,
            recorder,
            services.search,
            vault,
            services.forbidden or forbidden,
            _versions(services),
        ),
        "rewrite": Rewrite(chat, policies, prompts, recorder),
        "retrieve": Retrieve(callers, services.embed, services.search),
        "rerank": Rerank(services.rerank),
        "guard_context": GuardContext(callers, policies, recorder, vault),
        "generate": Generate(callers, chat, prompts, recorder, vault),
        "judge": Judge(services.judge, recorder, vault),
        "guard_output": GuardOutput(callers, services.guard, policies, prompts, recorder, vault),
        "hold": Hold(policies, recorder, services.reviews, vault),
        "review": Review(callers, recorder, services.reviews, vault),
        "release": Release(callers, policies, recorder, vault),
        "abstain": End("abstained", callers, policies, recorder, vault),
        "refuse": End("refused", callers, policies, recorder, vault),
        "fail": End("unavailable", callers, policies, recorder, vault),
    }


def withheld(policies: Policies) -> Callable[[str, Mapping[str, Any]], Mapping[str, Any]]:
    """What a run says where its record cannot be committed: `(run, state) -> update`, without a word of the answer."""

    def update(run: str, state: Mapping[str, Any]) -> Mapping[str, Any]:
        return ending(policies, run, state, "unavailable", "record_unavailable")

    return update


def _versions(services: Services) -> Any:
    graph, prompts = code_version(), services.prompts or prompt_files

    def versions(options: Options, policy: str) -> dict[str, str]:
        return {
            "graph": graph,
            "options": digest(options),
            "policy": policy,
            "prompt": prompts(options.prompt).version,
            "chat": services.chat(options.chat).version,
            "embed": services.embed.version,
            "guard": services.guard.version,
            "index": services.search.version,
            "judge": services.judge.version,
            "rerank": services.rerank.version,
            **({"second": services.second.version} if services.second.version else {}),
            **({PRICE: services.prices.get(options.chat, "")} if options.cost else {}),
            **services.stated,
        }

    return versions
