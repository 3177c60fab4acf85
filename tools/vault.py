"""The vault port: where drafts live between `generate` and `release`, and nowhere else.

State carries a draft's digest alone; the vault holds its content, keyed by run and encrypted at rest.
"""

from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Protocol

from fiel.tools.canonical import digest_of


class Vault(Protocol):
    async def put(self, run: str, content: dict[str, Any], *, lasting: bool = False) -> str:
        """Keep `content` (canonical JSON values) for `run`; returns the digest of its canonical form.

        `lasting`: also for later runs of the thread, once this one has ended.
        """
        ...

    async def get(self, run: str, digest: str) -> dict[str, Any] | None:
        """What was put under `digest` by `run` or by a run that it resumes; None where there is no such thing."""
        ...


Lineage = Callable[[str], Awaitable[Sequence[str]]]
"""A run and those that it resumes, nearest first."""


async def alone(run: str) -> Sequence[str]:
    """The lineage of a run that resumes nothing."""
    return (run,)


class MemoryVault:
    """Holds drafts in the process. For tests, and for graphs that run without a database."""

    def __init__(self, lineage: Lineage = alone) -> None:
        self._content: dict[tuple[str, str], dict[str, Any]] = {}
        self._lineage = lineage

    async def put(self, run: str, content: dict[str, Any], *, lasting: bool = False) -> str:
        key = digest_of(content)
        self._content[(run, key)] = content
        return key

    async def get(self, run: str, digest: str) -> dict[str, Any] | None:
        if (own := self._content.get((run, digest))) is not None:
            return own
        for other in await self._lineage(run):
            if (found := self._content.get((other, digest))) is not None:
                return found
        return None
