"""The answer graph as ordinary callers and developers get it from its host: real hops, real policies, real ledger."""

import uuid
from typing import Any

import pytest

from fiel.graphs.answer.graph import NAME
from fiel.infra.hosts.own import OwnHost
from fiel.infra.hosts.port import MODES, PROTOCOL, BadOrder, HostEnd, Update
from fiel.infra.ledger.attempts import attempt_id
from fiel.infra.telemetry.trace import read as trace
from tests.graph.conftest import House, bundles, house  # noqa: F401
from tests.graph.test_no_way_round import WITHHELD, withhold
from tests.hosts_support import DEVELOPER, READER, named, new_thread, order, query, read

ASKED = {"messages": [{"role": "user", "content": "What does the vault hold?"}]}
DRAFTED = "Draft-only"


@pytest.fixture
def host(house: House) -> OwnHost:  # noqa: F811
    async def made() -> Any:
        return house.graph

    return OwnHost(made)


async def test_an_ordinary_caller_gets_answer_and_citations(host: OwnHost) -> None:
    asked = order(NAME, new_thread(), READER, input=ASKED, stream_modes=["values", "messages-tuple", "updates"])
    events, end = await read(host, asked)
    state = end.value()
    assert (state["outcome"], state["reason"]) == ("answered", "ok")
    assert state["citations"][0].keys() >= {"marker", "uri", "quote", "start", "end"}
    assert state["judgement"]["sentences"][0]["text"] == state["answer"].removesuffix(" [1]")
    assert [message["type"] for message in state["messages"]] == ["human", "ai"]
    assert state["messages"][-1]["content"] == state["answer"]
    assert "passages" not in state
    ((message, metadata),) = named(events, "messages")
    assert (message["content"], metadata["langgraph_node"]) == (state["answer"], "release")
    assert [hop for one in named(events, "updates") for hop in one][-1] == "release"


async def test_a_developer_sees_the_state_as_it_is(host: OwnHost) -> None:
    _, end = await read(host, order(NAME, new_thread(), DEVELOPER, input=ASKED))
    assert end.value()["passages"]
    assert end.value()["draft"]


@pytest.mark.parametrize("how", WITHHELD)
@pytest.mark.parametrize("modes", [list(MODES), [PROTOCOL]], ids=["all", "protocol"])
async def test_a_withheld_draft_is_shown_to_nobody(
    host: OwnHost,
    house: House,  # noqa: F811
    how: str,
    modes: list[str],
) -> None:
    withhold(house, how)
    for principal in (READER, DEVELOPER):
        thread = new_thread()
        events, end = await read(host, order(NAME, thread, principal, input=ASKED, stream_modes=modes))
        assert events
        assert end.value()["outcome"] != "answered"
        shown = [event.data.decode() for event in events] + [end.values.decode(), end.output.decode()]
        shown.append(str(await host.state(query(NAME, thread, principal))))
        shown.append(str(await host.history(query(NAME, thread, principal), limit=100)))
        assert not any(DRAFTED in one for one in shown)


async def test_progress_streams_from_the_first_hop_with_counts(host: OwnHost) -> None:
    for principal in (READER, DEVELOPER):
        events, _ = await read(host, order(NAME, new_thread(), principal, input=ASKED, stream_modes=["custom"]))
        told = named(events, "custom")
        assert told[0] == {"type": "progress", "hop": "guard_input", "status": "started"}
        found = {one["hop"]: one["found"] for one in told if one["status"] == "done"}
        assert found["retrieve"] == {"passages": 1}
        assert found["generate"] == {"attempt": 1}
        assert found["judge"] == {"sentences": 1, "supported": 1}
        assert found["release"] == {"citations": 1}
        for event in events:
            assert b"xylophone" not in event.data


async def test_progress_comes_over_the_newer_transport_too(host: OwnHost) -> None:
    events, end = await read(host, order(NAME, new_thread(), READER, input=ASKED, stream_modes=[PROTOCOL]))
    told = [one["params"]["data"] for one in named(events, "custom")]
    assert told[0] == {"type": "progress", "hop": "guard_input", "status": "started"}
    assert {"type": "progress", "hop": "retrieve", "status": "done", "found": {"passages": 1}} in told
    assert named(events, "values")[-1]["params"]["data"]["answer"] == end.value()["answer"]


async def test_a_second_attempt_goes_on_where_the_first_one_died(
    host: OwnHost,
    house: House,  # noqa: F811
) -> None:
    thread, run_id = new_thread(), str(uuid.uuid4())
    first = order(NAME, thread, READER, input=ASKED, run_id=run_id, stream_modes=["updates"])
    stream: Any = host.run(first)
    async for event in stream:
        if not isinstance(event, HostEnd) and "generate" in event.value():
            break
    await stream.aclose()
    events, end = await read(host, order(NAME, thread, READER, run_id=run_id, attempt=2, stream_modes=["updates"]))
    hops = [hop for one in named(events, "updates") for hop in one]
    assert hops[-1] == "release"
    assert "guard_input" not in hops
    assert (end.value()["outcome"], end.value()["reason"]) == ("answered", "ok")
    assert attempt_id(run_id, 2) == attempt_id(run_id, 2) != attempt_id(run_id, 3)

    store = house.recorder.store
    tree = await trace(store, run_id)
    told = [(hop["run_attempt"], hop["hop"]) for hop in tree["hops"]]
    assert told[0] == (1, "guard_input")
    assert told[-1] == (2, "release")
    assert (tree["run"], tree["outcome"], tree["intact"], tree["resumes"]) == (run_id, "answered", True, None)
    assert tree["traces"] == [str(attempt_id(run_id, number)).replace("-", "") for number in (1, 2)]
    assert await trace(store, str(attempt_id(run_id, 2))) == tree, "either id leads to the whole run"


async def test_options_are_checked(host: OwnHost) -> None:
    with pytest.raises(BadOrder, match="colour"):
        await read(host, order(NAME, new_thread(), READER, input=ASKED, context={"colour": "red"}))
    _, end = await read(host, order(NAME, new_thread(), READER, input=ASKED, context={"attempts": 4}))
    assert (end.value()["outcome"], end.value()["reason"]) == ("refused", "option_not_allowed")
    _, end = await read(host, order(NAME, new_thread(), READER, input=ASKED, context={"k": 3}))
    assert end.value()["outcome"] == "answered"


async def test_an_edited_run_says_so(host: OwnHost) -> None:
    thread = new_thread()
    await read(host, order(NAME, thread, DEVELOPER, input=ASKED, interrupt_before=["retrieve"]))
    await host.update(query(NAME, thread, DEVELOPER), [Update({"queries": ["another"]}, "rewrite")])
    _, end = await read(host, order(NAME, thread, DEVELOPER))
    assert (end.value()["outcome"], end.value()["reason"]) == ("answered", "edited")
