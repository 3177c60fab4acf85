"""Where a run goes next: pure functions of the state, one a hop."""

from collections.abc import Mapping
from typing import Any, Literal

from fiel.nodes.windows import going_on, shown

State = Mapping[str, Any]


def after_guard_input(state: State) -> Literal["rewrite", "hold", "refuse", "fail"]:
    """A guard that fails refuses: closed, not open. Without the database nothing was asked of it yet."""
    if state.get("failure") == "database_unavailable":
        return "fail"
    if state.get("failure") or state.get("reason"):
        return "refuse"
    return "hold" if state.get("review") else "rewrite"


def after_rewrite(state: State) -> Literal["retrieve", "abstain", "fail"]:
    """No query left means that every wording was tried; the judge's reason stands."""
    if state.get("failure"):
        return "fail"
    return "retrieve" if state["queries"] else "abstain"


def after_retrieve(state: State) -> Literal["rerank", "refuse", "fail"]:
    """A collection that the caller may no longer read refuses, like one that does not exist."""
    if state.get("failure") == "collection_not_found":
        return "refuse"
    return "fail" if state.get("failure") else "rerank"


def after_rerank(state: State) -> Literal["guard_context", "abstain", "fail"]:
    """Nothing relevant: abstain without generating."""
    if state.get("failure"):
        return "fail"
    return "guard_context" if state["relevant"] else "abstain"


def after_guard_context(state: State) -> Literal["generate", "abstain", "refuse"]:
    """Passages that are all blocked leave nothing to answer from."""
    if state.get("failure"):
        return "refuse"
    return "generate" if state["passages"] else "abstain"


def after_generate(state: State) -> Literal["judge", "rewrite", "fail"]:
    """No draft: another attempt, which `rewrite` ends where there is none."""
    if state.get("failure"):
        return "fail"
    return "judge" if state["draft"] else "rewrite"


def after_judge(state: State) -> Literal["guard_output", "generate", "rewrite", "abstain", "fail"]:
    """Not satisfied: another attempt, which `rewrite` ends where there is none. A person's text is not tried again.

    Of an answer in windows, what does not answer yet may do so with its next sentences.
    """
    if state.get("failure"):
        return "fail"
    if state["judgement"].get("satisfied"):
        return "guard_output"
    if going_on(state) and state.get("reason") == "not_answered":
        return "generate"
    return "abstain" if _review(state).get("status") == "edited" else "rewrite"


def after_guard_output(state: State) -> Literal["release", "generate", "hold", "refuse"]:
    """Only what the checks passed goes on, and what they want reviewed goes to a person first.

    A window that they can pass only with what follows it waits for that.
    """
    if state.get("failure") or state["checked"].get("action") == "block":
        return "refuse"
    if not state["checked"].get("released"):
        return "generate" if going_on(state) else "refuse"
    return "hold" if _review(state).get("status") == "due" else "release"


def after_hold(state: State) -> Literal["review", "refuse", "fail"]:
    """Where nobody can be asked, the run is refused."""
    if state.get("failure"):
        return "fail"
    return "review" if _review(state).get("status") == "asked" else "refuse"


def after_review(state: State) -> Literal["rewrite", "judge", "release", "refuse", "fail"]:
    """An approved question is searched, an approved draft released, an edited one judged and checked again."""
    if state.get("failure"):
        return "fail"
    status, stage = _review(state).get("status"), _review(state).get("stage")
    if status == "edited":
        return "judge"
    if status != "approved":
        return "refuse"
    return "rewrite" if stage == "input" else "release"


def after_release(state: State) -> Literal["__end__", "generate", "fail"]:
    """A release that found no proof has left no outcome; one that has shown a window goes on with the next."""
    if state.get("failure"):
        return "fail"
    if state.get("outcome"):
        return "__end__"
    return "generate" if going_on(state) and shown(state) == state["draft"] else "fail"


def _review(state: State) -> Mapping[str, Any]:
    """What a person was asked; empty where nobody was, also in a state that was kept before there were reviews."""
    return state.get("review") or {}
