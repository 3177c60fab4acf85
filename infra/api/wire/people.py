"""Bodies of requests about users, groups and grants, and how they look."""

from datetime import datetime
from typing import Annotated

from pydantic import BaseModel, Field

from fiel.infra.api.wire.body import Wire
from fiel.tools.principal import Role

Name = Annotated[str, Field(min_length=1, max_length=200)]
Names = Annotated[tuple[Name, ...], Field(max_length=1_000)]


class UserOut(BaseModel):
    """A user that is kept."""

    name: str
    roles: list[str]
    groups: list[str]
    added_by: str
    added_at: datetime


class UserPut(Wire):
    """A user to keep. `roles` replace those of a known one; without them a new one is a reader. `groups` are added."""

    roles: Annotated[list[Role], Field(max_length=10)] | None = None
    groups: Names = ()


class GroupOut(BaseModel):
    """A group that is kept."""

    name: str
    members: list[str]
    added_by: str
    added_at: datetime


class GroupPut(Wire):
    """A group to keep: who comes into it, and who leaves it."""

    add: Names = ()
    remove: Names = ()


class GrantPut(Wire):
    """Whom to let read what: `group:NAME`, `user:NAME` or `everyone`; a collection by name or a document by id."""

    target: Name
    to: Name


class ChangedOut(BaseModel):
    """What a grant or its end did."""

    changed: bool
    """False: the grant stood already, or there was none to end."""
    chunks: int
    """Chunks whose readers changed."""


class PathOut(BaseModel):
    """One reason why a document can be read."""

    name: str
    by: str


class ExplainedOut(BaseModel):
    """Whether and why a reader may read a document."""

    readable: bool
    paths: list[PathOut]
