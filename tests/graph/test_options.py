"""Options: what `guard_input` has checked binds the whole run, and a failure leaves nothing of the turn before."""

import uuid
from typing import Any

import pytest

from fiel.graphs.answer.options import Options, digest, forbidden
from fiel.infra.callers import KEY
from fiel.tools.errors import PolicyError
from tests.graph.conftest import DRAFT, READER, House, hanging, raising

BOUND = ["rewrite", "retrieve", "rerank", "guard_context", "generate", "judge", "guard_output", "release"]


@pytest.mark.parametrize("before", BOUND)
@pytest.mark.parametrize(
    "options", [Options(collection="other"), Options(k=50), Options(attempts=4), Options(policy="strict")]
)
async def test_a_resumed_run_keeps_the_options_that_were_checked(house: House, before: str, options: Options) -> None:
    config = house.config(principal=READER)
    asked: Any = {"question": "What does the vault hold?"}
    await house.graph.ainvoke(asked, config, context=Options(), interrupt_before=[before])
    searched = list(house.models.searched)
    state = await house.graph.ainvoke(None, {**config, "run_id": uuid.uuid4()}, context=options)
    assert (state["outcome"] in ("refused", "unavailable"), state["reason"]) == (True, "options_changed")
    assert house.models.searched == searched
    assert DRAFT not in state["answer"]


async def test_a_fork_keeps_the_options_that_were_checked(house: House) -> None:
    config = house.config(principal=READER)
    await house.graph.ainvoke({"question": "What does the vault hold?"}, config, context=Options())
    snapshots = [one async for one in house.graph.aget_state_history(config)]
    before = next(one for one in snapshots if one.next == ("retrieve",))
    forked: Any = {**before.config, "run_id": uuid.uuid4()}
    forked["configurable"] = {**forked["configurable"], KEY: READER}
    state = await house.graph.ainvoke(None, forked, context=Options(collection="other"))
    assert (state["outcome"], state["reason"]) == ("unavailable", "options_changed")


async def test_options_that_were_never_checked_open_nothing(house: House) -> None:
    config = house.config(principal=READER)
    await house.graph.ainvoke({"question": "What is it?"}, config, context=Options(), interrupt_before=["rewrite"])
    await house.graph.aupdate_state(config, {"versions": {"options": digest(Options(k=50)), "policy": "x"}})
    state = await house.graph.ainvoke(None, {**config, "run_id": uuid.uuid4()}, context=Options(k=50))
    assert state["outcome"] != "answered"


@pytest.mark.parametrize(
    "values", [{"k": True}, {"k": 8.0}, {"attempts": True}, {"attempts": 2.0}, {"collection": 3}, {"policy": None}]
)
async def test_a_value_of_another_type_is_refused(house: House, values: dict[str, Any]) -> None:
    state = await house.ask(options=Options(**values))
    assert (state["outcome"], state["reason"]) == ("refused", "option_not_allowed")
    assert forbidden(Options(**values), frozenset({"administrator"})) == next(iter(values))


async def test_a_policy_that_nobody_knows_is_refused_in_words(house: House) -> None:
    state = await house.ask(options=Options(policy="no-such-policy"))
    assert (state["outcome"], state["reason"], state["policy"]) == ("refused", PolicyError.code, "default")
    assert state["answer"]
    state = await house.ask(principal=READER, options=Options(policy="no-such-policy"))
    assert (state["outcome"], state["reason"]) == ("refused", "option_not_allowed")
    assert state["answer"]


async def test_an_end_speaks_where_its_policy_has_gone(house: House) -> None:
    config = house.config()
    await house.graph.ainvoke({"question": "What is it?"}, config, context=Options(), interrupt_before=["rewrite"])
    await house.graph.aupdate_state(config, {"policy": "gone", "failure": "x"}, as_node="retrieve")
    state = await house.graph.ainvoke(None, {**config, "run_id": uuid.uuid4()}, context=Options())
    assert (state["outcome"], state["reason"]) == ("unavailable", "x")
    assert state["answer"]


@pytest.mark.parametrize("fault", [raising, hanging])
async def test_a_failing_first_hop_keeps_nothing_of_the_turn_before(house: House, fault: Any) -> None:
    house.impatient()
    before = await house.ask(thread="t")
    assert before["citations"]
    house.policies.broken, house.policies.fault = "input", fault
    state = await house.ask("And where is it?", thread="t")
    assert state["outcome"] == "refused"
    assert state["citations"] == state["verdicts"] == state["passages"] == state["queries"] == []
    assert state["judgement"] == state["checked"] == {}
    assert DRAFT not in state["answer"]
    assert (state["draft"], state["versions"]) == ("", {})
