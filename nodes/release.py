"""release: the only hop through which text of a draft reaches the caller."""

from dataclasses import dataclass
from typing import Any

from langchain_core.runnables import RunnableConfig
from langgraph.runtime import Runtime

from fiel.nodes import names, proof
from fiel.nodes.base import State, Update, bundle_of, said
from fiel.nodes.turns import closed
from fiel.nodes.windows import WINDOW, going_on, shown, shown_content, window_of
from fiel.policies.types import Policies
from fiel.tools.errors import NotProven
from fiel.tools.record import Callers, Recorder
from fiel.tools.vault import Vault


@dataclass(frozen=True, slots=True)
class Release:
    """Finds the entries that the draft must have earned, and only then takes it out of the vault."""

    callers: Callers
    policies: Policies
    recorder: Recorder
    vault: Vault

    async def __call__(self, state: State, runtime: Runtime[Any], config: RunnableConfig) -> Update:
        run = self.recorder.run_of(runtime, config)
        entries = await self.recorder.history(run)
        lacking = proof.missing(entries, state)
        if lacking:
            raise NotProven(f"nothing in the ledger proves the {lacking} of this draft", where="release")
        edited = proof.edited(entries)
        if edited and not self.callers.principal(config).may("developer"):
            raise NotProven("the state of this run was edited by somebody who may not", where="release")
        content = await self.vault.get(run, state["draft"])
        if content is None:
            raise NotProven("the draft is not in the vault", where="release")
        roles = self.callers.principal(config).roles
        known = await names.visible(self.vault, run, state, bundle_of(self.policies, state), roles)
        if going_on(state):
            return await self._window(run, state, content, known)
        content = names.put_back(content, known)
        reason = "edited" if edited else proof.reviewed(entries) or "ok"
        update: Update = {
            "outcome": "answered",
            "reason": reason,
            "answer": content["answer"],
            "citations": content["citations"],
            "judgement": _judgement(_whole(state), content["sentences"]),
            "verdicts": await self._verdicts(run, state, content["verdicts"]),
            "messages": [said(run, content["answer"], "answered", reason)],
            "turns": closed(state, run, content["answer"], "answered", reason),
            **_restored(state, known),
        }
        if shown(state):
            before = await self._shown(run, state, known)
            update[WINDOW] = {**window_of(state), "waits": "", "from": len(before)}
        return update

    async def _window(self, run: str, state: State, content: dict[str, Any], known: names.Known) -> Update:
        """Show the answer up to the end of this window. No outcome: it goes on."""
        before, whole = await self._shown(run, state, known), _whole(state)
        content = names.put_back(content, known)
        window = {
            **window_of(state),
            "run": run,
            "shown": state["draft"],
            "waits": "",
            "from": len(before),
            **{name: whole[name] for name in ("labels", "scores", "answered")},
        }
        update = {"answer": content["answer"], "citations": content["citations"], WINDOW: window}
        return update | _restored(state, known)

    async def _shown(self, run: str, state: State, known: names.Known) -> str:
        """The answer as the caller has seen it so far. No placeholder is cut: windows end between sentences, and none
        where a bracket stands open."""
        before = names.put_back(await shown_content(self.vault, run, state), known)
        return str(before["answer"])

    async def _verdicts(self, run: str, state: State, output: list[dict[str, Any]]) -> list[dict[str, Any]]:
        """The verdicts with their spans, which were kept out of state until now."""
        spans = {_key(verdict): verdict["spans"] for verdict in output}
        for digest in state["details"]:
            content = await self.vault.get(run, digest)
            for verdict in content["verdicts"] if content else ():
                spans[_key(verdict)] = verdict["spans"]
        return [{**verdict, "spans": spans.get(_key(verdict), [])} for verdict in state["verdicts"]]


def _key(verdict: dict[str, Any]) -> tuple[str, str]:
    return verdict["stage"], verdict["check"]


def _restored(state: State, known: names.Known) -> Update:
    """That values were put back, for the ledger."""
    return {"placeholders": {**state["placeholders"], "restored": True}} if known else {}


def _whole(state: State) -> dict[str, Any]:
    """The judgement of the answer so far: this window's, behind those of the windows before."""
    judgement, window = state["judgement"], window_of(state)
    if not shown(state):
        return dict(judgement)
    labels, scores = [*window["labels"], *judgement["labels"]], [*window["scores"], *judgement["scores"]]
    return {**judgement, "labels": labels, "scores": scores, "answered": window["answered"]}


def _judgement(judgement: dict[str, Any], sentences: list[dict[str, Any]]) -> dict[str, Any]:
    """The judgement with its sentences, now that they are released."""
    shown = [
        {"text": sentence["text"], "label": label, "score": score, "citations": sentence["citations"]}
        for sentence, label, score in zip(sentences, judgement["labels"], judgement["scores"], strict=True)
    ]
    return {**judgement, "sentences": shown}
