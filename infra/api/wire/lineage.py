"""How answers about lineage look."""

from pydantic import BaseModel

from fiel.infra.api.wire.common import Json


class DocumentLineage(BaseModel):
    """A document, or those of one address, with versions, and a page of the runs that used them."""

    documents: list[Json]
    runs: list[Json]


class RunLineage(BaseModel):
    """A run: its sentences with their sources, the queries, and the passages that lay before the model."""

    run: str
    caller: str
    started: int
    outcome: str | None
    reason: str | None
    edited: bool
    intact: bool
    versions: Json
    readable: bool
    sentences: list[Json]
    queries: list[Json]
    passages: list[Json]
