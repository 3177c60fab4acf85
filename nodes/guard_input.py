"""guard_input: may this question, with these options, by this caller, go in?"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from langchain_core.messages import AnyMessage, HumanMessage
from langchain_core.runnables import RunnableConfig
from langgraph.runtime import Runtime

from fiel.nodes.base import State, Update, asked, found, plain, text_of
from fiel.policies.types import Bundle, Policies
from fiel.tools.errors import CollectionNotFound
from fiel.tools.principal import Principal, Role
from fiel.tools.record import Callers, Recorder
from fiel.tools.search import Search
from fiel.tools.vault import Vault

BLANK: Update = {
    "question": "",
    "asked": "",
    "language": "und",
    "policy": "default",
    "versions": {},
    "standalone": "",
    "queries": [],
    "passages": [],
    "relevance": "0.000000",
    "relevant": False,
    "attempt": 0,
    "draft": "",
    "judgement": {},
    "checked": {},
    "verdicts": [],
    "details": [],
    "failure": "",
    "reason": "",
    "outcome": None,
    "answer": "",
    "citations": [],
    "usage": {"input_tokens": 0, "output_tokens": 0, "cost": "0.000000"},
}
"""A new question forgets what the turn before it left on the thread, also where this hop fails."""


@dataclass(frozen=True, slots=True)
class GuardInput:
    """Checks caller, options, collection and question; writes the question as it may go on."""

    callers: Callers
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
        options = runtime.context
        principal: Principal = self.callers.principal(config)
        text, message = _question(state)
        language = self.language(text) if text else "und"
        update = {
            **BLANK,
            "question": text or "",
            "asked": str(message.id) if message else f"{run}:question",
            "language": language,
        }
        refusal = self._refusal(text, options, principal)
        if refusal:
            return {**update, "reason": refusal}
        try:
            info = await self.search.collection(principal, options.collection)
        except CollectionNotFound:
            return {**update, "reason": "collection_not_found"}
        bundle = self._bundle(options.policy, info.policy)
        if bundle is None:
            return {**update, "reason": "policy_too_weak"}
        update |= {"policy": bundle.name, "versions": self.versions(options, bundle.version)}
        return update | await self._check(run, bundle, text or "", message, principal, language)

    def _refusal(self, text: str | None, options: Any, principal: Principal) -> str:
        """Reason why nothing has to be checked at all; empty where the question may be looked at."""
        if not principal.roles:
            return "not_permitted"
        if text is None:
            return "unsupported_content"
        if not text.strip():
            return "empty_question"
        return "option_not_allowed" if self.forbidden(options, principal.roles) else ""

    def _bundle(self, wanted: str, least: str) -> Bundle | None:
        """The bundle asked for, or the collection's own where that is the stricter; None where neither holds.

        A collection without a bundle of its own demands nothing (`least` is empty).
        """
        bundle = self.policies.bundle(wanted)
        if not least or bundle.satisfies(least):
            return bundle
        stricter = self.policies.bundle(least)
        return stricter if stricter.satisfies(wanted) else None

    async def _check(
        self, run: str, bundle: Bundle, text: str, message: AnyMessage | None, principal: Principal, language: str
    ) -> Update:
        decision = await self.policies.check(bundle, "input", [text], {"language": language})
        details = []
        if found(decision):
            details.append(await self.vault.put(run, {"verdicts": plain(decision.verdicts, spans=True)}))
        update: Update = {
            "verdicts": plain(decision.verdicts, spans=principal.sees_unreleased),
            "details": details,
        }
        if decision.action == "block":
            return {**update, "reason": decision.reason}
        question = decision.parts[0]
        return {**update, "question": question, "messages": [asked(run, question, message)]}


def _question(state: State) -> tuple[str | None, AnyMessage | None]:
    """The question and the message it came in, if any. None: it carries more than text.

    A last message that an earlier run has already taken up (one killed before it answered) is not the question.
    """
    messages = state.get("messages") or []
    if messages and isinstance(messages[-1], HumanMessage) and messages[-1].id != state.get("asked"):
        return text_of(messages[-1]), messages[-1]
    return state.get("question") or "", None
