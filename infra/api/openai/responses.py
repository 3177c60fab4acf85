"""Answers of /v1/responses, whole and as the events of a stream."""

from typing import Any

from fiel.infra.api.openai.answer import Answer
from fiel.infra.api.openai.wire import ResponsesRequest

Json = dict[str, Any]
TEXT: Json = {"type": "output_text", "text": "", "annotations": [], "logprobs": []}
REFUSAL: Json = {"type": "refusal", "refusal": ""}
"""The parts of an output before anything is in them."""


def response(id: str, created: int, request: ResponsesRequest, answer: Answer | None) -> Json:
    """The response; without an answer: still in progress."""
    told = {
        "id": id,
        "object": "response",
        "created_at": created,
        "status": "in_progress",
        "error": None,
        "incomplete_details": None,
        "instructions": request.instructions,
        "max_output_tokens": request.max_output_tokens,
        "metadata": request.metadata or {},
        "model": request.model,
        "output": [],
        "parallel_tool_calls": bool(request.parallel_tool_calls),
        "previous_response_id": None,
        "store": False,
        "temperature": request.temperature,
        "text": {"format": {"type": "text"}},
        "tool_choice": request.tool_choice or "auto",
        "tools": [],
        "top_p": request.top_p,
        "truncation": "disabled",
        "usage": None,
        "user": request.user,
    }
    if answer is None:
        return told
    filtered = answer.finish == "content_filter"
    return {
        **told,
        "status": "incomplete" if filtered else "completed",
        "incomplete_details": {"reason": "content_filter"} if filtered else None,
        "output": [message(id, answer)],
        "usage": {
            "input_tokens": answer.input_tokens,
            "input_tokens_details": {"cached_tokens": 0, "cache_write_tokens": 0},
            "output_tokens": answer.output_tokens,
            "output_tokens_details": {"reasoning_tokens": 0},
            "total_tokens": answer.input_tokens + answer.output_tokens,
        },
        "fiel": answer.fiel,
    }


def message(id: str, answer: Answer) -> Json:
    """The one item of the output."""
    status = "incomplete" if answer.finish == "content_filter" else "completed"
    return {
        "type": "message",
        "id": item_id(id),
        "status": status,
        "role": "assistant",
        "content": [content(answer)],
    }


def content(answer: Answer) -> Json:
    if answer.refusal is not None:
        return {"type": "refusal", "refusal": answer.refusal}
    marks = [{"type": "url_citation", **mark} for mark in answer.annotations]
    return {"type": "output_text", "text": answer.text, "annotations": marks, "logprobs": []}


def item_id(id: str) -> str:
    return "msg_" + id.removeprefix("resp_")


class Events:
    """Makes the events of one streamed response, numbered from 0."""

    def __init__(self, id: str, created: int, request: ResponsesRequest) -> None:
        self._id = id
        self._created = created
        self._request = request
        self._number = -1
        self._part: Json | None = None
        """The part that is open, with the text so far."""

    def first(self, fiel: Json) -> list[Json]:
        begun = {**self._response(None), "fiel": fiel}
        return [self._event(f"response.{kind}", response=begun) for kind in ("created", "in_progress")]

    def progress(self, told: Any) -> list[Json]:
        """How far the run is: the response again, still in progress, with fiel's own key.

        Clients put this response in the place of what they have gathered, so it holds the output so far.
        """
        output = [self._item([self._part])] if self._part else []
        begun = {**self._response(None), "output": output, "fiel": {"progress": told}}
        return [self._event("response.in_progress", response=begun)]

    def text(self, text: str) -> list[Json]:
        events = [] if self._part else self._begin(TEXT)
        open = self._part or TEXT
        self._part = {**open, "text": open["text"] + text}
        return [*events, self._event("response.output_text.delta", **self._place(), delta=text, logprobs=[])]

    def last(self, answer: Answer) -> list[Json]:
        events = [] if self._part else self._begin(TEXT if answer.refusal is None else REFUSAL)
        if answer.refusal is None:
            events += [self._event("response.output_text.done", **self._place(), text=answer.text, logprobs=[])]
        elif self._part and self._part["type"] == "refusal":
            events += [self._event("response.refusal.done", **self._place(), refusal=answer.refusal)]
        # What was streamed as text may, in the end, be a refusal: the part that is done takes the text's place.
        end = "incomplete" if answer.finish == "content_filter" else "completed"
        return [
            *events,
            self._event("response.content_part.done", **self._place(), part=content(answer)),
            self._event("response.output_item.done", output_index=0, item=message(self._id, answer)),
            self._event(f"response.{end}", response=self._response(answer)),
        ]

    def _begin(self, part: Json) -> list[Json]:
        self._part = part
        return [
            self._event("response.output_item.added", output_index=0, item=self._item([])),
            self._event("response.content_part.added", **self._place(), part=part),
        ]

    def _item(self, parts: list[Json]) -> Json:
        """The one item of the output, as long as it is not done."""
        begun = {"type": "message", "id": item_id(self._id), "status": "in_progress", "role": "assistant"}
        return {**begun, "content": parts}

    def _place(self) -> Json:
        return {"item_id": item_id(self._id), "output_index": 0, "content_index": 0}

    def _response(self, answer: Answer | None) -> Json:
        return response(self._id, self._created, self._request, answer)

    def _event(self, type: str, **more: Any) -> Json:
        self._number += 1
        return {"type": type, "sequence_number": self._number, **more}
