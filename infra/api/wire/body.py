"""Bodies of requests: JSON whatever the content type says, strict about fields, and nothing that cannot be stored."""

from collections.abc import Callable, Coroutine, Iterator
from functools import cache
from types import UnionType
from typing import Annotated, Any, Union, get_args, get_origin

import orjson
from fastapi import HTTPException, Request, Response
from fastapi.routing import APIRoute
from pydantic import BaseModel, ConfigDict, ValidationInfo, field_validator

_SHALLOW = 200
"""Brackets in a body below which it cannot nest too deeply to be written again."""


class Wire(BaseModel):
    """A body of a request. A field that is not known is refused by its name, never dropped."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    @field_validator("*", mode="before")
    @classmethod
    def _kind(cls, value: Any, info: ValidationInfo) -> Any:
        """The published schemas take no "10" for 10 and no 0 for false; pydantic alone would."""
        if type(value) in _SCALARS and (kinds := _kinds(cls, info.field_name or "")) and type(value) not in kinds:
            raise ValueError(f"this is to be {' or '.join(sorted({_SCALARS[kind] for kind in kinds}))}")
        return value


_SCALARS: dict[type, str] = {bool: "true or false", int: "a number", float: "a number", str: "a text"}


@cache
def _kinds(model: type[BaseModel], field: str) -> frozenset[type]:
    """Python's types of the JSON values that a field takes; empty where it takes more than numbers and truth values."""
    leaves = set(_leaves(model.model_fields[field].annotation)) - {type(None)}
    if not leaves or not leaves <= {bool, int, float}:
        return frozenset()
    return frozenset(leaves | ({int, float} if leaves & {int, float} else set()))


def _leaves(annotation: Any) -> Iterator[Any]:
    if get_origin(annotation) is Annotated:
        yield from _leaves(get_args(annotation)[0])
    elif isinstance(annotation, UnionType) or get_origin(annotation) is Union:
        for one in get_args(annotation):
            yield from _leaves(one)
    else:
        yield annotation


class _JsonRequest(Request):
    """A request whose body is JSON also where Studio calls it text/plain, or a client calls it nothing."""

    async def json(self) -> Any:
        """Parsed once: what a dependency changes in it is what the route gets."""
        if not hasattr(self, "_json"):
            self._json = parse(await self.body())
        return self._json


def parse(body: bytes) -> Any:
    """The value of a body. Raises HTTPException with 422: of what FastAPI lets through, only that keeps its words."""
    try:
        value = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise HTTPException(422, f"the body is not JSON: {error}") from error
    if b"\\u0000" in body and _holds_nul(value):
        raise HTTPException(422, "the body holds the character U+0000, which cannot be stored")
    if body.count(b"[") + body.count(b"{") > _SHALLOW:
        try:
            orjson.dumps(value)
        except TypeError as error:
            raise HTTPException(422, "the body is nested too deeply") from error
    return value


def _holds_nul(value: Any) -> bool:
    waiting = [value]
    while waiting:
        one = waiting.pop()
        if isinstance(one, str):
            if "\0" in one:
                return True
        elif isinstance(one, dict):
            waiting.extend(one)
            waiting.extend(one.values())
        elif isinstance(one, list):
            waiting.extend(one)
    return False


class JsonRoute(APIRoute):
    """Route class of every router of the protocol."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        handle = super().get_route_handler()

        async def handler(request: Request) -> Response:
            return await handle(_JsonRequest(_as_json(request.scope), request.receive))

        return handler


def _as_json(scope: Any) -> Any:
    kind = next((value for name, value in scope["headers"] if name == b"content-type"), b"")
    if kind and not kind.lower().startswith(b"text/plain"):
        return scope
    headers = [pair for pair in scope["headers"] if pair[0] != b"content-type"]
    return {**scope, "headers": [*headers, (b"content-type", b"application/json")]}
