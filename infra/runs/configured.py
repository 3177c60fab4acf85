"""The engine as the settings want it."""

import base64
from functools import partial

from fiel.infra.database.connect import Database
from fiel.infra.hosts.port import GraphHost
from fiel.infra.ledger.keys import Cipher, load_or_create
from fiel.infra.runs.engine import Bounds, Engine
from fiel.infra.runs.sealed import Sealer
from fiel.infra.runs.webhooks import Hooks
from fiel.infra.settings import Settings

KEY_FILE = "keys/webhook.key"


def engine(
    settings: Settings, database: Database, host: GraphHost, cipher: Cipher, bounds: Bounds | None = None
) -> Engine:
    """An engine for one process; not open yet."""
    allowed = [entry.strip().lower() for entry in settings.webhook_hosts.split(",") if entry.strip()]
    hooks = Hooks(partial(_secret, settings), allowed)
    return Engine(database, host, Sealer(cipher), bounds or Bounds(slots=settings.runs or 64), hooks)


def _secret(settings: Settings) -> bytes:
    """What signs webhooks. In a key file it is the text of the file, as whoever checks a signature would copy it."""
    if settings.webhook_secret:
        return settings.webhook_secret.encode()
    return base64.b64encode(load_or_create(settings.folder / KEY_FILE).secret)
