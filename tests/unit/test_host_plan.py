"""What a client may not say in a config."""

import pytest

from fiel.infra.hosts.port import BadOrder, check_config


def test_reserved_keys_are_refused_by_name() -> None:
    for name in ("thread_id", "run_id", "checkpoint_id", "checkpoint_ns", "__pregel_store", "langgraph_x", "fiel_x"):
        with pytest.raises(BadOrder, match=name):
            check_config({"configurable": {name: 1}})
    check_config({"configurable": {"model": "x"}, "tags": ["a"], "recursion_limit": 5, "metadata": {}})
