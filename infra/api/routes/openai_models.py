"""GET /v1/models: every assistant is a model."""

from typing import Any

from fastapi import APIRouter

from fiel.infra.api.auth.caller import Calling
from fiel.infra.api.openai.runs import assistant_of, model_name
from fiel.infra.api.openai.wire import FAULTS
from fiel.infra.api.routes.resources import assistants_of
from fiel.infra.api.service import Serving
from fiel.infra.runs.assistants import Assistant, AssistantFilter
from fiel.infra.runs.pages import Window

router = APIRouter(prefix="/v1/models", tags=["OpenAI"], responses=FAULTS)
MOST = 1000


@router.get("")
async def models(caller: Calling, service: Serving) -> dict[str, Any]:
    """The models that the caller may use: one for each graph, and one for each of their assistants."""
    page = await assistants_of(service).search(caller.principal, AssistantFilter(), Window(limit=MOST))
    return {"object": "list", "data": [_model(one) for one in page.items]}


@router.get("/{model}")
async def model(model: str, caller: Calling, service: Serving) -> dict[str, Any]:
    """One model."""
    return _model(await assistant_of(service, caller, model))


def _model(assistant: Assistant) -> dict[str, Any]:
    return {
        "id": model_name(assistant),
        "object": "model",
        "created": int(assistant.created_at.timestamp()),
        "owned_by": "fiel" if assistant.system else "user",
        "name": assistant.name,
        "description": assistant.description,
    }
