"""The composition root: from settings to ports, each recorded, and from those to a graph that answers.

Heavy libraries load in the background while PostgreSQL starts; the first question waits for what it needs of them.
"""

import asyncio
import gc
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass
from typing import Any

from fiel.graphs.answer.graph import Graph, build, withheld
from fiel.graphs.answer.prompt_files import installed
from fiel.graphs.services import Services
from fiel.infra import answering, models
from fiel.infra.callers import ConfigCallers
from fiel.infra.corpus.opened import Corpus, corpus_over
from fiel.infra.database.connect import Database
from fiel.infra.database.open import open_database
from fiel.infra.ledger import effects, keys
from fiel.infra.ledger.postgres import PostgresStore
from fiel.infra.ledger.recorder import LedgerRecorder
from fiel.infra.ledger.recorders import recording
from fiel.infra.ledger.sealing import ChainedStore
from fiel.infra.ledger.subjects import SubjectKeys
from fiel.infra.ledger.vault import LedgerVault
from fiel.infra.reload import Reloader, noting, started
from fiel.infra.replay.kept import bundle_texts, prompt_texts
from fiel.infra.runs.reviews import KeptReviews
from fiel.infra.runs.sealed import Sealer
from fiel.infra.settings import Settings
from fiel.infra.telemetry.mlflow import Mlflow
from fiel.infra.telemetry.shipper import Shipper
from fiel.policies.bundle import load_bundles
from fiel.policies.evaluate import GuardrailsPolicies
from fiel.tools import e5
from fiel.tools.errors import SettingsError
from fiel.tools.language import LanguageDetector
from fiel.tools.principal import local_administrator
from fiel.tools.rerank.cross_encoder import PairScorer


def callers(settings: Settings) -> ConfigCallers:
    """Who calls where nobody is authenticated: the local administrator under `FIEL_AUTH=none`, else nobody."""
    if settings.auth not in ("", "none"):
        raise SettingsError(f"setting auth must be none or empty, not {settings.auth!r}", where="FIEL_AUTH")
    return ConfigCallers(local_administrator() if settings.auth == "none" else None)


def cipher(settings: Settings) -> keys.Cipher:
    """The ledger's cipher; its key is made at the first start. Raises KeyUnavailable for one that cannot be read."""
    made = keys.file_cipher(settings.folder / keys.KEY_FILE)
    if settings.kms:
        from fiel.infra.ledger.kms import Kms

        made.service = Kms.at(settings.kms)
    return made


async def _key_is_there(settings: Settings, store: PostgresStore) -> None:
    """A lost key stops the start: a new one beside an old ledger would hide that its contents cannot be read."""
    file = settings.folder / keys.KEY_FILE
    if not file.exists() and await store.keys():
        raise keys.KeyUnavailable(
            "the ledger has entries, but their key file is missing",
            where=str(file),
            hint="Put back the key file that belongs to this database",
        )


async def _kept(database: Database, policies: GuardrailsPolicies) -> None:
    """Keep the bundles and prompts of this process by version: what they decide can be replayed under them for ever."""
    texts = await asyncio.to_thread(lambda: [*bundle_texts(policies.bundles), *prompt_texts(installed())])
    await started(database, texts)


def ledger_connections(database: Database) -> Database:
    """Connections for the ledger alone: however many searches wait for theirs, an answer is recorded at once."""
    return Database(database.url, size=2)


@dataclass(frozen=True, slots=True)
class House:
    """A graph that answers, and what it stands on."""

    settings: Settings
    corpus: Corpus
    services: Services
    recorder: LedgerRecorder
    policies: GuardrailsPolicies
    reloader: Reloader | None
    """Keeps `policies` those of FIEL_POLICIES; None where there is no such folder."""
    graph: Graph
    """Without a checkpointer: every question stands alone."""
    _threads: "_Threads"
    _loading: "asyncio.Task[None]"

    async def ask(self, question: answering.Question) -> dict[str, Any]:
        """The answer object. Questions of a named thread are answered on what the thread keeps."""
        # The time limit of the first hop is for the hop, not for the import of what it calls.
        await self.loaded()
        graph = await self._threads.graph() if question.thread else self.graph
        return await answering.ask(graph, question, self.recorder.timings)

    async def loaded(self) -> None:
        """Wait for what loads in the background. Where that fails, whoever needs it says so."""
        await asyncio.wait([self._loading])

    def is_loaded(self) -> bool:
        """Whether the first hop need not wait for an import."""
        return self._loading.done()

    async def threads(self) -> Graph:
        """The graph whose threads PostgreSQL keeps."""
        return await self._threads.graph()

    def shipper(self, mlflow_url: str) -> Shipper:
        """Ships this database's spans to the MLflow server at that address."""
        return make_shipper(self.settings, self.corpus.database, mlflow_url)


def make_shipper(settings: Settings, database: Database, mlflow_url: str) -> Shipper:
    """Ships the database's spans to the MLflow server at that address."""
    sealing = cipher(settings)
    keys = SubjectKeys(database.system, sealing)
    return Shipper(database.system, sealing, Mlflow(mlflow_url, settings.mlflow_experiment), keys=keys)


class _Threads:
    """The graph with a checkpointer, made when the first question of a thread comes."""

    def __init__(self, settings: Settings, services: Services, database: Database, owner_url: str) -> None:
        self._settings = settings
        self._services = services
        self._database = database
        self._owner_url = owner_url
        self._stack = AsyncExitStack()
        self._graph: Graph | None = None
        self._lock = asyncio.Lock()

    async def graph(self) -> Graph:
        async with self._lock:
            if self._graph is None:
                from fiel.infra.threads import open_saver

                saver = await self._stack.enter_async_context(
                    open_saver(self._database.url, self._owner_url, cipher(self._settings))
                )
                self._graph = build(self._services, saver)
            return self._graph

    async def close(self) -> None:
        await self._stack.aclose()


@asynccontextmanager
async def open_house(settings: Settings) -> AsyncIterator[House]:
    """Everything that answers a question, over the database of the settings.

    Raises SettingsError, PolicyError, KeyUnavailable (no start without a policy and a key), DatabaseUnavailable.
    """
    models.quiet_threads()
    # Bundles with a head on the vector load its engine, and whoever does first sets its threads.
    await asyncio.to_thread(e5.shared, models.threads(settings))
    policies = GuardrailsPolicies(load_bundles(settings.policies or None))
    allowed = callers(settings)
    language = LanguageDetector()
    pairs = models.scorer(settings)
    async with AsyncExitStack() as stack:
        # The longest first: Guardrails imports for seconds.
        warm = [asyncio.create_task(asyncio.to_thread(policies.warm))]
        embedding = asyncio.create_task(asyncio.to_thread(models.embedder, settings))
        warm += [asyncio.create_task(pairs.load()), asyncio.create_task(asyncio.to_thread(language.warm))]
        loading = asyncio.create_task(_loaded(warm))
        # A thread that imports cannot be stopped: the process waits for it.
        stack.push_async_callback(asyncio.wait, [loading])
        database = await stack.enter_async_context(open_database(settings))
        corpus = corpus_over(settings, database, await embedding, language)
        recorder = await _recorder(settings, database, policies, allowed, stack)
        services = _services(corpus, policies, recorder, pairs, stack)
        threads = _Threads(settings, services, database, owner_url(settings))
        stack.push_async_callback(threads.close)
        noted = noting(database, settings.policies)
        reloader = Reloader(settings.policies, policies, noted) if settings.policies else None
        house = House(settings, corpus, services, recorder, policies, reloader, build(services), threads, loading)
        if settings.mlflow_url:
            await stack.enter_async_context(_shipping(house.shipper(settings.mlflow_url)))
        if reloader is not None:
            await stack.enter_async_context(_watching(reloader))
        yield house


async def _recorder(
    settings: Settings, database: Database, policies: GuardrailsPolicies, allowed: ConfigCallers, stack: AsyncExitStack
) -> LedgerRecorder:
    """What records every run, over connections that `stack` closes. Raises KeyUnavailable."""
    ledger = await stack.enter_async_context(ledger_connections(database))
    kind = ChainedStore if settings.chain == "release" else PostgresStore
    store = kind(ledger.system, ledger.aside)
    await _key_is_there(settings, store)
    await _kept(database, policies)
    keys = SubjectKeys(ledger.system, cipher(settings))
    recorder = recording(store, cipher(settings), allowed, policies, keys=keys, withheld=withheld(policies))
    stack.push_async_callback(recorder.close)
    return recorder


def _services(
    corpus: Corpus, policies: GuardrailsPolicies, recorder: LedgerRecorder, pairs: PairScorer, stack: AsyncExitStack
) -> Services:
    """The ports of the graph, each recorded; `stack` closes their models."""
    settings = corpus.settings
    embedded_by = corpus.embed.version
    chats, judge = models.chats(settings, pairs, embedded_by), models.judge(settings, pairs, embedded_by)
    guard, second = models.guard(settings, corpus.embed), models.second(settings)
    stack.push_async_callback(models.close, *chats.values(), judge, guard, second, corpus.embed)
    reviews = KeptReviews(corpus.database, Sealer(cipher(settings)), settings.review_hours)
    return Services(
        callers=callers(settings),
        chats={name: effects.RecordedChat(chat) for name, chat in chats.items()},
        embed=effects.RecordedEmbedder(corpus.embed),
        guard=effects.RecordedGuard(guard),
        judge=effects.RecordedJudge(judge),
        prices=models.prices(settings),
        second=effects.RecordedSecond(second),
        language=corpus.language,
        policies=effects.RecordedPolicies(policies),
        recorder=recorder,
        rerank=effects.RecordedReranker(models.reranker(pairs, embedded_by)),
        search=effects.RecordedSearch(corpus.index),
        vault=LedgerVault(recorder),
        reviews=effects.RecordedReviews(reviews),
        timeout=settings.timeout,
    )


def owner_url(settings: Settings) -> str:
    """Address of the database as its owner; empty where only the runtime role is known."""
    if settings.database_url:
        return settings.database_owner_url or settings.database_url
    from fiel.infra.database.embedded import Embedded

    return Embedded(settings.folder).owner_url


async def _loaded(tasks: Sequence[asyncio.Task[None]]) -> None:
    """Wait for what loads in the background. Its errors are raised again by whoever needs it.

    What is loaded then stays as long as the process, so the collector need not walk it with every run.
    """
    await asyncio.gather(*tasks, return_exceptions=True)
    gc.freeze()


@asynccontextmanager
async def _watching(reloader: Reloader) -> AsyncIterator[None]:
    """Watch the folder of policies in the background while the process lives."""
    task = asyncio.create_task(reloader.watch())
    try:
        yield
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


@asynccontextmanager
async def _shipping(shipper: Shipper) -> AsyncIterator[None]:
    """Ship in the background while the process lives; what is left stays in PostgreSQL for the next."""
    stop = asyncio.Event()
    task = asyncio.create_task(shipper.ship_until(stop))
    try:
        yield
    finally:
        stop.set()
        with suppress(TimeoutError):
            await asyncio.wait_for(task, 1.0)
