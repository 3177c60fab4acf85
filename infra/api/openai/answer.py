"""The end of a run as an answer for OpenAI's clients: text, why it ended, usage, sources, and fiel's own key."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from fiel.infra.outward import outward
from fiel.tools.errors import Unavailable

Finish = Literal["stop", "content_filter"]
FILTERED = ("refused", "pending")
"""Outcomes that OpenAI's clients know as a filtered answer. Where fiel abstains, it has answered that it cannot."""
KEPT = ("outcome", "reason", "citations", "verdicts", "judgement", "versions")
"""What of the state goes into the key `fiel`."""


class RunUnavailable(Unavailable):
    """The run ended without an answer, because something that it needs does not work."""

    code = "run_unavailable"


@dataclass(frozen=True, slots=True)
class Answer:
    """One answer."""

    text: str
    """With the list of sources, where one is wanted."""
    finish: Finish = "stop"
    input_tokens: int = 0
    output_tokens: int = 0
    annotations: Sequence[dict[str, Any]] = ()
    """`url_citation`s: `start_index`, `end_index` in `text`, `url`, `title`."""
    fiel: dict[str, Any] = field(default_factory=dict)

    @property
    def refusal(self) -> str | None:
        return self.text if self.finish == "content_filter" else None


def answer_of(run_id: str, values: Any, *, sources: bool) -> Answer:
    """The answer that a run's final values hold. Raises RunUnavailable where fiel could not say anything."""
    state = values if isinstance(values, Mapping) else {}
    if isinstance(state.get("outcome"), str) and "reason" in state:
        return _own(run_id, state, sources)
    last = _last(state.get("messages"))
    usage = last.get("usage_metadata") or {}
    return Answer(
        text=_plain(last.get("content")),
        input_tokens=_count(usage.get("input_tokens")),
        output_tokens=_count(usage.get("output_tokens")),
        fiel={"run_id": run_id},
    )


def _own(run_id: str, state: Mapping[str, Any], sources: bool) -> Answer:
    outcome, reason = state["outcome"], state["reason"]
    if outcome == "unavailable":
        raise RunUnavailable(str(state.get("answer") or "no answer"), where=str(reason))
    citations = state.get("citations") or []
    told, marks = _with_sources(str(state.get("answer") or ""), citations, sources)
    usage = state.get("usage") or {}
    kept = {name: state[name] for name in KEPT if name in state}
    return Answer(
        text=told,
        finish="content_filter" if outcome in FILTERED else "stop",
        input_tokens=_count(usage.get("input_tokens")),
        output_tokens=_count(usage.get("output_tokens")),
        annotations=marks,
        fiel=outward({"run_id": run_id, **kept, "usage": usage}),
    )


def _with_sources(text: str, citations: Sequence[Mapping[str, Any]], sources: bool) -> tuple[str, list[dict[str, Any]]]:
    """The text, a line for each citation behind it, and where in the text each marker stands."""
    marks = []
    for citation in citations:
        marker = str(citation.get("marker", ""))
        start = text.find(marker) if marker else -1
        while start >= 0:
            place = {"start_index": start, "end_index": start + len(marker)}
            title = str(citation.get("uri", "")).rpartition("/")[2]
            marks.append({**place, "url": str(citation.get("uri", "")), "title": title})
            start = text.find(marker, start + len(marker))
    lines = [f"{one.get('marker')} {one.get('uri')}: “{one.get('quote')}”" for one in citations]
    return ("\n\n".join([text, "\n".join(lines)]) if sources and lines else text), marks


def _last(messages: Any) -> Mapping[str, Any]:
    """The last message that the graph said."""
    said = [one for one in messages or () if isinstance(one, Mapping) and one.get("type") in ("ai", "AIMessageChunk")]
    return said[-1] if said else {}


def _plain(content: Any) -> str:
    """The text of a message's content."""
    if isinstance(content, str):
        return content
    parts = content if isinstance(content, list) else []
    return "".join(
        part if isinstance(part, str) else str(part.get("text", "")) if isinstance(part, Mapping) else ""
        for part in parts
    )


def _count(value: Any) -> int:
    return value if isinstance(value, int) and not isinstance(value, bool) and value >= 0 else 0


def delta_of(event: Any) -> tuple[str, str] | None:
    """Of an event of the mode `messages-tuple`: the message's id and the text that it adds; None for any other."""
    if not isinstance(event, list) or not event or not isinstance(event[0], Mapping):
        return None
    message = event[0]
    if message.get("type") not in ("ai", "AIMessageChunk"):
        return None
    return str(message.get("id")), _plain(message.get("content"))
