"""What answers a strict replay: the record, and nothing else."""

from collections.abc import Coroutine, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import orjson

from fiel.infra.ledger.encode import digest
from fiel.infra.ledger.run import Step
from fiel.infra.replay.record import Record
from fiel.infra.replay.responses import decoded
from fiel.tools.errors import FielError


class NotRecorded(FielError):
    """A hop asked for what its record does not hold."""

    code = "not_recorded"


@dataclass(frozen=True, slots=True)
class Missing:
    """A request that the record does not hold."""

    kind: str
    asked: Any
    recorded: Sequence[Any]
    """Requests of the same kind that the hop made then and has not made now."""


@dataclass(slots=True)
class Source:
    """Serves the effects of one hop at a time: by kind, request and occurrence."""

    record: Record
    effects: dict[tuple[str, str, int], Mapping[str, Any]] = field(default_factory=dict)
    failure: str = ""
    """How the hop failed then: a time-out, and a failure that is none of fiel's, leave no effect."""
    missing: list[Missing] = field(default_factory=list)

    def begin(self, body: Mapping[str, Any]) -> None:
        """Serve what this entry recorded."""
        self.effects = {(one["kind"], one["request"], one["n"]): one for one in body["effects"]}
        self.failure, self.missing = str(body["decision"].get("failure") or ""), []

    async def answer(self, step: Step, kind: str, request: bytes, call: Coroutine[Any, Any, Any]) -> Any:
        """What was answered then. Raises what was raised then, or NotRecorded."""
        call.close()
        asked = digest(request, step.run.mac)
        found = self.effects.pop((kind, asked, step.counts.get((kind, asked), 0)), None)
        if found is not None:
            return decoded(kind, orjson.loads(request), self.record.contents[found["response"]])
        if self.failure == f"{step.hop.name}_timeout":
            raise TimeoutError
        if self.failure == f"{step.hop.name}_failed":
            raise RuntimeError("as recorded")
        others = [self.record.value(one) for other, one, _ in self.effects if other == kind]
        self.missing.append(Missing(kind, orjson.loads(request), others))
        raise NotRecorded(f"a request of kind {kind} is not in the record", where=step.hop.name)
