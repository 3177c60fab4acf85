"""The placeholders of a conversation: kept in the vault by each run of the thread, found again by the next.

State holds where they are (`{"run", "digest"}`) and never a value. What is found must say that it belongs to the thread
and to the caller's tenant, so that no edited state leads to the values of another conversation.
"""

from collections.abc import Mapping
from typing import Any

from langgraph.runtime import Runtime

from fiel.nodes.base import State
from fiel.policies.placeholders import FACT, restored
from fiel.policies.types import Bundle, Stage
from fiel.tools.errors import NotProven
from fiel.tools.principal import Principal
from fiel.tools.vault import Vault

Known = Mapping[str, str]
_STAGES: tuple[Stage, ...] = ("input", "output")


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


def put_back(content: Mapping[str, Any], known: Known) -> dict[str, Any]:
    """A released draft with the values in the place of their placeholders. A quote stays marked as redacted."""
    citations = [{**one, "quote": restored(one["quote"], known)} for one in content["citations"]]
    sentences = [{**one, "text": restored(one["text"], known)} for one in content["sentences"]]
    return {**content, "answer": restored(content["answer"], known), "citations": citations, "sentences": sentences}


def _of(content: Mapping[str, Any]) -> Known:
    return {str(name): str(value) for name, value in content[FACT].items()}
