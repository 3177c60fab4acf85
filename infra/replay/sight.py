"""What somebody may read now, asked of the database that would let them."""

from collections.abc import Collection, Iterator
from uuid import UUID

from fiel.infra.database.connect import Database
from fiel.infra.replay.masks import Sight
from fiel.tools.principal import Principal
from fiel.tools.sql import load


def sight_of(database: Database) -> Sight:
    """`Sight` over the corpus of `database`. It raises DatabaseUnavailable."""
    sql = {
        name: text.encode() if isinstance(text, str) else text for name, text in load(__package__, "sight.sql").items()
    }

    async def sight(principal: Principal, collection: str, documents: Collection[str]) -> frozenset[str] | None:
        asked = list(_ids(documents))
        seen, found = await database.read(principal, [(sql["collection"], (collection,)), (sql["documents"], (asked,))])
        return frozenset(row["id"] for row in found) if seen else None

    return sight


def _ids(documents: Collection[str]) -> Iterator[str]:
    """Those that are ids at all: nobody may read the others."""
    for one in documents:
        try:
            yield str(UUID(one))
        except ValueError:
            continue
