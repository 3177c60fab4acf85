"""The placeholders of a conversation: kept in the vault by each run of the thread, found again by the next.

State holds where they are (`{"run", "digest"}`) and never a value. What is found must say that it belongs to the thread
and to the caller's tenant, so that no edited state leads to the values of another conversation.
"""

import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from typing import Any

from langgraph.runtime import Runtime

from fiel.nodes.base import State
from fiel.policies.placeholders import FACT, TAKEN, alike, disarmed, renumbered, restored
from fiel.policies.types import Bundle, Decision, Stage
from fiel.tools.errors import NotProven
from fiel.tools.principal import Principal
from fiel.tools.vault import Vault

Known = Mapping[str, str]
_STAGES: tuple[Stage, ...] = ("input", "output")
_MARKER = re.compile(r"\[(\d+)\]")


def replacing(bundle: Bundle) -> bool:
    """Whether runs under the bundle have placeholders."""
    return any(bundle.replaces(stage) for stage in _STAGES)


def fact(bundle: Bundle, known: Known) -> dict[str, Any]:
    """What the checks are told of them; nothing where the bundle has none, so that its requests are as ever."""
    return {FACT: dict(known)} if replacing(bundle) else {}


def thread_of(runtime: Runtime[Any]) -> str:
    """Id of the thread; empty where the run has none that lasts."""
    info = runtime.execution_info
    return str(info.thread_id or "") if info is not None else ""


async def recalled(vault: Vault, state: State, run: str, thread: str, principal: Principal) -> Known:
    """What the run before on this thread has left; nothing where it left none, or too long ago.

    Raises NotProven for placeholders of another thread or tenant.
    """
    where = state.get("placeholders") or {}
    if not thread or not where:
        return {}
    content = await vault.get(where["run"], where["digest"])
    if content is None:
        return {}
    if (content["tenant"], content["thread"]) != (principal.tenant, thread):
        raise NotProven("the placeholders belong to another conversation", where="guard_input")
    await vault.put(run, content)  # what a run has begun with is part of its record
    return _of(content)


async def kept(vault: Vault, run: str, thread: str, principal: Principal, known: Known) -> dict[str, Any]:
    """Keep `known` for later hops and later runs; the channel `placeholders`."""
    content = {"tenant": principal.tenant, "thread": thread, FACT: dict(known)}
    return {"run": run, "digest": await vault.put(run, content, lasting=bool(thread))}


async def own(vault: Vault, run: str, state: State) -> Known:
    """What this run has kept, or one that it resumes. Raises NotProven where it is gone."""
    where = state.get("placeholders") or {}
    if not where:
        return {}
    content = await vault.get(run, where["digest"])
    if content is None or FACT not in content:
        raise NotProven("the placeholders of this run are not in the vault")
    return _of(content)


async def visible(vault: Vault, run: str, state: State, bundle: Bundle, roles: Collection[str]) -> Known:
    """The placeholders whose values a caller with `roles` sees again in an answer of this run; none for anybody else.

    One that a passage holds by itself stands for nobody: else a document could have words put next to a name. Raises
    NotProven where they are gone.
    """
    if not replacing(bundle) or not bundle.restores(roles):
        return {}
    forged = alike(*(passage["text"] for passage in state["passages"]))
    return {name: value for name, value in (await own(vault, run, state)).items() if name not in forged}


def taken(state: State) -> dict[str, str]:
    """The fact that keeps new values from the numbers of what only looks like a placeholder.

    The same in every window of an answer, so that a value has the same number wherever the windows end.
    """
    found = alike(state["standalone"], *(passage["text"] for passage in state["passages"]))
    return {TAKEN: " ".join(sorted(found))} if found else {}


def genuine(sentences: Sequence[dict[str, Any]], names: Collection[str]) -> list[dict[str, Any]]:
    """The sentences of a draft; what looks like a placeholder in them and is none of `names` is disarmed."""
    return [{**one, "text": disarmed(one["text"], names)} for one in sentences]


def in_order(decision: Decision, known: Known) -> Decision:
    """The decision on an answer and its quotes, its new placeholders numbered as they are read: each quote where its
    marker stands first. So the windows of an answer number as the whole answer does."""
    answer, *quotes = decision.parts
    read = _MARKER.sub(lambda match: _quote(quotes, int(match[1])), answer)
    found = renumbered(decision.parts, read, known, {**known, **decision.placeholders})
    return replace(decision, parts=found.texts, placeholders=found.known)


def _quote(quotes: Sequence[str], number: int) -> str:
    return quotes[number - 1] if 0 < number <= len(quotes) else ""


def put_back(content: Mapping[str, Any], known: Known) -> dict[str, Any]:
    """A released draft with the values in the place of their placeholders. A quote stays marked as redacted."""
    citations = [{**one, "quote": restored(one["quote"], known)} for one in content["citations"]]
    sentences = [{**one, "text": restored(one["text"], known)} for one in content["sentences"]]
    return {**content, "answer": restored(content["answer"], known), "citations": citations, "sentences": sentences}


def _of(content: Mapping[str, Any]) -> Known:
    return {str(name): str(value) for name, value in content[FACT].items()}
