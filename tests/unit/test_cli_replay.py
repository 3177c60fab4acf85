"""`fiel replay --graphs`: a run of another graph, recorded in a database, replays from the command line."""

import asyncio
import uuid
from pathlib import Path

import pytest

from fiel.infra.callers import KEY
from fiel.infra.cli.app import run as cli
from fiel.infra.compose import open_house
from fiel.infra.replay.graphs import load_graphs
from fiel.infra.settings import load
from fiel.tools.principal import local_administrator
from tests.unit.test_cli_commands import Fiel, fiel, home

__all__ = ["fiel", "home"]
pytestmark = pytest.mark.slow
PROJECT = Path(__file__).parents[1] / "projects" / "ported" / "langgraph.json"


async def _recorded() -> str:
    """A run of the graph `tally`, in the house of the settings."""
    run, thread = str(uuid.uuid4()), str(uuid.uuid4())
    inner = {"thread_id": thread, "run_id": run, KEY: local_administrator()}
    async with open_house(load()) as house:
        graph, recorder = load_graphs(PROJECT)["tally"].recorded(house.services, house.recorder)
        await graph.ainvoke({"words": ["alpha", "be"]}, {"run_id": uuid.UUID(run), "configurable": inner})
        await recorder.close()
    return run


def test_a_run_of_another_graph_replays_where_its_graph_is_named(
    fiel: Fiel, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = asyncio.run(_recorded())
    status, value = fiel("replay", run, "--graphs", str(PROJECT))
    assert (status, value["mode"], value["identical"], value["whole"]) == (0, "strict", True, True)
    status, value = fiel("replay", run, "--graphs", str(PROJECT), "--now", "--no-live")
    assert (status, value["mode"], value["identical"], value["live_calls"]) == (0, "counterfactual", True, 0)
    assert value["changes"] == {"now": True}
    changed = tmp_path / "other"
    changed.mkdir()
    (changed / "tally_of_now.py").write_text(
        (PROJECT.parent / "tally.py").read_text().replace('"counted"', '"weighed"'), encoding="utf-8"
    )
    (changed / "langgraph.json").write_text('{"dependencies": ["."], "graphs": {"tally": "./tally_of_now.py:build"}}')
    status, value = fiel("replay", run, "--graphs", str(changed / "langgraph.json"))
    assert (status, value["first_divergence"]["hop"]) == (1, "count")
    assert (value["first_divergence"]["recorded"], value["first_divergence"]["replayed"]) == (
        "counted alpha", "weighed alpha"
    )  # fmt: skip
    status, value = fiel("replay", run, "--graphs", str(changed / "langgraph.json"), "--now")
    assert (status, value["whole"], value["outcome"]["replayed"]) == (1, True, "answered")
    assert cli(["replay", run, "--graphs", str(PROJECT), "--option", "depth=3"]) == 2
    assert "this graph has no option 'depth'" in capsys.readouterr().err
    assert cli(["replay", run]) == 1
    assert "fiel replay RUN --graphs FILE" in capsys.readouterr().err
