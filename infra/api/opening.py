"""From settings to a running service: what an API process opens, and in which order it closes it."""

from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from fiel.infra.api.auth.authenticator import Authenticator
from fiel.infra.api.auth.custom import Place, open_custom
from fiel.infra.api.auth.oidc import open_oidc
from fiel.infra.api.auth.tokens import Tokens
from fiel.infra.api.limits import Limits
from fiel.infra.api.service import Service
from fiel.infra.compose import cipher, open_house
from fiel.infra.database.connect import Database
from fiel.infra.database.open import open_database
from fiel.infra.hosts.port import GraphHost
from fiel.infra.settings import Settings


def always() -> bool:
    return True


@dataclass(frozen=True, slots=True)
class Hosted:
    """A host, and what comes along with the graphs that it serves."""

    host: GraphHost
    custom: Place | None = None
    """Where a `langgraph.json` has its auth handlers."""
    loaded: Callable[[], bool] = always
    """Whether runs can begin at once."""


@asynccontextmanager
async def service_of(
    settings: Settings,
    database: Database,
    host: GraphHost,
    *,
    custom: Place | None = None,
    loaded: Callable[[], bool] = always,
) -> AsyncIterator[Service]:
    """The service over an open database and an open host.

    Raises SettingsError, IssuerUnavailable, AuthUnavailable: no start without whom the settings trust.
    """
    async with AsyncExitStack() as stack:
        oidc = await stack.enter_async_context(open_oidc(settings))
        handlers = await stack.enter_async_context(open_custom(custom))
        authenticator = Authenticator(Tokens(database), settings.auth == "none", jwt=oidc, custom=handlers)
        yield Service(settings, database, cipher(settings), host, authenticator, Limits(settings.rate), loaded)


@asynccontextmanager
async def open_host(settings: Settings, graphs: Path | None) -> AsyncIterator[Hosted]:
    """fiel's own graph, or those that a `langgraph.json` names."""
    from fiel.infra.hosts.own import OwnHost

    async with open_house(settings) as house:
        yield Hosted(OwnHost(house.threads), loaded=house.is_loaded)


@asynccontextmanager
async def open_service(settings: Settings, graphs: Path | None = None) -> AsyncIterator[Service]:
    """Everything of one API process. Its connections are its own: however many searches wait, requests are answered."""
    async with (
        open_database(settings) as database,
        open_host(settings, graphs) as hosted,
        service_of(settings, database, hosted.host, custom=hosted.custom, loaded=hosted.loaded) as service,
    ):
        yield service
