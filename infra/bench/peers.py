"""The stores of LlamaIndex and LangChain beside fiel's search: the same chunks, questions and readers.

Both pin an older client of pgvector than fiel, so they run in an environment of their own, which `make bench` makes,
and are left out where it is not there. Each filters by the audience of a chunk, of which a caller may read some, in the
way that its documentation shows, with an index on it; neither knows row security.
"""

import asyncio
import json
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg

from fiel.infra.bench import peer_stores
from fiel.tools.embed import Vector
from fiel.tools.principal import Principal

PYTHON = Path(".venv-peers/bin/python")
NAMES = ("llama-index", "langchain")

_ROWS = """
CREATE SCHEMA peers;
CREATE TABLE peers.rows AS
SELECT c.id::text, c.text, s.audience::text, c.embedding::vector({dimensions})
FROM fiel.chunks c JOIN fiel.shelves s ON s.id = c.shelf
"""


@dataclass(frozen=True, slots=True)
class Question:
    """What is asked, and the ids of the nearest chunks that its caller may read."""

    text: str
    vector: Vector
    nearest: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Asked:
    """The questions of one caller, who may read `share` of all chunks."""

    caller: Principal
    share: float
    questions: Sequence[Question]


def prepare(owner: str, reader: Principal, dimensions: int) -> None:
    """Copy all chunks that `reader` reads to where the stores take them from."""
    with psycopg.connect(owner) as connection:
        _act(connection, reader)
        connection.execute(_ROWS.format(dimensions=int(dimensions)).encode())


async def compare(owner: str, dimensions: int, asked: Sequence[Asked]) -> None:
    """Measure and print. Raises RuntimeError where a store fails."""
    with tempfile.TemporaryDirectory(prefix="fiel-peers-") as folder:
        file = Path(folder) / "questions.json"
        callers = [_caller(owner, one) for one in asked]
        file.write_text(json.dumps({"dimensions": dimensions, "callers": callers}), encoding="utf-8")
        for name in NAMES:
            measured = await _run(name, owner, file)
            size = measured["index_bytes"] / 2**20
            print(f"{name}: without row security; vectors indexed in {measured['built_s']:.0f} s, {size:.0f} MiB")
            print(f"{'visible':>8} {'p50':>7} {'p95':>7} {'recall@10':>10} {'given':>6} {'hybrid':>7}")
            for line in measured["lines"]:
                print(
                    f"{line['share']:>8.1%} {line['p50']:>7.2f} {line['p95']:>7.2f} {line['recall']:>10.3f}"
                    f" {line['given']:>6.1f} {line['hybrid_p50']:>7.2f}",
                    flush=True,
                )


async def _run(name: str, owner: str, file: Path) -> dict[str, Any]:
    process = await asyncio.create_subprocess_exec(
        str(PYTHON), peer_stores.__file__, name, owner, str(file), stdout=asyncio.subprocess.PIPE
    )
    output, _ = await process.communicate()
    if process.returncode:
        raise RuntimeError(f"the store of {name} failed, see above")
    measured: dict[str, Any] = json.loads(output)
    return measured


def _caller(owner: str, asked: Asked) -> dict[str, object]:
    with psycopg.connect(owner) as connection:
        _act(connection, asked.caller)
        rows = connection.execute("SELECT id::text FROM fiel.audiences WHERE acl && (SELECT fiel.caller_grants())")
        audiences = [row[0] for row in rows]
    questions = [
        {"text": one.text, "vector": one.vector.tolist(), "nearest": list(one.nearest)} for one in asked.questions
    ]
    return {"share": asked.share, "audiences": audiences, "questions": questions}


def _act(connection: "psycopg.Connection[tuple[object, ...]]", caller: Principal) -> None:
    """Let row security, which holds for the owner too, know the caller."""
    connection.execute("SET ROLE fiel_owner")
    connection.execute("SELECT fiel.act_as(%s, %s, %s)", (caller.tenant, caller.id, list(caller.grants)))
