"""What spans show: attributes in MLflow's and OpenTelemetry's vocabulary, every text redacted.

A text that cannot be redacted is not shown. Drafts never come here: they are not in state.
"""

import logging
from collections.abc import Callable, Mapping
from functools import lru_cache, partial
from typing import Any

import orjson

from fiel.infra.ledger.run import Run, Step
from fiel.infra.telemetry.span import HopSpan
from fiel.tools.record import Hop

_LOG = logging.getLogger("fiel.telemetry")
HIDDEN = "[withheld]"
_PLAIN = frozenset(
    ("document", "version", "chunk", "start", "end", "score", "similarity", "language", "dense_rank", "text_rank")
)
"""Fields of a passage that are ids, codes or numbers: nothing to redact."""
_REMEMBERED = 2048
"""Longest text, in characters, whose redaction is remembered: passages, not whole documents."""
_REDACTIONS = 8192
"""Redactions that are remembered: some 10 MB of passages as long as most are."""
_SAID = ("outcome", "reason", "failure")


class Shown:
    """Ends spans with what may be seen."""

    def __init__(self, redact: Callable[[str], str]) -> None:
        self._redact = redact
        self._remembered = lru_cache(maxsize=_REDACTIONS)(redact)

    def text(self, text: str) -> str:
        try:
            return self._remembered(text) if len(text) <= _REMEMBERED else self._redact(text)
        except Exception:  # an edge: what cannot be redacted is not shown
            _LOG.exception("a text cannot be redacted and is left out of its span")
            return HIDDEN

    def value(self, value: Any) -> Any:
        kind = type(value)
        if kind is str:
            return self.text(value) if value else value
        if value is None or kind is int or kind is bool or kind is float:
            return value
        if kind is dict or isinstance(value, Mapping):
            return {str(key): self.value(item) for key, item in value.items()}
        if kind is list or isinstance(value, list | tuple):
            return [self.value(item) for item in value]
        if hasattr(value, "content") and hasattr(value, "type"):
            return {"type": value.type, "content": self.value(value.content)}
        return self.text(str(value)) if isinstance(value, str | int | float) else HIDDEN

    def _json(self, facts: Mapping[str, Any]) -> str:
        return _dumps({name: self.value(value) for name, value in facts.items()})

    def _texts(self, hop: Hop, given: Mapping[str, bytes], written: Mapping[str, bytes] | None) -> Mapping[str, str]:
        """What a hop was given and wrote, from its canonical form: it is redacted when the span is written, in another
        thread, and a graph may have changed the values themselves by then."""
        texts = {}
        if hop.shown_in:
            texts["mlflow.spanInputs"] = self._json({name: orjson.loads(data) for name, data in given.items()})
        if written is not None and hop.shown_out:
            texts["mlflow.spanOutputs"] = self._outputs(hop, {name: orjson.loads(it) for name, it in written.items()})
        return texts

    def _outputs(self, hop: Hop, update: Mapping[str, Any]) -> str:
        if hop.kind in ("RETRIEVER", "RERANKER") and "passages" in hop.shown_out:
            return _dumps([self._document(passage) for passage in update.get("passages", ())])
        # Decisions are codes, digests and scores: there is nothing in them to redact.
        return _dumps({name: value if name in hop.decisions else self.value(value) for name, value in update.items()})

    def _document(self, passage: Mapping[str, Any]) -> dict[str, Any]:
        """A passage in the form in which MLflow shows retrieved documents."""
        facts = {
            key: item if key in _PLAIN and (type(item) is not str or len(item) < 65) else self.value(item)
            for key, item in passage.items()
            if key != "text"
        }
        facts["doc_uri"] = facts.get("uri", "")
        return {
            "page_content": self.text(str(passage.get("text", ""))),
            "metadata": facts,
            "id": facts.get("chunk", ""),
        }

    def _common(self, step: Step) -> None:
        values, row = step.span.values, step.run.row
        values["mlflow.spanType"] = step.hop.kind
        values["fiel.run"] = row.run
        values["fiel.seq"] = step.run.seq - 1
        values["user.id"] = row.caller
        if row.thread:
            values["session.id"] = row.thread
        if step.edited:
            values["fiel.edited"] = True

    def end(self, step: Step, update: Mapping[str, Any]) -> None:
        """End the span of a hop that returned `update`."""
        self._common(step)
        values = step.span.values
        written = step.run.canonical([channel for channel in step.hop.shown_out if channel in update])
        step.span.later = partial(self._texts, step.hop, step.shown, written)
        for name in _SAID:
            if name in update and name in step.hop.decisions and update[name]:
                values["fiel." + name] = str(update[name])
        step.span.end()

    def failed(self, step: Step, status: str, code: str) -> None:
        """End the span of a hop that did not return. Codes only: texts of errors quote users."""
        self._common(step)
        step.span.later = partial(self._texts, step.hop, step.shown, None)
        step.span.values["fiel.status"] = status
        if code:
            step.span.values["error.type"] = code
            step.span.error = code
        step.span.end()

    def root(self, run: Run, facts: Mapping[str, Any], versions: Mapping[str, str]) -> None:
        """Write the run's root span: question, outcome, answer, versions."""
        span = HopSpan("answer", run.trace, 0, run.span_ended, id=run.root, start=run.began)
        values = span.values
        outcome, reason = str(facts.get("outcome") or ""), str(facts.get("reason") or "")
        values.update({"mlflow.spanType": "AGENT", "fiel.run": run.row.run, "user.id": run.row.caller})
        values.update({"fiel.tenant": run.row.tenant, "fiel.outcome": outcome, "fiel.reason": reason})
        values["mlflow.traceTag.fiel.outcome"] = outcome
        values["mlflow.traceTag.fiel.reason"] = reason
        values.update({f"fiel.version.{name}": version for name, version in versions.items()})
        if run.row.thread:
            values["session.id"] = run.row.thread
        if run.row.resumes:
            values["fiel.resumes"] = run.row.resumes
        if run.edited:
            values["fiel.edited"] = True
        said = {name: facts[name] for name in ("outcome", "reason", "answer") if name in facts}
        span.later = partial(self._whole, {"question": facts["question"]} if "question" in facts else {}, said)
        if outcome == "unavailable":
            span.error = reason
        span.end()

    def _whole(self, asked: Mapping[str, Any], said: Mapping[str, Any]) -> Mapping[str, str]:
        return {"mlflow.spanInputs": self._json(asked), "mlflow.spanOutputs": self._json(said)}

    def withhold(self, step: Step, run: Run, reason: str) -> None:
        """Write the spans of an answer that was withheld once more, without its text; ids replace the first ones."""
        self.root(run, {"outcome": "unavailable", "reason": reason}, {})
        own = step.span.get_span_context().span_id
        span = HopSpan(step.hop.name, run.trace, run.root, run.span_ended, id=own, start=step.span.start)
        span.values.update({"mlflow.spanType": step.hop.kind, "fiel.run": run.row.run, "fiel.outcome": "unavailable"})
        span.values["fiel.reason"] = span.error = reason
        span.end()


def _dumps(value: Any) -> str:
    return orjson.dumps(value, option=orjson.OPT_NON_STR_KEYS).decode()
