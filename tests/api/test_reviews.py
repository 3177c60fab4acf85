"""Review over HTTP: the asker waits and learns nothing, a reviewer decides, and the thread shows what came of it."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import datetime
from typing import Any
from uuid import UUID

import httpx
import openai
import orjson
import pytest
from langgraph.checkpoint.memory import InMemorySaver

from fiel.graphs.answer.graph import build
from fiel.infra.compose import cipher
from fiel.infra.database.connect import Database
from fiel.infra.hosts.own import OwnHost
from fiel.infra.ledger.effects import RecordedReviews
from fiel.infra.runs.errors import NotFound
from fiel.infra.runs.reviewing import Decision, Reviewing, rules
from fiel.infra.runs.reviews import KeptReviews
from fiel.infra.runs.sealed import Sealer
from fiel.infra.settings import Settings
from fiel.policies.terms import Terms
from fiel.tools.errors import SettingsError
from fiel.tools.principal import Principal
from tests.api.conftest import Server
from tests.conftest import Urls
from tests.graph.conftest import DRAFT, House, bundles, house  # noqa: F401
from tests.graph.test_review import wants

ASKED = {"messages": [{"role": "user", "content": "What does the vault hold?"}]}


@pytest.fixture
def database_urls(shared_urls: Urls) -> Urls:
    """One database for this file."""
    return shared_urls


@pytest.fixture
def hours() -> float:
    return 1.0


@pytest.fixture
async def host(
    house: House,  # noqa: F811
    service_settings: Settings,
    database_urls: Urls,
    hours: float,
) -> AsyncIterator[OwnHost]:
    async with Database(database_urls.runtime, size=2) as database:
        kept = KeptReviews(database, Sealer(cipher(service_settings)), hours)
        graph = build(replace(house.services, reviews=RecordedReviews(kept)), InMemorySaver())
        wants(house, "output")

        async def made() -> Any:
            return graph

        yield OwnHost(made)


@pytest.fixture
def web(http: Any) -> Any:
    return http


async def waiting(client: Any, user: str = "ann") -> tuple[Any, str, dict[str, Any]]:
    """A thread of the user that waits: client, thread, state."""
    mine = await client(user)
    thread = (await mine.threads.create())["thread_id"]
    state = await mine.runs.wait(thread, "answer", input=ASKED)
    return mine, thread, state


async def mine_of(reviewer: httpx.AsyncClient, thread: str) -> dict[str, Any]:
    """The review that waits on a thread, as the reviewer gets it."""
    listed = (await reviewer.get("/reviews", params={"limit": 1000})).json()
    (found,) = [one for one in listed if one["thread_id"] == thread]
    return (await reviewer.get(f"/reviews/{found['review_id']}")).json()  # type: ignore[no-any-return]


async def settled(mine: Any, thread: str) -> dict[str, Any]:
    """The thread's values once nothing waits or runs any more."""
    for _ in range(1_000):
        found = await mine.threads.get(thread)
        if found["status"] == "idle":
            values: dict[str, Any] = found["values"]
            return values
        await asyncio.sleep(0.05)
    raise AssertionError(f"the thread is {found['status']}")


async def test_a_reviewer_approves_and_the_thread_shows_the_answer(client: Any, web: Any) -> None:
    mine, thread, state = await waiting(client)
    assert (state["outcome"], state["reason"]) == ("pending", "under_review")
    assert "xylophone" not in str(state) + str(await mine.threads.get_state(thread))
    assert (await mine.threads.get(thread))["status"] == "interrupted"
    async with web("rita", roles=("auditor",)) as reviewer:
        found = await mine_of(reviewer, thread)
        assert (found["asked_by"], found["stage"], found["reason"]) == ("ann", "output", "sensitive")
        assert found["dossier"]["question"] == ASKED["messages"][0]["content"]
        assert found["dossier"]["draft"]["answer"] == f"{DRAFT} [1]"
        assert found["dossier"]["verdicts"][-1]["spans"]
        answer = await reviewer.post(
            f"/reviews/{found['review_id']}", json={"decision": "approve", "digest": found["digest"], "why": "harmless"}
        )
        assert answer.status_code == 200, answer.text
        assert (answer.json()["status"], answer.json()["decided_by"]) == ("approved", "rita")
        values = await settled(mine, thread)
        assert (values["outcome"], values["reason"], values["answer"]) == ("answered", "reviewed", f"{DRAFT} [1]")
        assert await mine.runs.join(thread, answer.json()["resumed_run"])
        again = await reviewer.post(
            f"/reviews/{found['review_id']}", json={"decision": "reject", "digest": found["digest"]}
        )
        assert again.status_code == 409
        assert (await reviewer.get(f"/reviews/{found['review_id']}")).json()["dossier"] is None


async def test_two_reviewers_decide_once_and_the_ledger_says_who(
    client: Any,
    web: Any,
    server: Server,
    house: House,  # noqa: F811
) -> None:
    mine, thread, _ = await waiting(client)
    async with web("rita", roles=("auditor",)) as rita, web("rob", roles=("auditor",)) as rob:
        found = await mine_of(rita, thread)
        place, told = f"/reviews/{found['review_id']}", {"digest": found["digest"], "why": "seen", "comment": "a word"}
        answers = await asyncio.gather(
            rita.post(place, json={**told, "decision": "approve"}),
            rob.post(place, json={**told, "decision": "approve"}),
        )
    assert sorted(answer.status_code for answer in answers) == [200, 409]
    by = "rita" if answers[0].status_code == 200 else "rob"
    values = await settled(mine, thread)
    assert values["outcome"] == "answered"
    run_id = values["messages"][-1]["response_metadata"]["run_id"]
    (entry,) = [one for one in await house.recorder.history(run_id) if one.decision.get("review", {}).get("by")]
    assert (entry.hop, entry.decision["review"]["by"], entry.decision["review"]["why"]) == ("review", by, "seen")
    async with server.service.database.acting(Principal("default", "rita")) as connection:
        rows = await (
            await connection.execute(
                "SELECT body FROM fiel.acts WHERE subject = %s AND kind = 'review'", [found["run_id"]]
            )
        ).fetchall()
    (act,) = [orjson.loads(row[0]) for row in rows]
    assert (act["principal"]["id"], act["detail"]["decision"], act["detail"]["subject"]) == (
        by,
        "approve",
        found["digest"],
    )
    assert "a word" not in str(act)


async def test_an_edit_and_a_rejection(client: Any, web: Any) -> None:
    async with web("rita", roles=("auditor",)) as reviewer:
        mine, thread, _ = await waiting(client)
        found = await mine_of(reviewer, thread)
        edit = {"decision": "edit", "digest": found["digest"], "text": "The vault holds a secret word [1]."}
        assert (await reviewer.post(f"/reviews/{found['review_id']}", json=edit)).status_code == 200
        values = await settled(mine, thread)
        assert (values["reason"], values["answer"]) == ("reviewer_edited", "The vault holds a secret word. [1]")
        mine, thread, _ = await waiting(client)
        found = await mine_of(reviewer, thread)
        reject = {"decision": "reject", "digest": found["digest"], "comment": "not for ann"}
        assert (await reviewer.post(f"/reviews/{found['review_id']}", json=reject)).status_code == 200
        values = await settled(mine, thread)
        assert (values["outcome"], values["reason"]) == ("refused", "review_rejected")
        assert "xylophone" not in str(values)
        assert "not for ann" not in str(values)


async def test_who_may_not_decide(client: Any, web: Any) -> None:
    mine, thread, _ = await waiting(client)
    async with web("rita", roles=("auditor",)) as reviewer:
        found = await mine_of(reviewer, thread)
    place, yes = f"/reviews/{found['review_id']}", {"decision": "approve", "digest": found["digest"]}
    for user, more, status in (
        ("bob", {"roles": ("reader", "curator", "developer", "administrator")}, 403),
        ("ann", {"roles": ("auditor",)}, 403),
        ("eve", {"roles": ("auditor",), "tenant": "other"}, 404),
    ):
        async with web(user, **more) as other:
            assert (await other.post(place, json=yes)).status_code == status
            if user != "ann":
                assert (await other.get(place)).status_code == status
                listed = await other.get("/reviews")
                assert listed.status_code == 403 or found["review_id"] not in listed.text
    async with web("rita", roles=("auditor",)) as reviewer:
        for wrong, status in (
            ({"digest": "f" * 64}, 409),
            ({"text": "The vault [1]."}, 400),
            ({"decision": "edit"}, 400),
            ({"decision": "expire"}, 422),
            ({"why": "a sentence of words"}, 422),
        ):
            assert (await reviewer.post(place, json={**yes, **wrong})).status_code == status
    state = await mine.runs.wait(thread, "answer", command={"resume": {"decision": "approve"}})
    assert state["outcome"] == "pending"
    assert "xylophone" not in str(state)


async def test_the_bundle_of_the_run_says_who_decides_and_whether_who_asked_may(
    client: Any,
    web: Any,
    house: House,  # noqa: F811
) -> None:
    own = Terms(frozenset({"curator", "developer"}), 0.5, True)
    for policy, by, roles, status in (
        (own, "rita", ("auditor", "administrator"), 403),
        (own, "ann", ("curator",), 200),
        (replace(own, own=False), "ann", ("curator",), 403),
        (replace(own, own=False), "carl", ("curator",), 200),
    ):
        house.policies.replace({"default": replace(house.policies.bundle("default"), review=policy)})
        _, thread, state = await waiting(client)
        assert state["outcome"] == "pending"
        async with web("carl", roles=("developer",)) as other:
            found = await mine_of(other, thread)
        opened, expires = (datetime.fromisoformat(found[name]) for name in ("opened_at", "expires_at"))
        assert abs((expires - opened).total_seconds() - 1800) < 60
        async with web(by, roles=roles) as reviewer:
            listed = (await reviewer.get("/reviews", params={"limit": 1000})).json()
            assert (thread in [one["thread_id"] for one in listed]) == ("curator" in roles)
            told = {"decision": "approve", "digest": found["digest"]}
            assert (await reviewer.post(f"/reviews/{found['review_id']}", json=told)).status_code == status


async def test_a_thread_that_went_on_waits_for_nothing(client: Any, web: Any, house: House) -> None:  # noqa: F811
    mine, thread, _ = await waiting(client)
    async with web("rita", roles=("auditor",)) as reviewer:
        found = await mine_of(reviewer, thread)
        wants(house, "output", ("nothing",))
        state = await mine.runs.wait(thread, "answer", input=ASKED)
        assert state["outcome"] == "answered"
        late = await reviewer.post(
            f"/reviews/{found['review_id']}", json={"decision": "approve", "digest": found["digest"]}
        )
        assert late.status_code == 409


async def test_without_a_thread_that_lasts_nobody_is_asked(client: Any, server: Server) -> None:
    state = await (await client("ann")).runs.wait(None, "answer", input=ASKED)
    assert (state["outcome"], state["reason"]) == ("refused", "review_unavailable")
    async with openai.AsyncOpenAI(base_url=f"{server.url}/v1", api_key=await server.token("ann")) as ai:
        said = await ai.chat.completions.create(model="answer", messages=[{"role": "user", "content": "The vault?"}])
    assert said.choices[0].finish_reason == "content_filter"
    assert "xylophone" not in said.model_dump_json()


@pytest.mark.parametrize("hours", [0.0])
async def test_what_nobody_decides_in_time_is_refused(client: Any, server: Server) -> None:
    mine, thread, state = await waiting(client)
    if state["outcome"] == "pending":
        chores = server.service.engine.chores
        assert chores is not None
        assert await chores._reviewing.expire() >= 1
    values = await settled(mine, thread)
    assert (values["outcome"], values["reason"]) == ("refused", "review_expired")
    assert "xylophone" not in str(values)


async def test_who_may_not_read_the_collection_may_not_review(client: Any, web: Any, server: Server) -> None:
    _, thread, _ = await waiting(client)
    async with web("rita", roles=("auditor",)) as reviewer:
        found = await mine_of(reviewer, thread)

    async def never(reviewer: Principal, collection: str) -> bool:
        assert (reviewer.id, collection) == ("rita", "default")
        return False

    async def lives(who: Any) -> bool:
        return True

    service, rita = server.service, Principal("default", "rita", frozenset(), frozenset({"auditor"}))
    desk = Reviewing(service.engine.runs, Sealer(service.cipher), rules(service.settings), lives, never)
    with pytest.raises(NotFound):
        await desk.get(rita, UUID(found["review_id"]))
    with pytest.raises(NotFound):
        await desk.decide(rita, UUID(found["review_id"]), Decision("approve", found["digest"], "seen"))


@pytest.mark.parametrize("roles", ["", "auditors", "auditor, nobody"])
def test_roles_that_are_none_stop_the_start(roles: str) -> None:
    with pytest.raises(SettingsError, match="review_roles"):
        rules(Settings(review_roles=roles))
    assert rules(Settings(review_roles="auditor, administrator")).roles == {"auditor", "administrator"}
