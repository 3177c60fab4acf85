"""Verdicts, decisions and the port through which nodes ask what is allowed."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

from fiel.policies.terms import Terms

Stage = Literal["input", "context", "output", "tool"]
STAGES: tuple[Stage, ...] = ("input", "context", "output", "tool")

Action = Literal["allow", "flag", "replace", "redact", "review", "block"]
"""From mild to severe. A decision's action is the most severe of its verdicts' actions.

What says `review` may go on only when a person has approved it; where nobody can be asked, it is kept back like what
says `block`.
"""

Status = Literal["allow", "flag", "replace", "redact", "review", "block", "not_run"]

MASKING: frozenset[str] = frozenset(("replace", "redact"))
"""Actions that put something else in the place of what was found."""
HELD: frozenset[str] = frozenset(("review", "block"))
"""Actions whose text goes nowhere by itself."""


@dataclass(frozen=True, slots=True)
class Span:
    """Where a check found something: `parts[part][start:end]`, code points. Never the text itself."""

    part: int
    start: int
    end: int
    kind: str
    """What was found, e.g. `email`, `injection`."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """What one check said of one text (or list of texts)."""

    check: str
    stage: Stage
    version: str
    """Content hash of the bundle."""
    action: Status
    score: str
    """Decimal string, see `canonical.score`."""
    threshold: str
    reason: str
    """Stable code, e.g. `injection_pattern`; `ok` where nothing was found."""
    spans: tuple[Span, ...] = ()
    ms: float = 0.0
    """Outside the bytes that are compared."""


@dataclass(frozen=True, slots=True)
class Decision:
    """What a bundle's stage decided."""

    action: Action
    verdicts: tuple[Verdict, ...]
    parts: tuple[str, ...]
    """The texts after redaction, in the given order; equal to what was given where nothing was redacted."""
    reason: str
    """Reason of the first verdict that blocks, else of the first that wants a review, else `ok`."""
    placeholders: Mapping[str, str] = field(default_factory=dict)
    """Placeholder to value, those known before included; empty in a stage that replaces nothing."""


class Bundle(Protocol):
    """A loaded bundle: frozen, versioned by content."""

    @property
    def name(self) -> str: ...

    @property
    def review(self) -> Terms:
        """Who decides what the bundle wants reviewed."""
        ...

    @property
    def version(self) -> str:
        """SHA-256 of the canonical form, with the hashes of code and models that its checks use."""
        ...

    def satisfies(self, least: str) -> bool:
        """Whether this bundle is `least` or extends it (a bundle that extends another can only tighten it)."""
        ...

    def uses(self, check: str, stage: Stage) -> bool:
        """Whether a check of that kind runs in the stage."""
        ...

    def replaces(self, stage: Stage) -> bool:
        """Whether a check of the stage may put placeholders into a text."""
        ...

    def restores(self, roles: Collection[str]) -> bool:
        """Whether a caller with `roles` sees the values in an answer again that placeholders stand for."""
        ...

    def message(self, reason: str, language: str, otherwise: str = "blocked") -> str:
        """Fixed words to the user for `reason`, in `language` where the bundle has it, else in English.

        `otherwise` is the code (an outcome) whose words serve where the reason has none of its own.
        """
        ...


class Policies(Protocol):
    """The policy port. Fails closed: a check that raises, hangs or answers what cannot be read blocks."""

    def bundle(self, name: str, version: str = "") -> Bundle:
        """The bundle of that name, in the version that a run began with where this process still knows it.

        Raises PolicyError for a name that no bundle has.
        """
        ...

    def variant(self, bundle: Bundle, collection: str, roles: Collection[str]) -> Bundle:
        """`bundle` as it holds for a run over `collection` by a caller with `roles`: with its overrides for them.

        A bundle in its own right, with a name and a version of its own; it satisfies what `bundle` satisfies. Raises
        PolicyError for a bundle that is a variant already.
        """
        ...

    async def check(
        self, bundle: Bundle, stage: Stage, parts: Sequence[str], facts: Mapping[str, Any] | None = None
    ) -> Decision:
        """Run the stage's checks side by side over all `parts` at once.

        `facts` carries what some checks compare with: `question`, `prompt` (the system prompt, for leakage),
        `language`; and `placeholders`, those of the conversation (placeholder to value). Never raises for what a text
        contains.
        """
        ...

    def redact(self, bundle: Bundle, text: str) -> str:
        """`text` with what the bundle's redacting checks (personal data, secrets) find masked; for spans and logs."""
        ...
