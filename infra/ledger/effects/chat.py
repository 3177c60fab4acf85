"""Chat models, recorded; one that writes gets a span of its own."""

from collections.abc import Callable, Coroutine, Mapping
from dataclasses import asdict
from typing import Any, TypeVar

import orjson

from fiel.infra.ledger.effects.record import Recorded, passages_digest, recorded, spent
from fiel.infra.ledger.encode import encode
from fiel.infra.ledger.run import CURRENT, Step
from fiel.infra.telemetry.span import HopSpan
from fiel.tools.chat import Chat, ChatRequest, Completion, Stretch, Usage

T = TypeVar("T")


class RecordedChat(Recorded[Chat]):
    """`Chat`; a model that writes gets a span of its own, with tokens and cost and without text."""

    @property
    def writes(self) -> bool:
        return self._port.writes

    async def complete(self, request: ChatRequest) -> Completion:
        call = self._port.complete(request)
        effect = recorded("chat", lambda: self._request(request), call, _completion, _chat_facts)
        return await self._spanned(effect, lambda completion: completion)

    async def stretch(self, request: ChatRequest, stream: str, number: int) -> Stretch:
        """The name of the stream is the process's own affair, and not recorded."""
        call = self._port.stretch(request, stream, number)
        effect = recorded("stretch", lambda: self._request(request, number=number), call, _stretch)
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
                "passages": passages_digest(request.passages),
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
    return {"model": completion.model, "usage": spent(completion.usage)}


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


def recorded_chats(chats: Mapping[str, Chat]) -> dict[str, Chat]:
    """Every chat model of a process, recorded."""
    return {name: RecordedChat(chat) for name, chat in chats.items()}
