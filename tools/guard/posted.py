"""What guards behind plain JSON endpoints share: one address, one model's name, and a reply that is no refusal."""

from collections.abc import Mapping
from typing import Any, Self

import orjson

from fiel.tools.chat.limits import Limits
from fiel.tools.chat.transport import NEGOTIABLE, Transport
from fiel.tools.errors import ModelRejected, SettingsError


class Posted:
    """A guard at `<url>` + `path`."""

    reads_answers = True
    kind: str
    """How its version begins."""
    path: str

    def __init__(self, model: str, *, url: str, key: str = "", limits: Limits | None = None) -> None:
        """Connects to nothing. Raises SettingsError."""
        if not model.strip():
            raise SettingsError("the name of the guard model is missing", hint="Write openai:<model>")
        self._model = model
        self._transport = Transport(url, key, limits or Limits())

    @property
    def version(self) -> str:
        return f"{self.kind}:{self._model}"

    async def aclose(self) -> None:
        """Close the connections. The adapter may be used again."""
        await self._transport.aclose()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()

    async def _post(self, asked: Mapping[str, Any]) -> bytes:
        """The body of the reply. Raises kinds of ModelUnavailable."""
        reply = await self._transport.post(self.path, orjson.dumps({"model": self._model, **asked}))
        if reply.status in NEGOTIABLE:
            raise ModelRejected(f"the guard refuses the request with status {reply.status}", where=self.version)
        return reply.body


__all__ = ["Posted"]
