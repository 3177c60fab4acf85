"""Ports that record what they were asked and what they answered, in the hop that asked.

Each wrapper is the port it wraps, so no node knows of it. A request is its canonical form, a response what a strict
replay needs to answer the same again; both are kept by digest, once a run. An error is a response too. Outside a hop
(ingest, set-up) a wrapper only passes on.
"""

from collections.abc import Callable, Collection, Coroutine, Mapping, Sequence
from contextvars import ContextVar
from dataclasses import asdict
from typing import Any, Protocol, TypeVar

import numpy as np
import orjson

from fiel.infra.ledger.encode import digest, encode
from fiel.infra.ledger.run import CURRENT, Step
from fiel.infra.telemetry.span import HopSpan
from fiel.policies.types import Bundle, Decision, Policies, Stage, Verdict
from fiel.tools.chat import Chat, ChatRequest, Completion, DraftSentence, Stretch, Usage
from fiel.tools.embed import Embedder, Vector
from fiel.tools.errors import FielError
from fiel.tools.guard import Assessment, Guard
from fiel.tools.guard.second import Second
from fiel.tools.judge import Judge, Judgement
from fiel.tools.principal import Principal
from fiel.tools.rerank import Ranking, Reranker
from fiel.tools.review import Case, Reviews, Ruling
from fiel.tools.search import CollectionInfo, Passage, Search, SearchRequest

T = TypeVar("T")


class Source(Protocol):
    """Answers effects in the place of the ports."""

    async def answer(self, step: Step, kind: str, request: bytes, call: Coroutine[Any, Any, Any]) -> Any:
        """What the port answered then; raises what it raised. Awaits `call`, which asks the port, or closes it."""
        ...


SOURCE: ContextVar[Source | None] = ContextVar("fiel_effects", default=None)
"""Where a replay runs: what answers instead of the ports."""


async def _effect(
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


def _who(principal: Principal) -> dict[str, Any]:
    return {"tenant": principal.tenant, "id": principal.id, "grants": list(principal.grants)}


def _passages(passages: Sequence[Passage]) -> str:
    """Passages stand in requests by digest: the ledger has them already."""
    return digest(encode(list(passages)))


def _usage(usage: Usage) -> dict[str, Any]:
    return {"input_tokens": usage.input_tokens, "output_tokens": usage.output_tokens, "cost": usage.cost}


class RecordedChat:
    """`Chat`; a model that writes gets a span of its own, with tokens and cost and without text."""

    def __init__(self, port: Chat) -> None:
        self._port = port

    @property
    def version(self) -> str:
        return self._port.version

    @property
    def writes(self) -> bool:
        return self._port.writes

    async def complete(self, request: ChatRequest) -> Completion:
        call = self._port.complete(request)
        effect = _effect("chat", lambda: self._request(request), call, _completion, _chat_facts)
        return await self._spanned(effect, lambda completion: completion)

    async def stretch(self, request: ChatRequest, stream: str, number: int) -> Stretch:
        """The name of the stream is the process's own affair, and not recorded."""
        call = self._port.stretch(request, stream, number)
        effect = _effect("stretch", lambda: self._request(request, number=number), call, _stretch)
        return await self._spanned(
            effect, lambda stretch: stretch.completion or Completion(stretch.text, Usage(), model=self.version)
        )

    async def _spanned(self, effect: Coroutine[Any, Any, T], said: Callable[[T], Completion]) -> T:
        """Await an effect within a span of the model; `said` gives the tokens and cost that the span shows."""
        step = CURRENT.get()
        span = _model_span(step, self.version) if step is not None and self.writes else None
        try:
            result = await effect
        except BaseException as error:
            if span is not None:
                span.record_exception(error)
                span.end()
            raise
        if span is not None:
            _end_model_span(span, said(result))
        return result

    def _request(self, request: ChatRequest, **more: Any) -> bytes:
        return encode(
            {
                **more,
                "model": self.version,
                "turns": [[turn.role, turn.content] for turn in request.turns],
                "question": request.question,
                "passages": _passages(request.passages),
                "language": request.language,
                "schema": request.schema,
                "max_tokens": request.max_tokens,
                "logprobs": request.logprobs,
            }
        )


def _completion(completion: Completion) -> bytes:
    facts = asdict(completion)
    facts["first_token"] = {token: repr(value) for token, value in completion.first_token.items()}
    return encode(facts)


def _stretch(stretch: Stretch) -> bytes:
    ended = orjson.loads(_completion(stretch.completion)) if stretch.completion else None
    return encode({"text": stretch.text, "ahead": stretch.ahead, "completion": ended})


def _chat_facts(completion: Completion) -> dict[str, Any]:
    return {"model": completion.model, "usage": _usage(completion.usage)}


def _model_span(step: Step, model: str) -> HopSpan:
    run = step.run
    span = HopSpan("chat", run.trace, step.span.get_span_context().span_id, run.span_ended)
    span.values.update(
        {
            "mlflow.spanType": "CHAT_MODEL",
            "mlflow.llm.model": model,
            "gen_ai.operation.name": "chat",
            "gen_ai.request.model": model,
            "fiel.run": run.row.run,
        }
    )
    return span


def _end_model_span(span: HopSpan, completion: Completion) -> None:
    usage, values = completion.usage, span.values
    total = usage.input_tokens + usage.output_tokens
    values["gen_ai.response.model"] = completion.model
    values["gen_ai.usage.input_tokens"] = usage.input_tokens
    values["gen_ai.usage.output_tokens"] = usage.output_tokens
    values["mlflow.chat.tokenUsage"] = (
        f'{{"input_tokens": {usage.input_tokens}, "output_tokens": {usage.output_tokens}, "total_tokens": {total}}}'
    )
    if float(usage.cost):
        values["mlflow.llm.cost"] = f'{{"total_cost": {float(usage.cost)}}}'
    span.end()


class RecordedEmbedder:
    """`Embedder`; a vector is kept as its 32-bit floats, little endian."""

    def __init__(self, port: Embedder) -> None:
        self._port = port

    @property
    def version(self) -> str:
        return self._port.version

    @property
    def dimensions(self) -> int:
        return self._port.dimensions

    async def query(self, text: str) -> Vector:
        asked = {"model": self.version, "query": text}
        return await _effect("embed", lambda: encode(asked), self._port.query(text), _vector)

    async def passages(self, texts: Sequence[str]) -> list[Vector]:
        asked = {"model": self.version, "passages": list(texts)}
        return await _effect("embed", lambda: encode(asked), self._port.passages(texts), _vectors)


def _vector(vector: Vector) -> bytes:
    return np.ascontiguousarray(vector, dtype="<f4").tobytes()


def _vectors(vectors: Sequence[Vector]) -> bytes:
    return b"".join(_vector(vector) for vector in vectors)


class RecordedReranker:
    """`Reranker`."""

    def __init__(self, port: Reranker) -> None:
        self._port = port

    @property
    def version(self) -> str:
        return self._port.version

    def threshold(self, language: str) -> float:
        return self._port.threshold(language)

    async def rank(self, question: str, passages: Sequence[Passage], *, language: str) -> Ranking:
        return await _effect(
            "rerank",
            lambda: encode(
                {
                    "model": self.version,
                    "question": question,
                    "passages": _passages(passages),
                    "language": language,
                }
            ),
            self._port.rank(question, passages, language=language),
            _ranking,
        )


def _ranking(ranking: Ranking) -> bytes:
    """Floats by `repr`: the shortest text that reads back as the same number."""
    scores = [repr(float(value)) for value in ranking.scores]
    return encode({"order": ranking.order, "scores": scores, "relevance": repr(float(ranking.relevance))})


class RecordedJudge:
    """`Judge`."""

    def __init__(self, port: Judge) -> None:
        self._port = port

    @property
    def version(self) -> str:
        return self._port.version

    def threshold(self, language: str) -> float:
        return self._port.threshold(language)

    async def judge(
        self, question: str, draft: Sequence[DraftSentence], passages: Sequence[Passage], *, language: str
    ) -> Judgement:
        return await _effect(
            "judge",
            lambda: encode(
                {
                    "model": self.version,
                    "question": question,
                    "draft": list(draft),
                    "passages": _passages(passages),
                    "language": language,
                }
            ),
            self._port.judge(question, draft, passages, language=language),
            _judgement,
            lambda judgement: {"usage": _usage(judgement.usage)} if judgement.usage.input_tokens else {},
        )


def _judgement(judgement: Judgement) -> bytes:
    return encode(
        {
            "sentences": [[one.label, repr(float(one.score))] for one in judgement.sentences],
            "answered": repr(float(judgement.answered)),
            "usage": _usage(judgement.usage),
        }
    )


class RecordedGuard:
    """`Guard`."""

    def __init__(self, port: Guard) -> None:
        self._port = port

    @property
    def version(self) -> str:
        return self._port.version

    @property
    def reads_answers(self) -> bool:
        return self._port.reads_answers

    async def assess(self, question: str, answer: str = "") -> Assessment:
        asked = {"model": self.version, "question": question, "answer": answer}
        return await _assessed("guard", asked, self._port.assess(question, answer))


class RecordedSecond:
    """`Second`. Its version stands among those of the run, and only who has one is asked."""

    def __init__(self, port: Second) -> None:
        self._port = port

    @property
    def version(self) -> str:
        return self._port.version

    async def opinion(self, text: str) -> Assessment:
        return await _assessed("second", {"model": self.version, "text": text}, self._port.opinion(text))


async def _assessed(kind: str, asked: Mapping[str, Any], call: Coroutine[Any, Any, Assessment]) -> Assessment:
    return await _effect(
        kind,
        lambda: encode(asked),
        call,
        _assessment,
        lambda assessment: {"usage": _usage(assessment.usage)} if assessment.usage.input_tokens else {},
    )


def _assessment(assessment: Assessment) -> bytes:
    scores = {name: repr(float(value)) for name, value in assessment.scores.items()}
    return encode({"scores": scores, "usage": _usage(assessment.usage)})


class RecordedSearch:
    """`Search`. Who asked is part of the request."""

    def __init__(self, port: Search) -> None:
        self._port = port

    @property
    def version(self) -> str:
        return self._port.version

    async def collection(self, principal: Principal, name: str) -> CollectionInfo:
        asked = {"principal": _who(principal), "collection": name}
        return await _effect("collection", lambda: encode(asked), self._port.collection(principal, name), encode)

    async def search(self, principal: Principal, requests: Sequence[SearchRequest]) -> list[list[Passage]]:
        return await _effect(
            "search",
            lambda: encode(
                {
                    "index": self.version,
                    "principal": _who(principal),
                    "requests": [
                        {
                            "collection": one.collection,
                            "text": one.text,
                            "vector": digest(_vector(one.vector)),
                            "language": one.language,
                            "k": one.k,
                        }
                        for one in requests
                    ],
                }
            ),
            self._port.search(principal, requests),
            encode,
        )


class RecordedPolicies:
    """`Policies`: verdicts are recorded; loading a bundle and redacting are functions of their arguments."""

    def __init__(self, port: Policies) -> None:
        self._port = port

    def bundle(self, name: str, version: str = "") -> Bundle:
        return self._port.bundle(name, version)

    def variant(self, bundle: Bundle, collection: str, roles: Collection[str]) -> Bundle:
        return self._port.variant(bundle, collection, roles)

    def redact(self, bundle: Bundle, text: str) -> str:
        return self._port.redact(bundle, text)

    async def check(
        self, bundle: Bundle, stage: Stage, parts: Sequence[str], facts: Mapping[str, Any] | None = None
    ) -> Decision:
        return await _effect(
            "check",
            lambda: encode({"bundle": bundle.version, "stage": stage, "parts": list(parts), "facts": facts or {}}),
            self._port.check(bundle, stage, parts, facts),
            _decision,
        )


def _decision(decision: Decision) -> bytes:
    """Without milliseconds: they differ from run to run and decide nothing."""
    # Made anew and not by `replace`, which takes longer than some checks.
    verdicts = tuple(
        Verdict(one.check, one.stage, one.version, one.action, one.score, one.threshold, one.reason, one.spans, 0)
        for one in decision.verdicts
    )
    return encode(Decision(decision.action, verdicts, decision.parts, decision.reason, decision.placeholders))


class RecordedReviews:
    """`Reviews`: that somebody was asked, and what was decided. The reviewer's words are contents like any other."""

    def __init__(self, port: Reviews) -> None:
        self._port = port

    async def ask(self, config: Mapping[str, Any], case: Case) -> str | None:
        asked = {"stage": case.stage, "subject": case.subject, "reason": case.reason, "policy": case.policy}
        return await _effect("review", lambda: encode(asked), self._port.ask(config, case), encode)

    async def ruling(self, principal: Principal, review: str) -> Ruling | None:
        asked = {"principal": _who(principal), "review": review}
        return await _effect("ruling", lambda: encode(asked), self._port.ruling(principal, review), encode)


def recorded_chats(chats: Mapping[str, Chat]) -> dict[str, Chat]:
    """Every chat model of a process, recorded."""
    return {name: RecordedChat(chat) for name, chat in chats.items()}
