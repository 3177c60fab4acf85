"""The vault over the ledger: drafts stay in the process while their run does, and are committed with its entries.

A run that ends in one go never writes its drafts to the vault's table (the ledger's encrypted contents keep them for
replay), but for those that last beyond it. A run whose steps are saved does, so that whoever resumes it finds them.
They are deleted after a while.
"""

from typing import Any

import orjson

from fiel.infra.ledger.encode import digest as sha
from fiel.infra.ledger.recorder import LedgerRecorder
from fiel.tools.canonical import canonical
from fiel.tools.errors import UsageError

RETENTION = 30 * 24 * 3600.0
"""Seconds for which a draft can be resumed."""


class LedgerVault:
    """`fiel.tools.vault.Vault` over a ledger's store."""

    def __init__(self, recorder: LedgerRecorder, *, retention: float = RETENTION) -> None:
        self._recorder = recorder
        self._retention = retention

    async def put(self, run: str, content: dict[str, Any], *, lasting: bool = False) -> str:
        live = self._recorder.live(run)
        if live is None:
            raise UsageError("drafts are put from within a hop of their run", where=f"run {run}")
        return live.put(canonical(content), lasting=lasting)

    async def get(self, run: str, digest: str) -> dict[str, Any] | None:
        for owner in await self._recorder.lineage(run):
            data = await self._find(owner, digest)
            if data is not None:
                found: dict[str, Any] = orjson.loads(data)
                return found
        return None

    async def sweep(self) -> int:
        """Delete drafts whose time is over; returns how many."""
        return await self._recorder.store.forget_drafts(self._retention)

    async def _find(self, run: str, digest: str) -> bytes | None:
        live = self._recorder.live(run)
        if live is not None and digest in live.drafts:
            return live.drafts[digest]
        if live is not None and not live.was_flushed:
            return None
        blob = await self._recorder.store.draft(run, digest)
        if blob is None:
            return None
        key = await self._recorder.keys.named(blob.key)
        data = key.cipher.open("draft", run, blob.data, blob.key)
        return data if sha(data, key.mac) == digest else None
