"""Where OpenAI's shapes meet runs: a model is an assistant, a request a durable run without a thread."""

from collections.abc import Mapping
from typing import Any

from fiel.infra.api.auth.caller import Caller
from fiel.infra.api.errors import STATUS
from fiel.infra.api.openai.speak import MODES, Running
from fiel.infra.api.openai.wire import Extra
from fiel.infra.api.routes.resources import assistants_of
from fiel.infra.api.service import Service
from fiel.infra.runs.assistants import Assistant
from fiel.infra.runs.errors import NotFound
from fiel.infra.runs.names import new_id
from fiel.infra.runs.spec import Asker, Spec
from fiel.tools.errors import UsageError


class ModelNotFound(UsageError):
    """There is no such model that the caller may use."""

    code = "model_not_found"


STATUS[ModelNotFound.code] = 404


async def assistant_of(service: Service, caller: Caller, model: str) -> Assistant:
    """The assistant that a model names: a graph, or an assistant's id. Raises ModelNotFound."""
    async with service.database.acting(caller.principal) as connection:
        try:
            return await assistants_of(service).resolve(connection, caller.principal, model)
        except NotFound:
            raise ModelNotFound(f"there is no model {model[:100]!r}", where="model") from None


def model_name(assistant: Assistant) -> str:
    """What a client calls an assistant: the system's by its graph, others by their id."""
    return assistant.graph_id if assistant.system else str(assistant.assistant_id)


def serves_own(service: Service) -> bool:
    """Whether fiel's own graph is what is served."""
    from fiel.infra.hosts.own import OwnHost

    return isinstance(service.host, OwnHost)


async def run(
    service: Service, caller: Caller, assistant: Assistant, asked: Mapping[str, Any], extra: Extra, *, streamed: bool
) -> Running:
    """Begin a run. Its thread goes with it."""
    spec = Spec(
        assistant_id=assistant.assistant_id,
        graph_id=assistant.graph_id,
        thread_id=new_id(),
        input=asked,
        config=assistant.config,
        context={**assistant.context, **(extra.context or {})} or None,
        metadata={"assistant_id": str(assistant.assistant_id)},
        stream_modes=MODES if streamed else (),
        durability="exit",
        create=True,
        temporary=True,
        recorded=streamed,
    )
    engine, who = service.engine, caller.principal
    begun, work = await engine.submit(Asker(who, caller.user, caller.credential, caller.kind), spec)
    return Running(
        run_id=str(begun.run_id),
        sources=extra.sources,
        events=lambda: engine.events(who, begun.run_id),
        end=lambda: engine.wait(who, begun.run_id, work),
        cancel=lambda: engine.cancel(who, "interrupt", run_ids=[begun.run_id]),
        allowed=lambda: service.authenticator.still_valid(caller),
    )
