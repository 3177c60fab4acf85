"""A `langgraph.json`: honoured, or refused by the name of the key."""

import json
from pathlib import Path
from typing import Any

import pytest

from fiel.infra.hosts.manifest import ManifestError, load


def written(folder: Path, **keys: Any) -> Path:
    (folder / "agent.py").write_text("graph = None\n")
    file = folder / "langgraph.json"
    file.write_text(json.dumps({"graphs": {"agent": "./agent.py:graph"}, **keys}))
    return file


def test_graphs_are_found_beside_the_file(tmp_path: Path) -> None:
    graphs = {
        "agent": "./agent.py:graph",
        "told": {"path": "agent.py:make", "description": "Tells."},
        "module": "package.module:graph",
    }
    made = load(written(tmp_path, graphs=graphs))
    agent, told, module = made.graphs
    assert (agent.id, agent.source, agent.name) == ("agent", str(tmp_path.resolve() / "agent.py"), "graph")
    assert (told.name, told.description) == ("make", "Tells.")
    assert (module.source, module.name) == ("package.module", "graph")
    assert made.folders == (str(tmp_path.resolve()),)


def test_what_builds_an_image_changes_nothing(tmp_path: Path) -> None:
    load(written(tmp_path, dockerfile_lines=["RUN x"], image_distro="wolfi", pip_installer="uv"))


def test_auth_ttl_and_environment_are_read(tmp_path: Path) -> None:
    (tmp_path / ".env").write_text(
        "# comment\nA=1\nexport B = 'two # no comment' # comment\nC=\"three\"\n\nD=four five # six\nnonsense\nE=\n"
    )
    ttl = {"default_ttl": 60, "refresh_on_read": True}
    made = load(
        written(
            tmp_path, auth={"path": "./agent.py:auth"}, store={"ttl": ttl}, env=".env", dependencies=[".", "orjson>=3"]
        )
    )
    assert made.auth is not None
    assert made.auth.name == "auth"
    assert made.ttl == ttl
    assert made.env == {"A": "1", "B": "two # no comment", "C": "three", "D": "four five", "E": ""}
    assert load(written(tmp_path, env={"A": 1})).env == {"A": "1"}


@pytest.mark.parametrize(
    ("keys", "named"),
    [
        ({"ui": {"a": "b"}}, "ui"),
        ({"checkpointer": {}}, "checkpointer"),
        ({"webhooks": {}}, "webhooks"),
        ({"no_such_key": 1}, "no_such_key"),
        ({"http": {"app": "./x.py:app"}}, "http.app"),
        ({"store": {"index": {"dims": 3}}}, "store.index"),
        ({"store": {"ttl": {"forever": 1}}}, "store.ttl.forever"),
        ({"auth": {"path": "./agent.py:auth", "cache": {}}}, "auth.cache"),
        ({"auth": {"path": "./none.py:auth"}}, "'auth'"),
        ({"graphs": {"a": {"path": "./agent.py:graph", "icon": "x"}}}, "graphs.a.icon"),
        ({"graphs": {"a": "./none.py:graph"}}, "'a'"),
        ({"graphs": {"a": "./agent.ts:graph"}}, "JavaScript"),
        ({"graphs": {"a": 7}}, "'a'"),
        ({"graphs": {}}, "graphs"),
        ({"graphs": ["a"]}, "graphs"),
        ({"dependencies": ["./none"]}, "./none"),
        ({"dependencies": ["no-such-distribution-anywhere>=1"]}, "no-such-distribution-anywhere"),
        ({"dependencies": "."}, "dependencies"),
        ({"env": ".none"}, "env"),
        ({"env": 7}, "env"),
        ({"python_version": "3.0"}, "3.0"),
    ],
    ids=str,
)
def test_what_is_not_honoured_is_refused_by_name(tmp_path: Path, keys: dict[str, Any], named: str) -> None:
    with pytest.raises(ManifestError) as refused:
        load(written(tmp_path, **keys))
    assert named in str(refused.value)


@pytest.mark.parametrize("text", ["", "[]", "{", "\ufeff{}"])
def test_what_is_no_json_object_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "langgraph.json").write_text(text)
    with pytest.raises(ManifestError):
        load(tmp_path / "langgraph.json")
    with pytest.raises(ManifestError):
        load(tmp_path / "none.json")


def test_our_own_file_is_fine() -> None:
    assert [one.id for one in load(Path(__file__).parents[2] / "langgraph.json").graphs] == ["answer"]
