"""The body that asks for an erasure, and what answers it."""

from typing import Annotated
from uuid import UUID

from pydantic import BaseModel, Field

from fiel.infra.api.wire.body import Wire


class ErasureCreate(Wire):
    """Who is to be erased: the name of a user of the tenant."""

    subject: Annotated[str, Field(min_length=1, max_length=500)]


class ErasedOut(BaseModel):
    """What went. Asked again, nothing more does."""

    subject: str
    act: UUID
    """The act of the ledger that says so."""
    keys: int
    """Data keys that were destroyed."""
    removed: dict[str, int]
    """Rows, by kind."""
