"""A GGUF file as a chat model, in this process: llama.cpp's own server on loopback, spoken to like any endpoint.

Through the server and not through its direct calls, because closing a connection is what stops a generation. It gets
a key that exists in this process alone, so that nobody else on the machine can use it.
"""

import asyncio
import hashlib
import os
import secrets
import threading
from pathlib import Path
from typing import Any

from fiel.tools.chat import ChatRequest, Completion, Stretch
from fiel.tools.chat.limits import Limits
from fiel.tools.chat.openai import OpenAIChat
from fiel.tools.errors import ModelUnavailable, SettingsError

MAGIC = b"GGUF"
CONTEXT = 8192
"""Tokens of prompt and answer together that the model is loaded for."""


class GgufChat:
    """A chat model in a file. Loaded at the first call, in a thread."""

    writes = True

    def __init__(
        self, file: Path, *, threads: int = 0, context: int = CONTEXT, limits: Limits | None = None, memory: int = 0
    ) -> None:
        """Reads the whole file once, for its hash.

        `threads` 0: as many as there are cores; `memory` in bytes, 0: what the machine has. Raises SettingsError where
        the extra is missing, the file is missing or no GGUF, or the model does not fit into memory.
        """
        _importable()
        self._file = file
        self._hash = _hash(file, memory or _memory())
        self._threads = threads or os.cpu_count() or 1
        self._context = context
        self._limits = limits or Limits()
        self._loading = threading.Lock()
        self._server: Any = None
        self._chat: OpenAIChat | None = None

    @property
    def version(self) -> str:
        return f"gguf:{self._file.name}:{self._hash[:16]}"

    async def complete(self, request: ChatRequest) -> Completion:
        """Ask the model. Raises ModelUnavailable where it cannot be loaded or does not answer."""
        return await (await self._loaded()).complete(request)

    async def stretch(self, request: ChatRequest, stream: str, number: int) -> Stretch:
        """See the port."""
        return await (await self._loaded()).stretch(request, stream, number)

    async def _loaded(self) -> OpenAIChat:
        chat = self._chat
        return await asyncio.to_thread(self._load) if chat is None else chat

    async def aclose(self) -> None:
        """Close the connections and free the model. The adapter may be used again, and then loads it again."""
        if self._chat is not None:
            await self._chat.aclose()
            await asyncio.to_thread(self._unload)

    def _load(self) -> OpenAIChat:
        with self._loading:
            if self._chat is None:
                key = secrets.token_urlsafe(32)
                self._server = self._start(key)
                self._chat = OpenAIChat(
                    self._file.stem,
                    url=f"{self._server.listening_address}/v1",
                    key=key,
                    limits=self._limits,
                    version=self.version,
                )
            return self._chat

    def _unload(self) -> None:
        with self._loading:
            self._chat = None
            self._server = None  # its destructor stops the server and joins its threads

    def _start(self, key: str) -> Any:
        import xllamacpp

        wanted = xllamacpp.CommonParams()
        wanted.model.path = str(self._file)
        wanted.hostnames = ["127.0.0.1"]
        wanted.port = 0
        wanted.api_keys = [key]
        wanted.n_ctx = self._context
        wanted.n_parallel = 1
        for kind in (wanted.cpuparams, wanted.cpuparams_batch):
            kind.n_threads = self._threads
            kind.poll = 0  # idle threads sleep; spinning ones take the cores from everybody else
        wanted.cache_ram_mib = 0  # no prompts of earlier callers are kept beside the one in the slot
        wanted.offline = True
        wanted.ui = False
        wanted.endpoint_slots = False
        wanted.warmup = False
        wanted.verbosity = -1
        try:
            return xllamacpp.Server(wanted)
        except RuntimeError as error:
            raise ModelUnavailable(
                "the model cannot be loaded", where=self._file.name, hint="Is the file whole, and memory free?"
            ) from error


def _importable() -> None:
    try:
        import xllamacpp  # noqa: F401
    except ImportError as error:
        raise SettingsError(
            "a GGUF model needs a part that is not installed", hint="pip install 'fiel[gguf]'"
        ) from error


def _hash(file: Path, memory: int) -> str:
    """SHA-256 of a file that is a GGUF and fits into `memory` bytes. Raises SettingsError."""
    try:
        with file.open("rb") as opened:
            if opened.read(len(MAGIC)) != MAGIC:
                raise SettingsError("the file is no GGUF model", where=str(file))
            size = opened.seek(0, os.SEEK_END)
            if size > memory:
                raise SettingsError(
                    f"the model ({size / 2**30:.1f} GiB) does not fit into memory ({memory / 2**30:.1f} GiB)",
                    where=str(file),
                    hint="Take a smaller model or a stronger quantisation",
                )
            opened.seek(0)
            return hashlib.file_digest(opened, "sha256").hexdigest()
    except OSError as error:
        raise SettingsError(f"the model's file cannot be read: {error.strerror}", where=str(file)) from error


def _memory() -> int:
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


__all__ = ["GgufChat"]
