"""From settings to a running service: what an API process opens, and in which order it closes it."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

from fiel.infra.api.auth.authenticator import Authenticator
from fiel.infra.api.auth.custom import Place, open_custom
from fiel.infra.api.auth.oidc import open_oidc
from fiel.infra.api.auth.tokens import Tokens
from fiel.infra.api.limits import Limits
from fiel.infra.api.service import Service
from fiel.infra.compose import cipher
from fiel.infra.database.connect import Database
from fiel.infra.hosts.port import GraphHost
from fiel.infra.settings import Settings


@asynccontextmanager
async def service_of(
    settings: Settings, database: Database, host: GraphHost, *, custom: Place | None = None
) -> AsyncIterator[Service]:
    """The service over an open database and an open host; `custom`: where a `langgraph.json` has its auth handlers.

    Raises SettingsError, IssuerUnavailable, AuthUnavailable: no start without whom the settings trust.
    """
    async with AsyncExitStack() as stack:
        oidc = await stack.enter_async_context(open_oidc(settings))
        handlers = await stack.enter_async_context(open_custom(custom))
        authenticator = Authenticator(Tokens(database), settings.auth == "none", jwt=oidc, custom=handlers)
        yield Service(settings, database, cipher(settings), host, authenticator, Limits(settings.rate))
