"""What every recorded port does: ask the port, or in a replay the record, and write down both question and answer."""

from collections.abc import Callable, Coroutine, Sequence
from contextvars import ContextVar
from typing import Any, Generic, Protocol, TypeVar

import numpy as np

from fiel.infra.ledger.encode import digest, encode
from fiel.infra.ledger.run import CURRENT, Step
from fiel.tools.chat import Usage
from fiel.tools.embed import Vector
from fiel.tools.errors import FielError
from fiel.tools.principal import Principal
from fiel.tools.search import Passage

T = TypeVar("T")


class _Versioned(Protocol):
    @property
    def version(self) -> str: ...


P = TypeVar("P", bound=_Versioned)


class Recorded(Generic[P]):
    """A port in place of the one that it asks, with its version."""

    def __init__(self, port: P) -> None:
        self._port = port

    @property
    def version(self) -> str:
        return self._port.version


class Source(Protocol):
    """Answers effects in the place of the ports."""

    async def answer(self, step: Step, kind: str, request: bytes, call: Coroutine[Any, Any, Any]) -> Any:
        """What the port answered then; raises what it raised. Awaits `call`, which asks the port, or closes it."""
        ...


SOURCE: ContextVar[Source | None] = ContextVar("fiel_effects", default=None)
"""Where a replay runs: what answers instead of the ports."""


async def recorded(
    kind: str,
    request: Callable[[], bytes],
    call: Coroutine[Any, Any, T],
    response: Callable[[T], bytes],
    facts: Callable[[T], dict[str, Any]] | None = None,
) -> T:
    """Await `call` and record it in the current hop; in a replay the source answers in its place."""
    step = CURRENT.get()
    if step is None:
        return await call
    source = SOURCE.get()
    try:
        result = await (call if source is None else source.answer(step, kind, request(), call))
    except FielError as error:
        step.effect(kind, request(), encode({"error": error.public()}), {"error": error.code})
        raise
    step.effect(kind, request(), response(result), facts(result) if facts else None)
    return result


def asker(principal: Principal) -> dict[str, Any]:
    return {"tenant": principal.tenant, "id": principal.id, "grants": list(principal.grants)}


def passages_digest(passages: Sequence[Passage]) -> str:
    """Passages stand in requests by digest: the ledger has them already."""
    return digest(encode(list(passages)))


def spent(usage: Usage) -> dict[str, Any]:
    return {"input_tokens": usage.input_tokens, "output_tokens": usage.output_tokens, "cost": usage.cost}


def floats(vector: Vector) -> bytes:
    return np.ascontiguousarray(vector, dtype="<f4").tobytes()
