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
        if going_on(state):
            return await self._window(run, state, content)
        known = await self._known(run, state, config)
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
            **({"placeholders": {**state["placeholders"], "restored": True}} if known else {}),
        }
        if shown(state):
            before = await shown_content(self.vault, run, state)
            update[WINDOW] = {**window_of(state), "waits": "", "from": len(before["answer"])}
        return update

    async def _window(self, run: str, state: State, content: dict[str, Any]) -> Update:
        """Show the answer up to the end of this window. No outcome: it goes on."""
        before, whole = await shown_content(self.vault, run, state), _whole(state)
        window = {
            **window_of(state),
            "run": run,
            "shown": state["draft"],
            "waits": "",
            "from": len(before["answer"]),
            **{name: whole[name] for name in ("labels", "scores", "answered")},
        }
        return {"answer": content["answer"], "citations": content["citations"], WINDOW: window}

    async def _known(self, run: str, state: State, config: RunnableConfig) -> names.Known:
        """The placeholders whose values the caller may see again; none for anybody else, and none in windows."""
        bundle = bundle_of(self.policies, state)
        if window_of(state) or not names.replacing(bundle) or not bundle.restores(self.callers.principal(config).roles):
            return {}
        return await names.own(self.vault, run, state)

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
