"""One way to a database for everything: the embedded server or an external one, as the settings say."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fiel.infra.database.connect import Database
from fiel.infra.database.embedded import Embedded
from fiel.infra.database.migrate import migrate
from fiel.infra.settings import Settings


@asynccontextmanager
async def open_database(settings: Settings, *, size: int = 16) -> AsyncIterator[Database]:
    """An open, migrated database.

    Embedded (no `database_url`): started or joined, brought up to date, left at the end. External: brought up to date
    as `database_owner_url` or, without one, as `database_url`. Raises DatabaseUnavailable, DatabaseMisfit.
    """
    if settings.database_url:
        await asyncio.to_thread(migrate, settings.database_owner_url or settings.database_url)
        async with Database(settings.database_url, size=size) as database:
            yield database
        return
    async with Embedded(settings.folder) as server:
        await asyncio.to_thread(migrate, server.owner_url)
        async with Database(server.url, size=size) as database:
            yield database
