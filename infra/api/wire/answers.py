"""Answers: JSON written once, and errors and pages as every route describes them."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

import orjson
from fastapi import Response
from pydantic import BaseModel, create_model

from fiel.infra.runs.pages import Page


class Fault(BaseModel):
    """One thing that is wrong with a request."""

    where: str
    what: str


class Problem(BaseModel):
    """An error."""

    detail: str
    code: str
    where: str
    hint: str
    errors: list[Fault] = []


PROBLEMS: dict[int | str, dict[str, Any]] = {
    400: {"model": Problem, "description": "The request cannot be"},
    401: {"model": Problem, "description": "Nobody is authenticated"},
    403: {"model": Problem, "description": "The caller lacks the role that this needs"},
    404: {"model": Problem, "description": "There is no such thing that the caller may see"},
    409: {"model": Problem, "description": "It collides with what is there"},
    413: {"model": Problem, "description": "The body is too large"},
    422: {"model": Problem, "description": "The request is not valid"},
    429: {"model": Problem, "description": "A limit is reached"},
    503: {"model": Problem, "description": "A service that this needs does not answer"},
}
"""What any route may answer besides."""


def partial(model: type[BaseModel]) -> type[BaseModel]:
    """The model of an answer of which a client may select fields."""
    fields: dict[str, Any] = {name: (field.annotation, None) for name, field in model.model_fields.items()}
    return create_model(f"{model.__name__}Part", __doc__=model.__doc__, **fields)


def reply(value: Any, headers: Mapping[str, str] | None = None, status: int = 200) -> Response:
    """`value` as JSON."""
    body = orjson.dumps(value, default=_plain)
    return Response(body, status, dict(headers or {}), media_type="application/json")


def page_headers(page: Page[Any]) -> dict[str, str]:
    """As LangGraph's servers tell of pages: with a next one, the total is only what is known to be there."""
    if page.next is None:
        return {"X-Pagination-Total": str(page.offset + len(page.items))}
    return {"X-Pagination-Total": str(page.next + 1), "X-Pagination-Next": str(page.next)}


def chosen(value: dict[str, Any], select: Sequence[str] | None) -> dict[str, Any]:
    """The fields that are asked for; all without a choice."""
    return {name: value[name] for name in select if name in value} if select else value


def _plain(value: Any) -> Any:
    if isinstance(value, tuple):
        return list(value)
    if isinstance(value, datetime):
        return value.isoformat()
    raise TypeError(f"{type(value).__name__} has no JSON")
