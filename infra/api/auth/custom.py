"""The custom-auth convention of `langgraph.json`: its handlers decide who calls and what they may.

The handlers are foreign code and run in a child process (`foreign`). Where it hangs, dies or answers what cannot be
read, nobody comes in; it is started again.
"""

import asyncio
import hashlib
import json
import logging
import sys
from collections import OrderedDict
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from starlette.requests import HTTPConnection

from fiel.infra.api.auth.authenticator import HINT, check_name
from fiel.infra.api.auth.caller import Caller, user_of
from fiel.infra.api.auth.oidc import groups_of, texts
from fiel.infra.callers import NotAuthenticated
from fiel.tools.errors import FielError, SettingsError, Unavailable
from fiel.tools.principal import ROLES, Principal, Role

LOG = logging.getLogger("fiel.api.auth")
PATIENCE = 10.0
"""Seconds that a handler may take."""
START = 60.0
"""Seconds that loading the handlers may take."""
KEPT = 10_000
"""Callers whose request is remembered, so that a running stream can be asked about."""


class AuthUnavailable(Unavailable):
    """The custom-auth handlers do not answer, or not in a way that can be read."""

    code = "auth_unavailable"


class AuthRefused(FielError):
    """A custom-auth handler refused the request."""

    code = "auth_refused"

    def __init__(self, status: int, what: str) -> None:
        super().__init__(what)
        self.status = status if 400 <= status < 600 else 403


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a handler says of one action."""

    value: dict[str, Any]
    """What is asked for, as the handler changed it."""
    filter: Mapping[str, Any] | None
    """What must stand in the metadata of whatever is touched."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where the handlers are, and how their process is started."""

    object: str
    """`FILE:NAME`, as `langgraph.json` has it."""
    folder: Path
    environ: Mapping[str, str]


class CustomAuth:
    """`Bearers` that asks the handlers."""

    def __init__(self, place: Place) -> None:
        self._place = place
        self._process: asyncio.subprocess.Process | None = None
        self._reader: asyncio.Task[None] | None = None
        self._waiting: dict[int, asyncio.Future[dict[str, Any]]] = {}
        self._number = 0
        self._lock = asyncio.Lock()
        self._seen: OrderedDict[str, dict[str, Any]] = OrderedDict()
        self.authorizes = False
        """Whether there are `@auth.on` handlers."""

    async def authenticate(self, connection: HTTPConnection, bearer: str) -> Caller:
        """Raises NotAuthenticated, AuthRefused, AuthUnavailable."""
        told = _scope(connection)
        caller = await self._who(told)
        self._seen[caller.credential] = told
        self._seen.move_to_end(caller.credential)
        if len(self._seen) > KEPT:
            self._seen.popitem(last=False)
        return caller

    async def still_valid(self, caller: Caller) -> bool:
        """Whether the handlers still take what the caller came in with."""
        told = self._seen.get(caller.credential)
        if told is None:
            return False
        try:
            return (await self._who(told)).principal == caller.principal
        except (NotAuthenticated, AuthRefused):
            return False

    async def authorize(self, caller: Caller, resource: str, action: str, value: dict[str, Any]) -> Verdict:
        """Whether the caller may do this. Raises AuthRefused, AuthUnavailable."""
        question = {"resource": resource, "action": action, "user": dict(caller.user), "value": value}
        answer = await self._ask("authorize", question)
        return Verdict(answer["value"], answer["filter"])

    async def _who(self, told: dict[str, Any]) -> Caller:
        answer = await self._ask("authenticate", {"scope": told})
        user = answer["user"]
        if user is None or not user.get("is_authenticated"):
            raise NotAuthenticated("nobody is authenticated", hint=HINT)
        principal = check_name(_principal(user))
        digest = hashlib.sha256(json.dumps(told, sort_keys=True).encode()).hexdigest()[:32]
        return Caller(principal, {**user_of(principal), **user}, digest, "custom")

    async def start(self) -> None:
        """Start the child and wait until the handlers are loaded. Raises SettingsError, AuthUnavailable."""
        command = [sys.executable, "-m", "fiel.infra.api.auth.foreign", self._place.object]
        self._process = process = await asyncio.create_subprocess_exec(
            *command,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            cwd=self._place.folder,
            env=dict(self._place.environ),
            limit=2**26,
        )
        assert process.stdout is not None  # noqa: S101 - a pipe was asked for
        try:
            first = json.loads(await asyncio.wait_for(process.stdout.readline(), START))
        except (TimeoutError, ValueError) as error:
            await self.close()
            raise AuthUnavailable("the custom-auth handlers do not load", where=self._place.object) from error
        if "ready" not in first:
            await self.close()
            raise SettingsError(f"the custom-auth handlers do not load: {first['failed']}", where=self._place.object)
        self.authorizes = first["handlers"]
        self._reader = asyncio.create_task(self._read(process))

    async def close(self) -> None:
        """End the child."""
        process, self._process = self._process, None
        if process is not None and process.returncode is None:
            with suppress(ProcessLookupError):
                process.kill()
            await process.wait()
        if self._reader is not None:
            await asyncio.wait([self._reader])
            self._reader = None

    async def _ask(self, what: str, question: Mapping[str, Any]) -> dict[str, Any]:
        async with self._lock:
            if self._process is None or self._process.returncode is not None:
                LOG.warning("custom auth is started again")
                await self.close()
                await self.start()
            self._number += 1
            number, process = self._number, self._process
            future = self._waiting[number] = asyncio.get_running_loop().create_future()
        try:
            assert process is not None  # noqa: S101 - just started
            assert process.stdin is not None  # noqa: S101 - a pipe was asked for
            process.stdin.write(json.dumps({"id": number, "what": what, **question}).encode() + b"\n")
            await process.stdin.drain()
            answer = await asyncio.wait_for(future, PATIENCE)
        except (TimeoutError, OSError) as error:
            raise AuthUnavailable("the custom-auth handlers do not answer", where=self._place.object) from error
        finally:
            self._waiting.pop(number, None)
        return _read_answer(answer)

    async def _read(self, process: asyncio.subprocess.Process) -> None:
        """Hand out the child's answers until it ends; whoever waits then learns that it has."""
        assert process.stdout is not None  # noqa: S101 - a pipe was asked for
        with suppress(ValueError):
            while line := await process.stdout.readline():
                answer = json.loads(line)
                future = self._waiting.get(answer["id"])
                if future is not None and not future.done():
                    future.set_result(answer)
        for future in list(self._waiting.values()):
            if not future.done():
                future.set_exception(OSError("the process of the custom-auth handlers has ended"))
        if process.returncode is None:
            with suppress(ProcessLookupError):
                process.kill()
            await process.wait()


def _read_answer(answer: dict[str, Any]) -> dict[str, Any]:
    if "refused" in answer:
        status, detail = answer["refused"]["status"], answer["refused"]["detail"]
        if status == 401:
            raise NotAuthenticated(detail, hint=HINT)
        raise AuthRefused(status, detail)
    if "failed" in answer:
        raise AuthUnavailable(f"a custom-auth handler failed: {answer['failed']}")
    return answer


def _scope(connection: HTTPConnection) -> dict[str, Any]:
    """What handlers may look at, as JSON."""
    scope = connection.scope
    return {
        "method": scope.get("method", "GET"),
        "path": scope["path"],
        "path_params": {name: str(value) for name, value in scope.get("path_params", {}).items()},
        "query_string": scope.get("query_string", b"").decode("latin-1"),
        "headers": [(name.decode("latin-1"), value.decode("latin-1")) for name, value in scope["headers"]],
        "scheme": scope.get("scheme", "http"),
        "client": list(scope.get("client") or ("", 0)),
        "server": list(scope.get("server") or ("", 0)),
    }


def _principal(user: Mapping[str, Any]) -> Principal:
    """Everybody is a reader of the tenant `default`, and what `tenant`, `groups` and `fiel_roles` say else."""
    held = texts(user.get("fiel_roles"))
    roles: frozenset[Role] = frozenset({"reader", *(role for role in ROLES if role in held)})
    tenant = user.get("tenant", "default")
    if not isinstance(tenant, str) or not tenant.strip():
        raise NotAuthenticated("the caller has no usable tenant")
    return Principal(tenant, user["identity"], groups_of(user.get("groups")), roles)


@asynccontextmanager
async def open_custom(place: Place | None) -> AsyncIterator[CustomAuth | None]:
    """The handlers, loaded; None where there are none. Raises SettingsError, AuthUnavailable: no start without them."""
    if place is None:
        yield None
        return
    custom = CustomAuth(place)
    try:
        await custom.start()
        yield custom
    finally:
        await custom.close()
