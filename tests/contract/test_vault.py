"""The contract of vaults: in memory, and over the ledger's stores."""

from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from typing import Any, TypedDict
from uuid import uuid4

import pytest
from langchain_core.runnables import RunnableConfig
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.graph import END, START, StateGraph

from fiel.infra.database.connect import Database
from fiel.infra.ledger.keys import Cipher, key_of
from fiel.infra.ledger.postgres import PostgresStore
from fiel.infra.ledger.recorder import LedgerRecorder
from fiel.infra.ledger.store import MemoryStore, Store
from fiel.infra.ledger.subjects import Keys, OneKey, SubjectKeys
from fiel.infra.ledger.vault import LedgerVault
from fiel.tools.canonical import digest_of
from fiel.tools.principal import Principal
from fiel.tools.record import Hop
from fiel.tools.vault import MemoryVault, Vault

CIPHER = Cipher(key_of(b"k" * 32))
DRAFT = {"sentences": [{"text": "El año 1999.", "quotes": [{"passage": 0, "start": 1, "end": 4}]}]}


class Callers:
    def principal(self, config: Mapping[str, Any]) -> Principal:
        return Principal("acme", "ana", frozenset(), frozenset({"reader"}))


class State(TypedDict, total=False):
    question: str
    draft: str
    outcome: str
    answer: str


@dataclass
class House:
    """A two-hop graph: `generate` puts a draft, `release` gets it."""

    recorder: LedgerRecorder
    vault: Vault
    saver: Any = None
    lasting: bool = False

    def graph(self, **more: Any) -> Any:
        async def generate(state: State, runtime: Any, config: RunnableConfig) -> dict[str, Any]:
            run = self.recorder.run_of(runtime, config)
            return {"draft": await self.vault.put(run, DRAFT, lasting=self.lasting)}

        async def release(state: State, runtime: Any, config: RunnableConfig) -> dict[str, Any]:
            found = await self.vault.get(self.recorder.run_of(runtime, config), state["draft"])
            return {"outcome": "answered", "answer": found["sentences"][0]["text"] if found else "gone"}

        graph = StateGraph(State)
        graph.add_node("generate", self.recorder.wear(Hop("generate", "CHAIN", first=True), generate))
        graph.add_node("release", self.recorder.wear(Hop("release", "CHAIN", terminal=True), release))
        graph.add_edge(START, "generate")
        graph.add_edge("generate", "release")
        graph.add_edge("release", END)
        return graph.compile(checkpointer=self.saver, **more)


def house(kind: str, store: Store, keys: Keys | None = None) -> House:
    recorder = LedgerRecorder(store, CIPHER, Callers(), redact=str, keys=keys)
    vault = MemoryVault(recorder.lineage) if kind == "memory" else LedgerVault(recorder)
    return House(recorder, vault, InMemorySaver())


@pytest.fixture(params=["memory", "ledger", "postgres", "keyed"])
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def store(kind: str, request: pytest.FixtureRequest) -> Store:
    if kind not in ("postgres", "keyed"):
        return MemoryStore()
    database: Database = request.getfixturevalue("database")
    return PostgresStore(database.system, database.aside)


@pytest.fixture
async def home(kind: str, store: Store, request: pytest.FixtureRequest) -> AsyncIterator[House]:
    keys = SubjectKeys(request.getfixturevalue("database").system, CIPHER) if kind == "keyed" else None
    made = house(kind, store, keys)
    yield made
    await made.recorder.close()


def config() -> Any:
    return {"run_id": uuid4(), "configurable": {"thread_id": "t"}}


async def test_a_draft_is_found_by_its_run_and_by_nobody_else(home: House) -> None:
    setup = config()
    state = await home.graph().ainvoke({"question": "q"}, setup, durability="exit")
    assert state["answer"] == "El año 1999."
    assert (state["draft"] == digest_of(DRAFT)) == (home.recorder.keys.__class__ is OneKey)
    assert await home.vault.get(str(uuid4()), state["draft"]) is None


async def test_an_unknown_digest_is_not_found(home: House) -> None:
    await home.graph(interrupt_before=["release"]).ainvoke({"question": "q"}, setup := config(), durability="sync")
    assert await home.vault.get(str(setup["run_id"]), "0" * 64) is None


@pytest.mark.parametrize("durability", ["sync", "exit"])
async def test_whoever_resumes_a_run_finds_its_draft(home: House, durability: Any) -> None:
    graph = home.graph(interrupt_before=["release"])
    await graph.ainvoke({"question": "q"}, config(), durability=durability)
    state = await graph.ainvoke(None, config(), durability=durability)
    assert state["answer"] == "El año 1999."


@pytest.mark.parametrize("lasting", [False, True])
async def test_what_lasts_is_found_once_its_run_has_ended(kind: str, store: Store, lasting: bool) -> None:
    if kind == "memory":
        pytest.skip("the vault in memory keeps everything until its process ends")
    one = house(kind, store)
    one.lasting = lasting
    state = await one.graph().ainvoke({"question": "q"}, setup := config(), durability="exit")
    await one.recorder.close()
    two = house(kind, store)
    found = await two.vault.get(str(setup["run_id"]), state["draft"])
    assert found == (DRAFT if lasting else None)
    await two.recorder.close()


async def test_a_draft_outlives_its_process_where_steps_are_saved(kind: str, store: Store) -> None:
    if kind == "memory":
        pytest.skip("the vault in memory ends with its process")
    one = house(kind, store)
    await one.graph(interrupt_before=["release"]).ainvoke({"question": "q"}, config(), durability="sync")
    await one.recorder.close()
    two = house(kind, store)
    two.saver = one.saver
    state = await two.graph().ainvoke(None, config(), durability="sync")
    assert state["answer"] == "El año 1999."
    assert await LedgerVault(two.recorder).sweep() == 0
    assert await LedgerVault(two.recorder, retention=0).sweep() == 1
    await two.recorder.close()


async def test_drafts_lie_encrypted_and_only_as_long_as_they_may_be_resumed(database: Database) -> None:
    home = house("ledger", PostgresStore(database.system, database.aside))
    await home.graph(interrupt_before=["release"]).ainvoke({"question": "q"}, config(), durability="sync")
    await home.graph().ainvoke(
        {"question": "q"}, {"run_id": uuid4(), "configurable": {"thread_id": "u"}}, durability="exit"
    )
    async with database.system() as connection:
        rows = await (await connection.execute("SELECT data FROM fiel.drafts")).fetchall()
        frames = await (await connection.execute("SELECT data FROM fiel.frames")).fetchall()
        spans = await (await connection.execute("SELECT data FROM fiel.spans")).fetchall()
    assert len(rows) == 1
    assert not any(b"1999" in bytes(data) for (data,) in [*rows, *frames, *spans])
    await home.recorder.close()
