"""The review port: a person is asked about a question or an answer, and has decided or not.

The graph waits by LangGraph's interrupt, but what a run is resumed with proves nothing: the hop asks this port what was
decided, and by whom.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, Protocol
from uuid import UUID, uuid5

from fiel.tools.principal import Principal, Role

Decided = Literal["approve", "edit", "reject", "expire"]
"""`expire`: nobody decided in time."""

_REVIEWS = UUID("a3f0a5f2-6f0b-4b8e-8c43-9d6d0f4f3a11")


@dataclass(frozen=True, slots=True)
class Case:
    """What a person is asked about."""

    run: str
    stage: Literal["input", "output"]
    subject: str
    """Digest of exactly what may go on if it is approved: of the question, or of the draft in the vault."""
    reason: str
    """Reason code of the check that wants the review."""
    policy: str
    collection: str
    language: str
    dossier: Mapping[str, Any]
    """What the reviewer sees: `{"question", "draft", "parts", "verdicts"}`; spans of verdicts count in `parts`."""

    roles: frozenset[Role] | None = None
    """Who may decide; None: those of the settings, empty: nobody."""
    hours: float | None = None
    """How long they have; None: as the settings say."""
    own: bool | None = None
    """Whether who asked may decide; None: as the settings say."""

    @property
    def id(self) -> str:
        """Follows from run and subject: who asks twice asks the same."""
        return str(uuid5(_REVIEWS, "\0".join((self.run, self.stage, self.subject))))


@dataclass(frozen=True, slots=True)
class Ruling:
    """What was decided."""

    subject: str
    """What the person has seen; see `Case.subject`."""
    decision: Decided
    by: str = ""
    """Id of the person."""
    at: str = ""
    """When, ISO 8601."""
    why: str = ""
    """A code."""
    comment: str = ""
    text: str = ""
    """The answer as the person wants it; only where the decision is `edit`. Its markers are those of the draft."""


class Reviews(Protocol):
    """Raises DatabaseUnavailable."""

    async def ask(self, config: Mapping[str, Any], case: Case) -> str | None:
        """Ask for a review; its id. None where nobody can be asked: no role, or a run without a thread that lasts."""
        ...

    async def ruling(self, principal: Principal, review: str) -> Ruling | None:
        """What was decided about a review that `principal` waits for; None as long as nothing is."""
        ...


class Nobody:
    """Nobody can be asked."""

    async def ask(self, config: Mapping[str, Any], case: Case) -> str | None:
        return None

    async def ruling(self, principal: Principal, review: str) -> Ruling | None:
        return None


class MemoryReviews:
    """Reviews in the process, for tests and for graphs that run without a database."""

    def __init__(self) -> None:
        self.cases: dict[str, tuple[Principal, Case]] = {}
        self._rulings: dict[str, Ruling] = {}

    async def ask(self, config: Mapping[str, Any], case: Case) -> str | None:
        if case.roles is not None and not case.roles:
            return None
        self.cases.setdefault(case.id, (config["configurable"]["fiel_principal"], case))
        return case.id

    async def ruling(self, principal: Principal, review: str) -> Ruling | None:
        asker, _ = self.cases.get(review, (None, None))
        if asker is None or (asker.tenant, asker.id) != (principal.tenant, principal.id):
            return None
        return self._rulings.get(review)

    def decide(self, review: str, ruling: Ruling) -> None:
        """Write down a decision; the first one counts."""
        self._rulings.setdefault(review, ruling)


__all__ = ["Case", "Decided", "MemoryReviews", "Nobody", "Reviews", "Ruling"]
