"""Counterfactual replay of a graph that is not fiel's own: what is unchanged comes from the record, the rest runs."""

import time
import uuid
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from operator import add
from typing import Annotated, Any, TypedDict

import pytest
from langgraph.graph import END, START, StateGraph
from langgraph.types import Command, RetryPolicy, Send, interrupt

from fiel.graphs.services import Services
from fiel.infra.ledger import effects
from fiel.infra.ledger.calls import recorded
from fiel.infra.replay.change import Change
from fiel.infra.replay.graphs import ported
from fiel.tools.chat import ChatRequest, Turn
from fiel.tools.errors import UsageError
from fiel.tools.record import Hop
from fiel.tools.search import SearchRequest
from tests.graph.conftest import House, Models
from tests.graph.test_replay import AUDITOR
from tests.graph.test_replay_ported import Running
from tests.graph.test_whatif import WORD, _asked, add_bundle

ROUNDS, SUFFIX = 1, ""
TIMES: list[int] = []
MEASURED: list[str] = []
FAILED: set[str] = set()


class State(TypedDict, total=False):
    words: list[str]
    found: Annotated[list[str], add]
    lengths: Annotated[list[int], add]
    answer: str
    outcome: str
    reason: str


@dataclass
class Set:
    """What a caller sets."""

    k: int = 2
    tone: str = "dry"


async def _now() -> int:
    TIMES.append(time.time_ns() // 1000)
    return TIMES[-1]


async def _ask(what: str) -> Any:
    return interrupt(what)


async def _length(word: str) -> int:
    MEASURED.append(word)
    if word == "broken":
        raise RuntimeError("a fault of the tool's own")
    if word.startswith("flaky") and word not in FAILED:
        FAILED.add(word)
        raise ConnectionError("not now")
    return len(word)


def _each(state: State) -> list[Send]:
    return [Send("find", {"word": one}) for one in state["words"]]


def build(services: Services) -> StateGraph[Any, Any, Any, Any]:
    """Looks something up for each word, checks, writes, and asks a person where it is told to."""
    clock, ask, length = recorded("clock", _now, again=True), recorded("ask", _ask), recorded("length", _length)
    wear = services.recorder.wear

    async def begin(state: State, runtime: Any, config: Any) -> dict[str, Any]:
        for _ in range(ROUNDS):
            await clock()
        return {"reason": ""}

    async def find(state: dict[str, Any], runtime: Any, config: Any) -> dict[str, Any]:
        principal, word = services.callers.principal(config), state["word"]
        vector = await services.embed.query(word)
        request = SearchRequest("docs", word, vector, "en", runtime.context.k)
        found = await services.search.search(principal, [request])
        return {"found": [one["text"] for one in found[0]], "lengths": [await length(word + SUFFIX)]}

    async def write(state: State, runtime: Any, config: Any) -> dict[str, Any]:
        if "ask" in state["words"]:
            await ask("may I?")
        prompt = services.prompts("default").answer("q", [], "en", "") if services.prompts else None
        said = await services.chat("").complete(
            ChatRequest(
                (Turn("system", prompt.system if prompt else ""), Turn("user", runtime.context.tone)), "q", [], "en"
            )
        )
        decision = await services.policies.check(services.policies.bundle("default"), "output", [said.text])
        if decision.action == "block":
            return {"outcome": "refused", "reason": decision.reason, "answer": ""}
        return {"outcome": "answered", "reason": "ok", "answer": said.text}

    graph: StateGraph[Any, Any, Any, Any] = StateGraph(State, context_schema=Set)
    graph.add_node("begin", wear(Hop("begin", "CHAIN", first=True), begin))
    tries = RetryPolicy(max_attempts=2, initial_interval=0.001)
    graph.add_node("find", wear(Hop("find", "TOOL", sent=True), find), retry_policy=tries)
    last = Hop("write", "CHAIN", decisions=("outcome", "reason"), terminal=True)
    graph.add_node("write", wear(last, write))
    graph.add_edge(START, "begin").add_edge("find", "write").add_edge("write", END)
    graph.add_conditional_edges(
        "begin", lambda state: [Send("find", {"word": one}) for one in state["words"]], ["find"]
    )
    return graph


@pytest.fixture
async def running(recorded: House) -> AsyncIterator[Running]:
    from fiel.graphs.answer.prompt_files import prompts

    recorded.services = replace(recorded.services, prompts=prompts)
    one = Running(recorded, ported("desk", build))
    yield one
    await one.recorder.close()


async def asked(running: Running, *words: str) -> str:
    return await running.run({"words": list(words)}, str(uuid.uuid4()), context=Set())


async def test_a_change_that_changes_nothing_is_answered_from_the_record(running: Running) -> None:
    run = await asked(running, "alpha", "be", f"flaky {uuid.uuid4()}")
    for change in (Change(now=True, live=False), Change({"k": 2, "tone": "dry"}, live=False)):
        value = await running.replay(run, change=change)
        assert (value["mode"], value["identical"], value["whole"]) == ("counterfactual", True, True), value
        assert {hop["status"] for hop in value["hops"]} == {"same"}
        assert (value["live_calls"], _asked(value, "live"), value["notes"]) == (0, [], [])
        assert value["outcome"] == {"recorded": "answered", "replayed": "answered"}
        assert value["answer"]["recorded"] == value["answer"]["replayed"] != ""
        assert len(value["hops"]) == 5, "a hop that was tried again counts once"


async def test_what_asks_otherwise_is_asked_live_and_marked(running: Running) -> None:
    run = await asked(running, "alpha", "be")
    before, times = len(running.house.models.searched), len(TIMES)
    value = await running.replay(run, change=Change({"k": 3}))
    assert sorted(_asked(value, "live")) == [("find", "search"), ("find", "search")]
    assert len(running.house.models.searched) == before + 2
    assert len(TIMES) == times, "the clock is asked as then"
    assert (value["identical"], value["live_calls"]) == (True, 2)
    refused = await running.replay(run, change=Change({"k": 3}, live=False))
    assert (refused["refused"], refused["outcome"]["replayed"], refused["live_calls"]) == ("search", None, 0)
    assert "refused" in {hop["status"] for hop in refused["hops"]}
    limited = await running.replay(run, change=Change({"k": 3}, most_calls=1))
    assert (limited["refused"], limited["live_calls"]) == ("search", 1)


async def test_another_bundle_stands_in_for_the_one_that_the_graph_asks_for(running: Running) -> None:
    add_bundle(running.house, "words", WORD.format(stage="output", word="held"))
    run = await asked(running, "alpha")
    value = await running.replay(run, change=Change({"policy": "words"}, live=False))
    assert value["outcome"] == {"recorded": "answered", "replayed": "refused"}
    assert value["first_divergence"]["hop"] == "write"
    assert ("write", "check") in _asked(value, "evaluated")


async def test_another_chat_model_and_another_prompt_are_asked(running: Running) -> None:
    run = await asked(running, "alpha")
    other = Models(wording="Something else.", version="other")
    services = running.house.services
    running.house.services = replace(services, chats={**services.chats, "other": effects.RecordedChat(other)})
    value = await running.replay(run, change=Change({"chat": "other"}))
    assert _asked(value, "live") == [("write", "chat")]
    assert value["answer"]["replayed"] == "Something else."
    assert value["spent"]["input_tokens"] == 3

    def prompts(name: str) -> Any:
        found = services.prompts("default")  # type: ignore[misc]
        return replace(found, answer_template=found.answer_template.replace(" the ", " this ", 1))

    running.house.services = replace(services, prompts=prompts)
    strict = await running.replay(run)
    assert strict["first_divergence"]["what"].startswith("request chat")
    for change in (Change({"prompt": "other"}), Change(now=True)):
        value = await running.replay(run, change=change)
        assert _asked(value, "live") == [("write", "chat")]


async def test_another_version_of_the_graph_runs_to_its_end(running: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    run = await asked(running, "alpha", "be")
    here = running.tally

    def other(services: Services) -> Any:
        graph = build(services)

        async def sum_up(state: State, runtime: Any, config: Any) -> dict[str, Any]:
            return {"answer": f"{state['answer']} {sum(state['lengths'])} letters."}

        graph.edges.discard(("write", END))
        graph.add_node("sum", services.recorder.wear(Hop("sum", "CHAIN"), sum_up))
        return graph.add_edge("write", "sum").add_edge("sum", END)

    running.tally = replace(here, version="desk:other", build=other)
    value = await running.replay(run, change=Change(now=True, live=False))
    assert value["notes"] == [f"the graph was {here.version}, it is desk:other now"]
    assert [(hop["node"], hop["status"]) for hop in value["hops"]][-1] == ("sum", "new")
    assert value["answer"]["replayed"] == f"{value['answer']['recorded']} 7 letters."
    assert value["live_calls"] == 0


async def test_what_a_person_has_said_is_said_again_and_a_new_question_is_put_to_nobody(running: Running) -> None:
    thread = str(uuid.uuid4())
    first = await running.run({"words": ["ask"]}, thread, context=Set())
    run = await running.run(Command(resume="yes"), thread, context=Set())
    value = await running.replay(run, change=Change({"tone": "warm"}))
    assert _asked(value, "live") == [("write", "chat")]
    assert [hop["node"] for hop in value["hops"]] == ["begin", "find", "write"]
    assert value["outcome"] == {"recorded": "answered", "replayed": "answered"}
    open = await running.replay(first, change=Change(now=True, live=False))
    assert (open["identical"], open["refused"]) == (True, None), open


async def test_only_what_changes_nothing_outside_is_called_again(
    running: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = await asked(running, "alpha")
    times, measured = len(TIMES), len(MEASURED)
    monkeypatch.setitem(build.__globals__, "ROUNDS", 2)
    value = await running.replay(run, change=Change(now=True))
    assert (_asked(value, "live"), value["refused"]) == ([("begin", "call:clock")], None)
    assert len(TIMES) == times + 1
    monkeypatch.setitem(build.__globals__, "SUFFIX", "s")
    value = await running.replay(run, change=Change(now=True))
    assert value["refused"] == "call:length"
    assert value["notes"][-1].endswith("the graph does not say that it may be called again)")
    strict = await running.replay(run)
    assert not strict["identical"]
    assert len(MEASURED) == measured, "a tool that may change something is called by no replay"


async def test_a_hop_that_failed_fails_again_and_no_tool_is_called(running: Running) -> None:
    config = running.house.config()
    with pytest.raises(RuntimeError, match="fault"):
        await running.graph.ainvoke({"words": ["broken"]}, config, context=Set())
    await running.recorder.writer.drain()
    value = await running.replay(str(config["run_id"]), change=Change(now=True))
    assert (value["identical"], value["live_calls"]) == (True, 0), value
    assert "the graph raised AsRecorded" in value["notes"]


async def test_an_option_that_the_graph_has_not_is_named(running: Running) -> None:
    run = await asked(running, "alpha")
    with pytest.raises(UsageError, match="no option 'depth'") as told:
        await running.replay(run, change=Change({"depth": 3}))
    assert "k, policy, prompt, tone" in told.value.hint


async def test_an_auditor_sees_where_it_differs_and_no_text(running: Running) -> None:
    add_bundle(running.house, "words", WORD.format(stage="output", word="held"))
    run = await asked(running, "alpha")
    value = await running.replay(run, AUDITOR, Change({"policy": "words"}, live=False))
    assert value["outcome"] == {"recorded": "answered", "replayed": "refused"}
    assert value["answer"] == {"recorded": None, "replayed": None}
    assert value["masked"] and "held" not in str(value) and "alpha" not in str(value)
