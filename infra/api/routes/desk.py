"""What the command line asks of a running service: answers, passages, traces and policies, in fiel's own shapes."""

from dataclasses import fields
from typing import TYPE_CHECKING, Any

from fastapi import APIRouter, Response

from fiel.infra.api.auth.caller import Calling
from fiel.infra.api.service import Service, Serving
from fiel.infra.api.wire.answers import PROBLEMS, reply
from fiel.infra.api.wire.body import JsonRoute
from fiel.infra.api.wire.common import Json
from fiel.infra.api.wire.desk import Asked, Checked, Required, Searched
from fiel.infra.corpus.least import require_policy
from fiel.infra.desk import operations
from fiel.infra.runs.errors import NotFound
from fiel.policies.describe import show_bundle
from fiel.tools.errors import NotPermitted, UsageError

if TYPE_CHECKING:
    from fiel.graphs.answer.options import Options
    from fiel.infra.compose import House
    from fiel.tools.guard import Guard

router = APIRouter(prefix="/fiel", tags=["fiel"], route_class=JsonRoute, responses=PROBLEMS)


@router.post("/ask", response_model=Json)
async def ask(body: Asked, caller: Calling, service: Serving) -> Response:
    """Ask one question and wait for the answer object."""
    who, options = caller.principal, _options(body.options)
    answer = await operations.ask(_house(service), who, body.question, options, body.thread)
    await service.spend.charge(who, answer["usage"])
    return reply(answer)


@router.post("/search", response_model=list[Json])
async def search(body: Searched, caller: Calling, service: Serving) -> Response:
    """The best passages of a collection that the caller may read."""
    corpus = _house(service).corpus
    return reply(await operations.search(corpus, caller.principal, body.collection, body.query, body.k))


@router.get("/runs/{run}/trace", response_model=Json)
async def trace(run: str, caller: Calling, service: Serving) -> Response:
    """The hops of a run: one's own, or any of the tenant for administrators, auditors and developers."""
    return reply(await operations.read_trace(service.database, caller.principal, run))


@router.get("/policies", response_model=list[Json])
async def policies(caller: Calling, service: Serving) -> Response:
    """The policy bundles that this process has loaded."""
    house = _house(service)
    problem = house.reloader.problem if house.reloader is not None else None
    return reply(operations.bundle_rows(house.policies.bundles, problem.plain() if problem else None))


@router.post("/policies/reload", response_model=Json)
async def reload(caller: Calling, service: Serving) -> Response:
    """Load the folder of policies now, as an administrator; a set that does not load changes nothing."""
    if not caller.principal.may("administrator"):
        raise NotPermitted("only administrators may load policies", where="policies")
    reloader = _house(service).reloader
    if reloader is None:
        raise UsageError("this service has no folder of policies", where="policies", hint="See FIEL_POLICIES")
    return reply({"changed": await reloader.reload(caller.principal)})


@router.get("/policies/{name}", response_model=Json)
async def policy(name: str, caller: Calling, service: Serving) -> Response:
    """One bundle, for those who may know what the checks look for."""
    if not caller.principal.may("curator", *operations.SEES_RUNS):
        raise NotPermitted("what a policy looks for is not for readers", where="policies")
    return reply(show_bundle(_house(service).policies.bundle(name)))


@router.post("/policies/check", response_model=Json)
async def check(body: Checked, caller: Calling, service: Serving) -> Response:
    """Check a text as a run would, for those who may know what the checks look for."""
    if not caller.principal.may("curator", *operations.SEES_RUNS):
        raise NotPermitted("trying a policy is not for readers", where="policies")
    house = _house(service)

    async def guard() -> "Guard":
        return house.services.guard

    return reply(await operations.check(house.policies, guard, body.policy, body.stage, body.text, body.question))


@router.put("/policies/least", response_model=Json)
async def least(body: Required, caller: Calling, service: Serving) -> Response:
    """Name the least bundle that any run over a collection must use."""
    bundle = _house(service).policies.bundle(body.policy).name if body.policy else ""
    await require_policy(service.database, caller.principal, body.collection, bundle)
    return reply({"collection": body.collection, "policy": bundle or None})


def _house(service: Service) -> "House":
    if service.house is None:
        raise NotFound("this service serves other graphs than fiel's own")
    return service.house


def _options(given: Json) -> "Options":
    """Options of a run. Raises UsageError for a name that there is not; values are for the graph to judge."""
    from fiel.graphs.answer.options import Options

    known = {spec.name for spec in fields(Options)}
    for name, value in given.items():
        if name not in known or not isinstance(value, str | int | bool):
            raise UsageError(f"there is no option {name[:100]!r} with such a value", where="options")
    values: dict[str, Any] = dict(given)
    return Options(**values)
