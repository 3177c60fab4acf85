"""Data keys: one a subject, wrapped, the same in every process; what is erased stays erased."""

import asyncio
from collections.abc import Mapping
from typing import Any, TypedDict
from uuid import uuid4

import psycopg
import pytest
from langchain_core.runnables import RunnableConfig
from langgraph.graph import END, START, StateGraph

from fiel.infra.database.connect import Database
from fiel.infra.ledger.frames import unpack
from fiel.infra.ledger.keys import Cipher, KeyUnavailable, key_of
from fiel.infra.ledger.postgres import PostgresStore
from fiel.infra.ledger.recorder import LedgerRecorder
from fiel.infra.ledger.subjects import KeyErased, SubjectKeys, erase_key
from fiel.tools.canonical import content_digest_trusted, digest_of
from fiel.tools.principal import Principal
from fiel.tools.record import Entry, Hop
from tests.conftest import Urls

MASTER = Cipher(key_of(b"k" * 32))


class Callers:
    def __init__(self, name: str) -> None:
        self.name = name

    def principal(self, config: Mapping[str, Any]) -> Principal:
        return Principal("acme", self.name, frozenset(), frozenset({"reader"}))


class State(TypedDict, total=False):
    question: str
    seen: str
    outcome: str


async def ask(database: Database, caller: str, question: str = "si") -> tuple[str, dict[str, Any], list[Entry]]:
    """A run of one hop, which says what it takes the question's digest for."""
    store = PostgresStore(database.system, database.aside)
    recorder = LedgerRecorder(store, MASTER, Callers(caller), redact=str, keys=SubjectKeys(database.system, MASTER))

    async def hop(state: State, runtime: Any, config: RunnableConfig) -> dict[str, Any]:
        return {"seen": content_digest_trusted(state["question"]), "outcome": "answered"}

    graph = StateGraph(State)
    graph.add_node("hop", recorder.wear(Hop("hop", "CHAIN", first=True, terminal=True), hop))
    graph.add_edge(START, "hop")
    graph.add_edge("hop", END)
    run = uuid4()
    state = await graph.compile().ainvoke({"question": question}, {"run_id": run})
    entries = list(await recorder.history(str(run)))
    await recorder.close()
    return str(run), state, entries


async def erase(database: Database, subject: str) -> list[str]:
    async with database.system() as connection:
        return await erase_key(connection, "acme", subject)


async def test_a_subject_has_one_key_whoever_asks_first(database: Database) -> None:
    asked = [SubjectKeys(database.system, MASTER).of("acme", "ana") for _ in range(4)]
    assert len({key.id for key in await asyncio.gather(*asked)}) == 1
    other = await SubjectKeys(database.system, MASTER).of("acme", "ben")
    foreign = await SubjectKeys(database.system, MASTER).of("other", "ana")
    assert len({(await asked_again(database)).id, other.id, foreign.id}) == 3


async def asked_again(database: Database) -> Any:
    return await SubjectKeys(database.system, MASTER).of("acme", "ana")


async def test_digests_are_equal_for_one_subject_and_say_nothing_to_others(database: Database) -> None:
    _, one, (first,) = await ask(database, "ana")
    _, again, _ = await ask(database, "ana")
    _, other, _ = await ask(database, "ben")
    assert one["seen"] == again["seen"] == first.reads["question"]
    assert len({one["seen"], other["seen"], digest_of("si")}) == 3


async def test_contents_open_with_the_key_that_they_name_until_it_is_erased(database: Database) -> None:
    run, state, _ = await ask(database, "ana", "where is it?")
    (blob,) = await PostgresStore(database.system).frames(run)
    key = await SubjectKeys(database.system, MASTER).named(blob.key)
    contents = dict(unpack(key.cipher.open("frame", run, blob.data, blob.key), key.mac))
    assert contents[state["seen"]] == b'"where is it?"'
    with pytest.raises(KeyUnavailable):
        MASTER.open("frame", run, blob.data, blob.key)
    assert blob.key in await erase(database, "ana")
    with pytest.raises(KeyErased):
        await SubjectKeys(database.system, MASTER).named(blob.key)
    assert (await SubjectKeys(database.system, MASTER).of("acme", "ana")).id != blob.key


async def test_what_was_erased_stays_so(database: Database, database_urls: Urls) -> None:
    await SubjectKeys(database.system, MASTER).of("acme", "ana")
    await erase(database, "ana")
    with psycopg.connect(database_urls.owner) as connection, pytest.raises(psycopg.Error, match="stays so"):
        connection.execute("UPDATE fiel.subject_keys SET wrapped = 'x', erased = NULL")


async def test_a_lost_master_key_is_a_clear_error(database: Database) -> None:
    key = await SubjectKeys(database.system, MASTER).of("acme", "ana")
    lost = SubjectKeys(database.system, Cipher(key_of(b"x" * 32)))
    with pytest.raises(KeyUnavailable, match="which is not here"):
        await lost.named(key.id)
    with pytest.raises(KeyUnavailable, match="is not here"):
        await lost.named("0" * 16)


async def test_a_key_that_was_swapped_for_another_is_not_used(database: Database, database_urls: Urls) -> None:
    keys = SubjectKeys(database.system, MASTER)
    ana, ben = await keys.of("acme", "ana"), await keys.of("acme", "ben")
    with psycopg.connect(database_urls.owner) as connection:
        connection.execute(
            "UPDATE fiel.subject_keys a SET wrapped = b.wrapped FROM fiel.subject_keys b WHERE b.id = %s AND a.id = %s",
            (ben.id, ana.id),
        )
    with pytest.raises(KeyUnavailable, match="altered"):
        await SubjectKeys(database.system, MASTER).named(ana.id)
