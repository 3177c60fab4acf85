"""guard_input: may this question, with these options, by this caller, go in?"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from langchain_core.runnables import RunnableConfig
from langgraph.runtime import Runtime

from fiel.nodes import names
from fiel.nodes.base import State, Update, asked, due, found, plain
from fiel.nodes.moderate import moderated
from fiel.nodes.sift import sift
from fiel.nodes.spending import PRICE, PRICE_UNKNOWN
from fiel.nodes.turns import Said, opened, put_right, remembered, taken_up
from fiel.policies.checks.injection_head import SURE, InjectionHead
from fiel.policies.types import Bundle, Decision, Policies
from fiel.tools.canonical import content_digest_trusted, score
from fiel.tools.errors import CollectionNotFound
from fiel.tools.guard import Guard
from fiel.tools.guard.second import CATEGORY, Second
from fiel.tools.principal import Principal, Role
from fiel.tools.record import Callers, Recorder
from fiel.tools.search import Search
from fiel.tools.vault import Vault

BLANK: Update = {
    "question": "",
    "language": "und",
    "policy": "default",
    "versions": {},
    "history": [],
    "standalone": "",
    "queries": [],
    "passages": [],
    "relevance": "0.000000",
    "relevant": False,
    "attempt": 0,
    "draft": "",
    "judgement": {},
    "checked": {},
    "review": {},
    "verdicts": [],
    "details": [],
    "failure": "",
    "reason": "",
    "outcome": None,
    "answer": "",
    "citations": [],
    "window": {},
    "usage": {"input_tokens": 0, "output_tokens": 0, "cost": "0.000000"},
}
"""A new question forgets what the turn before it left on the thread, also where this hop fails."""


@dataclass(frozen=True, slots=True)
class GuardInput:
    """Checks caller, options, collection and question; writes the question as it may go on."""

    callers: Callers
    guard: Guard
    second: Second
    language: Callable[[str], str]
    policies: Policies
    recorder: Recorder
    search: Search
    vault: Vault
    forbidden: Callable[[Any, frozenset[Role]], str | None]
    """Name of the first option that the roles may not set so; None where all are fine."""
    versions: Callable[[Any, str], dict[str, str]]
    """Versions of everything that decides, for the options and the bundle's version."""

    async def __call__(self, state: State, runtime: Runtime[Any], config: RunnableConfig) -> Update:
        run = self.recorder.run_of(runtime, config)
        text, message, missing = taken_up(state)
        case = _Case(
            state, runtime.context, self.callers.principal(config), run, names.thread_of(runtime), text or "",
            self.language(text or ""),
        )  # fmt: skip
        asking = message.id if message and message.id else f"{run}:question"
        update = {**BLANK, "question": case.text, "language": case.language}
        update |= await self._looked_at(case, missing or self._refusal(text, case))
        right = put_right(state)
        if update["reason"]:
            update["turns"] = opened(state, run, asking, case.text, "")
        else:
            update["turns"] = opened(state, run, asking, update["question"], update["question"])
            right.append(asked(run, update["question"], message))
        return {**update, "messages": right} if right else update

    async def _looked_at(self, case: "_Case", refusal: str) -> Update:
        """What the checks make of the question: a reason to refuse it, or how it goes on."""
        if refusal:
            return {"reason": refusal}
        options = case.options
        try:
            info = await self.search.collection(case.principal, options.collection)
        except CollectionNotFound:
            return {"reason": "collection_not_found"}
        bundle = self._bundle(options.policy, info.policy)
        if bundle is None:
            return {"reason": "policy_too_weak"}
        bundle = self.policies.variant(bundle, options.collection, case.principal.roles)
        update: Update = {"policy": bundle.name, "versions": self.versions(options, bundle.version)}
        if options.cost and not update["versions"][PRICE]:
            return {**update, "reason": PRICE_UNKNOWN}  # a limit that nobody can hold is none
        return update | await self._check(case, bundle)

    def _refusal(self, text: str | None, case: "_Case") -> str:
        """Reason why nothing has to be checked at all; empty where the question may be looked at."""
        if not case.principal.roles:
            return "not_permitted"
        if text is None:
            return "unsupported_content"
        if not text.strip():
            return "empty_question"
        return "option_not_allowed" if self.forbidden(case.options, case.principal.roles) else ""

    def _bundle(self, wanted: str, least: str) -> Bundle | None:
        """The bundle asked for, or the collection's own where that is the stricter; None where neither holds.

        A collection without a bundle of its own demands nothing (`least` is empty).
        """
        bundle = self.policies.bundle(wanted)
        if not least or bundle.satisfies(least):
            return bundle
        stricter = self.policies.bundle(least)
        return stricter if stricter.satisfies(wanted) else None

    async def _check(self, case: "_Case", bundle: Bundle) -> Update:
        known: names.Known = {}
        if names.replacing(bundle):
            known = await names.recalled(self.vault, case.state, case.run, case.thread, case.principal)
        facts = {"language": case.language, **names.fact(bundle, known)}
        scored = await moderated(self.guard, bundle, "input", case.text)
        decision = await self.policies.check(bundle, "input", [case.text], {**facts, **scored})
        if self.second.version and doubtful(decision):
            advised = await self._second(case.text)
            decision = await self.policies.check(bundle, "input", [case.text], {**facts, **scored, **advised})
        details = []
        if found(decision):
            details.append(await self.vault.put(case.run, {"verdicts": plain(decision.verdicts, spans=True)}))
        update: Update = {
            "verdicts": plain(decision.verdicts, spans=case.principal.sees_unreleased),
            "details": details,
        }
        if decision.action == "block":
            return {**update, "reason": decision.reason}
        if decision.action == "review":
            update["review"] = await due(
                self.vault, case.run, "input", content_digest_trusted(decision.parts[0]), [case.text], decision
            )
        known = decision.placeholders or known
        history, known = await self._history(case.state, bundle, {**facts, **names.fact(bundle, known)}, known)
        if names.replacing(bundle):
            update["placeholders"] = await names.kept(self.vault, case.run, case.thread, case.principal, known)
        return {**update, "question": decision.parts[0], "history": history}

    async def _second(self, text: str) -> Mapping[str, Any]:
        """The fact `second`. Raises ModelUnavailable: a doubt that nobody resolves lets nothing through."""
        opinion = await self.second.opinion(text)
        return {"second": {"model": self.second.version, "score": score(opinion.scores[CATEGORY])}}

    async def _history(
        self, state: State, bundle: Bundle, facts: Mapping[str, Any], known: names.Known
    ) -> tuple[list[Said], names.Known]:
        """What the question may lean on, as this run's bundle leaves it: that of an earlier turn may have been another.

        Here a text that is blocked refuses nothing, it is only not leant on. Beside it, the placeholders after that.
        """
        earlier = remembered(state)
        if not earlier:
            return [], known
        sifted = await sift(self.policies, bundle, "input", [one["text"] for one in earlier], facts)
        history = [Said(role=earlier[place]["role"], text=text) for place, text in sifted.kept.items()]
        return history, sifted.placeholders or known


def doubtful(decision: Decision) -> bool:
    """Whether the head on the sentence vector has found something, and is not sure."""
    return any(
        verdict.reason == InjectionHead.reason and verdict.action != "allow" and float(verdict.score) < SURE
        for verdict in decision.verdicts
    )


@dataclass(frozen=True, slots=True)
class _Case:
    """One question, as the parts of this hop look at it."""

    state: State
    options: Any
    principal: Principal
    run: str
    thread: str
    text: str
    language: str
