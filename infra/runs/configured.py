"""The engine as the settings want it."""

import base64
from collections.abc import Awaitable, Callable
from functools import partial

from fiel.infra.database.connect import Database
from fiel.infra.erasure import retention
from fiel.infra.erasure.erase import resume
from fiel.infra.erasure.retention import Retention
from fiel.infra.hosts.port import GraphHost
from fiel.infra.ledger import heads
from fiel.infra.ledger.elsewhere import places
from fiel.infra.ledger.keys import Cipher, load_or_create
from fiel.infra.ledger.sealing import Sealing
from fiel.infra.ledger.subjects import SubjectKeys
from fiel.infra.lineage.catalogue import Sending
from fiel.infra.lineage.index import Indexing
from fiel.infra.runs.assistants import Assistants
from fiel.infra.runs.chores import Chores
from fiel.infra.runs.crons import Crons
from fiel.infra.runs.deadlines import Deadlines
from fiel.infra.runs.engine import Bounds, Engine
from fiel.infra.runs.expiry import Expiry
from fiel.infra.runs.items import Items
from fiel.infra.runs.reviewing import Reviewing, rules
from fiel.infra.runs.rights import Rights
from fiel.infra.runs.sealed import Sealer
from fiel.infra.runs.threads import Threads
from fiel.infra.runs.webhooks import Hooks
from fiel.infra.settings import Settings

KEY_FILE = "keys/webhook.key"


def engine(
    settings: Settings, database: Database, host: GraphHost, cipher: Cipher, bounds: Bounds | None = None
) -> Engine:
    """An engine for one process; not open yet."""
    allowed = [entry.strip().lower() for entry in settings.webhook_hosts.split(",") if entry.strip()]
    hooks = Hooks(partial(_secret, settings), allowed)
    sealer = Sealer(cipher)
    rights, assistants = Rights(database).now, Assistants(database, host)
    made = Engine(database, host, sealer, bounds or Bounds(slots=settings.runs or 64), hooks, rights)
    threads = Threads(database, host, sealer, made.stop_thread)
    expiry = Expiry(Deadlines(database), threads, Items(database, sealer))
    reviewing = Reviewing(made.runs, sealer, rules(settings), rights)
    kept = places(settings.heads, settings.folder, settings.heads_roots)
    sealing = Sealing(database.system, _signer(settings), kept)
    keys, told = SubjectKeys(database.system, cipher), bool(settings.openlineage_url)
    following: list[Callable[[], Awaitable[int]]] = [Indexing(database.system, keys, tells=told).catch_up]
    if told:
        following.append(Sending(database.system, settings.openlineage_url, settings.openlineage_key).send_once)
    crons = Crons(database, assistants, sealer)
    keeping = Retention(database, retention.rules(settings.retention))
    others: list[Callable[[], Awaitable[int]]] = [partial(resume, database), keeping.look]
    made.chores = Chores(made, assistants, crons, expiry, rights, reviewing, sealing, others, following)
    return made


def _secret(settings: Settings) -> bytes:
    """What signs webhooks. In a key file it is the text of the file, as whoever checks a signature would copy it."""
    if settings.webhook_secret:
        return settings.webhook_secret.encode()
    return base64.b64encode(load_or_create(settings.folder / KEY_FILE).secret)


def _signer(settings: Settings) -> heads.Signer | None:
    """What signs the heads of the ledger's chain. Processes over an external database share a key or have none.

    One that each of them made for itself would be known to nobody who verifies.
    """
    if settings.database_url and not (settings.folder / heads.KEY_FILE).exists():
        return None
    return heads.signer_of(settings.folder)
