"""A process dies when its graph has kept more than was written of what it said: what is missing is said again."""

import asyncio
import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.api import speaking
from tests.api.test_runs_faults import Heard, asked_of, listen, processes
from tests.conftest import Urls

pytestmark = [pytest.mark.faults, pytest.mark.timeout(300)]


@dataclass(slots=True)
class Case:
    """A run of which nothing is written from the first word of one of its nodes on, though that one's end is kept."""

    graph: str
    held: str
    nodes: Sequence[str]
    """Whose words are to be heard, each once."""
    durability: str = "async"
    resume: bool = False
    modes: Sequence[str] = ("custom",)
    subgraphs: bool = False
    before: Sequence[str] = ()
    """Where it is told to stop: it is held when it has done so."""
    asks: Sequence[str] = ()
    """Where it asks again, and nobody has answered: it is held when it has done so."""
    heard: Heard = field(default_factory=lambda: Heard("", ""))

    async def begin(self, web: httpx.AsyncClient, url: str, gate: Path) -> None:
        thread = (await web.post(f"{url}/threads", json={})).json()["thread_id"]
        given: Any = {"input": {"held": self.held, "gate": str(gate)}}
        if self.resume:
            await web.post(f"{url}/threads/{thread}/runs/wait", json={"assistant_id": self.graph, **given})
            given = {"command": {"resume": "yes"}}
        how: Any = {"stream_mode": list(self.modes), "stream_subgraphs": self.subgraphs, "durability": self.durability}
        if self.before:
            how["interrupt_before"] = list(self.before)
        answer = await web.post(f"{url}/threads/{thread}/runs", json={"assistant_id": self.graph, **given, **how})
        self.heard = Heard(thread, answer.json()["run_id"])

    async def kept(self, web: httpx.AsyncClient, url: str) -> None:
        """Until the checkpointer has what the held node wrote."""
        place = f"{url}/threads/{self.heard.thread}/state"
        while True:
            state = (await web.get(place, params={"subgraphs": "true"})).json()
            if speaking.MARK in json.dumps(state) if self.asks else done(self.held or "one", state):
                return
            await asyncio.sleep(0.05)

    async def check(self, web: httpx.AsyncClient, url: str) -> None:
        run = (await web.get(f"{url}/threads/{self.heard.thread}/runs/{self.heard.run}")).json()
        assert run["status"] == "success", (self, run)
        state = (await web.get(f"{url}/threads/{self.heard.thread}/state")).json()
        # A graph inside another begins with what that one has.
        told = list(dict.fromkeys(state["values"].get("done") or ()))
        assert (told, state["next"]) == (list(self.nodes), [*self.before, *self.asks]), self
        assert [one["value"] for one in state["interrupts"]] == [speaking.MARK for _ in self.asks], self
        assert self.heard.ids == list(range(1, len(self.heard.ids) + 1)), self
        heard = () if self.asks else self.nodes
        wanted = {(node, tick): 1 for node in heard for tick in range(speaking.TICKS)}
        assert Counter(self.heard.ticks) == wanted, self


def done(name: str, state: Any) -> bool:
    """Whether a state, or that of a subgraph or a task in it, has what a node wrote."""
    if isinstance(state, dict):
        return name in (state.get("done") or ()) or any(done(name, one) for one in state.values())
    return isinstance(state, list) and any(done(name, one) for one in state)


def cases() -> list[Case]:
    row = ("one", "two", "three")
    asks = ("ask", "one", "two")
    everything = ("values", "updates", "debug", "tasks", "checkpoints", "custom")
    return [
        *(Case("row", held, row) for held in row),
        Case("row", "two", row, durability="sync"),
        Case("row", "one", row, durability="exit"),
        Case("row", "three", row, modes=everything),
        Case("row", "two", row, modes=("events", "custom")),
        *(Case("asks", held, asks, resume=True) for held in asks),
        Case("beside", "quick", ("quick", "slow", "last")),
        *(Case("around", held, ("before", "first", "second"), subgraphs=True) for held in ("first", "second")),
        Case("row", "one", ("one",), modes=("updates", "custom"), before=("two",)),
        Case("row", "", ("one",), modes=("updates", "custom"), before=("two",)),
        Case("twice", "", (), resume=True, modes=("updates",), asks=("twice",)),
        Case("deep", "", ("before",), resume=True, modes=("updates",), asks=("inner",)),
    ]


@pytest.mark.parametrize("where", ["here", "child"])
async def test_words_that_were_not_written_when_the_process_died_are_said_again(
    database_urls: Urls, tmp_path: Path, where: str
) -> None:
    asked = asked_of(database_urls, tmp_path)
    if where == "child":
        asked["manifest"] = str(manifest(tmp_path))
    gate, runs = tmp_path / "gate", cases()
    async with (
        processes({**asked, "holding": True}, "serve") as (first,),
        processes(asked, "serve") as (second,),
        httpx.AsyncClient(timeout=60) as web,
    ):
        await asyncio.gather(*(case.begin(web, first.url, gate) for case in runs))
        listeners = [asyncio.create_task(listen(web, [second], case.heard)) for case in runs]
        await asyncio.wait_for(asyncio.gather(*(case.kept(web, second.url) for case in runs)), 120)
        await first.kill()
        gate.touch()
        await asyncio.wait_for(asyncio.gather(*listeners), 120)
        for case in runs:
            await case.check(web, second.url)


def manifest(folder: Path) -> Path:
    """A project that serves the same graphs."""
    path = folder / "langgraph.json"
    graphs = {name: f"{speaking.__file__}:{name}_graph" for name in speaking.GRAPHS}
    path.write_text(json.dumps({"graphs": graphs}))
    return path
