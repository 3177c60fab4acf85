"""From settings to a running service: what an API process opens, and in which order it closes it."""

import asyncio
import os
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, replace
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING

from fiel.infra.api.auth.authenticator import Authenticator
from fiel.infra.api.auth.custom import Place, open_custom
from fiel.infra.api.auth.oidc import open_oidc
from fiel.infra.api.auth.tokens import Tokens
from fiel.infra.api.limits import Limits
from fiel.infra.api.service import Service
from fiel.infra.api.spend import MeteredHost, Spend
from fiel.infra.compose import House, cipher, open_house, owner_url
from fiel.infra.database.connect import Database
from fiel.infra.database.open import open_database
from fiel.infra.hosts.port import GraphHost
from fiel.infra.people.claims import Claims
from fiel.infra.people.people import People
from fiel.infra.runs import configured
from fiel.infra.runs.engine import Bounds, Engine
from fiel.infra.runs.meaning import Meaning
from fiel.infra.runs.sealed import Sealer
from fiel.infra.settings import Settings
from fiel.infra.threads import prepare
from fiel.tools.errors import SettingsError

if TYPE_CHECKING:
    from fiel.infra.hosts.manifest import Manifest


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
    house: House | None = None
    """What fiel's own graph stands on."""
    meaning: Meaning | None = None
    """How items of the store are found by meaning."""


@asynccontextmanager
async def service_of(
    settings: Settings,
    database: Database,
    host: GraphHost,
    *,
    custom: Place | None = None,
    loaded: Callable[[], bool] = always,
    bounds: Bounds | None = None,
    house: House | None = None,
    meaning: Meaning | None = None,
) -> AsyncIterator[Service]:
    """The service over an open database and an open host.

    Raises SettingsError, IssuerUnavailable, AuthUnavailable: no start without whom the settings trust.
    """
    async with AsyncExitStack() as stack:
        oidc = await stack.enter_async_context(open_oidc(settings, Claims(database)))
        handlers = await stack.enter_async_context(open_custom(custom))
        authenticator = Authenticator(
            Tokens(database), People(database), settings.auth == "none", jwt=oidc, custom=handlers
        )
        sealing = cipher(settings)
        engine = await stack.enter_async_context(configured.engine(settings, database, host, sealing, bounds))
        yield Service(
            settings,
            database,
            sealing,
            host,
            authenticator,
            Limits(settings.rate),
            loaded,
            engine,
            spend_of(settings, database),
            house,
            meaning,
        )


@asynccontextmanager
async def open_host(settings: Settings, database: Database, graphs: Path | None) -> AsyncIterator[Hosted]:
    """fiel's own graph, or those that a `langgraph.json` names."""
    if graphs is not None:
        async with _foreign(settings, database, graphs) as hosted:
            yield hosted
        return
    async with open_house(settings) as house:
        # Before anybody asks: who holds a transaction open and waits for this would wait for ever.
        await prepare(database.url, owner_url(settings))
        host = MeteredHost(house.threads, spend_of(settings, database))
        yield Hosted(host, loaded=house.is_loaded, house=house, meaning=Meaning(house.corpus.embed))


def spend_of(settings: Settings, database: Database) -> Spend:
    return Spend(database, Decimal(str(settings.spend)))


@asynccontextmanager
async def _foreign(settings: Settings, database: Database, graphs: Path) -> AsyncIterator[Hosted]:
    from fiel.infra.hosts.child import open_child
    from fiel.infra.hosts.manifest import load
    from fiel.infra.runs.items import Items
    from fiel.infra.runs.owned_store import OwnedStore

    manifest, sealing = load(graphs), cipher(settings)
    meaning = await _meaning(settings, manifest)
    items = Items(database, Sealer(sealing), meaning)
    opened = open_child(
        manifest,
        database.url,
        owner_url(settings),
        sealing.key,
        older=sealing.older,
        stores=lambda caller: OwnedStore(items, caller.principal),
    )
    async with opened as host:
        yield Hosted(host, auth_of(manifest), meaning=meaning)


async def _meaning(settings: Settings, manifest: "Manifest") -> Meaning | None:
    """The index that a `langgraph.json` asks for. Raises SettingsError, ModelUnavailable."""
    if manifest.index is None:
        return None
    from fiel.infra import models

    asked = replace(settings, embed=manifest.index.embed)
    models.quiet_threads()
    embed = await asyncio.to_thread(models.embedder, asked)
    if embed.dimensions != manifest.index.dims:
        raise SettingsError(
            f"store.index says {manifest.index.dims} dimensions, the model has {embed.dimensions}",
            where=str(manifest.path),
        )
    return Meaning(embed, manifest.index.fields)


def auth_of(manifest: "Manifest") -> Place | None:
    """Where the auth handlers of a `langgraph.json` are, and what their process is started with."""
    from fiel.infra.hosts.process import environment

    if manifest.auth is None:
        return None
    environ = environment(manifest.env)
    paths = [*manifest.folders, *filter(None, [environ.get("PYTHONPATH", "")])]
    environ["PYTHONPATH"] = os.pathsep.join(paths)
    return Place(f"{manifest.auth.source}:{manifest.auth.name}", manifest.path.parent, environ)


@asynccontextmanager
async def open_service(settings: Settings, graphs: Path | None = None) -> AsyncIterator[Service]:
    """Everything of one API process. Its connections are its own: however many searches wait, requests are answered."""
    async with (
        open_database(settings) as database,
        open_host(settings, database, graphs) as hosted,
        service_of(
            settings,
            database,
            hosted.host,
            custom=hosted.custom,
            loaded=hosted.loaded,
            house=hosted.house,
            meaning=hosted.meaning,
        ) as service,
    ):
        yield service


@asynccontextmanager
async def open_engine(settings: Settings, graphs: Path | None = None) -> AsyncIterator[tuple[Engine, Hosted]]:
    """Everything of one worker process: what works, and what it works with."""
    async with (
        open_database(settings) as database,
        open_host(settings, database, graphs) as hosted,
        configured.engine(settings, database, hosted.host, cipher(settings)) as engine,
    ):
        yield engine, hosted
