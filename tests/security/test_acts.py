"""Every administrative act leaves its entries in the ledger, however it is done; what is refused leaves none."""

import asyncio
import time
import uuid
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import httpx
import numpy as np
import pytest

from fiel.infra.api.auth.tokens import Tokens
from fiel.infra.corpus.bulk import Bulk
from fiel.infra.database.connect import Database
from fiel.infra.erasure.retention import Rule, retain
from fiel.infra.hosts.own import OwnHost
from fiel.infra.ledger.acts import KINDS, acts
from fiel.infra.people.claims import Claims
from fiel.infra.reload import STARTED, Reloader, noting, started
from fiel.infra.replay.kept import Text
from fiel.infra.settings import Settings
from fiel.policies.bundle import load_bundles
from fiel.policies.evaluate import GuardrailsPolicies
from fiel.tools.principal import Principal, local_administrator
from fiel.tools.search import Passage
from fiel.tools.search.memory import Stored
from tests.api.conftest import Server, serving
from tests.conftest import Urls
from tests.contract.test_ledger_subjects import ask
from tests.contract.test_retention import aged
from tests.graph.conftest import Models
from tests.replay_support import Recorded, recorded_in
from tests.unit.test_cli_token import Fiel, fiel
from tests.unit.test_reload import HOUSE, written

__all__ = ["fiel"]
BOSS, ACME = local_administrator(), local_administrator("acme")
EVERYTHING: tuple[Any, ...] = ("reader", "curator", "developer", "auditor", "administrator")
READ = ["audit_read"]


async def done(database: Database, by: Principal = BOSS) -> list[str]:
    """Kinds of all acts so far, the oldest first."""
    async with database.acting(by) as connection:
        return [one.body["kind"] for one in reversed(await acts(connection, by.tenant, limit=1000))]


@dataclass
class Place:
    """A service with a house of its own, a document, and a run of ana's."""

    server: Server
    boss: httpx.AsyncClient
    ana: httpx.AsyncClient
    folder: Path
    """Of policy bundles."""
    names: dict[str, str]
    """What `{name}` stands for in the table."""

    async def send(self, line: str, body: Any = None) -> httpx.Response:
        method, _, path = line.partition(" ")
        filled = None if body is None else {key: self._filled(one) for key, one in body.items()}
        answer = await self.boss.request(method, self._filled(path), json=filled)
        assert answer.status_code < 300, (line, answer.text)
        return answer

    def _filled(self, value: Any) -> Any:
        return value.format(**self.names) if isinstance(value, str) else value


@pytest.fixture
async def place(database_urls: Urls, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Place]:
    usual, ids = Models.passage, {name: str(uuid.uuid4()) for name in ("document", "version", "chunk")}
    monkeypatch.setattr(Models, "passage", lambda self: Passage(**{**usual(self), **ids}))
    async with AsyncExitStack() as stack:
        database = await stack.enter_async_context(Database(database_urls.runtime, size=6))
        house: Recorded = await stack.enter_async_context(recorded_in(database))

        async def graph() -> Any:
            return house.graph

        settings = Settings(home=str(tmp_path / "home"), rate=0)
        server = await stack.enter_async_context(serving(settings, database_urls, OwnHost(graph)))
        folder = tmp_path / "policies"
        folder.mkdir()
        written(folder, HOUSE.replace("WORD", "alpha"))
        policies = GuardrailsPolicies(load_bundles(folder))
        reloader = Reloader(str(folder), policies, noting(database, str(folder)))
        server.service.cipher = house.recorder.cipher  # lineage reads what the house recorded
        server.service.house = SimpleNamespace(**vars(house.served), policies=policies, reloader=reloader)  # type: ignore[assignment]
        webs = []
        for user, roles in (("boss", EVERYTHING), ("ana", ("reader",))):
            head = {"Authorization": f"Bearer {await server.token(user, roles)}"}
            webs.append(
                await stack.enter_async_context(httpx.AsyncClient(base_url=server.url, headers=head, timeout=60))
            )
        made = Place(server, webs[0], webs[1], folder, await _names(database, ids, *webs))
        yield made
        server.service.house = None


async def _names(
    database: Database, ids: dict[str, str], boss: httpx.AsyncClient, ana: httpx.AsyncClient
) -> dict[str, str]:
    facts: dict[str, Any] = {"uri": "notes.md", "language": "en", "model": "test", "end": 3, **ids}
    one = Stored(text="tea", vector=np.ones(2, dtype=np.float32), acl=frozenset({"everyone"}), **facts)
    await Bulk(database.acting, BOSS).put("c", [one])
    asked = {
        "assistant_id": "answer",
        "input": {"messages": [{"role": "user", "content": "What does the vault hold?"}]},
    }
    found = dict(ids)
    for name, web in (("thread", boss), ("anas", ana)):
        found[name] = (await web.post("/threads", json={})).json()["thread_id"]
        assert (await web.post(f"/threads/{found[name]}/runs/wait", json=asked)).json()["outcome"] == "answered"
    found["run"] = (await ana.get(f"/threads/{found['anas']}/runs")).json()[0]["run_id"]
    return found


TABLE: tuple[tuple[str, Any, list[str]], ...] = (
    ("PUT /groups/hr", {}, ["group_add"]),
    ("PUT /groups/hr", {}, []),
    ("PUT /users/ana", {"groups": ["hr"]}, ["user_change", "group_add"]),
    ("PUT /users/ana", {"roles": ["reader", "curator"]}, ["user_change"]),
    ("PUT /groups/hr", {"remove": ["ana"]}, ["group_remove"]),
    ("PUT /groups/hr", {"add": ["ana"]}, ["group_add"]),
    ("PUT /grants", {"target": "c", "to": "group:hr"}, ["grant"]),
    ("PUT /grants", {"target": "{document}", "to": "user:ana"}, ["grant"]),
    ("DELETE /grants?target=c&to=group:hr", None, ["revoke"]),
    ("DELETE /groups/hr", None, ["group_remove", "group_remove"]),
    ("PUT /fiel/policies/least", {"collection": "c", "policy": "default"}, ["policy_change"]),
    ("POST /fiel/policies/reload", None, ["policy_change"]),
    ("POST /fiel/policies/reload", None, []),
    ("GET /fiel/runs/{run}/trace", None, READ),
    ("GET /lineage/runs/{run}", None, READ),
    ("GET /audit/runs", None, READ),
    ("GET /audit/runs/{run}", None, READ),
    ("GET /audit/acts", None, READ),
    ("GET /audit/verify", None, READ),
    ("POST /audit/export", {}, ["export"]),
    ("POST /audit/runs/{run}/replay", {}, ["replay"]),
    ("POST /audit/runs/{run}/replay", {"options": {"k": 3}, "live": False}, ["replay"]),
    ("POST /threads/{thread}/state", {"values": {"language": "es"}, "as_node": "generate"}, ["state_edit"]),
    ("POST /runs/{run}/feedback", {"score": 1, "comment": "good"}, ["feedback"]),
    ("PUT /users/ben", {}, ["user_change"]),
    ("DELETE /users/ben", None, ["user_change"]),
    ("POST /audit/erasures", {"subject": "ana"}, ["token_revoke", "user_change", "erase"]),
)
"""What is sent, in this order, and the acts that it leaves."""


@pytest.mark.slow
@pytest.mark.timeout(300)
async def test_over_http_every_act_is_an_entry(place: Place) -> None:
    database, changed = place.server.service.database, 0
    for line, body, expected in TABLE:
        if line.endswith("reload"):
            written(place.folder, HOUSE.replace("WORD", "beta"))
        before = await done(database)
        # Feedback is given by whoever was answered.
        if line.endswith("feedback"):
            assert (await place.ana.post(f"/runs/{place.names['run']}/feedback", json=body)).status_code == 200
        else:
            await place.send(line, body)
        assert (await done(database))[len(before) :] == expected, line
        changed += len(expected)
    assert changed > 20


REFUSED = [(line, body) for line, body, expected in TABLE if expected and not line.endswith(("feedback", "state"))]


@pytest.mark.slow
async def test_what_is_refused_over_http_leaves_nothing(place: Place) -> None:
    await place.send("PUT /groups/hr", {})
    await place.send("PUT /users/ana", {})
    await place.send("PUT /users/ben", {})
    before, boss = await done(place.server.service.database), place.boss
    place.boss = stranger = httpx.AsyncClient(
        base_url=place.server.url, headers={"Authorization": f"Bearer {await place.server.token('eve')}"}, timeout=60
    )
    async with stranger:
        for line, body in REFUSED:
            with pytest.raises(AssertionError):
                await place.send(line, body)
    place.boss = boss
    assert (await done(place.server.service.database))[len(before) :] == ["token_create"], "that of eve's token"


COMMANDS: tuple[tuple[tuple[str, ...], list[str]], ...] = (
    (("token", "create", "--user", "ana"), ["token_create"]),
    (("token", "rotate", "{token}"), ["token_rotate"]),
    (("token", "revoke", "{token}"), ["token_revoke"]),
    (("group", "add", "hr"), ["group_add"]),
    (("user", "add", "ben", "--group", "hr"), ["user_change", "group_add"]),
    (("group", "remove", "hr", "ben"), ["group_remove"]),
    (("group", "remove", "hr"), ["group_remove"]),
    (("user", "remove", "ben"), ["user_change"]),
    (("grant", "c", "--to", "group:hr"), ["grant"]),
    (("revoke", "c", "--from", "group:hr"), ["revoke"]),
    (("policy", "require", "strict", "--collection", "c"), ["policy_change"]),
    (("lineage", "rebuild"), READ),
    (("audit", "verify"), READ),
    (("audit", "export", "-o", "ledger.jsonl"), ["export"]),
    (("erase", "--subject", "ana", "--yes"), ["erase"]),
    (("retention", "--days", "1", "--yes"), []),
    (("key", "rotate"), ["key_rotate"]),
)
"""Commands in this order, and the acts that they leave."""


@pytest.mark.slow
def test_over_the_command_line_every_act_is_an_entry(fiel: Fiel, database_urls: Urls, tmp_path: Path) -> None:
    async def so_far() -> list[str]:
        async with Database(database_urls.runtime, size=2) as database:
            return await done(database)

    (tmp_path / "a.md").write_text("The harbour opens at nine.")
    assert fiel("ingest", "a.md", "--collection", "c")[0] == 0
    token = ""
    for command, expected in COMMANDS:
        before = asyncio.run(so_far())
        status, told = fiel(*(one.format(token=token) for one in command))
        assert status == 0, (command, told)
        token = told["id"] if command[:2] == ("token", "create") else token
        assert asyncio.run(so_far())[len(before) :] == expected, command


async def test_what_a_token_of_the_identity_provider_changes_is_an_entry_once(database: Database) -> None:
    claims, now = Claims(database), int(time.time())
    for groups, roles, expected in (
        (("hr", "it"), ("reader",), ["group_add", "group_add", "user_change"]),
        (("hr", "it"), ("reader",), []),
        (("it",), ("curator", "reader"), ["group_remove", "user_change"]),
    ):
        before = await done(database)
        now += 1
        await claims.joined(Principal("default", "ana", frozenset(groups), frozenset(roles)), now)  # type: ignore[arg-type]
        assert (await done(database))[len(before) :] == expected


async def test_a_start_with_other_bundles_or_prompts_is_an_entry_once(database: Database) -> None:
    def texts(bundle: str, prompt: str) -> list[Text]:
        kinds: Any = (("bundle", "default", bundle), ("bundle", "strict", "1"), ("prompt", "default", prompt))
        return [Text(kind, name, version, version.encode()) for kind, name, version in kinds]

    for bundle, prompt, expected in (
        ("1", "1", []),  # nothing was in use before
        ("1", "1", []),
        ("2", "1", ["policy_change"]),
        ("2", "2", ["prompt_change"]),
        ("1", "1", ["policy_change", "prompt_change"]),  # back again
        ("1", "1", []),
    ):
        before = await done(database)
        await started(database, texts(bundle, prompt))
        assert (await done(database))[len(before) :] == expected, (bundle, prompt)
    await started(database, texts("1", "1")[1:])
    async with database.acting(BOSS) as connection:
        (last, *_) = await acts(connection, BOSS.tenant)
    assert last.body["detail"] == {"changed": {"default": {"before": "1", "after": None}}}
    assert (last.body["principal"]["id"], last.body["subject"]) == (STARTED.id, "bundles")


async def test_the_first_token_and_contents_that_go_by_age_are_entries(database: Database, database_urls: Urls) -> None:
    assert await Tokens(database).first(ACME, ACME)
    assert await Tokens(database).first(ACME, ACME) is None
    assert await done(database, ACME) == ["token_create"]
    await ask(database, "ana")
    aged(database_urls, 100)
    await retain(database, ACME, Rule(30))
    assert await done(database, ACME) == ["token_create", "retention"]


def test_no_kind_is_forgotten() -> None:
    """What leaves each kind of act stands above, or where it is named."""
    here = {kind for _, _, kinds in TABLE for kind in kinds} | {kind for _, kinds in COMMANDS for kind in kinds}
    elsewhere = {
        "prompt_change": "a start, above",
        "retention": "contents by age, above",
        "review": "tests/api/test_reviews.py",
    }
    assert here | set(elsewhere) == set(KINDS)
    assert not here & set(elsewhere)
