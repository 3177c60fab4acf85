"""A trace as MLflow gives it, compared with the receipts of its spans: what is missing, altered, or there twice."""

import json
import struct
from collections.abc import Iterator, Mapping, Sequence
from hmac import compare_digest
from typing import Any

import orjson

from fiel.infra.ledger.encode import digest
from fiel.infra.ledger.receipts import Receipt
from fiel.infra.telemetry import otlp
from fiel.infra.telemetry.given_back import id_of, value_of

Json = dict[str, Any]
OWN = frozenset({"mlflow.traceRequestId"})
"""Attributes that MLflow adds to each span."""
PERHAPS = "mlflow.llm.cost"
"""An attribute that MLflow computes where fiel sent none and the model's price is known to it."""
TEXTS = frozenset({"mlflow.spanInputs", "mlflow.spanOutputs"})
"""Attributes that were sent as compact JSON, and are read as what it says."""
TAG = "mlflow.traceTag."


def differences(trace: Mapping[str, Any], receipts: Mapping[str, Receipt], key: bytes) -> Iterator[Json]:
    """`{"span", "name", "what"}` of each difference; `key` is that of the run's digests."""
    there: dict[str, Mapping[str, Any]] = {}
    for span in trace["spans"]:
        id = id_of(span["span_id"])
        if id in there:
            yield _difference(id, span["name"], "the span is there twice")
        there[id] = span
    hops = {id: _place(span) for id, span in there.items()}
    for id, span in there.items():
        if id not in receipts:
            twin = any(hops[other] == hops[id] for other in there if other in receipts)
            what = "the hop has another span beside its own" if twin else "the ledger knows no such span"
            yield _difference(id, span["name"], what)
        elif not _fits(trace, span, receipts[id], key):
            yield _difference(id, receipts[id].name, "the span is another than was sent")
    for id, receipt in receipts.items():
        if id not in there:
            yield _difference(id, receipt.name, "the span is missing")
    yield from _tags(trace, there, receipts)


def _difference(span: str, name: str, what: str) -> Json:
    return {"span": span, "name": name, "what": what}


def _fits(trace: Mapping[str, Any], span: Mapping[str, Any], receipt: Receipt, key: bytes) -> bool:
    try:
        made = list(_serialised(trace, span))
    except (ValueError, TypeError, KeyError, AttributeError, OverflowError, struct.error):
        return False
    return any(compare_digest(digest(one, key), receipt.digest) for one in made)


def _serialised(trace: Mapping[str, Any], span: Mapping[str, Any]) -> Iterator[bytes]:
    """The span as fiel would have written it: with all that MLflow has, and without what MLflow may have added."""
    values = {one["key"]: _sent(one["key"], value_of(one.get("value", {}))) for one in span.get("attributes", ())}
    values = {name: value for name, value in sorted(values.items()) if name not in OWN}
    status, links = span.get("status", {}), [*span.get("events", ()), *span.get("links", ())]
    if links:
        return  # fiel sends none
    for kept in (values, {name: value for name, value in values.items() if name != PERHAPS}):
        yield otlp.span(
            trace=bytes.fromhex(id_of(span["trace_id"])),
            id=bytes.fromhex(id_of(span["span_id"])),
            parent=bytes.fromhex(id_of(span.get("parent_span_id", ""))),
            name=span["name"],
            start=int(span["start_time_unix_nano"]),
            end=int(span["end_time_unix_nano"]),
            values=kept,
            error=status.get("message", "") if status.get("code") == "STATUS_CODE_ERROR" else None,
        )


def _sent(name: str, value: Any) -> otlp.Value:
    """What fiel sent, from what MLflow made of it."""
    if isinstance(value, dict | list):
        return orjson.dumps(value).decode() if name in TEXTS else json.dumps(value)
    if value is None:
        raise ValueError(name)
    sent: otlp.Value = value
    return sent


def _place(span: Mapping[str, Any]) -> tuple[Any, ...]:
    """Which hop a span says it is of: by its name and its entry, or as the root."""
    facts = {one["key"]: one.get("value", {}) for one in span.get("attributes", ())}
    return span["name"], value_of(facts.get("fiel.seq", {})), bool(span.get("parent_span_id"))


def _tags(trace: Mapping[str, Any], there: Mapping[str, Any], receipts: Mapping[str, Receipt]) -> Iterator[Json]:
    """Tags of the trace that say something else than its root span, from which MLflow took them."""
    shown = trace.get("trace_info", {}).get("tags", {})
    for id, span in there.items():
        if span.get("parent_span_id") or id not in receipts:
            continue
        for one in span.get("attributes", ()):
            name = one["key"].removeprefix(TAG)
            if name != one["key"] and shown.get(name) != value_of(one.get("value", {})):
                yield _difference(id, span["name"], f"the tag {name} of the trace is not what its root span says")


def of_runs(traces: Sequence[Mapping[str, Any]]) -> dict[str, Mapping[str, Any]]:
    """Traces by the 32 digits of their ids."""
    return {one["trace_info"]["trace_id"].removeprefix("tr-"): one for one in traces}
