"""Responses of effects, decoded: the reverse of what `fiel.infra.ledger.effects` writes down."""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import orjson

from fiel.infra.ledger.calls import PREFIX
from fiel.policies.types import Decision, Span, Verdict
from fiel.tools.chat import Completion, DraftSentence, Quote, Stretch, Usage
from fiel.tools.errors import FielError, kinds
from fiel.tools.guard import Assessment
from fiel.tools.judge import Judgement, SentenceJudgement
from fiel.tools.rerank import Ranking
from fiel.tools.review import Ruling
from fiel.tools.search import CollectionInfo

Facts = Mapping[str, Any]


class OtherForm(FielError):
    """An answer in the record has a form that this code does not read: it was recorded by another version."""

    code = "other_form"


def decoded(kind: str, asked: Facts, answered: bytes) -> Any:
    """What the port answered. Raises the FielError that it raised, and OtherForm."""
    try:
        return _decoded(kind, asked, answered)
    except (AttributeError, IndexError, KeyError, TypeError, ValueError) as error:
        raise OtherForm(f"the recorded answer of kind {kind} has a form that this code does not read") from error


def _decoded(kind: str, asked: Facts, answered: bytes) -> Any:
    if kind == "embed" and not answered.startswith(b'{"error"'):
        return _vectors(asked, answered)
    facts = orjson.loads(answered)
    if isinstance(facts, dict) and set(facts) == {"error"}:
        raise _error(facts["error"])
    return facts["value"] if kind.startswith(PREFIX) else _READ[kind](facts)


def _error(public: Mapping[str, str]) -> FielError:
    kind: type[FielError] = kinds().get(public["code"]) or type("RecordedError", (FielError,), {"code": public["code"]})
    error: FielError = kind.__new__(kind)
    FielError.__init__(error, public["what"], where=public["where"], hint=public["hint"])
    return error


def _vectors(asked: Facts, answered: bytes) -> Any:
    numbers = np.frombuffer(answered, dtype="<f4").astype(np.float32)
    if "query" in asked:
        return numbers
    return list(numbers.reshape(len(asked["passages"]), -1)) if asked["passages"] else []


def _quotes(quotes: Any) -> tuple[Quote, ...]:
    return tuple(Quote(**quote) for quote in quotes)


def _completion(facts: dict[str, Any]) -> Completion:
    facts["usage"] = Usage(**facts["usage"])
    facts["first_token"] = {token: float(value) for token, value in facts["first_token"].items()}
    if facts.get("sentences") is not None:
        facts["sentences"] = tuple(DraftSentence(one["text"], _quotes(one["quotes"])) for one in facts["sentences"])
    return Completion(**facts)


def _stretch(facts: dict[str, Any]) -> Stretch:
    ended = facts["completion"]
    return Stretch(facts["text"], facts["ahead"], _completion(ended) if ended else None)


def _ranking(facts: Facts) -> Ranking:
    return Ranking(tuple(facts["order"]), tuple(float(one) for one in facts["scores"]), float(facts["relevance"]))


def _judgement(facts: Facts) -> Judgement:
    sentences = tuple(SentenceJudgement(label, float(score)) for label, score in facts["sentences"])
    return Judgement(sentences, float(facts["answered"]), Usage(**facts["usage"]))


def _assessment(facts: Facts) -> Assessment:
    return Assessment({name: float(score) for name, score in facts["scores"].items()}, Usage(**facts["usage"]))


def _decision(facts: Facts) -> Decision:
    verdicts = tuple(
        Verdict(**{**one, "spans": tuple(Span(**span) for span in one["spans"])}) for one in facts["verdicts"]
    )
    return Decision(
        facts["action"], verdicts, tuple(facts["parts"]), facts["reason"], dict(facts.get("placeholders", {}))
    )


def _collection(facts: Facts) -> CollectionInfo:
    return CollectionInfo(**{**facts, "languages": tuple(facts["languages"])})


_READ: Mapping[str, Callable[[Any], Any]] = {
    "chat": _completion,
    "stretch": _stretch,
    "rerank": _ranking,
    "guard": _assessment,
    "second": _assessment,
    "judge": _judgement,
    "check": _decision,
    "collection": _collection,
    "search": lambda facts: facts,
    "review": lambda facts: facts,
    "ruling": lambda facts: Ruling(**facts) if facts is not None else None,
}
