"""Models whose failures are told to the log, with the address and the setting that names it.

A run that fails ends with a reason code alone, and rightly so: whoever asks need not learn where a model stands.
Whoever runs fiel does. Errors of models hold no key, no prompt and no answer.
"""

import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from fiel.tools.chat import Chat, ChatRequest, Completion, Stretch
from fiel.tools.embed import Embedder, Vector
from fiel.tools.errors import ModelUnavailable

_LOG = logging.getLogger("fiel.models")


@contextmanager
def _told(setting: str) -> Iterator[None]:
    try:
        yield
    except ModelUnavailable as error:
        _LOG.warning("the model of %s does not serve: %s", setting, error)
        raise


@dataclass(frozen=True, slots=True)
class ToldChat:
    """A chat model of the settings."""

    chat: Chat
    setting: str
    """Name of the setting that says where it is, e.g. FIEL_CHAT_URL."""

    @property
    def version(self) -> str:
        return self.chat.version

    @property
    def writes(self) -> bool:
        return self.chat.writes

    async def complete(self, request: ChatRequest) -> Completion:
        with _told(self.setting):
            return await self.chat.complete(request)

    async def stretch(self, request: ChatRequest, stream: str, number: int) -> Stretch:
        with _told(self.setting):
            return await self.chat.stretch(request, stream, number)

    async def aclose(self) -> None:
        """Close what the model holds, where it holds anything."""
        held = getattr(self.chat, "aclose", None)
        if held is not None:
            await held()


@dataclass(frozen=True, slots=True)
class ToldEmbedder:
    """An embedding model of the settings."""

    embed: Embedder
    setting: str

    @property
    def version(self) -> str:
        return self.embed.version

    @property
    def dimensions(self) -> int:
        return self.embed.dimensions

    async def query(self, text: str) -> Vector:
        with _told(self.setting):
            return await self.embed.query(text)

    async def passages(self, texts: Sequence[str]) -> list[Vector]:
        with _told(self.setting):
            return await self.embed.passages(texts)

    async def aclose(self) -> None:
        """Close what the model holds, where it holds anything."""
        held = getattr(self.embed, "aclose", None)
        if held is not None:
            await held()


__all__ = ["ToldChat", "ToldEmbedder"]
