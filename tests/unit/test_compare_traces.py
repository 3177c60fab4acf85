"""MLflow's traces against the ledger: whatever is altered, added, doubled or taken away is named by its place."""

import base64
import copy
import json
from collections.abc import AsyncIterator, Callable, Sequence
from typing import Any
from uuid import UUID, uuid4

import pytest
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.proto.trace.v1.trace_pb2 import TracesData

from fiel.infra.database.connect import Database
from fiel.infra.desk import traces
from fiel.infra.ledger.keys import Cipher, key_of
from fiel.infra.ledger.postgres import PostgresStore
from fiel.infra.ledger.receipts import packed, receipt, receipts
from fiel.infra.ledger.recorder import LedgerRecorder
from fiel.infra.ledger.subjects import SubjectKeys, erase_key
from fiel.infra.telemetry import otlp
from fiel.tools.errors import NotPermitted
from fiel.tools.principal import local_administrator
from tests.unit.test_mlflow_server import ANA, CIPHER, Callers, graph

ADMIN = local_administrator("acme")
Trace = dict[str, Any]


def any_value(value: Any) -> dict[str, Any]:
    """A value as MLflow's REST interface gives it."""
    if value is None:
        return {}
    if isinstance(value, dict):
        return {"kvlist_value": {"values": [{"key": key, "value": any_value(one)} for key, one in value.items()]}}
    if isinstance(value, list):
        return {"array_value": {"values": [any_value(one) for one in value]}}
    kinds: dict[type, str] = {bool: "bool_value", str: "string_value", int: "int_value", float: "double_value"}
    return {kinds[type(value)]: value}


def stored(span: Any) -> dict[str, Any]:
    """A span as MLflow keeps it: texts that are JSON are taken apart, and an attribute of its own is added."""
    attributes = []
    for one in span.attributes:
        value = getattr(one.value, one.value.WhichOneof("value"))
        parsed = json.loads(value) if isinstance(value, str) and value[:1] in ("{", "[") else value
        attributes.append({"key": one.key, "value": any_value(parsed)})
    attributes.append({"key": "mlflow.traceRequestId", "value": {"string_value": f"tr-{span.trace_id.hex()}"}})
    code = {1: "STATUS_CODE_OK", 2: "STATUS_CODE_ERROR"}[span.status.code]
    facts = {"name": span.name, "attributes": attributes, "status": {"code": code, "message": span.status.message}}
    facts |= {"start_time_unix_nano": span.start_time_unix_nano, "end_time_unix_nano": str(span.end_time_unix_nano)}
    ids = {"trace_id": span.trace_id, "span_id": span.span_id, "parent_span_id": span.parent_span_id}
    return facts | {name: base64.b64encode(id).decode() for name, id in ids.items() if id}


class Kept:
    """An MLflow server that has taken what waits, as far as comparing asks it."""

    def __init__(self) -> None:
        self.held: dict[str, Trace] = {}

    async def take(self, database: Database, keys: SubjectKeys) -> None:
        async with database.system() as connection:
            rows = await (await connection.execute("DELETE FROM fiel.spans RETURNING run::text, key, data")).fetchall()
        for run, key, data in rows:
            content = (await keys.named(key)).cipher.open("spans", run, bytes(data), key)
            for one in TracesData.FromString(content).resource_spans:
                for span in one.scope_spans[0].spans:
                    self._keep(stored(span), span)

    def _keep(self, shown: dict[str, Any], span: Any) -> None:
        name = span.trace_id.hex()
        trace = self.held.setdefault(name, {"trace_info": {"trace_id": f"tr-{name}", "tags": {}}, "spans": []})
        trace["spans"] = [one for one in trace["spans"] if one["span_id"] != shown["span_id"]] + [shown]
        if not span.parent_span_id:
            tags = [one for one in span.attributes if one.key.startswith("mlflow.traceTag.")]
            trace["trace_info"]["tags"] |= {one.key[len("mlflow.traceTag.") :]: one.value.string_value for one in tags}

    async def traces(self, names: Sequence[str]) -> list[Trace]:
        return [self.held[name] for name in names if name in self.held]

    async def names(self, since: int = 0) -> AsyncIterator[list[str]]:
        yield list(self.held)


@pytest.fixture(autouse=True)
def _at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(traces, "ARRIVAL", 0.0)


@pytest.fixture
def keys(database: Database) -> SubjectKeys:
    return SubjectKeys(database.system, CIPHER)


async def asked(database: Database, keys: SubjectKeys, count: int = 1) -> tuple[list[str], Kept]:
    """Runs that were recorded and shipped."""
    store = PostgresStore(database.system, database.aside)
    recorder = LedgerRecorder(store, CIPHER, Callers(), redact=str.upper, keys=keys)
    compiled, runs, kept = graph(recorder), [uuid4() for _ in range(count)], Kept()
    for run in runs:
        await compiled.ainvoke({"question": "is ½ “5”? \x01"}, {"run_id": run})
    await recorder.close()
    await kept.take(database, keys)
    return [str(run) for run in runs], kept


async def compared(database: Database, keys: SubjectKeys, kept: Any, **more: Any) -> dict[str, Any]:
    return await traces.compare(database, keys, kept, ADMIN, **more)


async def test_traces_that_nobody_touched_are_those_of_the_ledger(database: Database, keys: SubjectKeys) -> None:
    _, kept = await asked(database, keys, 23)
    value = await compared(database, keys, kept)
    assert (value["runs"], value["spans"], value["broken"]) == (23, 23 * 5, [])
    assert {name: value[name] for name in ("waiting", "refused", "unrecorded", "erased")} == {
        "waiting": 0, "refused": 0, "unrecorded": 0, "erased": 0,
    }  # fmt: skip
    assert (await compared(database, keys, kept, since=2**52))["runs"] == 0
    other = await traces.compare(database, keys, kept, local_administrator("other"))  # type: ignore[arg-type]
    assert (other["runs"], other["broken"]) == (0, []), "the traces of another tenant are no strangers"
    with pytest.raises(NotPermitted):
        await traces.compare(database, keys, kept, ANA)  # type: ignore[arg-type]


Change = Callable[[dict[str, Any]], Any]


def attribute(name: str, value: Any) -> Change:
    def change(span: dict[str, Any]) -> None:
        span["attributes"] = [one for one in span["attributes"] if one["key"] != name]
        span["attributes"].append({"key": name, "value": any_value(value)})

    return change


CHANGES: list[Change] = [
    attribute("fiel.seq", 7),
    attribute("fiel.edited", True),
    attribute("fiel.outcome", "refused"),
    attribute("user.id", "eve"),
    attribute("mlflow.spanOutputs", {"answer": "another"}),
    attribute("mlflow.spanOutputs", None),
    attribute("mlflow.spanType", "TOOL"),
    attribute("something.new", 1),
    lambda span: span.update(name="another"),
    lambda span: span.update(start_time_unix_nano=int(span["start_time_unix_nano"]) + 1),
    lambda span: span.update(end_time_unix_nano=-1),
    lambda span: span.update(status={"code": "STATUS_CODE_ERROR", "message": "no"}),
    lambda span: span.update(parent_span_id="AAAAAAAAAAA="),
    lambda span: span.update(events=[{"name": "said"}]),
    lambda span: span.update(trace_id=base64.b64encode(bytes(16)).decode()),
    lambda span: span["attributes"].pop(0),
]


@pytest.mark.parametrize("place", range(5))
async def test_any_change_of_any_span_is_named(database: Database, keys: SubjectKeys, place: int) -> None:
    (run,), kept = await asked(database, keys)
    whole = kept.held[run.replace("-", "")]
    for number, change in enumerate(CHANGES):
        altered = copy.deepcopy(whole)
        change(altered["spans"][place])
        kept.held[run.replace("-", "")] = altered
        broken = (await compared(database, keys, kept))["broken"]
        own = base64.b64decode(whole["spans"][place]["span_id"]).hex()
        name = whole["spans"][place]["name"]
        said = [one for one in broken if "another than was sent" in one["what"]]
        assert said == [{"run": run, "span": own, "name": name, "what": "the span is another than was sent"}], number


async def test_what_is_missing_doubled_or_strange_is_told_apart(database: Database, keys: SubjectKeys) -> None:
    runs, kept = await asked(database, keys, 4)
    first, second, third, _ = (run.replace("-", "") for run in runs)
    gone = kept.held[first]["spans"].pop(1)
    twice, strange = copy.deepcopy(kept.held[second]["spans"][0]), copy.deepcopy(kept.held[second]["spans"][0])
    twice["span_id"], strange["span_id"] = "AAAAAAAAAAE=", "AAAAAAAAAAI="
    strange["name"] = "invented"
    kept.held[second]["spans"] += [twice, strange, kept.held[second]["spans"][2]]
    kept.held[second]["trace_info"]["tags"]["fiel.outcome"] = "refused"
    del kept.held[third]
    kept.held[uuid4().hex] = {"trace_info": {"trace_id": "tr-" + "0" * 32}, "spans": []}
    broken = (await compared(database, keys, kept))["broken"]
    told = [(one["run"], one["name"], one["what"]) for one in broken]
    assert sorted(told, key=str) == sorted(
        [
            (runs[0], gone["name"], "the span is missing"),
            (runs[1], twice["name"], "the hop has another span beside its own"),
            (runs[1], "invented", "the ledger knows no such span"),
            (runs[1], kept.held[second]["spans"][2]["name"], "the span is there twice"),
            (runs[1], "answer", "the tag fiel.outcome of the trace is not what its root span says"),
            (runs[2], None, "the trace is missing"),
            (str(UUID(list(kept.held)[-1])), None, "the ledger knows no run of this trace"),
        ],
        key=str,
    )


async def test_what_cannot_be_compared_is_counted(database: Database, keys: SubjectKeys) -> None:
    runs, kept = await asked(database, keys, 3)
    del kept.held[runs[0].replace("-", "")]
    async with database.system() as connection:
        await connection.execute(
            "INSERT INTO fiel.spans (run, key, data, refused) VALUES (%s, 'k', '', ''), (%s, 'k', '', '422')",
            (runs[0], runs[1]),
        )
    value = await compared(database, keys, kept)
    assert (value["waiting"], value["refused"], value["broken"]) == (2, 1, [])
    elsewhere = SubjectKeys(database.system, Cipher(key_of(b"x" * 32)))
    assert (await compared(database, elsewhere, kept))["unrecorded"] == 1
    async with database.system() as connection:
        await erase_key(connection, "acme", "ana")
    fresh = SubjectKeys(database.system, CIPHER)
    del kept.held[runs[1].replace("-", "")]
    value = await compared(database, fresh, kept)
    assert (value["erased"], [(one["run"], one["what"]) for one in value["broken"]]) == (
        1, [(runs[2], "the run was erased, and its trace is still there")],
    )  # fmt: skip
    async with database.system() as connection:
        await connection.execute("INSERT INTO fiel.trace_removals (run) VALUES (%s)", (runs[2],))
    value = await compared(database, fresh, kept)
    assert (value["waiting"], value["broken"]) == (3, [])


@given(name=st.text(max_size=300), parent=st.booleans(), id=st.binary(min_size=8, max_size=8))
def test_a_span_knows_its_id_and_name(name: str, parent: bool, id: bytes) -> None:
    above = bytes(8) if parent else b""
    clean = name.encode(errors="replace").decode()
    data = otlp.span(
        trace=bytes(16), id=id, parent=above, name=clean, start=1, end=2, values={"a": clean}, error=None
    )  # fmt: skip
    assert otlp.identity(data) == (id.hex(), clean)


def test_a_text_of_a_user_is_no_receipt() -> None:
    span = otlp.span(trace=bytes(16), id=bytes(8), parent=b"", name="n", start=1, end=2, values={}, error=None)
    one = receipt(span, b"k" * 32)
    said = json.dumps("\0receipts of spans\0[]").encode()
    assert receipts({"a": said, "b": b"[]", "c": packed([one])}) == {"00" * 8: one}
    newer = one._replace(digest="f" * 64)
    assert receipts({"c": packed([one]), "d": packed([newer])}) == {"00" * 8: newer}
