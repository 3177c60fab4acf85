"""A bundle as it decides: frozen, with the rules of each stage, and versioned by all of it."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field

from fiel.policies.checks import Check
from fiel.policies.overrides import MARK, Override, combined
from fiel.policies.rules import Band, Rule
from fiel.policies.terms import SILENT, Terms
from fiel.policies.types import STAGES, Stage
from fiel.policies.version import version_of
from fiel.tools.errors import PolicyError


@dataclass(frozen=True, slots=True)
class Entry:
    """One check as a bundle configures it."""

    id: str
    check: Check
    stages: Mapping[Stage, tuple[Band, ...]]
    limit_ms: int


@dataclass(frozen=True, slots=True)
class Example:
    """A text and what the bundle must decide about it."""

    stage: Stage
    text: str
    expect: str
    reason: str
    becomes: str
    """Text after redaction; empty: not compared."""
    facts: Mapping[str, str]
    where: str


@dataclass(frozen=True, slots=True)
class PolicyBundle:
    """A loaded bundle."""

    name: str
    description: str
    lineage: tuple[str, ...]
    """Names of this bundle and of those that it extends, nearest first."""
    entries: tuple[Entry, ...]
    messages: Mapping[str, Mapping[str, str]]
    """Language to reason code to words."""
    examples: tuple[Example, ...]
    version: str
    file: str
    rules: Mapping[Stage, tuple[Rule, ...]] = field(repr=False, compare=False)
    masking: tuple[Rule, ...] = field(repr=False, compare=False)
    """Rules, one a check, whose findings are masked in spans and logs."""
    overrides: tuple[Override, ...] = ()
    relaxable: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """Check to the roles for which an override may relax it."""
    review: Terms = SILENT
    """Who decides what the bundle wants reviewed, and in which time."""
    restore: tuple[str, ...] = ()
    """Roles whose callers see the values again that placeholders stand for."""

    def overriding(self, collection: str, roles: Collection[str]) -> tuple[str, ...]:
        """Ids of the overrides that hold for a run over `collection` by a caller with `roles`, in the file's order."""
        return tuple(override.id for override in self.overrides if override.applies(collection, roles))

    def variant(self, ids: Sequence[str]) -> "PolicyBundle":
        """The bundle with the overrides of those ids. Raises PolicyError for an id that it does not have."""
        chosen = [override for override in self.overrides if override.id in ids]
        if len(chosen) != len(ids) or not ids:
            raise PolicyError(f"the bundle {self.name!r} has no overrides {', '.join(ids) or '(none named)'}")
        words = {language: dict(found) for language, found in self.messages.items()}
        for override in chosen:
            for language, found in override.messages.items():
                words.setdefault(language, {}).update(found)
        name = f"{self.name}{MARK}{'+'.join(override.id for override in chosen)}"
        entries, review = combined(self.entries, chosen), self.review
        for override in chosen:
            review = review.and_those(override.review)
        return assembled(name, self.description, self, entries, words, (), self.file, (), {}, review, self.restore)

    def satisfies(self, least: str) -> bool:
        """Whether this bundle is `least` or extends it."""
        return least in self.lineage

    def uses(self, check: str, stage: Stage) -> bool:
        """Whether a check of that kind runs in the stage."""
        return any(rule.check.name == check for rule in self.rules[stage])

    def replaces(self, stage: Stage) -> bool:
        """Whether a check of the stage may put placeholders into a text."""
        return any(rule.takes("replace") for rule in self.rules[stage])

    def restores(self, roles: Collection[str]) -> bool:
        """Whether a caller with `roles` sees the values in an answer again that placeholders stand for."""
        return not set(self.restore).isdisjoint(roles)

    def message(self, reason: str, language: str, otherwise: str = "blocked") -> str:
        """Fixed words for `reason`; those for `otherwise`, then for `blocked`, where the reason has none of its own."""
        for code in (reason, otherwise, "blocked"):
            for words in (self.messages.get(language, {}), self.messages["en"]):
                if code in words:
                    return words[code]
        return self.messages["en"]["blocked"]


def assembled(
    name: str,
    description: str,
    base: PolicyBundle | None,
    entries: tuple[Entry, ...],
    messages: Mapping[str, Mapping[str, str]],
    examples: tuple[Example, ...],
    file: str,
    overrides: tuple[Override, ...],
    marked: Mapping[str, tuple[str, ...]],
    review: Terms,
    restore: tuple[str, ...],
) -> PolicyBundle:
    """The bundle of those parts, with its rules and its version; `base` is the bundle that it extends or varies."""
    lineage = (name, *(base.lineage if base else ()))
    version = version_of(name, base, entries, messages, overrides, marked, review, restore)
    rules: dict[Stage, tuple[Rule, ...]] = {
        stage: tuple(
            Rule(e.id, e.check, stage, e.stages[stage], e.limit_ms / 1000, version)
            for e in entries
            if stage in e.stages
        )
        for stage in STAGES
    }
    seen: dict[str, Rule] = {}
    for stage in STAGES:
        for rule in rules[stage]:
            if rule.check.masks:
                seen.setdefault(rule.id, rule)
    return PolicyBundle(
        name, description, lineage, entries, messages, examples, version, file, rules, tuple(seen.values()), overrides,
        marked, review, restore,
    )  # fmt: skip
