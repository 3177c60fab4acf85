"""The chat port: a question and passages in, sentences with quotes out."""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

from fiel.tools.errors import StreamLost
from fiel.tools.search import Passage


@dataclass(frozen=True, slots=True)
class Turn:
    """One message of a conversation."""

    role: Literal["system", "user", "assistant"]
    content: str


@dataclass(frozen=True, slots=True)
class Quote:
    """A verbatim stretch of a passage: `passages[passage]["text"][start:end]`."""

    passage: int
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class DraftSentence:
    """One sentence of a draft and the quotes that carry it."""

    text: str
    quotes: tuple[Quote, ...] = ()


@dataclass(frozen=True, slots=True)
class ChatRequest:
    """What a chat adapter gets. `turns` is the whole prompt; the rest is the same request in parts."""

    turns: tuple[Turn, ...]
    question: str = ""
    passages: Sequence[Passage] = ()
    language: str = "und"
    schema: Mapping[str, Any] | None = None
    """JSON schema that the text must follow (constrained output)."""
    max_tokens: int = 512
    logprobs: bool = False
    """Ask for the probabilities of the first token's alternatives (`Completion.first_token`)."""


@dataclass(frozen=True, slots=True)
class Usage:
    """Tokens and cost of model calls. Cost is in the currency that the price setting uses, as a decimal string."""

    input_tokens: int = 0
    output_tokens: int = 0
    cost: str = "0.000000"


@dataclass(frozen=True, slots=True)
class Completion:
    """What came back."""

    text: str
    usage: Usage
    finish: Literal["stop", "length"] = "stop"
    model: str = ""
    sentences: tuple[DraftSentence, ...] | None = None
    """The draft in sentences with quotes, where the adapter knows them itself (`extract`)."""
    first_token: Mapping[str, float] = field(default_factory=dict)
    """Probability of each alternative for the first token, where asked for and supported."""


@dataclass(frozen=True, slots=True)
class Stretch:
    """The next whole sentences of an answer that is still being written, and what has come behind them."""

    text: str
    ahead: str = ""
    """What is written already behind `text`; it comes again in the stretches that follow."""
    completion: Completion | None = None
    """The whole answer, with its usage, once it has ended: then `text` is the last of it."""


class Chat(Protocol):
    """A chat model. Raises ModelUnavailable after its time-outs and retries; cancellation stops the call."""

    @property
    def version(self) -> str: ...

    @property
    def writes(self) -> bool:
        """True where the model follows instructions and writes prose; False for `extract`, which only quotes."""
        ...

    async def complete(self, request: ChatRequest) -> Completion: ...

    async def stretch(self, request: ChatRequest, stream: str, number: int) -> Stretch:
        """Stretch `number` of the answer that is written in `stream`, a name of the caller's; 0 begins it anew.

        Raises what `complete` does, and StreamLost where the stretch before it was not taken from this process.
        """
        ...


class AtOnce(ABC):
    """For a model that does not write word by word: its answer is one stretch."""

    __slots__ = ()

    @abstractmethod
    async def complete(self, request: ChatRequest) -> Completion: ...

    async def stretch(self, request: ChatRequest, stream: str, number: int) -> Stretch:
        """All of the answer. Raises what `complete` does; StreamLost for any stretch but the first."""
        if number:
            raise StreamLost("the answer has ended", where=f"stretch {number}")
        completion = await self.complete(request)
        return Stretch(completion.text, completion=completion)


__all__ = ["AtOnce", "Chat", "ChatRequest", "Completion", "DraftSentence", "Quote", "Stretch", "Turn", "Usage"]
