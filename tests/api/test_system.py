"""Operation: alive, ready, what it is, how it fares, what it logs, which pages may call."""

import io
import json
import logging
import re
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families

from fiel.infra.api.auth import Calling
from fiel.infra.api.logs import JsonFormatter
from fiel.tools.errors import DatabaseUnavailable
from tests.api.conftest import Server
from tests.conftest import Postgres, Urls

SECRET = "the-secret-of-a-user"
STUDIO = "https://smith.langchain.com"


async def test_the_server_is_alive_and_ready_without_a_token(http: Any) -> None:
    async with http(user=None) as web:
        assert (await web.get("/ok")).json() == {"ok": True}
        assert (await web.get("/ok", params={"check_db": "true"})).json() == {"ok": True}
        assert (await web.get("/ready")).json() == {"ready": True, "graphs": []}


async def test_what_watches_may_ask_for_the_head_alone_and_a_wrong_method_is_told_the_right_ones(http: Any) -> None:
    async with http() as web:
        for path in ("/ok", "/ready"):
            answer = await web.head(path)
            assert (answer.status_code, answer.content) == (200, b"")
        answer = await web.put("/threads/01890a5d-ac96-774b-bcce-b302099a8057")
        assert (answer.status_code, answer.headers["allow"]) == (405, "DELETE, GET, PATCH")


async def test_it_is_not_ready_while_graphs_are_loaded_or_without_its_database(
    http: Any, server: Server, database_urls: Urls, postgres: Postgres
) -> None:
    async with http(user=None) as web:
        server.service.loaded = lambda: False
        assert (await web.get("/ready")).status_code == 503
        server.service.loaded = lambda: True
        await server.service.database.close()
        answer = await web.get("/ready")
        assert (answer.status_code, answer.json()["code"]) == (503, "database_unavailable")
        assert int(answer.headers["retry-after"]) > 0
        assert (await web.get("/ok")).status_code == 200


async def test_info_tells_what_sdks_and_studio_ask(client: Any) -> None:
    info = await (await client()).http.get("/info")
    assert info["flags"]["assistants"] is True
    assert info["langgraph_py_version"].startswith("1.2")
    assert info["version"]


# Metrics --------------------------------------------------------------------------------------------------------------


async def test_metrics_count_requests_by_template_of_the_route(http: Any, server: Server) -> None:
    @server.app.get("/things/{thing}")
    async def thing(thing: str) -> str:
        return thing

    async with http(user=None) as web:
        await web.get(f"/things/{SECRET}")
        await web.get(f"/nowhere/{SECRET}")
        text = (await web.get("/metrics")).text
    assert SECRET not in text
    samples = {
        (sample.labels.get("route"), sample.labels.get("status"))
        for family in text_string_to_metric_families(text)
        for sample in family.samples
        if sample.name == "fiel_http_requests_total"
    }
    assert {("/things/{thing}", "200"), ("(none)", "404")} <= samples


async def test_metrics_tell_of_runs_and_refusals(http: Any, server: Server) -> None:
    async with http(user=None) as web:
        await web.post("/threads/search", json={})
        lines = (await web.get("/metrics")).text.splitlines()
    assert "fiel_runs_here 0.0" in lines
    assert "fiel_ready 1.0" in lines
    assert 'fiel_refused_total{code="not_authenticated"} 1.0' in lines


async def test_metrics_are_for_this_machine_and_for_roles(http: Any) -> None:
    proxied = {"X-Forwarded-For": "203.0.113.7"}
    async with http(user=None) as web:
        assert (await web.get("/metrics")).status_code == 200
        assert (await web.get("/metrics", headers=proxied)).status_code == 401
    async with http(user="ann") as web:
        assert (await web.get("/metrics", headers=proxied)).status_code == 403
    async with http(user="ops", roles=("auditor",)) as web:
        assert (await web.get("/metrics", headers=proxied)).status_code == 200


# Documentation --------------------------------------------------------------------------------------------------------


async def test_the_docs_need_nothing_from_elsewhere_and_name_every_route(http: Any) -> None:
    async with http(user=None) as web:
        page = await web.get("/docs")
        paths = (await web.get("/openapi.json")).json()["paths"]
    assert page.status_code == 200
    assert not re.findall(r"<script|src=|https?://|@import", page.text)
    assert all(path in page.text for path in paths)
    assert "default-src 'none'" in page.headers["content-security-policy"]


# Logs -----------------------------------------------------------------------------------------------------------------


@pytest.fixture
def lines() -> Iterator[Any]:
    """`lines()`: what was logged, each a JSON object."""
    stream = io.StringIO()
    handler = logging.StreamHandler(stream)
    handler.setFormatter(JsonFormatter())
    root, ours = logging.getLogger(), logging.getLogger("fiel")
    level = ours.level
    root.addHandler(handler)
    ours.setLevel(logging.INFO)
    yield lambda: [json.loads(line) for line in stream.getvalue().splitlines()]
    root.removeHandler(handler)
    ours.setLevel(level)


async def test_a_request_is_one_line_with_its_ids_and_without_text_of_users(
    http: Any, server: Server, lines: Any
) -> None:
    run = "0192f0c1-2222-7000-8000-000000000000"

    @server.app.post("/threads/{thread_id}/runs/{run_id}/things")
    async def things(thread_id: str, run_id: str, caller: Calling) -> None:
        logging.getLogger("some.library").warning("it read %s", SECRET)
        logging.getLogger("fiel.runs").info("working")
        raise ValueError(SECRET)

    async with http(user="ann") as web:
        answer = await web.post(f"/threads/{SECRET}/runs/{run}/things?q={SECRET}", content=SECRET)
    assert answer.status_code == 500
    assert answer.json()["code"] == "internal"
    told = lines()
    assert SECRET not in json.dumps(told) + answer.text
    [request] = [line for line in told if line["message"] == "request"]
    assert request["request_id"] == answer.headers["x-request-id"]
    assert (request["run_id"], request["status"], request["caller"]) == (run, 500, "ann")
    assert request["route"] == "/threads/{thread_id}/runs/{run_id}/things"
    [crash] = [line for line in told if line["message"] == "request crashed"]
    assert crash["error"]["class"] == "ValueError"
    assert any("test_system.py" in place for place in crash["error"]["at"])
    assert {line["request_id"] for line in told} == {request["request_id"]}


@pytest.mark.parametrize(
    ("given", "kept"), [("req-42:a.b", True), ("x" * 65, False), ("a b", False), ('{"a":1}', False), ("é", False)]
)
async def test_a_request_keeps_the_id_it_came_with_if_that_may_stand_in_a_log(
    http: Any, given: str, kept: bool
) -> None:
    async with http(user=None) as web:
        answer = await web.get("/ok", headers={"X-Request-ID": given.encode()})
    assert (answer.headers["x-request-id"] == given) is kept


async def test_errors_tell_no_text_of_what_was_sent(http: Any, server: Server) -> None:
    @server.app.post("/number")
    async def number(value: dict[str, int]) -> None: ...

    async with http(user=None) as web:
        answer = await web.post("/number", json={"a": SECRET})
    assert answer.status_code == 422
    assert answer.json()["detail"].startswith("body.a: ")
    assert SECRET not in answer.text


async def test_a_service_that_fails_is_told_with_a_time_to_come_back(http: Any, server: Server) -> None:
    @server.app.get("/fails")
    async def fails() -> None:
        raise DatabaseUnavailable("PostgreSQL does not answer", where="there", hint="Wait")

    async with http(user=None) as web:
        answer = await web.get("/fails")
    assert answer.status_code == 503
    assert answer.headers["retry-after"] == "1"
    assert answer.json() == {
        "detail": "PostgreSQL does not answer",
        "code": "database_unavailable",
        "where": "there",
        "hint": "Wait",
    }


# Pages ----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("origin", [STUDIO, "http://localhost:3000", "http://127.0.0.1:5173", "http://[::1]:80"])
async def test_pages_that_may_call_are_told_so(server: Server, origin: str) -> None:
    async with httpx.AsyncClient(base_url=server.url, timeout=60) as web:
        asked = {
            "Origin": origin,
            "Access-Control-Request-Method": "POST",
            "Access-Control-Request-Headers": "authorization,content-type,x-auth-scheme",
            "Access-Control-Request-Private-Network": "true",
        }
        preflight = await web.options("/threads", headers=asked)
        assert preflight.status_code == 200
        assert preflight.headers["access-control-allow-origin"] == origin
        assert preflight.headers["access-control-allow-private-network"] == "true"
        assert "x-auth-scheme" in preflight.headers["access-control-allow-headers"]
        answer = await web.get("/ok", headers={"Origin": origin})
    assert answer.headers["access-control-allow-origin"] == origin
    exposed = answer.headers["access-control-expose-headers"].lower()
    assert all(name in exposed for name in ("content-location", "x-pagination-total", "x-pagination-next"))


@pytest.mark.parametrize(
    "origin",
    ["https://evil.example", "http://localhost.evil.example", "https://smith.langchain.com.evil.example", "null"],
)
async def test_other_pages_are_refused_before_anything_is_done(server: Server, origin: str) -> None:
    done = []

    @server.app.post("/act")
    async def act() -> None:
        done.append(1)

    async with httpx.AsyncClient(base_url=server.url, timeout=60) as web:
        answer = await web.post("/act", content="{}", headers={"Origin": origin, "Content-Type": "text/plain"})
    assert answer.status_code == 403
    assert "access-control-allow-origin" not in answer.headers
    assert done == []
