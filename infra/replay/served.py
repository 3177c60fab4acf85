"""What answers a strict replay: the record, and nothing else."""

from collections.abc import Coroutine, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import orjson

from fiel.infra.ledger.encode import digest
from fiel.infra.ledger.run import Step
from fiel.infra.replay.compare import paths
from fiel.infra.replay.record import Record
from fiel.infra.replay.responses import OtherForm, decoded
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
    unread: list[tuple[str, Any]] = field(default_factory=list)
    """Kind and answer of effects that this code cannot read."""

    def begin(self, body: Mapping[str, Any]) -> None:
        """Serve what this entry recorded."""
        self.effects = {(one["kind"], one["request"], one["n"]): one for one in body["effects"]}
        self.failure, self.missing, self.unread = str(body["decision"].get("failure") or ""), [], []

    async def answer(self, step: Step, kind: str, request: bytes, call: Coroutine[Any, Any, Any]) -> Any:
        """What was answered then. Raises what was raised then, or NotRecorded."""
        call.close()
        asked = digest(request, step.run.mac)
        found = self.effects.pop((kind, asked, step.counts.get((kind, asked), 0)), None)
        if found is not None:
            return self._read(kind, request, self.record.contents[found["response"]])
        if self.failure == f"{step.hop.name}_timeout":
            raise TimeoutError
        if self.failure == f"{step.hop.name}_failed":
            raise RuntimeError("as recorded")
        others = [self.record.value(one) for other, one, _ in self.effects if other == kind]
        self.missing.append(Missing(kind, orjson.loads(request), others))
        raise NotRecorded(f"a request of kind {kind} is not in the record", where=step.hop.name)

    def _read(self, kind: str, request: bytes, answer: bytes) -> Any:
        try:
            return decoded(kind, orjson.loads(request), answer)
        except OtherForm:
            self.unread.append((kind, plainly(answer)))
            raise

    def differences(self) -> list[dict[str, Any]]:
        """What of the hop the record does not hold, or holds in a form that this code does not read."""
        if self.unread:
            kind, answer = self.unread[0]
            return [{"what": f"response {kind}", "recorded": answer, "replayed": None}]
        return asked(self.missing[0]) if self.missing else []


def plainly(answer: bytes) -> Any:
    """An answer of the record as JSON; None where it is none."""
    try:
        return orjson.loads(answer)
    except ValueError:
        return None


def asked(missing: Missing) -> list[dict[str, Any]]:
    """How a request differs from the nearest of its kind in the record."""
    what = f"request {missing.kind}"
    if not missing.recorded:
        return [{"what": what, "recorded": None, "replayed": missing.asked}]
    nearest = min((list(paths(one, missing.asked, what)) for one in missing.recorded), key=len)
    return [{"what": path, "recorded": then, "replayed": now} for path, then, now in nearest[:20]]
