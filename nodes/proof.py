"""What a draft must have earned before it is released: entries of this run, in the ledger, for exactly its digests."""

from collections.abc import Mapping, Sequence
from typing import Any

from fiel.nodes.windows import proven, shown
from fiel.tools.canonical import content_digest_trusted
from fiel.tools.record import Entry


def missing(entries: Sequence[Entry], state: Mapping[str, Any]) -> str:
    """What is not proven, in a word; empty where everything is.

    The question must be the one that `guard_input` passed, the passages those that `guard_context` left, the draft the
    one that `judge` found satisfying over exactly these and that `guard_output` then passed, each under one bundle and
    the options that `guard_input` checked. Where a guard wanted a review, a person must have decided about exactly what
    it passed. What was shown of the answer before this window must be what `release` has shown.
    """
    last = {entry.hop: entry for entry in entries}
    passages, question = content_digest_trusted(state["passages"]), content_digest_trusted(state["question"])
    if any(hop not in last for hop in ("guard_input", "guard_context", "judge", "guard_output")):
        return "hops"
    if _wrote(last["guard_input"], "question") != question or _reason(last["guard_input"]):
        return "question"
    if _wrote(last["guard_context"], "passages") != passages or _reason(last["guard_context"]):
        return "passages"
    judgement = last["judge"].decision.get("judgement", {})
    checked = last["guard_output"].decision.get("checked", {})
    if not judgement.get("satisfied") or judgement.get("draft") != checked.get("draft"):
        return "judgement"
    if judgement["question"] != content_digest_trusted(state["standalone"]) or judgement["passages"] != passages:
        return "judgement"
    before = shown(state)
    if not judgement.get("shown", "") == checked.get("shown", "") == before:
        return "judgement"
    if before and not proven(entries, before):
        return "windows"
    if not state["draft"] or checked.get("released") != state["draft"] or checked.get("action") == "block":
        return "checks"
    if not _asked(entries, last["guard_input"]) or not _seen(entries, checked):
        return "review"
    versions = last["guard_input"].decision.get("versions") or {}
    if not versions.get("options") or versions != state["versions"]:
        return "options"
    return "" if versions.get("policy") and checked.get("policy") == versions["policy"] else "policy"


def reviewed(entries: Sequence[Entry]) -> str:
    """Reason code that says what a person has done about this answer; empty where nobody was asked."""
    decided = _decided(entries)
    drafts = {entry.decision["checked"].get("draft") for entry in entries if "checked" in entry.decision}
    if any(one["status"] == "edited" and one.get("draft") in drafts for one in decided):
        return "reviewer_edited"
    return "reviewed" if any(one["status"] == "approved" for one in decided) else ""


def edited(entries: Sequence[Entry]) -> bool:
    """Whether anybody edited the state of this run, or of a run that it resumes."""
    return any(entry.edited for entry in entries)


def _wrote(entry: Entry, channel: str) -> str | None:
    return entry.writes.get(channel)


def _reason(entry: Entry) -> str:
    """A guard that blocked or failed leaves a reason; one that passed leaves none."""
    return str(entry.decision.get("reason") or entry.decision.get("failure") or "")


def _asked(entries: Sequence[Entry], guard: Entry) -> bool:
    """Whether a question that `guard_input` wanted reviewed has been approved."""
    due = guard.decision.get("review")
    if not due:
        return True
    return any(
        one["stage"] == "input" and one["status"] == "approved" and one["subject"] == due["subject"]
        for one in _decided(entries)
    )


def _seen(entries: Sequence[Entry], checked: Mapping[str, Any]) -> bool:
    """Whether a draft that `guard_output` wanted reviewed has been approved, or is the reviewer's own."""
    if checked.get("action") != "review":
        return True
    return any(
        (one["status"] == "approved" and one["subject"] == checked["released"])
        or (one["status"] == "edited" and one.get("draft") == checked["draft"])
        for one in _decided(entries)
        if one["stage"] == "output"
    )


def _decided(entries: Sequence[Entry]) -> list[Mapping[str, Any]]:
    """What the hop `review` has written down; where it was interrupted it has written nothing."""
    return [entry.decision["review"] for entry in entries if entry.hop == "review" and "review" in entry.decision]
