"""What a client may not say in a config or a command."""

from typing import Any

import pytest

from fiel.infra.hosts.plan import command
from fiel.infra.hosts.port import BadOrder, check_config


def test_reserved_keys_are_refused_by_name() -> None:
    for name in ("thread_id", "run_id", "checkpoint_id", "checkpoint_ns", "__pregel_store", "langgraph_x", "fiel_x"):
        with pytest.raises(BadOrder, match=name):
            check_config({"configurable": {name: 1}})
    check_config({"configurable": {"model": "x"}, "tags": ["a"], "recursion_limit": 5, "metadata": {}})


@pytest.mark.parametrize("given", [{"resume": None}, {"update": {}}, {"goto": []}, {"update": None, "goto": None}])
def test_a_command_that_says_nothing_is_refused(given: dict[str, Any]) -> None:
    """LangGraph itself stumbles over it, in words that mean nothing to the client."""
    with pytest.raises(BadOrder, match="no resume, no update and no goto"):
        command(given)


@pytest.mark.parametrize(
    "given", [{"resume": 0}, {"resume": ""}, {"resume": False}, {"update": [["a", 1]]}, {"goto": "a"}]
)
def test_a_command_that_says_something_is_taken(given: dict[str, Any]) -> None:
    command(given)
