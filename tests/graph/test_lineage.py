"""What lineage reads of a run is what the graph has shown: of whole answers, and of those released in windows."""

from typing import Any

import orjson
import pytest

from fiel.graphs.answer.options import Options
from fiel.infra.ledger.frames import unpack
from fiel.infra.lineage.facts import Told, released, uses
from tests.graph.conftest import READER, House
from tests.graph.test_windows import FACTS, SECRET, prepare

WINDOW = Options(release="window")


async def told(house: House, run: str) -> Told:
    """The run as `facts.told` reads it from PostgreSQL."""
    row = house.store.runs[run]
    one = Told(run, row.tenant, row.caller, row.started, row.resumes, row.resumes_seq)
    one.bodies = [orjson.loads(entry.body) for entry in house.store.sealed[run]]
    for blob in house.store.contents[run]:
        key = await house.recorder.keys.named(blob.key)
        one.contents |= dict(unpack(key.cipher.open("frame", run, blob.data, blob.key), key.mac))
    return one


async def asked(house: House, options: Options) -> tuple[dict[str, Any], Told]:
    state = await house.ask("What does the archive keep?", principal=READER, options=options)
    await house.recorder.writer.drain()
    (run,) = house.store.runs
    return state, await told(house, run)


@pytest.mark.parametrize("options", [Options(), WINDOW])
async def test_the_sentences_of_an_answer_are_those_that_were_shown(house: House, options: Options) -> None:
    prepare(house, *FACTS)
    state, one = await asked(house, options)
    shown = released(one)
    assert state["outcome"] == "answered" and list(shown.citations) == state["citations"]
    assert [sentence["text"] for sentence in shown.sentences] == FACTS
    assert {sentence["label"] for sentence in shown.sentences} == {"supported"}
    (use,) = uses(state["passages"], shown)
    assert (use.document, use.chunks, use.sentences) == ("d1", ("c1",), tuple(range(1, len(FACTS) + 1)))


async def test_of_an_answer_that_was_cut_short_what_was_shown_counts(house: House) -> None:
    prepare(house, *FACTS[:8], SECRET, *FACTS[8:])
    state, one = await asked(house, WINDOW)
    assert state["outcome"] == "refused" and FACTS[0][:-1] in state["answer"]
    shown = released(one)
    assert 0 < len(shown.sentences) < len(FACTS)
    assert all(sentence["text"][:-1] in state["answer"] for sentence in shown.sentences)
    assert not any("password" in sentence["text"] for sentence in shown.sentences)
    (use,) = uses(state["passages"], shown)
    assert use.sentences == tuple(range(1, len(shown.sentences) + 1))


async def test_of_an_answer_that_was_never_shown_nothing_counts(house: House) -> None:
    prepare(house, *FACTS[:8], SECRET)
    state, one = await asked(house, Options())
    assert state["outcome"] == "refused" and not released(one).sentences
    assert [use.sentences for use in uses(state["passages"], released(one))] == [()]
