"""The policy port without Guardrails AI: the same rules, one after the other."""

from collections.abc import Collection, Mapping, Sequence
from typing import Any

from fiel.policies.bundled import PolicyBundle
from fiel.policies.limits import Threads
from fiel.policies.mask import ALL, settled
from fiel.policies.overrides import MARK
from fiel.policies.rules import Rule, Work, spans_of
from fiel.policies.types import Bundle, Decision, Stage
from fiel.tools.errors import PolicyError

_MOST_KNOWN = 512
"""Bundles that are kept for runs which began with them; the oldest go first."""


class Loaded:
    """What every adapter of the policy port shares: the loaded bundles, and redaction."""

    def __init__(self, bundles: Mapping[str, PolicyBundle]) -> None:
        if not bundles:
            raise PolicyError("there is no policy bundle", hint="fiel does not run without a policy")
        self.bundles: Mapping[str, PolicyBundle] = dict(bundles)
        """Those that decide about new runs. Replaced whole, never changed."""
        self._known = {(bundle.name, bundle.version): bundle for bundle in bundles.values()}

    def replace(self, bundles: Mapping[str, PolicyBundle]) -> None:
        """Let `bundles` decide from now on; runs that began with others find theirs by version."""
        known = {**self._known, **{(bundle.name, bundle.version): bundle for bundle in bundles.values()}}
        while len(known) > _MOST_KNOWN:
            del known[next(iter(known))]
        self._known = known
        self.bundles = dict(bundles)

    def bundle(self, name: str, version: str = "") -> PolicyBundle:
        """Raises PolicyError for a name that no bundle has. See `Policies.bundle`."""
        if version and (name, version) in self._known:
            return self._known[name, version]
        plain, mark, ids = name.partition(MARK)
        if mark:
            return self._varied(self.bundle(plain), ids.split("+"))
        try:
            return self.bundles[name]
        except KeyError:
            known = ", ".join(sorted(self.bundles))
            raise PolicyError(f"there is no policy bundle {name!r}", hint=f"There are: {known}") from None

    def variant(self, bundle: Bundle, collection: str, roles: Collection[str]) -> PolicyBundle:
        """See `Policies.variant`."""
        if MARK in bundle.name:
            raise PolicyError(f"{bundle.name!r} cannot be asked for: a run's collection and caller choose the variant")
        mine = bundle if isinstance(bundle, PolicyBundle) else self.own(bundle)
        ids = mine.overriding(collection, roles)
        return self._varied(mine, ids) if ids else mine

    def _varied(self, bundle: PolicyBundle, ids: Sequence[str]) -> PolicyBundle:
        made = bundle.variant(ids)
        return self._known.setdefault((made.name, made.version), made)

    def redact(self, bundle: Bundle, text: str) -> str:
        """`text` with personal data and secrets masked; wholly masked where that fails."""
        return redact(self.own(bundle), text)

    def own(self, bundle: Bundle) -> PolicyBundle:
        """`bundle` as this adapter loaded it. Raises PolicyError for a bundle of another making."""
        mine = self._known.get((bundle.name, bundle.version))
        if mine is None:
            raise PolicyError(f"the bundle {bundle.name!r} was not loaded here", hint="Ask `Policies.bundle` for it")
        return mine


class PlainPolicies(Loaded):
    """Runs the rules of a stage in the bundle's order."""

    def __init__(self, bundles: Mapping[str, PolicyBundle]) -> None:
        super().__init__(bundles)
        self._threads = Threads()

    async def check(
        self, bundle: Bundle, stage: Stage, parts: Sequence[str], facts: Mapping[str, Any] | None = None
    ) -> Decision:
        work = Work(self.own(bundle).rules[stage], parts, facts, self._threads)
        for index in range(len(work.rules)):
            await work.judge(index)
        return work.decide()


def decide(
    bundle: PolicyBundle, stage: Stage, parts: Sequence[str], facts: Mapping[str, Any] | None = None
) -> Decision:
    """Judge without a loop and without time limits that interrupt: for a bundle's own examples."""
    return judged(bundle.rules[stage], parts, facts)


def judged(rules: Sequence[Rule], parts: Sequence[str], facts: Mapping[str, Any] | None = None) -> Decision:
    """`decide`, by `rules` alone."""
    work = Work(rules, parts, facts, Threads())
    for index in range(len(work.rules)):
        work.judge_here(index)
    return work.decide()


def redact(bundle: PolicyBundle, text: str) -> str:
    """See `Loaded.redact`."""
    rules = bundle.masking
    try:
        found = spans_of(rules, text, {})
        if not found:
            return text
        out = settled(text, found, lambda t: spans_of(rules, t, {}))
    except Exception:  # the edge: what could not be looked at is not shown
        return ALL
    return ALL if out is None else out
