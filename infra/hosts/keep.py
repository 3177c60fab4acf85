"""What is done with whole threads in a checkpointer: copied, cut back, undone."""

import asyncio
import copy
from collections import defaultdict
from typing import Any

from langgraph.checkpoint.base import BaseCheckpointSaver, CheckpointTuple
from langgraph.checkpoint.postgres.aio import AsyncPostgresSaver

from fiel.infra.hosts.port import Said, ThreadRef
from fiel.infra.threads import WRITER, ThreadSaver
from fiel.tools.sql import load

_NOBODY = "00000000-0000-0000-0000-000000000000"
"""LangGraph's task of what a client writes: a command's answer, update and goto."""


def alone(saver: BaseCheckpointSaver[Any]) -> BaseCheckpointSaver[Any]:
    """The checkpointer with a lock of its own: LangGraph's lets one statement at a time through, pool or no pool."""
    if not isinstance(saver, AsyncPostgresSaver):
        return saver
    twin = copy.copy(saver)
    twin.lock = asyncio.Lock()
    if isinstance(twin, ThreadSaver):
        twin.others = set()
    return twin


async def copy_thread(saver: BaseCheckpointSaver[Any], source: ThreadRef, target: ThreadRef) -> None:
    """Copy every checkpoint with its pending writes.

    One by one through the checkpointer, not as rows: what is kept is sealed for its own thread.
    """
    writer = alone(saver)  # reading holds the reader's lock from the first checkpoint to the last
    async for found in saver.alist({"configurable": {"thread_id": source.checkpoint_thread}}):
        await _copy(writer, found, target.checkpoint_thread)


async def _copy(saver: BaseCheckpointSaver[Any], found: CheckpointTuple, thread: str) -> None:
    space = found.config["configurable"].get("checkpoint_ns", "")
    parent = (found.parent_config or {}).get("configurable", {}).get("checkpoint_id")
    under: Any = {"configurable": {"thread_id": thread, "checkpoint_ns": space, "checkpoint_id": parent}}
    versions = dict(found.checkpoint["channel_versions"])
    placed = await saver.aput(under, found.checkpoint, found.metadata, versions)
    writes: dict[str, list[tuple[str, Any]]] = defaultdict(list)
    for task, channel, value in found.pending_writes or ():
        writes[task].append((channel, value))
    for task, made in writes.items():
        await saver.aput_writes(placed, made, task)


async def prune(saver: BaseCheckpointSaver[Any], thread: ThreadRef) -> None:
    """Keep the latest checkpoint of each namespace."""
    await saver.aprune([thread.checkpoint_thread], strategy="keep_latest")


async def forget_run(saver: BaseCheckpointSaver[Any], thread: ThreadRef, run_id: str) -> None:
    """Forget the checkpoints that a run made. What it answered to an interrupt of an earlier run stays answered."""
    if not isinstance(saver, AsyncPostgresSaver):
        await saver.adelete_for_runs([run_id])
        return
    queries = load("fiel.infra.hosts", "keep.sql")
    values = {"thread": thread.checkpoint_thread, "run": run_id}
    async with saver._cursor() as cursor, cursor.connection.transaction():
        await cursor.execute(queries["forget_writes"], values)
        await cursor.execute(queries["forget_checkpoints"], values)


async def rewind(
    saver: BaseCheckpointSaver[Any], thread: ThreadRef, run_id: str, said: Said | None, *, deep: bool
) -> None:
    """Forget what a run kept behind its marks; see the port. A checkpointer in memory forgets all that the run made."""
    if not isinstance(saver, AsyncPostgresSaver):
        await saver.adelete_for_runs([run_id])
        return
    queries = load("fiel.infra.hosts", "keep.sql")
    marked = {space: kept[0] for space, kept in (said or {}).items() if kept[0]}
    values = {
        "thread": thread.checkpoint_thread,
        "run": run_id,
        "deep": deep,
        "spaces": list(marked),
        "marks": list(marked.values()),
        "mark": marked.get("", ""),
        "tasks": [task for kept in (said or {}).values() for task in kept[1:]],
        "writer": WRITER,
        "nobody": _NOBODY,
    }
    async with saver._cursor() as cursor, cursor.connection.transaction():
        for name in () if said is None else ("rewind_checkpoints", "rewind_writes"):
            await cursor.execute(queries[name], values)
        await cursor.execute(queries["rewind_answer"], values)
