"""The audit interface over HTTP: for auditors, of one tenant, each call an act; what it gives verifies elsewhere."""

import asyncio
from typing import Any
from uuid import uuid4

import httpx
import psycopg
import pytest

from fiel.infra.ledger import verify
from fiel.infra.ledger.chain import Sealed, seal
from fiel.infra.ledger.postgres import PostgresStore
from fiel.infra.ledger.store import Flush, RunRow
from fiel.infra.settings import Settings
from fiel.tools.principal import Role
from tests.api.conftest import Server, serving
from tests.conftest import Urls

CALLS = (
    ("GET", "/audit/runs"),
    ("GET", "/audit/runs/{run}"),
    ("GET", "/audit/acts"),
    ("GET", "/audit/verify"),
    ("POST", "/audit/export"),
)


def flush(run: str, tenant: str, count: int = 3) -> Flush:
    """A run as a recorder would commit it."""
    row = RunRow(run, tenant, "t", "ana", None, None, 1_700_000_000_000_000)
    begin = {"caller": {"id": "ana"}, "thread": "t", "started": row.started, "resumes": None}
    entries: list[Sealed] = []
    prev = ""
    for seq in range(count):
        facts = {"v": 1, "tenant": tenant, "run": run, "seq": seq, "prev": prev, "hop": "hop", "at": row.started}
        facts |= {"us": 5, "status": "ok", "edited": False, "attempt": 1, "decision": {}, "effects": []}
        entries.append(seal(seq, facts | ({"begin": begin} if seq == 0 else {})))
        prev = entries[-1].hash.hex()
    return Flush.of(row, tuple(entries), "k1", b"\0frame")


@pytest.fixture
async def tenant(server: Server) -> str:
    """A tenant with two runs."""
    name = f"t-{uuid4().hex[:8]}"
    await PostgresStore(server.service.database.system).append([flush(str(uuid4()), name) for _ in range(2)])
    return name


async def runs_of(web: Any, **query: Any) -> list[dict[str, Any]]:
    answer = await web.get("/audit/runs", params=query)
    assert answer.status_code == 200, answer.text
    found: list[dict[str, Any]] = answer.json()
    return found


@pytest.mark.parametrize("roles", [("reader",), ("administrator", "curator", "developer")])
async def test_nobody_but_an_auditor_gets_in(http: Any, tenant: str, server: Server, roles: tuple[Role, ...]) -> None:
    async with http("eve", roles=roles, tenant=tenant) as web, http(None) as nobody:
        for method, path in CALLS:
            at = path.replace("{run}", str(uuid4()))
            body: Any = {"json": {}} if method == "POST" else {}
            assert (await web.request(method, at, **body)).status_code == 403
            assert (await nobody.request(method, at, **body)).status_code == 401
    async with http("aud", roles=("auditor",), tenant=tenant) as web:
        kinds = {one["kind"] for one in (await web.get("/audit/acts")).json()}
        assert kinds == {"token_create", "audit_read"}, "what was refused left no act"


async def test_each_call_is_an_act_and_shows_one_tenant(http: Any, tenant: str) -> None:
    async with (
        http("aud", roles=("auditor",), tenant=tenant) as web,
        http("aud", roles=("auditor",), tenant=f"{tenant}-other") as other,
    ):
        first, second = (one["run"] for one in await runs_of(web))
        assert (await web.get(f"/audit/runs/{first}")).json()["caller"] == "ana"
        checked = (await web.get("/audit/verify")).json()
        assert (checked["entries"], checked["broken"], checked["broken_total"]) == (6, [], 0)
        await web.post("/audit/export", json={"run": second})
        told = (await web.get("/audit/acts", params={"kind": "audit_read"})).json()
        what = [(one["body"]["detail"]["what"], one["subject"]) for one in told]
        assert what == [("acts", tenant), ("verify", tenant), ("show", first), ("runs", tenant)]
        (copied,) = (await web.get("/audit/acts", params={"kind": "export"})).json()
        assert (copied["subject"], copied["principal"]) == (second, "aud")
        assert await runs_of(other) == []
        strange, ghost = (await other.get(f"/audit/runs/{first}")), (await other.get(f"/audit/runs/{uuid4()}"))
        assert (strange.status_code, ghost.status_code) == (404, 404)
        assert strange.json()["detail"] == ghost.json()["detail"]
        assert (await other.get("/audit/verify")).json()["entries"] == 0
        text = (await other.post("/audit/export", json={})).text
        assert first not in text and second not in text
        assert tenant not in {one["subject"] for one in (await other.get("/audit/acts")).json()}


async def test_lists_come_in_pages(http: Any, tenant: str) -> None:
    async with http("aud", roles=("auditor",), tenant=tenant) as web:
        everything = await runs_of(web)
        answer = await web.get("/audit/runs", params={"limit": 1})
        assert (answer.json(), answer.headers["x-pagination-next"]) == (everything[:1], "1")
        assert await runs_of(web, limit=1, offset=1) == everything[1:]
        assert await runs_of(web, caller="bob") == []
        assert await runs_of(web, since="2024-01-01T00:00:00Z") == []
        whole = await web.get(f"/audit/runs/{everything[0]['run']}")
        part = await web.get(f"/audit/runs/{everything[0]['run']}", params={"limit": 1, "offset": 2})
        assert [len(one.json()["hops"]) for one in (whole, part)] == [3, 1]
        assert part.json()["hops"] == whole.json()["hops"][2:] and "x-pagination-next" not in part.headers
        for query in ({"limit": 0}, {"limit": 1001}, {"offset": -1}, {"since": "yesterday"}, {"since": "0.5"}):
            assert (await web.get("/audit/runs", params=query)).status_code == 422
        assert (await web.get("/audit/acts", params={"limit": 1})).headers["x-pagination-next"] == "1"


async def test_an_export_over_http_verifies_alone(http: Any, tenant: str) -> None:
    async with http("aud", roles=("auditor",), tenant=tenant) as web:
        run = (await runs_of(web))[0]["run"]
        whole, one = [await web.post("/audit/export", json=body) for body in ({}, {"run": run})]
        none = await web.post("/audit/export", json={"since": "2024-01-01T00:00:00"})
        for body in ({"runs": run}, {"since": 0}, {"since": "2026"}, {"since": None, "run": 1}):
            assert (await web.post("/audit/export", json=body)).status_code == 422
        for since in ("2666-01-09T17:03:40-14:42", "0001-01-01T00:00:00+14:00"):  # beyond what the ledger can write
            assert (await web.post("/audit/export", json={"since": since})).status_code == 200
    key = verify.signed_by(whole.headers["x-fiel-public-key"])
    for answer, entries in ((whole, 6), (one, 3), (none, 0)):
        lines = answer.text.splitlines(keepends=True)
        checked = verify.verify(lines, key)
        assert (checked.entries, checked.broken) == (entries, [])
        assert verify.verify(lines[:-1], key).broken, "an export that broke off is known as such"


async def test_what_is_broken_is_named_by_place_in_pages(http: Any, tenant: str, database_urls: Urls) -> None:
    async with http("aud", roles=("auditor",), tenant=tenant) as web:
        (await web.get("/audit/verify")).raise_for_status()
        run = (await runs_of(web))[0]["run"]
        with psycopg.connect(database_urls.owner) as connection:
            connection.execute("ALTER TABLE fiel.entries DISABLE TRIGGER ALL")
            connection.execute("UPDATE fiel.entries SET body = set_byte(body, 20, 65) WHERE run = %s", [run])
        value = (await web.get("/audit/verify")).json()
        page = await web.get("/audit/verify", params={"limit": 1})
        assert {(one["run"], one["tenant"]) for one in value["broken"]} == {(run, tenant)}
        assert page.json()["broken"] == value["broken"][:1]
        assert page.json()["broken_total"] == len(value["broken"]) == value["broken_total"] > 1
        assert page.headers["x-pagination-next"] == "1"


async def test_one_check_at_a_time_and_none_without_a_key(
    http: Any, server: Server, tenant: str, database_urls: Urls, host: Any, tmp_path: Any
) -> None:
    async with http("aud", roles=("auditor",), tenant=tenant) as web:
        async with server.service.auditing:
            busy = await web.get("/audit/verify"), await web.post("/audit/export", json={})
        assert [answer.status_code for answer in busy] == [429, 429]
        both = await asyncio.gather(*(web.get("/audit/runs") for _ in range(2)))
        assert [answer.status_code for answer in both] == [200, 200]
        headers = web.headers
    settings = Settings(home=str(tmp_path / "another"), database_url=database_urls.runtime, rate=0)
    async with (
        serving(settings, database_urls, host) as keyless,
        httpx.AsyncClient(base_url=keyless.url, headers=headers, timeout=60) as web,
    ):
        answer = await web.get("/audit/verify")
    assert (answer.status_code, answer.json()["code"]) == (503, "key_unavailable")
