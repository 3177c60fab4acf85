"""What a host is asked for when a run begins, or goes on after the process that worked on it has died."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import orjson

from fiel.infra.callers import NotAuthenticated
from fiel.infra.hosts.port import PROTOCOL, GraphHost, HostEnd, RunOrder, StateQuery
from fiel.infra.runs.answers import left, waiting
from fiel.infra.runs.names import thread_ref
from fiel.infra.runs.outcome import values_of
from fiel.infra.runs.runs import Run
from fiel.infra.runs.spec import Asker

if TYPE_CHECKING:
    from fiel.infra.runs.engine import Engine

WAITED = 2.0
"""Seconds after which a run that begins has waited: the rights of who asked may have changed since."""


class Orders:
    """Makes the orders of an engine's runs."""

    def __init__(self, engine: "Engine", host: GraphHost) -> None:
        self._engine = engine
        self._host = host

    async def order(self, run: Run) -> RunOrder | HostEnd:
        """A later attempt goes on from where the earlier one came to, if it came to any; or it has ended already."""
        spec, goes_on, command = run.spec, False, run.spec.command
        if run.attempt > 1:
            await self._rewind(run)
            state = await self._host.state(query_of(run))
            goes_on = str((state.get("metadata") or {}).get("run_id")) == str(run.run_id)
            values, _, more = values_of(state)
            if goes_on and not more:
                return HostEnd("success", values, values)
            command = None if goes_on else await self._command(run)
        return RunOrder(
            graph_id=spec.graph_id,
            run_id=str(run.run_id),
            thread=thread_ref(run.principal, spec.thread_id),
            caller=await self._asker(run),
            input=None if goes_on else spec.input,
            command=command,
            config=spec.config,
            context=spec.context,
            metadata={"assistant_id": str(spec.assistant_id), **_kept(spec.metadata)},
            stream_modes=spec.stream_modes if spec.recorded else (),
            subgraphs=spec.subgraphs,
            interrupt_before=spec.interrupt_before,
            interrupt_after=spec.interrupt_after,
            checkpoint=None if goes_on else spec.checkpoint,
            durability=spec.durability,
            attempt=run.attempt,
            goes_on=goes_on,
            marks=spec.recorded,
        )

    async def _rewind(self, run: Run) -> None:
        """What the graph has kept, and an earlier attempt could not say any more, is done and said again."""
        thread = thread_ref(run.principal, run.spec.thread_id)
        deep = run.spec.subgraphs or not {PROTOCOL, "events"}.isdisjoint(run.spec.stream_modes)
        said = run.said if run.spec.recorded else None
        await self._host.rewind(thread, str(run.run_id), said, deep=deep)

    async def _command(self, run: Run) -> Mapping[str, Any] | None:
        """The run's command, without what an earlier attempt has told the graph: what waits now may be a question that
        nobody has answered."""
        command = run.spec.command
        if not command or command.get("resume") is None:
            return command
        *_, interrupts = await self._engine.runs.shown(run.principal, run.run_id)
        asked = {one["id"] for several in orjson.loads(interrupts or b"{}").values() for one in several}
        return left(command, asked, waiting(await self._host.state(query_of(run), subgraphs=True)))

    async def _asker(self, run: Run) -> Asker:
        """Who asked; where the run has waited, or begins again, with the rights of now. Raises NotAuthenticated."""
        waited = (datetime.now(UTC) - run.created_at).total_seconds()
        if self._engine.rights is None or (run.attempt <= 1 and waited < WAITED):
            return run.asker
        who = await self._engine.rights(run.asker)
        if who is None:
            raise NotAuthenticated("who asked has no right any more")
        return who


def query_of(run: Run) -> StateQuery:
    """Asks for the state of a run's thread."""
    thread = thread_ref(run.principal, run.spec.thread_id)
    return StateQuery(run.spec.graph_id, thread, run.asker, config=run.spec.config)


def _kept(metadata: Mapping[str, Any]) -> dict[str, Any]:
    """What of a run's metadata stands in its checkpoints."""
    return {key: value for key, value in metadata.items() if key not in ("run_id", "thread_id", "graph_id")}
