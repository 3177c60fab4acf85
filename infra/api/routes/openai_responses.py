"""POST /v1/responses."""

import time

from fastapi import APIRouter, Response

from fiel.infra.api.auth.caller import Calling
from fiel.infra.api.live import Held, stay
from fiel.infra.api.logs import RUN
from fiel.infra.api.openai import responses, speak
from fiel.infra.api.openai.question import input_of
from fiel.infra.api.openai.runs import assistant_of, run, serves_own
from fiel.infra.api.openai.wire import FAULTS, STREAM, InputItem, ResponsesRequest
from fiel.infra.api.service import Serving
from fiel.infra.api.wire.answers import reply
from fiel.infra.api.wire.body import JsonRoute

router = APIRouter(prefix="/v1", tags=["OpenAI"], route_class=JsonRoute, responses=FAULTS)


@router.post("/responses", response_model=None, responses=STREAM)
async def respond(body: ResponsesRequest, caller: Calling, service: Serving) -> Response:
    """Answer what is asked, whole or as a stream of events. Nothing is kept: a conversation is sent as a whole."""
    assistant = await assistant_of(service, caller, body.model)
    messages = [InputItem(role="user", content=body.input)] if isinstance(body.input, str) else body.input
    asked = input_of(messages, instructions=body.instructions, own=serves_own(service))
    running = await run(service, caller, assistant, asked, body.fiel, streamed=bool(body.stream))
    RUN.set(running.run_id)
    id, created = f"resp_{running.run_id.replace('-', '')}", int(time.time())
    if not body.stream:
        return reply(responses.response(id, created, body, await speak.whole(running)))
    pieces = speak.pieces(running, responses.Events(id, created, body))
    return Held(speak.response_lines(pieces), stay, media_type="text/event-stream")  # who leaves ends the run
