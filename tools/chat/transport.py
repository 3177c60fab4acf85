"""One JSON request to one address over a pooled connection: bounded in time and size, repeated where that may help.

Nothing goes to any other host: redirects are not followed, and neither proxies nor credentials are taken from the
environment. No message of an error holds the key, what was sent or what came back.
"""

import asyncio
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar
from weakref import WeakKeyDictionary

import httpx

from fiel.tools.chat.limits import Circuit, Limits, retry_after
from fiel.tools.errors import (
    ModelBusy,
    ModelRejected,
    ModelTimeout,
    ModelUnavailable,
    ModelUnreadable,
    SettingsError,
)

T = TypeVar("T")

AGAIN = frozenset({408, 425, 429, 500, 502, 503, 504, 529})
"""Statuses after which the same request may succeed."""
NEGOTIABLE = frozenset({400, 422, 501})
"""Statuses by which an endpoint says that it does not know a part of the request."""


@dataclass(frozen=True, slots=True)
class Reply:
    """A complete reply with a status that is either good or negotiable."""

    status: int
    body: bytes


@dataclass(frozen=True, slots=True)
class Streamed:
    """A reply whose body is still coming; the status is good or negotiable."""

    status: int
    kind: str
    """Its media type."""
    parts: AsyncIterator[bytes]

    async def body(self) -> bytes:
        """All of it."""
        return b"".join([part async for part in self.parts])

    async def lines(self) -> AsyncIterator[bytes]:
        """Its lines, without their ends."""
        rest = b""
        async for part in self.parts:
            *lines, rest = (rest + part).split(b"\n")
            for line in lines:
                yield line.removesuffix(b"\r")
        if rest:
            yield rest


class _Failed(Exception):
    """One attempt failed in a way that may pass."""

    def __init__(self, error: ModelUnavailable, wait: float | None = None) -> None:
        super().__init__()
        self.error = error
        self.wait = wait


class Transport:
    """Posts JSON to one base address. Safe for concurrent use; one connection pool for each event loop."""

    def __init__(self, url: str, key: str, limits: Limits, *, circuit: Circuit | None = None) -> None:
        self.where = checked(url, key)
        self._headers = {"Accept": "application/json", "Accept-Encoding": "identity", "User-Agent": "fiel"}
        if key:
            self._headers["Authorization"] = f"Bearer {key}"
        self._limits = limits
        self._circuit = circuit or Circuit()
        self._clients: WeakKeyDictionary[asyncio.AbstractEventLoop, httpx.AsyncClient] = WeakKeyDictionary()

    async def post(self, path: str, payload: bytes) -> Reply:
        """Send `payload` to the base address + `path`. Raises kinds of ModelUnavailable; cancellation ends the call."""
        async with self._call():
            return await self._attempts(lambda: self._once(path, payload))

    @asynccontextmanager
    async def streaming(self, path: str, payload: bytes) -> AsyncIterator[Streamed]:
        """The same for a reply that comes bit by bit: attempts end with its head. Its limits hold for all of it."""
        async with self._call(), AsyncExitStack() as stack:
            response = await self._attempts(lambda: self._opened(stack, path, payload))
            try:
                yield Streamed(response.status_code, response.headers.get("content-type", ""), self._parts(response))
            except httpx.TransportError as error:
                raise self._broken(error) from error

    @asynccontextmanager
    async def _call(self) -> AsyncIterator[None]:
        """One call within its time. What becomes of it moves the circuit."""
        self._circuit.enter(self.where)
        try:
            async with asyncio.timeout(self._limits.total):
                yield
        except TimeoutError as error:
            self._circuit.failed()
            raise ModelTimeout(f"no answer within {self._limits.total:g} s", where=self.where) from error
        except (ModelRejected, ModelUnreadable, ModelBusy):
            self._circuit.passed()  # it is there, and says no
            raise
        except ModelUnavailable:
            self._circuit.failed()
            raise
        self._circuit.passed()

    async def aclose(self) -> None:
        """Close the connections of the running event loop."""
        client = self._clients.pop(asyncio.get_running_loop(), None)
        if client is not None:
            await client.aclose()

    async def _attempts(self, once: Callable[[], Awaitable[T]]) -> T:
        deadline = asyncio.get_running_loop().time() + self._limits.total
        attempt = 0
        while True:
            attempt += 1
            try:
                return await once()
            except _Failed as failed:
                wait = self._limits.wait(attempt) if failed.wait is None else failed.wait
                if attempt >= self._limits.attempts or asyncio.get_running_loop().time() + wait >= deadline:
                    raise failed.error from failed.__cause__
            await asyncio.sleep(wait)

    async def _once(self, path: str, payload: bytes) -> Reply:
        headers = {"Content-Type": "application/json"}
        try:
            async with self._client().stream("POST", path, content=payload, headers=headers) as response:
                self._sort_out(response)
                return Reply(response.status_code, await self._body(response))
        except httpx.TransportError as error:
            raise _Failed(self._broken(error)) from error

    async def _opened(self, stack: AsyncExitStack, path: str, payload: bytes) -> httpx.Response:
        headers = {"Content-Type": "application/json", "Accept": "text/event-stream, application/json"}
        async with AsyncExitStack() as own:
            try:
                stream = self._client().stream("POST", path, content=payload, headers=headers)
                response = await own.enter_async_context(stream)
            except httpx.TransportError as error:
                raise _Failed(self._broken(error)) from error
            self._sort_out(response)
            stack.push_async_exit(own.pop_all())
            return response

    def _broken(self, error: httpx.TransportError) -> ModelUnavailable:
        return ModelUnavailable(f"the connection failed: {type(error).__name__}", where=self.where)

    def _sort_out(self, response: httpx.Response) -> None:
        status = response.status_code
        if status in AGAIN:
            kind = ModelBusy if status == 429 else ModelUnavailable
            error = kind(f"the endpoint answers with status {status}", where=self.where)
            raise _Failed(error, retry_after(response.headers.get("retry-after")))
        if 200 <= status < 300 or status in NEGOTIABLE:
            return
        raise ModelRejected(f"the endpoint refuses with status {status}", where=self.where, hint=_advice(status))

    async def _body(self, response: httpx.Response) -> bytes:
        return b"".join([part async for part in self._parts(response)])

    async def _parts(self, response: httpx.Response) -> AsyncIterator[bytes]:
        if response.headers.get("content-encoding", "identity") != "identity":
            raise ModelUnreadable("the reply is compressed, which was not asked for", where=self.where)
        size = 0
        async for part in response.aiter_raw():
            size += len(part)
            if size > self._limits.reply_bytes:
                raise ModelUnreadable(f"the reply is larger than {self._limits.reply_bytes} bytes", where=self.where)
            yield part

    def _client(self) -> httpx.AsyncClient:
        loop = asyncio.get_running_loop()
        client = self._clients.get(loop)
        if client is None:
            client = httpx.AsyncClient(
                base_url=self.where,
                headers=self._headers,
                verify=_trust() if self.where.startswith("https:") else False,
                timeout=httpx.Timeout(None, connect=self._limits.connect),
                limits=httpx.Limits(max_connections=self._limits.connections, keepalive_expiry=30.0),
                follow_redirects=False,
                trust_env=False,
            )
            self._clients[loop] = client
        return client


def checked(url: str, key: str) -> str:
    """The base address without a slash at its end. Raises SettingsError where address or key cannot be used."""
    try:
        parsed = httpx.URL(url)
    except httpx.InvalidURL as error:
        raise SettingsError("the address of the model's endpoint cannot be read") from error
    if parsed.scheme not in ("http", "https") or not parsed.host:
        raise SettingsError(
            "the address of the model's endpoint is missing or not http(s)",
            hint="Set e.g. FIEL_CHAT_URL=http://127.0.0.1:8080/v1",
        )
    if parsed.userinfo or parsed.query or parsed.fragment:
        raise SettingsError(
            "the address of the model's endpoint may not carry a user, a query or a fragment", where=parsed.host
        )
    if not (key.isascii() and key.isprintable()) or key != key.strip():
        raise SettingsError("the key of the model's endpoint has characters that no header can carry", where=url)
    return url.rstrip("/")


def _advice(status: int) -> str:
    advice = {
        401: "Check the key",
        402: "Check the account behind the key",
        403: "Check what the key may do",
        404: "Check the address (it mostly ends in /v1) and the model's name",
        413: "The prompt is too long for it",
    }
    return "Redirects are not followed; set the final address" if 300 <= status < 400 else advice.get(status, "")


def _trust() -> ssl.SSLContext:
    """The system's certificate authorities, so that an in-house one counts; certifi's where the system has none."""
    context = ssl.create_default_context()
    folder = ssl.get_default_verify_paths().capath
    if not context.cert_store_stats()["x509_ca"] and not (folder and any(Path(folder).iterdir())):
        import certifi

        context.load_verify_locations(certifi.where())
    return context
