"""Bodies of requests: JSON's kinds of values are not taken for one another, as the published schemas say."""

from typing import Annotated, Any, Literal
from uuid import UUID

import pytest
from pydantic import Field, ValidationError

from fiel.infra.api.wire.body import Wire


class Inner(Wire):
    at: float | None = None


class Body(Wire):
    limit: Annotated[int, Field(ge=1)] = 10
    minutes: float | None = None
    flag: bool | None = None
    id: UUID | None = None
    mode: Literal["a", "b"] | None = None
    most: int | Literal["all"] | None = None
    value: Any = None
    inner: Inner | None = None
    many: list[Inner] = Field(default=[])


@pytest.mark.parametrize(
    ("given", "where"),
    [
        ({"limit": "10"}, ("limit",)),
        ({"limit": True}, ("limit",)),
        ({"minutes": "1.5"}, ("minutes",)),
        ({"minutes": False}, ("minutes",)),
        ({"flag": 0}, ("flag",)),
        ({"flag": "yes"}, ("flag",)),
        ({"inner": {"at": "1"}}, ("inner", "at")),
        ({"many": [{"at": True}]}, ("many", 0, "at")),
    ],
    ids=str,
)
def test_another_kind_of_value_is_refused_where_it_stands(given: dict[str, Any], where: tuple[Any, ...]) -> None:
    with pytest.raises(ValidationError) as caught:
        Body.model_validate(given)
    (fault,) = caught.value.errors()
    assert fault["loc"] == where


@pytest.mark.parametrize(
    "given",
    [
        {"limit": 10, "minutes": 1, "flag": True, "mode": "a", "most": "all"},
        {"limit": 10.0, "minutes": 1.5, "flag": None, "id": "01890a5d-ac96-774b-bcce-b302099a8057", "most": 3},
        {"value": True, "inner": {"at": 2}, "many": [{"at": None}]},
        {"value": "10"},
    ],
    ids=str,
)
def test_what_the_schema_allows_is_taken(given: dict[str, Any]) -> None:
    Body.model_validate(given)
