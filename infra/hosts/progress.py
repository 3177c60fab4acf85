"""How far a run of the answer graph is: which hop runs, and how much it found. Counts and codes, never text."""

from collections.abc import Mapping
from typing import Any

Found = dict[str, int | bool]


def started(hop: str) -> dict[str, Any]:
    """Data of the `custom` event when a hop begins."""
    return {"type": "progress", "hop": hop, "status": "started"}


def done(hop: str, update: Mapping[str, Any]) -> dict[str, Any]:
    """Data of the `custom` event when a hop has ended."""
    return {"type": "progress", "hop": hop, "status": "done", "found": _found(hop, update)}


def _found(hop: str, update: Mapping[str, Any]) -> Found:
    found: Found = {}
    for channel in _COUNTED.get(hop, ()):
        if isinstance(value := update.get(channel), list | tuple):
            found[channel] = len(value)
    if hop == "rerank" and isinstance(update.get("relevant"), bool):
        found["relevant"] = update["relevant"]
    if hop == "generate" and type(update.get("attempt")) is int:
        found["attempt"] = update["attempt"]
    if hop == "judge":
        found |= _judged(update.get("judgement"))
    return found


def _judged(judgement: Any) -> Found:
    labels = judgement.get("labels") if isinstance(judgement, Mapping) else None
    if not isinstance(labels, list | tuple):
        return {}
    return {"sentences": len(labels), "supported": sum(label == "supported" for label in labels)}


_COUNTED: dict[str, tuple[str, ...]] = {
    "guard_input": ("verdicts",),
    "rewrite": ("queries",),
    "retrieve": ("passages",),
    "rerank": ("passages",),
    "guard_context": ("passages", "verdicts"),
    "guard_output": ("verdicts",),
    "release": ("citations",),
}
