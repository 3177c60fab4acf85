"""Bodies of requests at the desk."""

from typing import Annotated

from pydantic import Field

from fiel.infra.api.wire.body import Wire
from fiel.infra.api.wire.common import Json, Name
from fiel.policies.types import Stage

Long = Annotated[str, Field(max_length=2_000_000)]


class Asked(Wire):
    """A question."""

    question: Long
    options: Json = Field(default_factory=dict)
    """Options of the run, as the graph defines them."""
    thread: Name | None = None
    """Name of the conversation that the question belongs to."""


class Searched(Wire):
    """A search."""

    query: Long
    collection: Name = "default"
    k: int = Field(default=10, ge=1, le=100)


class Checked(Wire):
    """A text to be checked as a run would."""

    text: Long
    stage: Stage
    policy: Name = "default"
    question: Long = ""
    """What the text answers, where it is an answer."""


class Required(Wire):
    """The least bundle of a collection."""

    collection: Name
    policy: Name | None = None
    """None: demand no bundle any more."""
