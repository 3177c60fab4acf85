"""Any OpenAI-compatible endpoint as a chat model: hosted ones, vLLM, llama.cpp, Ollama.

Spoken over httpx itself, not through OpenAI's client: that one costs three seconds of import and knows a default host,
while what is needed here is one request whose time, size and reading are ours to bound.
"""

from contextlib import aclosing
from typing import Self

from fiel.tools.chat import ChatRequest, Completion, Stretch
from fiel.tools.chat.limits import Circuit, Limits
from fiel.tools.chat.sse import Reading
from fiel.tools.chat.streams import Pieces, Streams
from fiel.tools.chat.transport import NEGOTIABLE, Streamed, Transport
from fiel.tools.chat.wire import Dialect, Price, payload, read, without
from fiel.tools.errors import ModelRejected, SettingsError

PATH = "/chat/completions"


class OpenAIChat:
    """A chat model behind `<url>/chat/completions`."""

    writes = True

    def __init__(
        self,
        model: str,
        *,
        url: str,
        key: str = "",
        price: Price | None = None,
        limits: Limits | None = None,
        circuit: Circuit | None = None,
        version: str = "",
    ) -> None:
        """Connects to nothing. Raises SettingsError for an address, key or model name that cannot be used.

        `version` names the model where its own name says too little (a file's hash).
        """
        if not model.strip():
            raise SettingsError("the name of the chat model is missing", hint="Write openai:<model>")
        self._model = model
        self._price = price or Price()
        self._transport = Transport(url, key, limits or Limits(), circuit=circuit)
        self._dialect = Dialect()
        self._streams = Streams()
        self._version = version or f"openai:{model}"

    @property
    def version(self) -> str:
        return self._version

    async def complete(self, request: ChatRequest) -> Completion:
        """Ask. Where the endpoint does not know a part of the request, ask in plainer words, and remember."""
        dialect: Dialect | None = self._dialect
        while dialect is not None:
            reply = await self._transport.post(PATH, payload(self._model, request, dialect))
            if reply.status not in NEGOTIABLE:
                completion = read(reply.body, request, self._model, self._price, self._transport.where)
                self._dialect = dialect
                return completion
            dialect = without(dialect, request, reply.body)
        raise ModelRejected(
            f"the endpoint refuses the request with status {reply.status}",
            where=self._transport.where,
            hint="Check the model's name and how long a prompt it takes",
        )

    async def stretch(self, request: ChatRequest, stream: str, number: int) -> Stretch:
        """See the port. Where the endpoint does not stream, the answer comes whole, and is one stretch."""
        return await self._streams.stretch(lambda: self._pieces(request), stream, number)

    async def _pieces(self, request: ChatRequest) -> Pieces:
        dialect: Dialect | None = self._dialect
        while dialect is not None and dialect.streams:
            body = payload(self._model, request, dialect, streamed=True)
            async with self._transport.streaming(PATH, body) as reply:
                if reply.status not in NEGOTIABLE:
                    self._dialect = dialect
                    async with aclosing(self._read(reply, request)) as pieces:
                        async for piece in pieces:
                            yield piece
                    return
                refusal = await reply.body()
            dialect = without(dialect, request, refusal, streamed=True)
        yield await self.complete(request)

    async def _read(self, reply: Streamed, request: ChatRequest) -> Pieces:
        where = self._transport.where
        if "text/event-stream" not in reply.kind:
            yield read(await reply.body(), request, self._model, self._price, where)
            return
        reading = Reading(self._model, self._price, where)
        async for line in reply.lines():
            if piece := reading.piece(line):
                yield piece
        yield reading.end()

    async def aclose(self) -> None:
        """Stop what is being written and close the connections. The adapter may be used again."""
        self._streams.close()
        await self._transport.aclose()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()


__all__ = ["OpenAIChat"]
