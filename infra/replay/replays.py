"""Replays for whoever may: of one run, strict or under a change, in the shape of the interfaces."""

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any

from fiel.graphs.answer.graph import NAME
from fiel.graphs.answer.options import Options, forbidden
from fiel.infra.ledger.store import Store
from fiel.infra.ledger.subjects import Keys
from fiel.infra.replay.anew import played_anew
from fiel.infra.replay.change import KINDS, UNCHANGED, Change
from fiel.infra.replay.graphs import Ported
from fiel.infra.replay.kept import Kept
from fiel.infra.replay.masks import Sight, bare, masked
from fiel.infra.replay.play import Made, made, played
from fiel.infra.replay.record import NotReplayable, Record, load
from fiel.infra.replay.seen import documents_before
from fiel.infra.replay.spent import Spent
from fiel.infra.replay.stage import Stage
from fiel.infra.replay.walk import Own, Walked, strict
from fiel.infra.replay.whatif import Replayed, counterfactual
from fiel.tools.errors import NotPermitted, UsageError
from fiel.tools.principal import Principal


@dataclass(frozen=True, slots=True)
class Replays:
    """Replays the runs of a ledger on a stage."""

    store: Store
    keys: Keys
    stage: Stage
    sight: Sight
    """Which documents somebody may read now."""
    kept: Kept | None = None
    """Where bundles and prompts of then are found."""
    graphs: Mapping[str, Ported] = field(default_factory=dict)
    """Graphs beside fiel's own whose runs can be replayed, by name."""
    _made: dict[str, Made] = field(default_factory=dict)

    async def one(self, principal: Principal, run: str, change: Change = UNCHANGED) -> dict[str, Any]:
        """Replay a run of the caller's tenant, as that caller may see it.

        Raises NotPermitted, RunNotFound, UsageError, NotReplayable, KeyUnavailable, DatabaseUnavailable.
        """
        self.check(principal, change)
        return await self.of(principal, await self.record(principal, run), change)

    async def record(self, principal: Principal, run: str) -> Record:
        """The record of a run of the caller's tenant. Raises RunNotFound, NotReplayable, and as keys and store do."""
        return await load(self.store, self.keys, run, principal.tenant)

    async def of(
        self, principal: Principal, record: Record, change: Change, spent: Spent | None = None
    ) -> dict[str, Any]:
        """Replay `record`, for a caller and a change that were checked. Raises as `one` does.

        `spent`: what this one and others may spend together.
        """
        name = record.graph.partition(":")[0]
        if name != NAME:
            return await self._played(principal, record, name, change, spent)
        _own_options(change)
        if change.strict:
            found: Walked = await strict(record, self.stage, await self._own(record) if change.then else None)
        else:
            found = await counterfactual(record, self.stage, change, spent)
        value = shaped(record, found, change)
        return await masked(
            self.sight, principal, record, found, value, lambda: documents_before(self.store, self.keys, record)
        )

    async def _played(
        self, principal: Principal, record: Record, name: str, change: Change, spent: Spent | None
    ) -> dict[str, Any]:
        """Replay a run of another graph. Raises NotReplayable for one that is not known here, UsageError for an option
        that it has not.
        """
        where = f"run {record.row.run}"
        if name not in self.graphs:
            hint = "Name the langgraph.json that has it: fiel replay RUN --graphs FILE"
            raise NotReplayable(f"this is a run of the graph {name!r}, which is not known here", where=where, hint=hint)
        if name not in self._made:
            self._made[name] = made(self.graphs[name], self.stage)
        if change.then and not {"policy", "prompt"} & record.versions.keys():
            raise NotReplayable("the record does not say which bundle and prompts decided", where=where)
        if change.strict:
            found: Walked = await played(record, self._made[name], await self._own(record) if change.then else None)
        else:
            found = await played_anew(record, self._made[name], change, spent)
        value = shaped(record, found, change)
        return value if principal.may("administrator") else bare(found, value)

    async def _own(self, record: Record) -> Own:
        if self.kept is None:
            raise UsageError("nothing of then is kept here", where="then")
        return Own(await self.kept.bundles(record), await self.kept.prompts(record))

    def check(self, principal: Principal, change: Change) -> None:
        """Whether this caller may ask for this change. Raises NotPermitted, UsageError."""
        if not principal.may("administrator", "auditor"):
            raise NotPermitted("replays are for administrators and auditors", where="replay")
        if change.then and not change.strict:
            raise UsageError("a replay with what was then changes nothing else", where="then")
        if unknown := sorted(change.again - set(KINDS)):
            raise UsageError(
                f"{unknown[0]!r} cannot be asked again", where="again", hint=f"There are: {', '.join(KINDS)}"
            )
        if not self.graphs:
            _own_options(change)
        options = Options(**{name: value for name, value in change.options.items() if name in _OPTIONS})
        if (wrong := forbidden(options, frozenset({"administrator"}))) is not None:
            raise UsageError(f"option {wrong} cannot have this value", where="options")
        installed = self.stage.installed
        if "chat" in change.options:
            installed.chat(options.chat)
        if "prompt" in change.options:
            self.stage.prompts(options.prompt)
        if "policy" in change.options:
            installed.policies.bundle(options.policy)


_OPTIONS = frozenset(spec.name for spec in fields(Options))


def _own_options(change: Change) -> None:
    """Raises UsageError for an option that fiel's own graph has not."""
    if unknown := sorted(set(change.options) - _OPTIONS):
        hint = f"There are: {', '.join(sorted(_OPTIONS))}"
        raise UsageError(f"there is no option {unknown[0]!r}", where="options", hint=hint)


def shaped(record: Record, found: Walked, change: Change) -> dict[str, Any]:
    """The replay as one JSON value."""
    entries = [*record.origin.entries, *record.entries]
    value: dict[str, Any] = {
        "run": record.row.run,
        "mode": "strict" if change.strict else "counterfactual",
        "identical": found.first is None,
        "whole": found.whole,
        "first_divergence": found.first,
        "hops": found.hops,
        "outcome": {"recorded": _last(entries, "outcome"), "replayed": found.outcome},
        "notes": found.notes,
        "live_calls": 0,
    }
    if isinstance(found, Replayed):
        value |= {
            "identical": found.first is None and not found.refused,
            "changes": change.plain(),
            "reason": {"recorded": _last(entries, "reason"), "replayed": found.reason or None},
            "answer": {"recorded": _answer(record), "replayed": found.answer or None},
            "live_calls": found.spent.calls,
            "spent": found.spent.plain(),
            "refused": found.refused or None,
        }
    return value


def _answer(record: Record) -> str | None:
    """What the caller was told then; None where they were told nothing yet."""
    written = (one.entry.writes.get("answer") for one in reversed(record.entries))
    texts = (str(record.value(digest) or "") for digest in written if digest)
    return next((text for text in texts if text), None)


def _last(entries: Any, channel: str) -> str | None:
    """The last of a decision's values that is not empty."""
    values = (one.entry.decision.get(channel) for one in reversed(entries))
    return next((str(value) for value in values if value), None)
