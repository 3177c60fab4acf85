"""Ports of a strict replay: whatever is asked is answered from the record, and nothing else can be called."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NoReturn

import orjson

from fiel.infra.ledger.encode import digest
from fiel.infra.ledger.recorder import LedgerRecorder
from fiel.infra.ledger.run import Step
from fiel.infra.replay.record import Record
from fiel.infra.replay.responses import decoded
from fiel.tools.canonical import canonical
from fiel.tools.errors import FielError, UsageError


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

    def answer(self, step: Step, kind: str, request: bytes) -> Any:
        """What was answered then. Raises what was raised then, or NotRecorded."""
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


@dataclass(frozen=True, slots=True)
class Then:
    """Stands where a model or the index stood: their version of then, the thresholds of now, and never a call."""

    version: str
    installed: Any
    """The port that is installed now."""

    @property
    def writes(self) -> bool:
        return bool(self.installed.writes)

    @property
    def reads_answers(self) -> bool:
        return bool(self.installed.reads_answers)

    @property
    def dimensions(self) -> int:
        return int(self.installed.dimensions)

    def threshold(self, language: str) -> float:
        return float(self.installed.threshold(language))

    async def never(self, *_: Any, **__: Any) -> NoReturn:
        """Raises UsageError: a strict replay calls nothing."""
        raise UsageError("a strict replay calls nothing live")

    complete = query = passages = rank = judge = collection = search = check = ask = ruling = assess = never

    def bundle(self, name: str, version: str = "") -> Any:
        """The bundle that is installed now; one of another version is found by the requests that it makes."""
        return self.installed.bundle(name)

    def variant(self, bundle: Any, collection: str, roles: Any) -> Any:
        """The variant that is installed now: collection and roles are those of the record."""
        return self.installed.variant(bundle, collection, roles)

    def redact(self, bundle: Any, text: str) -> str:
        return str(self.installed.redact(bundle, text))


class ReplayVault:
    """Drafts of the replayed run in the process, those of the runs that it resumes from the record."""

    def __init__(self, recorder: LedgerRecorder, record: Record) -> None:
        self._recorder, self._record = recorder, record

    async def put(self, run: str, content: dict[str, Any]) -> str:
        live = self._recorder.live(run)
        if live is None:
            raise UsageError("drafts are put from within a hop of their run", where=f"run {run}")
        return live.put(canonical(content))

    async def get(self, run: str, digest: str) -> dict[str, Any] | None:
        live = self._recorder.live(run)
        data = live.drafts.get(digest) if live is not None else None
        data = self._record.contents.get(digest) if data is None else data
        found: dict[str, Any] | None = orjson.loads(data) if data is not None else None
        return found
