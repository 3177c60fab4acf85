"""OpenAI's streamed chat completions: server-sent events, read as strictly as a whole reply.

Source of the shapes: OpenAI's API reference, *Chat Completions, streaming*; of the lines: WHATWG HTML, server-sent
events.
"""

from dataclasses import dataclass, field
from typing import Any

import orjson

from fiel.tools.chat import Completion, Usage
from fiel.tools.chat.wire import Price, usage_of
from fiel.tools.errors import ModelFiltered, ModelUnavailable, ModelUnreadable

_DONE = b"[DONE]"


@dataclass(slots=True)
class Reading:
    """One streamed reply while it is read."""

    model: str
    price: Price
    where: str
    _text: list[str] = field(default_factory=list)
    _finish: str = ""
    _usage: Usage = field(default_factory=Usage)

    def piece(self, line: bytes) -> str:
        """The text that a line adds. Raises ModelFiltered for a refusal, ModelUnreadable for what is no event."""
        if not line.startswith(b"data:"):
            return ""  # comments, names of events, the empty line between two
        data = line[len(b"data:") :].strip()
        return "" if data == _DONE else self._chunk(data)

    def end(self) -> Completion:
        """The whole answer. Raises ModelUnreadable where the reply broke off, or has no text."""
        if self._finish not in ("stop", "length"):
            raise self._unreadable("the reply broke off, or does not say how it ended")
        text = "".join(self._text)
        if not text.strip():
            raise self._unreadable("the reply has no text")
        return Completion(
            text=text, usage=self._usage, finish="stop" if self._finish == "stop" else "length", model=self.model
        )

    def _chunk(self, data: bytes) -> str:
        try:
            chunk = orjson.loads(data)
        except orjson.JSONDecodeError:
            raise self._unreadable("an event of the reply is not JSON") from None
        if not isinstance(chunk, dict):
            raise self._unreadable("an event of the reply is no object")
        if chunk.get("error"):
            raise ModelUnavailable("the endpoint reports an error in the middle of its reply", where=self.where)
        if isinstance(name := chunk.get("model"), str) and name:
            self.model = name
        if chunk.get("usage") is not None:
            self._usage = usage_of(chunk["usage"], self.price, self.where)
        choices = chunk.get("choices")
        if not isinstance(choices, list):
            raise self._unreadable("an event of the reply has no choices")
        return self._choice(choices[0]) if choices else ""

    def _choice(self, choice: Any) -> str:
        delta = choice.get("delta") if isinstance(choice, dict) else None
        if not isinstance(delta, dict):
            raise self._unreadable("an event of the reply has no text in its place")
        finish, content = choice.get("finish_reason"), delta.get("content")
        if finish == "content_filter" or delta.get("refusal"):
            raise ModelFiltered("the model's endpoint refused to answer", where=self.where)
        if not (content is None or isinstance(content, str)) or (finish and self._finish):
            raise self._unreadable("an event of the reply has something else than text")
        if finish:
            self._finish = str(finish)
        if content:
            self._text.append(content)
        return content or ""

    def _unreadable(self, what: str) -> ModelUnreadable:
        return ModelUnreadable(what, where=self.where)


__all__ = ["Reading"]
