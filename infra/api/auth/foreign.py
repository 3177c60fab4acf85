"""The child process that runs the `auth` object of a `langgraph.json`: foreign code, kept out of the service.

Started as `python -m fiel.infra.api.auth.foreign FILE:NAME`. It reads one JSON object a line from standard input and
writes one a line to what was standard output; what the foreign code prints goes to standard error.
"""

import asyncio
import importlib
import importlib.util
import inspect
import json
import os
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

PARAMETERS = frozenset(
    {"request", "headers", "authorization", "method", "path", "path_params", "query_params", "scope", "scopes", "user"}
)
"""What an authenticate handler may ask for by name."""


class Unusable(Exception):
    """The auth object cannot be used as it is written."""


def load(place: str) -> Any:
    """The object at `FILE:NAME` or `MODULE:NAME`. Raises Unusable."""
    source, _, name = place.rpartition(":")
    module = _file(Path(source).resolve()) if source.endswith(".py") else importlib.import_module(source)
    auth = getattr(module, name, None)
    handler = getattr(auth, "_authenticate_handler", None)
    if handler is None:
        raise Unusable(f"{name!r} is no langgraph_sdk.Auth with an @authenticate handler")
    _check(handler)
    return auth


def _file(path: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location("fiel_custom_auth", path)
    if spec is None or spec.loader is None or not path.is_file():
        raise Unusable(f"there is no Python file {path}")
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    sys.path.insert(0, str(path.parent))
    spec.loader.exec_module(module)
    return module


def _check(handler: Callable[..., Any]) -> None:
    for name, parameter in inspect.signature(handler).parameters.items():
        if name not in PARAMETERS and parameter.default is parameter.empty:
            raise Unusable(
                f"the authenticate handler asks for {name!r}; it may ask for {', '.join(sorted(PARAMETERS))}"
            )


def arguments(handler: Callable[..., Any], scope: Mapping[str, Any]) -> dict[str, Any]:
    """What the handler asks for, of an ASGI scope."""
    from starlette.requests import Request

    headers = dict(scope["headers"])
    offered: dict[str, Callable[[], Any]] = {
        "request": lambda: Request({**scope, "type": "http"}),
        "headers": lambda: headers,
        "authorization": lambda: headers[b"authorization"].decode("latin-1") if b"authorization" in headers else None,
        "method": lambda: scope["method"],
        "path": lambda: scope["path"],
        "path_params": lambda: scope["path_params"],
        "query_params": lambda: Request({**scope, "type": "http"}).query_params,
        "scope": lambda: dict(scope),
        "scopes": list,
        "user": lambda: None,
    }
    return {name: offered[name]() for name in inspect.signature(handler).parameters if name in offered}


def plain(user: Any) -> dict[str, Any]:
    """What a handler answered, as a JSON object with an identity. Raises Unusable."""
    if isinstance(user, str):
        user = {"identity": user}
    elif hasattr(user, "model_dump"):
        user = user.model_dump(mode="json")
    elif not isinstance(user, Mapping):
        names = ("identity", "display_name", "is_authenticated", "permissions")
        own = {name: value for name, value in getattr(user, "__dict__", {}).items() if not name.startswith("_")}
        user = {**own, **{name: getattr(user, name) for name in names if hasattr(user, name)}}
    if not isinstance(user.get("identity"), str) or not user["identity"]:
        raise Unusable("the authenticate handler names no identity")
    return {"display_name": user["identity"], "is_authenticated": True, "permissions": [], **user}


class Child:
    """Answers the parent's questions with the handlers of one auth object."""

    def __init__(self, auth: Any) -> None:
        self._auth = auth

    async def answer(self, question: Mapping[str, Any]) -> dict[str, Any]:
        """Of one question. What the handlers raise is answered, never raised."""
        from langgraph_sdk import Auth

        try:
            ask = self._authenticate if question["what"] == "authenticate" else self._authorize
            return await ask(question)
        except Auth.exceptions.HTTPException as error:
            return {"refused": {"status": error.status_code, "detail": str(error.detail)}}
        except AssertionError as error:
            return {"refused": {"status": 403, "detail": str(error) or "Forbidden"}}
        except Exception as error:  # the edge: foreign code may raise anything
            print(f"custom auth: {type(error).__name__}: {error}", file=sys.stderr, flush=True)
            return {"failed": type(error).__name__}

    async def _authenticate(self, question: Mapping[str, Any]) -> dict[str, Any]:
        told = question["scope"]
        scope = {
            "type": "http",
            **told,
            "query_string": told["query_string"].encode("latin-1"),
            "headers": [(name.encode("latin-1"), value.encode("latin-1")) for name, value in told["headers"]],
        }
        handler = self._auth._authenticate_handler
        user = await _call(handler, **arguments(handler, scope))
        return {"user": None if user is None else plain(user)}

    async def _authorize(self, question: Mapping[str, Any]) -> dict[str, Any]:
        from langgraph_sdk import Auth

        resource, action, value = question["resource"], question["action"], question["value"]
        handler = self._handler(resource, action)
        if handler is None:
            return {"value": value, "filter": None}
        user = _User(question["user"])
        context = Auth.types.AuthContext(
            permissions=list(question["user"].get("permissions") or ()), user=user, resource=resource, action=action
        )
        result = await _call(handler, ctx=context, value=value)
        if result is False:
            return {"refused": {"status": 403, "detail": "Forbidden"}}
        if result not in (None, True) and not isinstance(result, dict):
            raise Unusable(f"a handler answered a {type(result).__name__}")
        return {"value": value, "filter": result if isinstance(result, dict) else None}

    def _handler(self, resource: str, action: str) -> Callable[..., Any] | None:
        """The most specific one: of resource and action, of the resource, of the action, of everything."""
        places = ((resource, action), (resource, "*"), ("*", action), ("*", "*"))
        for place in places:
            if self._auth._handlers.get(place):
                return self._auth._handlers[place][-1]  # type: ignore[no-any-return]
        return self._auth._global_handlers[-1] if self._auth._global_handlers else None


class _User(dict[str, Any]):
    """The authenticated user as handlers read it: `ctx.user.identity`, `ctx.user["org"]`, `ctx.user.org`."""

    def __getattr__(self, name: str) -> Any:
        try:
            return self[name]
        except KeyError:
            raise AttributeError(name) from None


async def _call(handler: Callable[..., Any], **given: Any) -> Any:
    if inspect.iscoroutinefunction(handler) or inspect.iscoroutinefunction(getattr(handler, "__call__", None)):  # noqa: B004
        return await handler(**given)
    answer = await asyncio.to_thread(handler, **given)
    return await answer if inspect.isawaitable(answer) else answer


async def serve(auth: Any, lines: asyncio.StreamReader, out: Any) -> None:
    """Answer until the parent closes our standard input; questions are answered side by side."""
    child, running = Child(auth), set[asyncio.Task[None]]()

    async def one(line: bytes) -> None:
        question = json.loads(line)
        answer = {"id": question["id"], **await child.answer(question)}
        out.write(json.dumps(answer, default=str).encode() + b"\n")
        out.flush()

    while line := await lines.readline():
        task = asyncio.create_task(one(line))
        running.add(task)
        task.add_done_callback(running.discard)


async def main(place: str) -> int:
    out = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    reader = asyncio.StreamReader(limit=2**26)
    await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    try:
        auth = load(place)
    except Exception as error:  # the edge: foreign code is imported here
        out.write(json.dumps({"id": 0, "failed": f"{type(error).__name__}: {error}"}).encode() + b"\n")
        out.flush()
        return 1
    handlers = bool(auth._handlers or auth._global_handlers)
    out.write(json.dumps({"id": 0, "ready": True, "handlers": handlers}).encode() + b"\n")
    out.flush()
    await serve(auth, reader, out)
    return 0


if __name__ == "__main__":
    sys.exit(asyncio.run(main(sys.argv[1])))
