"""From settings to a running service: what an API process opens, and in which order it closes it."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

from fiel.infra.api.auth.authenticator import Authenticator
from fiel.infra.api.auth.oidc import open_oidc
from fiel.infra.api.auth.tokens import Tokens
from fiel.infra.api.limits import Limits
from fiel.infra.api.service import Service
from fiel.infra.compose import cipher
from fiel.infra.database.connect import Database
from fiel.infra.hosts.port import GraphHost
from fiel.infra.settings import Settings


@asynccontextmanager
async def service_of(settings: Settings, database: Database, host: GraphHost) -> AsyncIterator[Service]:
    """The service over an open database and an open host."""
    async with AsyncExitStack() as stack:
        oidc = await stack.enter_async_context(open_oidc(settings))
        authenticator = Authenticator(Tokens(database), open_door=settings.auth == "none", jwt=oidc)
        yield Service(settings, database, cipher(settings), host, authenticator, Limits(settings.rate))
