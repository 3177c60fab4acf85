"""Answers of /v1/chat/completions, whole and in pieces."""

from typing import Any

from fiel.infra.api.openai.answer import Answer

Json = dict[str, Any]


def usage(answer: Answer) -> Json:
    return {
        "prompt_tokens": answer.input_tokens,
        "completion_tokens": answer.output_tokens,
        "total_tokens": answer.input_tokens + answer.output_tokens,
    }


def annotations(answer: Answer) -> list[Json]:
    return [{"type": "url_citation", "url_citation": mark} for mark in answer.annotations]


def completion(id: str, created: int, model: str, answer: Answer) -> Json:
    """The whole answer."""
    message = {
        "role": "assistant",
        "content": answer.text,
        "refusal": answer.refusal,
        "annotations": annotations(answer),
    }
    return {
        "id": id,
        "object": "chat.completion",
        "created": created,
        "model": model,
        "choices": [{"index": 0, "message": message, "finish_reason": answer.finish, "logprobs": None}],
        "usage": usage(answer),
        "fiel": answer.fiel,
    }


class Chunks:
    """Makes the pieces of one streamed answer."""

    def __init__(self, id: str, created: int, model: str, *, usage: bool) -> None:
        self._head = {"id": id, "object": "chat.completion.chunk", "created": created, "model": model}
        self._usage = usage

    def first(self, fiel: Json) -> list[Json]:
        return [self._chunk({"role": "assistant", "content": ""}, None, fiel=fiel)]

    def progress(self, told: Any) -> list[Json]:
        """How far the run is, beside an empty piece: a client that does not know the key sees nothing."""
        return [self._chunk({}, None, fiel={"progress": told})]

    def text(self, text: str) -> list[Json]:
        return [self._chunk({"content": text}, None)]

    def last(self, answer: Answer) -> list[Json]:
        """Why it ended, what it cites, what it cost."""
        delta: Json = {"annotations": annotations(answer)} if answer.annotations else {}
        if answer.refusal is not None:
            delta["refusal"] = answer.refusal
        ends = [self._chunk(delta, answer.finish, fiel=answer.fiel)]
        if self._usage:
            ends.append({**self._head, "choices": [], "usage": usage(answer)})
        return ends

    def _chunk(self, delta: Json, finish: str | None, **more: Any) -> Json:
        choice = {"index": 0, "delta": delta, "finish_reason": finish, "logprobs": None}
        return {**self._head, "choices": [choice], **({"usage": None} if self._usage else {}), **more}
