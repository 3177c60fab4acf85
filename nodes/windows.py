"""An answer that is released in windows: what is kept of it between the hops that each window passes.

With the option `release: window` the graph goes round: `generate` drafts the next sentences, `judge` and `guard_output`
pass them, `release` shows them, and `generate` goes on. The channel `window` holds where that stands, in digests and
numbers; what was shown lies in the vault as it was shown.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from fiel.nodes.base import State
from fiel.tools.errors import NotProven
from fiel.tools.record import Entry, Recorder
from fiel.tools.vault import Vault

WINDOW = "window"
"""Value of the option `release`, and name of the channel."""

Window = Mapping[str, Any]


def window_of(state: State) -> Window:
    """The channel; empty for an answer that is released whole, and before the first window."""
    return state.get(WINDOW) or {}


def going_on(state: State) -> bool:
    """Whether more of the answer is being written."""
    return bool(window_of(state).get("more"))


def shown(state: State) -> str:
    """Digest of what was released so far, in the vault; empty where nothing was."""
    return str(window_of(state).get("shown") or "")


def proven(entries: Sequence[Entry], digest: str) -> bool:
    """Whether `release` has shown the content of this digest: its entry says so."""
    return any(
        entry.hop == "release" and (entry.decision.get(WINDOW) or {}).get("shown") == digest for entry in entries
    )


async def shown_content(vault: Vault, run: str, state: State) -> Mapping[str, Any]:
    """What was released so far: `answer`, `citations`, `sentences`, and the `drafted` sentences behind them.

    Raises NotProven where it is gone: an answer that goes on without its beginning would take back what was shown.
    """
    if not shown(state):
        return {"answer": "", "citations": [], "sentences": [], "drafted": []}
    content = await vault.get(run, shown(state))
    if content is None:
        raise NotProven("what was shown of the answer is not in the vault", where=f"run {run}")
    return content


async def released_so_far(recorder: Recorder, vault: Vault, run: str, state: State) -> Mapping[str, Any] | None:
    """What the caller has already been shown of this run's answer, where the ledger says so; None for nothing."""
    if not shown(state) or not proven(await recorder.history(run), shown(state)):
        return None
    return await vault.get(run, shown(state))


__all__ = ["WINDOW", "Window", "going_on", "proven", "released_so_far", "shown", "shown_content", "window_of"]
