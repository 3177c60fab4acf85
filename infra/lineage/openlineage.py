"""OpenLineage events of ingests and of answers, for data catalogues: ids, addresses and codes, never a text of a user.

https://openlineage.io/docs/spec/object-model. A job is `answer`, or an ingest into a collection; its run has a START
and one of COMPLETE and FAIL. A dataset is a document by its id, a collection by its name, or the source of an ingest.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from importlib import metadata
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

if TYPE_CHECKING:
    from openlineage.client.event_v2 import InputDataset, Job, OutputDataset, Run

    from fiel.infra.lineage.facts import Told, Use

INTEGRATION = "FIEL"
MOST = 500
"""Documents that one event names; an ingest that changed more sends several."""


@dataclass(frozen=True, slots=True)
class Changed:
    """A document that an ingest wrote or removed."""

    document: str
    uri: str
    version: str
    deleted: bool


@dataclass(frozen=True, slots=True)
class Ingest:
    """One sync of one source into a collection."""

    run: str
    """UUID of the event's run; nothing else has it."""
    tenant: str
    collection: str
    source: str
    began: datetime
    changed: Sequence[Changed] = field(default=())
    documents: int = 0
    """Documents of the collection afterwards."""


def of_answer(told: "Told", uses: "Sequence[Use]") -> list[bytes]:
    """The events of a run of the answer graph that has ended."""
    end, last = told.end, told.bodies[-1]
    versions: dict[str, str] = {}
    for body in told.bodies:
        versions |= body.get("versions", {}) | (body["decision"].get("versions") or {})
    said = {"outcome": end.get("outcome"), "reason": end.get("reason"), "versions": versions}
    run, job = _run(told.run, {"fiel_answer": _facet("run", **said)}), _job(told.tenant, "answer", "QUERY")
    inputs = [_used(told.tenant, use) for use in uses]
    failed = end.get("outcome") == "unavailable"
    at = _time(told.started), _time(last["at"] + last["us"])
    return [_event("START", at[0], run, job), _event("FAIL" if failed else "COMPLETE", at[1], run, job, inputs)]


def of_ingest(ingest: Ingest, *, ended: datetime | None = None, failed: bool = False) -> list[bytes]:
    """The event that an ingest begins; with `ended` those that it has ended, the last of which says how."""
    from openlineage.client.event_v2 import InputDataset

    run, job = _run(ingest.run), _job(ingest.tenant, f"ingest/{quote(ingest.collection, safe='')}", "INGEST")
    source = [InputDataset("file", ingest.source)]
    if ended is None:
        return [_event("START", ingest.began.isoformat(), run, job, source)]
    parts = [ingest.changed[start : start + MOST] for start in range(0, len(ingest.changed), MOST)] or [()]
    kinds = ["RUNNING"] * (len(parts) - 1) + ["FAIL" if failed else "COMPLETE"]
    return [
        _event(kind, ended.isoformat(), run, job, source, [_collection(ingest), *_written(ingest.tenant, part)])
        for kind, part in zip(kinds, parts, strict=True)
    ]


def _event(
    kind: str,
    at: str,
    run: "Run",
    job: "Job",
    inputs: "Sequence[InputDataset]" = (),
    outputs: "Sequence[OutputDataset]" = (),
) -> bytes:
    from openlineage.client.event_v2 import RunEvent, RunState
    from openlineage.client.serde import Serde

    event = RunEvent(
        eventTime=at,
        run=run,
        job=job,
        eventType=RunState(kind),
        inputs=list(inputs),
        outputs=list(outputs),
        producer=producer(),
    )
    return Serde.to_json(event).encode()


def producer() -> str:
    """Who made an event, as a URI."""
    return f"urn:fiel:{metadata.version('fiel')}"


def namespace(tenant: str) -> str:
    """Of what belongs to a tenant."""
    return f"fiel://{quote(tenant, safe='')}"


def _run(id: str, facets: dict[str, Any] | None = None) -> "Run":
    from openlineage.client.event_v2 import Run
    from openlineage.client.generated.processing_engine_run import ProcessingEngineRunFacet

    versions = (metadata.version(name) for name in ("fiel", "openlineage-python"))
    engine = ProcessingEngineRunFacet(next(versions), "fiel", next(versions), producer=producer())
    return Run(id, {"processing_engine": engine, **(facets or {})})


def _job(tenant: str, name: str, kind: str) -> "Job":
    from openlineage.client.event_v2 import Job
    from openlineage.client.generated.job_type_job import JobTypeJobFacet

    return Job(namespace(tenant), name, {"jobType": JobTypeJobFacet("BATCH", INTEGRATION, kind, producer=producer())})


def _facet(of: str, **said: Any) -> Any:
    """A facet of fiel's own."""
    from openlineage.client.generated import base

    kinds = {"run": base.RunFacet, "input": base.InputDatasetFacet}
    return kinds[of](producer=producer()).with_additional_properties(**said)


def _version(version: str) -> Any:
    from openlineage.client.generated.dataset_version_dataset import DatasetVersionDatasetFacet

    return DatasetVersionDatasetFacet(version, producer=producer())


def _used(tenant: str, use: "Use") -> "InputDataset":
    from openlineage.client.event_v2 import InputDataset

    said = _facet("input", sentences=list(use.sentences), chunks=list(use.chunks))
    return InputDataset(
        namespace(tenant),
        f"documents/{use.document}",
        inputFacets={"fiel_use": said},
        facets={"version": _version(use.version)},
    )


def _collection(ingest: Ingest) -> "OutputDataset":
    from openlineage.client.event_v2 import OutputDataset
    from openlineage.client.generated.output_statistics_output_dataset import OutputStatisticsOutputDatasetFacet

    counted = OutputStatisticsOutputDatasetFacet(rowCount=ingest.documents, producer=producer())
    name = f"collections/{quote(ingest.collection, safe='')}"
    return OutputDataset(namespace(ingest.tenant), name, outputFacets={"outputStatistics": counted})


def _written(tenant: str, changed: Sequence[Changed]) -> "list[OutputDataset]":
    from openlineage.client.event_v2 import OutputDataset
    from openlineage.client.generated.lifecycle_state_change_dataset import (
        LifecycleStateChange,
        LifecycleStateChangeDatasetFacet,
    )
    from openlineage.client.generated.symlinks_dataset import Identifier, SymlinksDatasetFacet

    out = []
    for one in changed:
        links = SymlinksDatasetFacet([Identifier("file", one.uri, "FILE")], producer=producer())
        facets: dict[str, Any] = {"version": _version(one.version), "symlinks": links}
        if one.deleted:
            drop = LifecycleStateChangeDatasetFacet(LifecycleStateChange.DROP, producer=producer())
            facets["lifecycleStateChange"] = drop
        out.append(OutputDataset(namespace(tenant), f"documents/{one.document}", facets=facets))
    return out


def _time(micros: int) -> str:
    return datetime.fromtimestamp(micros / 1_000_000, UTC).isoformat()
