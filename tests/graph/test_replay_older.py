"""Runs that other versions have recorded: replayed on what can be read, and what cannot is named."""

import uuid
from collections.abc import Callable
from typing import Any

import orjson
import pytest
from langgraph.checkpoint.memory import InMemorySaver

from fiel.graphs.answer.graph import build
from fiel.graphs.version import code_version
from fiel.infra.ledger.chain import Sealed, seal
from fiel.infra.ledger.encode import encode
from fiel.infra.replay.change import Change
from fiel.tools.principal import local_administrator
from tests.graph.conftest import READER, House
from tests.graph.test_replay import again, replays

OLD = "answer:0123456789abcdef"


async def asked(house: House) -> str:
    run = str(uuid.uuid4())
    await house.ask(run=run, principal=READER)
    await house.recorder.writer.drain()
    return run


def rewritten(house: House, run: str, change: Callable[[dict[str, Any]], None]) -> None:
    """The entries as another version would have written them: each body changed, the chain made to fit."""
    made: list[Sealed] = []
    for one in house.store.sealed[run]:
        body = orjson.loads(one.body)
        change(body)
        body["prev"] = made[-1].hash.hex() if made else ""
        made.append(seal(one.seq, body))
    house.store.sealed[run] = made


async def test_a_run_of_older_code_says_so_and_replays(recorded: House, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as then:
        then.setattr("fiel.graphs.answer.graph.code_version", lambda: OLD)
        recorded.graph = build(recorded.services, InMemorySaver())
        run = await asked(recorded)
    value = await again(recorded, run)
    assert value["identical"] and value["whole"], value["first_divergence"]
    assert value["notes"] == [f"the code was {OLD}, it is {code_version()} now"]


async def test_entries_from_before_options_and_times_were_in_them_replay(recorded: House) -> None:
    run = await asked(recorded)

    def older(body: dict[str, Any]) -> None:
        for name in ("options", "started"):
            body.get("begin", {}).pop(name, None)

    rewritten(recorded, run, older)
    value = await again(recorded, run)
    assert value["identical"] and value["whole"], value["first_divergence"]


async def test_a_hop_that_the_graph_does_not_have_any_more_is_named(recorded: House) -> None:
    run = await asked(recorded)
    rewritten(recorded, run, lambda body: body.update(hop={"rerank": "regrade"}.get(body["hop"], body["hop"])))
    value = await again(recorded, run)
    first = {"hop": "regrade", "what": "next hop", "recorded": "regrade", "replayed": "rerank"}
    assert value["first_divergence"] == first
    assert [hop["status"] for hop in value["hops"][-2:]] == ["not_reached"] * 2


async def test_an_answer_in_a_form_that_is_not_read_any_more_is_named_and_can_be_asked_again(
    recorded: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as then:
        then.setattr("fiel.infra.ledger.effects.models._ranking", lambda ranking: encode({"best": 0}))
        run = await asked(recorded)
    change = Change({"k": 8})
    other = await replays(recorded).one(local_administrator(), run, change)
    marks = [mark["from"] for hop in other["hops"] if hop["node"] == "rerank" for mark in hop["effects"]]
    assert (marks, other["identical"]) == (["live"], True), other["first_divergence"]
    value = await again(recorded, run)
    first = {"hop": "rerank", "what": "response rerank", "recorded": {"best": 0}, "replayed": None}
    assert value["first_divergence"] == first
