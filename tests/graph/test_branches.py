"""Branches read the state as LangGraph would have read it for them."""

from collections.abc import Mapping
from typing import Any

import pytest
from langchain_core.messages import HumanMessage
from langchain_core.runnables import RunnableConfig
from langgraph.types import Command

from fiel.graphs.answer import branch
from fiel.graphs.answer.options import Options
from tests.graph.conftest import DEVELOPER, House

own = branch.state_after


@pytest.fixture
def compared(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Lets every branch read both ways and compares; holds what was written each time."""
    seen: list[str] = []

    def both(written: Any, config: RunnableConfig | None) -> Mapping[str, Any]:
        state = own(written, config)
        assert config is not None
        theirs = config["configurable"][branch._READ](branch._ROUTED, True)
        assert {name: value for name, value in state.items() if name != "messages"} == theirs
        seen.append(type(written).__name__)
        return state

    monkeypatch.setattr(branch, "state_after", both)
    return seen


@pytest.mark.parametrize("release", ["whole", "window"])
async def test_a_branch_reads_what_langgraph_would_read(house: House, compared: list[str], release: str) -> None:
    house.models.label = "unsupported"  # more attempts, more branches
    config = house.config(principal=DEVELOPER)
    for text in ("What does the vault hold?", "And who may open it?"):
        await house.graph.ainvoke({"messages": [HumanMessage(text)]}, config, context=Options(release=release))
        house.models.label = "supported"
    assert len(compared) > 16
    assert set(compared) == {"dict"}


async def test_a_branch_behind_an_edit_reads_what_was_edited(house: House, compared: list[str]) -> None:
    config = house.config(principal=DEVELOPER)
    await house.graph.ainvoke({"messages": [HumanMessage("What does the vault hold?")]}, config, context=Options())
    compared.clear()
    for edit, goes in (
        ({"relevant": False}, "abstain"),
        (Command(update={"relevant": True}), "guard_context"),
        ([Command(update={"failure": "edited"})], "fail"),
    ):
        config = await house.graph.aupdate_state(config, edit, as_node="rerank")
        assert (await house.graph.aget_state(config)).next == (goes,)
    assert len(compared) >= 2


def test_no_branch_lets_langgraph_copy_the_channels(house: House) -> None:
    readers = [
        writer.kwargs["reader"]
        for node in house.graph.nodes.values()
        for writer in node.writers
        if "reader" in getattr(writer, "kwargs", {})
    ]
    assert readers == [None] * 11
