"""What is asked before a route does anything: the limit of spend, and the `@auth.on` handlers of a `langgraph.json`.

They come on top of fiel's own rule, that everything belongs to its owner: they can refuse, change what is written, and
narrow what is seen to what carries certain metadata. A route that has no name here is refused where there are handlers.
"""

from collections.abc import Awaitable, Callable, Mapping
from typing import Any
from uuid import UUID

from fastapi import Request
from starlette.datastructures import QueryParams
from starlette.requests import HTTPConnection

from fiel.infra.api.auth.caller import Caller, authenticated
from fiel.infra.api.auth.custom import AuthRefused, CustomAuth, Verdict
from fiel.infra.api.service import Service
from fiel.infra.runs.errors import NotFound

Action = tuple[str, str]
"""Resource and action, as handlers are registered for them."""

_READ, _UPDATE, _RUN = ("threads", "read"), ("threads", "update"), ("threads", "create_run")
_SEARCH = ("threads", "search")
ACTIONS: Mapping[str, Action] = {
    "POST /threads": ("threads", "create"),
    "POST /threads/search": _SEARCH,
    "POST /threads/count": _SEARCH,
    "POST /threads/prune": ("threads", "delete"),
    "GET /threads/{thread_id}": _READ,
    "PATCH /threads/{thread_id}": _UPDATE,
    "DELETE /threads/{thread_id}": ("threads", "delete"),
    "POST /threads/{thread_id}/copy": _READ,
    "GET /threads/{thread_id}/state": _READ,
    "POST /threads/{thread_id}/state": _UPDATE,
    "POST /threads/{thread_id}/state/checkpoint": _READ,
    "GET /threads/{thread_id}/state/{checkpoint_id}": _READ,
    "GET /threads/{thread_id}/history": _READ,
    "GET /threads/{thread_id}/storage": _READ,
    "POST /threads/{thread_id}/history": _READ,
    "GET /threads/{thread_id}/stream": _READ,
    "POST /threads/{thread_id}/commands": _RUN,
    "POST /threads/{thread_id}/stream/events": _READ,
    "GET /threads/{thread_id}/runs": _READ,
    "POST /threads/{thread_id}/runs": _RUN,
    "POST /threads/{thread_id}/runs/stream": _RUN,
    "POST /threads/{thread_id}/runs/wait": _RUN,
    "GET /threads/{thread_id}/runs/{run_id}": _READ,
    "DELETE /threads/{thread_id}/runs/{run_id}": ("threads", "delete"),
    "GET /threads/{thread_id}/runs/{run_id}/join": _READ,
    "GET /threads/{thread_id}/runs/{run_id}/stream": _READ,
    "POST /threads/{thread_id}/runs/{run_id}/cancel": _UPDATE,
    "POST /runs": _RUN,
    "POST /runs/stream": _RUN,
    "POST /runs/wait": _RUN,
    "POST /runs/batch": _RUN,
    "POST /runs/cancel": _UPDATE,
    "POST /runs/{run_id}/feedback": _UPDATE,
    "POST /v1/chat/completions": _RUN,
    "POST /v1/responses": _RUN,
    "GET /v1/models": ("assistants", "search"),
    "GET /v1/models/{model}": ("assistants", "read"),
    "POST /assistants": ("assistants", "create"),
    "POST /assistants/search": ("assistants", "search"),
    "POST /assistants/count": ("assistants", "search"),
    "GET /assistants/{assistant_id}": ("assistants", "read"),
    "PATCH /assistants/{assistant_id}": ("assistants", "update"),
    "DELETE /assistants/{assistant_id}": ("assistants", "delete"),
    "POST /assistants/{assistant_id}/versions": ("assistants", "read"),
    "POST /assistants/{assistant_id}/latest": ("assistants", "update"),
    "GET /assistants/{assistant_id}/graph": ("assistants", "read"),
    "GET /assistants/{assistant_id}/schemas": ("assistants", "read"),
    "GET /assistants/{assistant_id}/subgraphs": ("assistants", "read"),
    "GET /assistants/{assistant_id}/subgraphs/{namespace}": ("assistants", "read"),
    "POST /runs/crons": ("crons", "create"),
    "POST /threads/{thread_id}/runs/crons": ("crons", "create"),
    "POST /runs/crons/search": ("crons", "search"),
    "POST /runs/crons/count": ("crons", "search"),
    "GET /runs/crons/{cron_id}": ("crons", "read"),
    "PATCH /runs/crons/{cron_id}": ("crons", "update"),
    "DELETE /runs/crons/{cron_id}": ("crons", "delete"),
    "PUT /store/items": ("store", "put"),
    "GET /store/items": ("store", "get"),
    "DELETE /store/items": ("store", "delete"),
    "POST /store/items/search": ("store", "search"),
    "POST /store/namespaces": ("store", "list_namespaces"),
    # fiel's own graph alone has these, and it is never served beside handlers.
    "GET /reviews": _SEARCH,
    "GET /reviews/{review_id}": _READ,
    "POST /reviews/{review_id}": _UPDATE,
    "GET /audit/runs": _SEARCH,
    "GET /audit/runs/{run_id}": _READ,
    "POST /audit/runs/{run_id}/replay": _READ,
    "GET /audit/acts": _SEARCH,
    "GET /audit/verify": _SEARCH,
    "POST /audit/export": _SEARCH,
    "GET /lineage/documents": _SEARCH,
    "GET /lineage/runs/{run_id}": _READ,
    "POST /audit/erasures": ("threads", "delete"),
    "POST /fiel/ask": _RUN,
    "POST /fiel/search": ("store", "search"),
    "GET /fiel/runs/{run}/trace": _READ,
    "GET /fiel/policies": ("assistants", "read"),
    "GET /fiel/policies/{name}": ("assistants", "read"),
    "POST /fiel/policies/check": ("assistants", "read"),
    "POST /fiel/policies/reload": ("assistants", "update"),
    "PUT /fiel/policies/least": ("assistants", "update"),
    "GET /users": _SEARCH,
    "GET /users/{user}": _READ,
    "PUT /users/{user}": _UPDATE,
    "DELETE /users/{user}": _UPDATE,
    "GET /groups": _SEARCH,
    "GET /groups/{group}": _READ,
    "PUT /groups/{group}": _UPDATE,
    "DELETE /groups/{group}": _UPDATE,
    "PUT /grants": _UPDATE,
    "DELETE /grants": _UPDATE,
    "GET /grants/explain": _READ,
}
WEBSOCKET = "WEBSOCKET"
"""In place of a method: nothing is registered under it, so with handlers there is no way in by it."""
OPEN = frozenset(f"GET {path}" for path in ("/ok", "/ready", "/info", "/metrics", "/docs"))
"""What no handler is asked about."""


async def gate(connection: HTTPConnection) -> None:
    """A dependency of every route. Raises AuthRefused, AuthUnavailable, NotFound."""
    service: Service = connection.app.state.service
    handlers = service.authenticator.custom
    route = f"{connection.scope.get('method', WEBSOCKET)} {getattr(connection.scope.get('route'), 'path', '')}"
    if service.spend.limit and ACTIONS.get(route) == _RUN:
        await service.spend.check((await authenticated(connection)).principal)
    if not isinstance(handlers, CustomAuth) or not handlers.authorizes or route in OPEN:
        return
    caller = await authenticated(connection)
    if caller.kind != "custom":
        return  # a token of fiel's own: its rights are in the token
    if not isinstance(connection, Request) or route not in ACTIONS:
        raise AuthRefused(403, "no handler can be asked about this")
    resource, action = ACTIONS[route]
    value = await _value(connection)
    verdict = await handlers.authorize(caller, resource, action, value)
    await _apply(connection, service, caller, resource, action, verdict)


async def _value(request: Request) -> dict[str, Any]:
    """What is asked for, as handlers read it: ids of the address, fields of body and query."""
    body = await _body(request)
    query = {name: request.query_params.getlist(name) for name in request.query_params}
    asked = {name: found if name == "namespace" else found[0] for name, found in query.items()}
    value = {**asked, **request.path_params, **(body if isinstance(body, dict) else {"items": body} if body else {})}
    if isinstance(value.get("namespace"), list):
        value["namespace"] = [label for part in value["namespace"] for label in str(part).split(".")]
    if isinstance(body, dict) and "assistant_id" in body:
        value["kwargs"] = {name: one for name, one in body.items() if name in ("input", "command", "config", "context")}
    return value


async def _body(request: Request) -> Any:
    return await request.json() if await request.body() else None


async def _apply(
    request: Request, service: Service, caller: Caller, resource: str, action: str, verdict: Verdict
) -> None:
    body, changed = await _body(request), verdict.value
    wanted = dict(verdict.filter or {})
    if isinstance(body, dict):
        for name in ("metadata", "namespace", "namespace_prefix", "prefix", "ttl"):
            if name in changed:
                body[name] = changed[name]
        if wanted and action == "search":
            body["metadata"] = narrowed(body.get("metadata") or {}, wanted)
            return
    elif resource == "store" and "namespace" in changed:
        rest = [(name, one) for name, one in request.query_params.multi_items() if name != "namespace"]
        request._query_params = QueryParams([*rest, ("namespace", ".".join(changed["namespace"]))])
    if wanted:
        await _check(request, service, caller, resource, action, wanted)


async def _check(
    request: Request, service: Service, caller: Caller, resource: str, action: str, wanted: Mapping[str, Any]
) -> None:
    """What is touched must carry what the filter says. What a filter cannot be held against is refused."""
    id = request.path_params.get(f"{resource.removesuffix('s')}_id")
    if id is None and (action in ("create", "create_run")):
        return  # nothing that is there yet
    if id is None or resource not in _METADATA:
        raise AuthRefused(403, "a filter cannot be held against this")
    try:
        metadata = await _METADATA[resource](service, caller, UUID(str(id)))
    except NotFound:
        if action == "create_run":
            return  # `if_not_exists` makes it
        raise
    except ValueError:
        return  # no id: the route says so
    if not carries(metadata, wanted):
        raise NotFound(f"there is no such {resource.removesuffix('s')}")


def carries(metadata: Mapping[str, Any], wanted: Mapping[str, Any]) -> bool:
    """Whether metadata meet a filter: `{"k": v}`, `{"k": {"$eq": v}}`, `{"k": {"$contains": v or [v, …]}}`."""
    return all(name in metadata and _meets(metadata[name], one) for name, one in wanted.items())


def _meets(value: Any, wanted: Any) -> bool:
    operator, operand = _operation(wanted)
    if operator == "$eq":
        return bool(value == operand)
    sought = operand if isinstance(operand, list) else [operand]
    return isinstance(value, list) and all(one in value for one in sought)


def _operation(wanted: Any) -> tuple[str, Any]:
    """Raises AuthRefused for an operator that is not known: it must not widen what is seen."""
    if not isinstance(wanted, Mapping) or not any(str(name).startswith("$") for name in wanted):
        return "$eq", wanted
    if len(wanted) != 1 or next(iter(wanted)) not in ("$eq", "$contains"):
        raise AuthRefused(403, "the filter has an operator that is not known")
    return next(iter(wanted.items()))


def narrowed(asked: Mapping[str, Any], wanted: Mapping[str, Any]) -> dict[str, Any]:
    """A search for metadata, narrowed to a filter; lists are searched by what they contain."""
    found = dict(asked)
    for name, one in wanted.items():
        operator, operand = _operation(one)
        must = operand if operator == "$eq" or isinstance(operand, list) else [operand]
        if name in found and found[name] != must:
            raise AuthRefused(403, f"a search for this {name!r} is refused")
        found[name] = must
    return found


async def _thread(service: Service, caller: Caller, id: UUID) -> Mapping[str, Any]:
    from fiel.infra.api.routes.resources import threads_of

    return (await threads_of(service).get(caller.principal, id)).metadata


async def _assistant(service: Service, caller: Caller, id: UUID) -> Mapping[str, Any]:
    from fiel.infra.api.routes.resources import assistants_of

    return (await assistants_of(service).get(caller.principal, id)).metadata


async def _cron(service: Service, caller: Caller, id: UUID) -> Mapping[str, Any]:
    from fiel.infra.api.routes.resources import crons_of

    return (await crons_of(service).get(caller.principal, id)).metadata


_METADATA: Mapping[str, Callable[[Service, Caller, UUID], Awaitable[Mapping[str, Any]]]] = {
    "threads": _thread,
    "assistants": _assistant,
    "crons": _cron,
}
