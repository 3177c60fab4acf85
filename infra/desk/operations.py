"""What can be asked at the desk, as plain JSON values: the same functions serve the command line in its own process."""

import uuid
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from fiel.infra.outward import outward
from fiel.policies.types import Decision, Policies, Stage, Verdict
from fiel.tools.errors import UsageError
from fiel.tools.principal import Principal, Role

if TYPE_CHECKING:
    from fiel.graphs.answer.options import Options
    from fiel.infra.compose import House
    from fiel.infra.corpus.opened import Corpus
    from fiel.infra.database.connect import Database
    from fiel.infra.ledger.store import Store
    from fiel.policies.bundle import PolicyBundle
    from fiel.tools.guard import Guard
    from fiel.tools.search import Passage

Json = dict[str, Any]
SEES_RUNS: tuple[Role, ...] = ("administrator", "auditor", "developer")
"""Roles that see how runs of others went."""


async def ask(house: "House", principal: Principal, question: str, options: "Options", thread: str | None) -> Json:
    """The answer object. Raises PolicyError or UsageError, which name it, for an option that names nothing."""
    from fiel.graphs.answer.prompt_files import prompts
    from fiel.infra.answering import Question

    house.services.policies.bundle(options.policy)
    house.services.chat(options.chat)
    prompts(options.prompt)
    return await house.ask(Question(question, principal, options, thread))


async def search(corpus: "Corpus", principal: Principal, collection: str, query: str, k: int) -> list[Json]:
    """The k best passages that the caller may read. Raises UsageError, CollectionNotFound."""
    if not query.strip():
        raise UsageError("the query is empty", where="QUERY")
    return [hit(passage) for passage in await corpus.search(principal, collection, query, k)]


def hit(passage: "Passage") -> Json:
    """A passage in the shape of the interfaces."""
    names = ("document", "uri", "chunk", "version", "text", "score", "dense_rank", "text_rank")
    plain: Json = outward({name: passage[name] for name in names})  # type: ignore[literal-required]
    return plain


async def trace(store: "Store", principal: Principal, run: str) -> Json:
    """A run as the ledger has it: one's own, or any of the tenant for those who may see them.

    Raises UsageError for what is no id, RunNotFound.
    """
    from fiel.infra.telemetry.trace import not_found, read

    try:
        name = str(uuid.UUID(run.removeprefix("tr-")))
    except ValueError:
        raise UsageError(f"{run!r} is no id of a run", where="RUN", hint="`fiel ask` prints it") from None
    value: Json = outward(await read(store, name))
    own = value["caller"] == principal.id or principal.may(*SEES_RUNS)
    if value["tenant"] != principal.tenant or not own:
        raise not_found(name)
    return value


async def read_trace(database: "Database", principal: Principal, run: str) -> Json:
    """`trace`, from a database; reading the run of another is an act of the ledger."""
    from fiel.infra.ledger.acts import Act, record
    from fiel.infra.ledger.postgres import PostgresStore

    value = await trace(PostgresStore(database.system), principal, run)
    if value["caller"] != principal.id:
        async with database.acting(principal) as connection:
            await record(connection, Act(principal, "audit_read", value["run"], {"what": "trace"}))
    return value


def bundle_rows(bundles: "Mapping[str, PolicyBundle]", problem: Mapping[str, str] | None = None) -> list[Json]:
    """The bundles there are; `problem` says why they are not those of the folder."""
    return [
        {
            "name": bundle.name,
            "version": bundle.version,
            "extends": bundle.lineage[1] if len(bundle.lineage) > 1 else None,
            "description": bundle.description,
            "checks": [entry.id for entry in bundle.entries],
            "stale": problem,
        }
        for bundle in bundles.values()
    ]


async def check(
    policies: Policies, guard: Callable[[], Awaitable["Guard"]], name: str, stage: Stage, text: str, question: str = ""
) -> Json:
    """A decision on one text, in the shape of the interfaces, by the scores that a run would get of `guard`.

    `guard` is asked for where the bundle needs one alone; `question`: what an answer answers. Raises PolicyError for a
    name that no bundle has, ModelUnavailable.
    """
    from fiel.nodes.moderate import moderated

    bundle, facts = policies.bundle(name), {"question": question} if question else {}
    if stage in ("input", "output") and bundle.uses("moderation", stage):
        asked = (text,) if stage == "input" else (question, text)
        facts |= await moderated(await guard(), bundle, stage, *asked)
    return as_plain(await policies.check(bundle, stage, [text], facts))


def as_plain(decision: Decision) -> Json:
    """A decision on one text."""
    plain: Json = outward(
        {
            "action": decision.action,
            "verdicts": _verdicts(decision.verdicts),
            "text": decision.parts[0],
        }
    )
    return plain


def _verdicts(verdicts: Sequence[Verdict]) -> list[Json]:
    return [
        {
            "check": verdict.check,
            "version": verdict.version,
            "action": verdict.action,
            "score": verdict.score,
            "threshold": verdict.threshold,
            "reason": verdict.reason,
            "ms": round(verdict.ms, 3),
            "spans": [{"start": span.start, "end": span.end, "kind": span.kind} for span in verdict.spans],
        }
        for verdict in verdicts
    ]
