"""What the routes of one process stand on: opened once, given to them through `request.app.state.service`."""

import asyncio
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Annotated

from fastapi import Depends
from starlette.requests import HTTPConnection

from fiel.infra.api.auth.authenticator import Authenticator
from fiel.infra.api.limits import Limits
from fiel.infra.api.spend import Spend
from fiel.infra.database.connect import Database
from fiel.infra.hosts.port import GraphHost
from fiel.infra.ledger.keys import Cipher
from fiel.infra.runs.engine import Engine
from fiel.infra.runs.meaning import Meaning
from fiel.infra.settings import Settings

if TYPE_CHECKING:
    from fiel.infra.compose import House


@dataclass(slots=True)
class Service:
    """The parts of a running API process."""

    settings: Settings
    database: Database
    cipher: Cipher
    host: GraphHost
    authenticator: Authenticator
    limits: Limits
    loaded: Callable[[], bool]
    """Whether runs can begin at once."""
    engine: Engine
    spend: Spend
    house: "House | None" = None
    """What fiel's own graph stands on; None where other graphs are served."""
    meaning: Meaning | None = None
    """How items of the store are found by meaning; None: they are not."""
    auditing: asyncio.Lock = field(default_factory=asyncio.Lock)
    """Held by a check or an export of the whole ledger: one at a time, whatever it costs."""


Opening = Callable[[], AbstractAsyncContextManager[Service]]


async def serving(connection: HTTPConnection) -> Service:
    """The service of a request. A plain function would be called in a thread."""
    service = connection.app.state.service
    assert isinstance(service, Service)  # noqa: S101 - the application was made without one
    return service


Serving = Annotated[Service, Depends(serving)]
"""`service: Serving` in a route's signature."""
