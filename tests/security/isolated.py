"""Every way to name a thing over HTTP, for the tests of isolation. One that stands nowhere here fails a test."""

import re
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any
from uuid import uuid4

import httpx

NAMED = ("assistant", "thread", "checkpoint", "cron", "item", "run")


@dataclass(frozen=True, slots=True)
class Things:
    """Names of what one user has."""

    assistant: str = field(default_factory=lambda: str(uuid4()))
    thread: str = field(default_factory=lambda: str(uuid4()))
    checkpoint: str = field(default_factory=lambda: str(uuid4()))
    cron: str = field(default_factory=lambda: str(uuid4()))
    item: str = field(default_factory=lambda: uuid4().hex)
    run: str = field(default_factory=lambda: str(uuid4()))

    def hide(self, text: str) -> str:
        """`text` with the names taken out, so that two answers can be compared."""
        for name in NAMED:
            text = text.replace(getattr(self, name), name.upper())
        return text


OF_EACH = frozenset(("date", "x-request-id"))
"""Headers that differ from answer to answer, whatever was asked."""


def told(answer: httpx.Response, things: Things) -> tuple[int, dict[str, str], str]:
    """All that an answer tells, without the names that were asked for."""
    headers = {name: things.hide(value) for name, value in answer.headers.items() if name not in OF_EACH}
    return answer.status_code, headers, things.hide(answer.text)


Call = Callable[[httpx.AsyncClient, Things], Awaitable[httpx.Response]]


def call(method: str, path: str, body: Any = None, **query: Any) -> Call:
    """A request; `{thread}` and the like stand for the names of things, in the path and in the body."""

    def fill(value: Any, things: Things) -> Any:
        if isinstance(value, dict):
            return {key: fill(one, things) for key, one in value.items()}
        if isinstance(value, list):
            return [fill(one, things) for one in value]
        named = isinstance(value, str) and re.fullmatch(r"\{(\w+)\}", value)
        return getattr(things, named[1]) if named else value

    async def send(web: httpx.AsyncClient, things: Things) -> httpx.Response:
        url = re.sub(r"\{(\w+)\}", lambda name: getattr(things, name[1]), path)
        return await web.request(method, url, json=fill(body, things), params=fill(query, things))

    return send


_RUN = "/threads/{thread}/runs/{run}"
_CHAIN: Any = {"assistant_id": "chain", "input": {}}
_THEIRS: Any = {"assistant_id": "{assistant}", "input": {}}
_ANSWER: Any = {"interrupt_id": "x", "response": 1}
ABOUT_ONE: dict[tuple[str, str], list[Call]] = {
    ("GET", "/assistants/{assistant_id}"): [call("GET", "/assistants/{assistant}")],
    ("PATCH", "/assistants/{assistant_id}"): [call("PATCH", "/assistants/{assistant}", {"name": "mine"})],
    ("DELETE", "/assistants/{assistant_id}"): [
        call("DELETE", "/assistants/{assistant}"),
        call("DELETE", "/assistants/{assistant}", delete_threads=True),
    ],
    ("POST", "/assistants/{assistant_id}/versions"): [call("POST", "/assistants/{assistant}/versions", {})],
    ("POST", "/assistants/{assistant_id}/latest"): [call("POST", "/assistants/{assistant}/latest", {"version": 1})],
    ("GET", "/assistants/{assistant_id}/graph"): [call("GET", "/assistants/{assistant}/graph")],
    ("GET", "/assistants/{assistant_id}/schemas"): [call("GET", "/assistants/{assistant}/schemas")],
    ("GET", "/assistants/{assistant_id}/subgraphs"): [call("GET", "/assistants/{assistant}/subgraphs")],
    ("GET", "/assistants/{assistant_id}/subgraphs/{namespace}"): [
        call("GET", "/assistants/{assistant}/subgraphs/inner")
    ],
    ("GET", "/threads/{thread_id}"): [call("GET", "/threads/{thread}", include="ttl")],
    ("PATCH", "/threads/{thread_id}"): [call("PATCH", "/threads/{thread}", {"metadata": {"x": 1}})],
    ("DELETE", "/threads/{thread_id}"): [call("DELETE", "/threads/{thread}")],
    ("POST", "/threads/{thread_id}/copy"): [call("POST", "/threads/{thread}/copy")],
    ("POST", "/threads/prune"): [
        call("POST", "/threads/prune", {"thread_ids": ["{thread}"]}),
        call("POST", "/threads/prune", {"thread_ids": ["{thread}"], "strategy": "keep_latest"}),
    ],
    ("POST", "/threads/search"): [
        call("POST", "/threads/search", {"ids": ["{thread}"]}),
        call("POST", "/threads/search", {"metadata": {"assistant_id": "{assistant}"}}),
    ],
    ("GET", "/threads/{thread_id}/state"): [call("GET", "/threads/{thread}/state", subgraphs=True)],
    ("POST", "/threads/{thread_id}/state"): [
        call("POST", "/threads/{thread}/state", {"values": {"steps": ["x"]}, "as_node": "b"}),
        call("POST", "/threads/{thread}/state", {"values": {}, "as_node": "a", "checkpoint_id": "{checkpoint}"}),
    ],
    ("GET", "/threads/{thread_id}/state/{checkpoint_id}"): [call("GET", "/threads/{thread}/state/{checkpoint}")],
    ("POST", "/threads/{thread_id}/state/checkpoint"): [
        call("POST", "/threads/{thread}/state/checkpoint", {"checkpoint": {"checkpoint_id": "{checkpoint}"}})
    ],
    ("GET", "/threads/{thread_id}/storage"): [call("GET", "/threads/{thread}/storage")],
    ("GET", "/threads/{thread_id}/history"): [call("GET", "/threads/{thread}/history")],
    ("POST", "/threads/{thread_id}/history"): [
        call("POST", "/threads/{thread}/history", {"before": "{checkpoint}"}),
        call("POST", "/threads/{thread}/history", {"checkpoint": {"checkpoint_id": "{checkpoint}"}}),
    ],
    ("POST", "/threads/{thread_id}/runs/crons"): [
        call("POST", "/threads/{thread}/runs/crons", {"assistant_id": "chain", "schedule": "@daily"})
    ],
    ("POST", "/runs/crons"): [call("POST", "/runs/crons", {"assistant_id": "{assistant}", "schedule": "@daily"})],
    ("GET", "/runs/crons/{cron_id}"): [call("GET", "/runs/crons/{cron}")],
    ("PATCH", "/runs/crons/{cron_id}"): [call("PATCH", "/runs/crons/{cron}", {"enabled": False})],
    ("DELETE", "/runs/crons/{cron_id}"): [call("DELETE", "/runs/crons/{cron}")],
    ("POST", "/runs/crons/search"): [
        call("POST", "/runs/crons/search", {"thread_id": "{thread}"}),
        call("POST", "/runs/crons/search", {"assistant_id": "{assistant}"}),
    ],
    ("POST", "/runs/crons/count"): [
        call("POST", "/runs/crons/count", {"thread_id": "{thread}"}),
        call("POST", "/runs/crons/count", {"assistant_id": "{assistant}"}),
    ],
    ("GET", "/store/items"): [call("GET", "/store/items", namespace="{item}", key="k")],
    ("DELETE", "/store/items"): [call("DELETE", "/store/items", {"namespace": ["{item}"], "key": "k"})],
    ("POST", "/store/items/search"): [
        call("POST", "/store/items/search", {"namespace_prefix": ["{item}"]}),
        call("POST", "/store/items/search", {"namespace_prefix": ["{item}"], "filter": {"n": {"$gt": 0}}}),
    ],
    ("POST", "/store/namespaces"): [call("POST", "/store/namespaces", {"prefix": ["{item}"]})],
    ("GET", "/threads/{thread_id}/runs"): [call("GET", "/threads/{thread}/runs")],
    ("GET", "/threads/{thread_id}/runs/{run_id}"): [call("GET", _RUN)],
    ("DELETE", "/threads/{thread_id}/runs/{run_id}"): [call("DELETE", _RUN)],
    ("GET", "/threads/{thread_id}/runs/{run_id}/join"): [call("GET", f"{_RUN}/join")],
    ("GET", "/threads/{thread_id}/runs/{run_id}/stream"): [call("GET", f"{_RUN}/stream")],
    ("POST", "/threads/{thread_id}/runs/{run_id}/cancel"): [
        call("POST", f"{_RUN}/cancel"),
        call("POST", f"{_RUN}/cancel", action="rollback"),
    ],
    ("POST", "/threads/{thread_id}/runs"): [call("POST", "/threads/{thread}/runs", _CHAIN)],
    ("POST", "/threads/{thread_id}/runs/wait"): [call("POST", "/threads/{thread}/runs/wait", _CHAIN)],
    ("POST", "/threads/{thread_id}/runs/stream"): [call("POST", "/threads/{thread}/runs/stream", _CHAIN)],
    ("POST", "/threads/{thread_id}/commands"): [
        call("POST", "/threads/{thread}/commands", {"id": 1, "method": "input.respond", "params": _ANSWER}),
        call("POST", "/threads/{thread}/commands", {"id": 1, "method": "run.start", "params": _THEIRS}),
    ],
    ("GET", "/threads/{thread_id}/stream"): [call("GET", "/threads/{thread}/stream")],
    ("POST", "/runs"): [call("POST", "/runs", _THEIRS)],
    ("POST", "/runs/wait"): [call("POST", "/runs/wait", _THEIRS)],
    ("POST", "/runs/stream"): [call("POST", "/runs/stream", _THEIRS)],
    ("POST", "/runs/batch"): [call("POST", "/runs/batch", [_THEIRS])],
    ("POST", "/runs/cancel"): [
        call("POST", "/runs/cancel", {"thread_id": "{thread}", "run_ids": ["{run}"]}),
        call("POST", "/runs/cancel", {"run_ids": ["{run}"]}, action="rollback"),
    ],
    ("POST", "/runs/{run_id}/feedback"): [call("POST", "/runs/{run}/feedback", {"score": 1})],
    ("GET", "/v1/models/{model}"): [call("GET", "/v1/models/{assistant}")],
    ("POST", "/v1/chat/completions"): [
        call("POST", "/v1/chat/completions", {"model": "{assistant}", "messages": [{"role": "user", "content": "x"}]})
    ],
    ("POST", "/v1/responses"): [call("POST", "/v1/responses", {"model": "{assistant}", "input": "x"})],
}
"""Requests about a thing by its name: to another user they must say what they say of a name that nobody has."""

ABOUT_ALL: dict[tuple[str, str], Call] = {
    ("POST", "/assistants/search"): call("POST", "/assistants/search", {"limit": 1000}),
    ("POST", "/assistants/count"): call("POST", "/assistants/count", {}),
    ("POST", "/threads/search"): call("POST", "/threads/search", {"limit": 1000}),
    ("POST", "/threads/search values"): call("POST", "/threads/search", {"values": {"topic": "tea"}, "limit": 1000}),
    ("POST", "/threads/count"): call("POST", "/threads/count", {}),
    ("POST", "/threads/count values"): call("POST", "/threads/count", {"values": {"topic": "tea"}}),
    ("POST", "/runs/crons/search"): call("POST", "/runs/crons/search", {"limit": 1000}),
    ("POST", "/runs/crons/count"): call("POST", "/runs/crons/count", {}),
    ("POST", "/store/items/search"): call("POST", "/store/items/search", {"limit": 1000}),
    ("POST", "/store/namespaces"): call("POST", "/store/namespaces", {}),
    ("GET", "/threads/{thread_id}/history"): call("GET", "/threads/{thread}/history"),
    ("GET", "/threads/{thread_id}/runs"): call("GET", "/threads/{thread}/runs"),
    ("GET", "/v1/models"): call("GET", "/v1/models"),
}
"""Requests about all that a user has."""

TAKING: dict[tuple[str, str], tuple[Call, Call]] = {
    ("POST", "/assistants"): (
        call("POST", "/assistants", {"assistant_id": "{assistant}", "graph_id": "chain"}),
        call("DELETE", "/assistants/{assistant}"),
    ),
    ("POST", "/assistants do_nothing"): (
        call("POST", "/assistants", {"assistant_id": "{assistant}", "graph_id": "chain", "if_exists": "do_nothing"}),
        call("DELETE", "/assistants/{assistant}"),
    ),
    ("POST", "/threads"): (
        call("POST", "/threads", {"thread_id": "{thread}", "metadata": {"graph_id": "chain"}}),
        call("DELETE", "/threads/{thread}"),
    ),
    ("POST", "/threads do_nothing"): (
        call("POST", "/threads", {"thread_id": "{thread}", "if_exists": "do_nothing"}),
        call("DELETE", "/threads/{thread}"),
    ),
    ("PUT", "/store/items"): (
        call("PUT", "/store/items", {"namespace": ["{item}"], "key": "k", "value": {"n": 5}}),
        call("DELETE", "/store/items", {"namespace": ["{item}"], "key": "k"}),
    ),
}
"""Making something under a name that another has, and taking it away again: both must work, for oneself."""


STREAMS = {("POST", "/threads/{thread_id}/stream/events"), ("WEBSOCKET", "/threads/{thread_id}/stream/events")}
"""They have no end, and every thread has them, also one that is not there yet."""

TENANT = {
    ("GET", "/audit/runs"),
    ("GET", "/audit/runs/{run_id}"),
    ("POST", "/audit/runs/{run_id}/replay"),
    ("GET", "/audit/acts"),
    ("GET", "/audit/verify"),
    ("POST", "/audit/export"),
    ("POST", "/audit/erasures"),
    ("GET", "/lineage/documents"),
    ("GET", "/lineage/runs/{run_id}"),
    ("GET", "/fiel/runs/{run}/trace"),
    ("GET", "/reviews"),
    ("GET", "/reviews/{review_id}"),
    ("POST", "/reviews/{review_id}"),
    ("GET", "/users"),
    ("GET", "/users/{user}"),
    ("PUT", "/users/{user}"),
    ("DELETE", "/users/{user}"),
    ("GET", "/groups"),
    ("GET", "/groups/{group}"),
    ("PUT", "/groups/{group}"),
    ("DELETE", "/groups/{group}"),
    ("PUT", "/grants"),
    ("DELETE", "/grants"),
    ("GET", "/grants/explain"),
}
"""What belongs to a tenant, and is for some of its roles: see `test_api_isolation_tenants`."""

ELSEWHERE = {
    ("POST", "/fiel/search"): "test_search_acl.py",
    ("POST", "/fiel/ask"): "test_search_acl.py",
    ("PUT", "/fiel/policies/least"): "test_grants.py",
}
"""They name a collection: what a name in another tenant gives is held where searches and grants are."""

NAMELESS = {
    *(("GET", path) for path in ("/ok", "/ready", "/info", "/metrics", "/docs")),
    ("GET", "/fiel/policies"),
    ("GET", "/fiel/policies/{name}"),
    ("POST", "/fiel/policies/check"),
    ("POST", "/fiel/policies/reload"),
}
"""What is the process' own, the same for every tenant."""
