"""Runs as trees: from the ledger for `fiel trace`, and back from MLflow for `fiel demo`. Plain data, no rendering."""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from fiel.infra.ledger.attempts import MOST, attempts
from fiel.infra.ledger.chain import broken
from fiel.infra.ledger.store import RunRow, Store
from fiel.infra.telemetry.given_back import id_of, value_of
from fiel.infra.telemetry.mlflow import Mlflow
from fiel.tools.errors import UsageError

Tree = dict[str, Any]


class RunNotFound(UsageError):
    """The ledger has no such run (not yet, if it is still going on)."""

    code = "run_not_found"


def not_found(run: str) -> RunNotFound:
    """Of a run that is not there, and of one that the caller may not see: they look alike."""
    return RunNotFound("no such run", where=run, hint="Runs are recorded when they end, or step by step on a thread")


async def read(store: Store, run: str) -> Tree:
    """A run as the ledger has it: its facts, and its hops in order with times, decisions and tokens.

    A run that was taken up again after its process died is one run: all its attempts, `traces` with the id of each.
    Times are milliseconds; `at` counts from the start of the run. Raises RunNotFound, DatabaseUnavailable.
    """
    try:
        run = str(UUID(run))
    except ValueError as error:
        raise UsageError("a run's id is a UUID", where=run) from error
    run, tries = await _attempts(store, run)
    if not tries:
        raise not_found(run)
    first = tries[0]
    start = first.bodies[0]["at"] if first.bodies else first.row.started
    bodies = [body for one in tries for body in one.bodies]
    end: Mapping[str, Any] = next(
        (body["decision"] for body in reversed(bodies) if body["decision"].get("outcome")), {}
    )
    versions: dict[str, str] = {}
    for body in bodies:
        versions = body.get("versions", versions)
    hops = [_hop(body, start) | {"run_attempt": one.number} for one in tries for body in one.bodies]
    return {
        "run": run,
        "tenant": first.row.tenant,
        "caller": first.row.caller,
        "thread": first.row.thread,
        "resumes": first.row.resumes if first.number == 1 else None,
        "outcome": end.get("outcome"),
        "reason": end.get("reason"),
        "edited": any(body["edited"] for body in bodies),
        "intact": all(one.intact for one in tries),
        "started": start,
        "ms": max((hop["at"] + hop["ms"] for hop in hops), default=0.0),
        "tokens": _sum(hop["tokens"] for hop in hops),
        "versions": versions,
        "traces": [one.row.run.replace("-", "") for one in tries],
        "hops": hops,
    }


@dataclass(frozen=True, slots=True)
class _Try:
    """One attempt of a run."""

    number: int
    row: RunRow
    bodies: Sequence[Mapping[str, Any]]
    intact: bool


async def _first(store: Store, run: str) -> str:
    """The run's own id, where `run` is that of a later attempt, which resumes an earlier one; else `run`."""
    named, row = run, await store.run(run)
    for _ in range(MOST - 1):
        if row is None or not row.resumes:
            break
        named, row = row.resumes, await store.run(row.resumes)
        if run in attempts(named):
            return named
    return run


async def _attempts(store: Store, run: str) -> tuple[str, list[_Try]]:
    """The run's own id, whichever attempt was named, and those of its attempts that recorded anything."""
    import orjson

    run = await _first(store, run)
    found: list[_Try] = []
    for number, name in enumerate(attempts(run), 1):
        row = await store.run(name)
        # An id that follows from another's belongs to it only where the same caller had both.
        if row is None or (found and (row.tenant, row.caller) != (found[0].row.tenant, found[0].row.caller)):
            continue
        sealed = await store.entries(name)
        bodies = [orjson.loads(one.body) for one in sealed]
        found.append(_Try(number, row, bodies, broken(sealed, bodies[0]["prev"] if bodies else "") is None))
    return run, found


def _hop(body: Mapping[str, Any], start: int) -> Tree:
    effects = [
        {name: effect[name] for name in ("kind", "model", "usage", "error") if name in effect}
        for effect in body["effects"]
    ]
    return {
        "seq": body["seq"],
        "hop": body["hop"],
        "attempt": body["attempt"],
        "status": body["status"],
        "at": round((body["at"] - start) / 1000, 3),
        "ms": round(body["us"] / 1000, 3),
        "edited": body["edited"],
        "decision": body["decision"],
        "tokens": _sum(effect.get("usage") for effect in effects),
        "effects": effects,
    }


def _sum(usages: Any) -> dict[str, int]:
    total = {"input": 0, "output": 0}
    for usage in usages:
        if usage:
            total["input"] += usage.get("input_tokens", usage.get("input", 0))
            total["output"] += usage.get("output_tokens", usage.get("output", 0))
    return total


async def read_back(mlflow: Mlflow, run: str, *, timeout: float = 30.0, spans: int = 1) -> Tree | None:
    """The trace of `run` as MLflow has it: a tree of spans below its root.

    Waits until the root and at least `spans` spans are there; None where that took longer than `timeout` seconds.
    """
    loop = asyncio.get_running_loop()
    deadline = loop.time() + timeout
    while True:
        found = await mlflow.trace(run.replace("-", ""))
        if found is not None and len(found["spans"]) >= spans and (tree := _tree(found)) is not None:
            return tree
        if loop.time() >= deadline:
            return None
        await asyncio.sleep(0.2)


def _tree(trace: Mapping[str, Any]) -> Tree | None:
    nodes = {id_of(span["span_id"]): _span(span) for span in trace["spans"]}
    roots: list[Tree] = []
    for span in sorted(trace["spans"], key=lambda one: int(one["start_time_unix_nano"])):
        node, parent = nodes[id_of(span["span_id"])], id_of(span.get("parent_span_id", ""))
        (nodes[parent]["children"] if parent in nodes else roots).append(node)
    root = next((node for node in roots if node["type"] == "AGENT"), None)
    if root is None:
        return None
    info = trace.get("trace_info", {})
    return {"trace": info.get("trace_id", ""), "state": info.get("state", ""), "spans": len(nodes), **root}


def _span(span: Mapping[str, Any]) -> Tree:
    facts = {one["key"]: value_of(one["value"], _decoded) for one in span.get("attributes", ())}
    took = int(span["end_time_unix_nano"]) - int(span["start_time_unix_nano"])
    return {
        "name": span["name"],
        "type": facts.get("mlflow.spanType", ""),
        "ms": round(took / 1e6, 3),
        "status": span.get("status", {}).get("code", ""),
        "facts": {key: value for key, value in facts.items() if key.startswith(("fiel.", "gen_ai."))},
        "inputs": facts.get("mlflow.spanInputs"),
        "outputs": facts.get("mlflow.spanOutputs"),
        "children": [],
    }


def _decoded(text: str) -> Any:
    """Lists and mappings stand as JSON in a string."""
    import orjson

    try:
        return orjson.loads(text)
    except orjson.JSONDecodeError:
        return text
