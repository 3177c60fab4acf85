"""Arrays that are written by hand arrive as those that psycopg writes."""

from collections.abc import Callable, Sequence
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fiel.infra.database.arrays import Array, Bytes, Integers, Longs, Texts
from fiel.infra.database.connect import Database

KINDS: dict[str, tuple[Callable[[Any], Array], st.SearchStrategy[Any]]] = {
    "bytea": (Bytes, st.binary(max_size=20)),
    "text": (Texts, st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=20)),
    "int4": (Integers, st.integers(-(2**31), 2**31 - 1)),
    "int8": (Longs, st.integers(-(2**63), 2**63 - 1)),
}


@pytest.mark.parametrize("kind", KINDS)
async def test_an_array_arrives_as_it_is(database: Database, kind: str) -> None:
    made, items = KINDS[kind]
    given_lists = st.lists(st.one_of(st.none(), items), max_size=30)

    @settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))
    @given(st.lists(given_lists, min_size=1, max_size=3))
    def lists(found: Sequence[Sequence[Any]]) -> None:
        asked.extend(found)

    asked: list[Sequence[Any]] = [[]]
    lists()
    async with database.single() as connection:
        for values in asked:
            query = f"SELECT %s, pg_typeof(%s)::text, array_ndims(%s), %s IS NOT DISTINCT FROM %s::{kind}[]"
            cursor = await connection.execute(query, [*[made(values)] * 4, list(values)])
            row = await cursor.fetchone()
            assert row is not None
            back, name, dimensions, same = row
            assert same
            assert [bytes(one) if kind == "bytea" and one is not None else one for one in back] == list(values)
            assert name == {"int4": "integer", "int8": "bigint"}.get(kind, kind) + "[]"
            assert dimensions == (1 if values else None)


def test_a_number_that_does_not_fit_is_refused() -> None:
    with pytest.raises(Exception, match=r"'i' format"):
        Integers([2**31])
