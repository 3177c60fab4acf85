"""Many replays in several processes: each is given one run after the other, and one that dies takes no other along."""

import asyncio
import signal
import sys
import time
from asyncio.subprocess import PIPE, Process
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict
from typing import Any

import orjson

from fiel.infra.replay.change import Change
from fiel.infra.replay.many import Progress
from fiel.infra.replay.summary import InOrder, Lost, Seen, Summary
from fiel.tools.errors import Unavailable
from fiel.tools.principal import Principal

COMMAND = (sys.executable, "-m", "fiel.infra.replay.job")
LINE = 2**26
"""Bytes of the longest answer."""


def told(by: Principal, change: Change, collection: str, graphs: str) -> dict[str, Any]:
    """What a process is told first, as JSON; `graphs`: path of a `langgraph.json`, empty for none."""
    principal = {**asdict(by), "groups": sorted(by.groups), "roles": sorted(by.roles)}
    changes = {
        "options": dict(change.options),
        "again": sorted(change.again),
        "live": change.live,
        "then": change.then,
        "now": change.now,
    }
    return {"by": principal, "change": changes, "collection": collection, "graphs": graphs}


def heard(said: Mapping[str, Any]) -> tuple[Principal, Change]:
    """Who asks and for what, from what `told` has made."""
    by, change = said["by"], said["change"]
    principal = Principal(by["tenant"], by["id"], frozenset(by["groups"]), frozenset(by["roles"]))
    return principal, Change(**{**change, "again": frozenset(change["again"])})


async def spread(
    head: Mapping[str, Any],
    runs: Sequence[str],
    change: Change,
    jobs: int,
    progress: Progress,
    command: Sequence[str] = COMMAND,
) -> Summary:
    """Replay `runs` in so many processes; the summary is that of one. What a process took along is counted as failed.

    Raises Unavailable where a process does not start, or the database or a model is not there.
    """
    summary, waiting, begun = Summary(change), iter(enumerate(runs)), time.monotonic()
    ordered = InOrder(summary)

    def done(place: int, seen: Seen | None) -> None:
        ordered.put(place, seen)
        progress(summary.done, len(runs))

    try:
        async with asyncio.TaskGroup() as group:
            for _ in range(min(jobs, len(runs))):
                group.create_task(_job(command, orjson.dumps(head) + b"\n", waiting, done, summary.lost))
    except ExceptionGroup as errors:
        raise errors.exceptions[0] from errors
    for place, run in waiting:  # every process has died
        done(place, _failed(run, "no process is left to replay it"))
    summary.seconds = time.monotonic() - begun
    return summary


async def _job(command: Sequence[str], head: bytes, waiting: Iterator[tuple[int, str]], done: Any, lost: Any) -> None:
    """One process, until nothing waits or it has died."""
    process = await asyncio.create_subprocess_exec(
        *command, stdin=PIPE, stdout=PIPE, limit=LINE, start_new_session=True
    )
    try:
        if await _asked(process, head) is None:
            raise Unavailable("a process that replays does not start", where=" ".join(command))
        for place, run in waiting:
            answer = await _asked(process, orjson.dumps(run) + b"\n")
            if answer is None:
                how = _end(await process.wait())
                lost.append(Lost(process.pid, how, run))
                done(place, _failed(run, f"the process {process.pid} that replayed it {how}"))
                return
            if "unavailable" in answer:
                raise Unavailable(answer["unavailable"])
            done(place, Seen(**answer["seen"]) if answer["seen"] else None)
    finally:
        with suppress(ProcessLookupError):
            process.kill()
        await process.wait()


async def _asked(process: Process, line: bytes) -> dict[str, Any] | None:
    """What a process answers; None where it has ended."""
    assert process.stdin is not None and process.stdout is not None  # noqa: S101 - they are pipes
    with suppress(ConnectionError):
        process.stdin.write(line)
        await process.stdin.drain()
    answer = await process.stdout.readline()
    return dict(orjson.loads(answer)) if answer.endswith(b"\n") else None


def _failed(run: str, what: str) -> Seen:
    return Seen(run, "failed", None, None, {"code": "process_died", "what": what})


def _end(status: int) -> str:
    """How a process ended, in words."""
    if status >= 0:
        return f"ended with status {status}"
    return f"was ended by {signal.Signals(-status).name}"
