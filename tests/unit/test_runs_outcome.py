"""What is said of runs that have ended, and of those that have not."""

import orjson

from fiel.infra.hosts.port import GraphFailed
from fiel.infra.runs.outcome import shown, told, values_of


def test_a_step_whose_tasks_are_done_has_still_to_be_taken() -> None:
    """The process died between a task's writes and the checkpoint: LangGraph then names no next node."""
    task = {"id": "1", "name": "two", "interrupts": []}
    assert values_of({"values": {"done": ["one"]}, "next": [], "tasks": [task]})[2]
    assert not values_of({"values": {}, "next": [], "tasks": []})[2]


def test_a_run_of_another_process_shows_what_its_thread_shows() -> None:
    waiting = orjson.dumps({"task": [{"id": "i", "value": 1}]})
    assert orjson.loads(told("success", None, b'{"a":1}', waiting).body) == {
        "a": 1,
        "__interrupt__": [{"id": "i", "value": 1}],
    }
    assert orjson.loads(told("error", "worker_lost", None, None).body)["__error__"]["error"] == "worker_lost"


def test_an_unforeseen_error_shows_nothing_of_itself() -> None:
    assert "secret" not in str(shown(KeyError("secret")))
    assert shown(GraphFailed("boom", error="ValueError")) == (
        "graph_failed",
        {"error": "ValueError", "message": "boom"},
    )
