"""Reading back what a citation points to, with the caller's own rights."""

import uuid

from fiel.infra.database.connect import Database
from fiel.tools.principal import Principal
from fiel.tools.sql import load


async def slice_of(database: Database, principal: Principal, version: str, start: int, end: int) -> str | None:
    """`text[start:end]` (code points) of a stored version; None where the caller may not read it or it is not there.

    Both are the same answer on purpose. Text of versions that are no longer searched stays readable.
    """
    try:
        identity = uuid.UUID(version)
    except ValueError:
        return None
    if not 0 <= start <= end:
        return None
    query = load("fiel.infra.corpus", "corpus.sql")["slice"]
    async with database.acting(principal) as connection:
        values = {"version": identity, "start": start, "length": end - start}
        row = await (await connection.execute(query, values)).fetchone()
    return None if row is None else str(row[0])


async def verbatim(database: Database, principal: Principal, version: str, start: int, quote: str) -> bool:
    """Whether `quote` stands at `start` in the stored text of `version`, as far as the caller may read it."""
    return bool(quote) and await slice_of(database, principal, version, start, start + len(quote)) == quote
