"""POST /v1/chat/completions."""

import time

from fastapi import APIRouter, Response

from fiel.infra.api.auth.caller import Calling
from fiel.infra.api.live import Held, stay
from fiel.infra.api.logs import RUN
from fiel.infra.api.openai import chat, speak
from fiel.infra.api.openai.question import input_of
from fiel.infra.api.openai.runs import assistant_of, model_name, run, serves_own
from fiel.infra.api.openai.wire import FAULTS, STREAM, ChatRequest
from fiel.infra.api.service import Serving
from fiel.infra.api.wire.answers import reply
from fiel.infra.api.wire.body import JsonRoute

router = APIRouter(prefix="/v1", tags=["OpenAI"], route_class=JsonRoute, responses=FAULTS)


@router.post("/chat/completions", response_model=None, responses=STREAM)
async def completions(body: ChatRequest, caller: Calling, service: Serving) -> Response:
    """Answer a conversation, whole or in pieces."""
    assistant = await assistant_of(service, caller, body.model)
    asked = input_of(body.messages, instructions=None, own=serves_own(service))
    running = await run(service, caller, assistant, asked, body.fiel, streamed=bool(body.stream))
    RUN.set(running.run_id)
    id, created, model = f"chatcmpl-{running.run_id}", int(time.time()), model_name(assistant)
    if not body.stream:
        return reply(chat.completion(id, created, model, await speak.whole(running)))
    usage = body.stream_options is not None and body.stream_options.include_usage
    pieces = speak.pieces(running, chat.Chunks(id, created, model, usage=usage))
    return Held(speak.chat_lines(pieces), stay, media_type="text/event-stream")  # who leaves ends the run
