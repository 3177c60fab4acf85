"""What commands of the newer transport do, over HTTP and WebSocket alike. What goes wrong is an answer too."""

import asyncio
import time
from collections.abc import Mapping
from typing import Any
from uuid import UUID

import orjson
from pydantic import ValidationError

from fiel.infra.api.auth.caller import Caller
from fiel.infra.api.routes.making import asking, basis
from fiel.infra.api.routes.resources import threads_of
from fiel.infra.api.service import Service
from fiel.infra.api.wire.commands import Command, InputRespond, RunStart, failure, success
from fiel.infra.hosts.port import PROTOCOL, check_config
from fiel.infra.runs.errors import BadRequest, NotFound
from fiel.infra.runs.protocol import method_of
from fiel.infra.runs.runs import Run
from fiel.infra.runs.spec import spec_of
from fiel.infra.runs.threads import Thread
from fiel.tools.errors import FielError, NotPermitted, Unavailable

Json = dict[str, Any]
SETTLE = 15.0
"""Seconds in which a run that has just asked for input must have noted so on its thread."""
_SUBSCRIPTIONS = ("subscription.subscribe", "subscription.unsubscribe")


class NoSuchInterrupt(BadRequest):
    """The thread does not wait for this answer."""

    code = "no_such_interrupt"


async def commanded(service: Service, caller: Caller, thread_id: UUID, command: Command) -> Json:
    """Carry out a command that makes a run. Raises Unavailable, which is an answer of the transport, not of ours."""
    try:
        if command.method == "run.start":
            run = await _start(service, caller, thread_id, RunStart.model_validate(command.params))
            return success(command.id, {"run_id": str(run.run_id)})
        if command.method == "input.respond":
            await _respond(service, caller, thread_id, InputRespond.model_validate(command.params))
            return success(command.id, {})
    except ValidationError as error:
        return failure(command.id, "invalid_argument", told(error))
    except Unavailable:
        raise
    except FielError as error:
        return failure(command.id, _code(error), error.what)
    if command.method in (*_SUBSCRIPTIONS, "subscription.reconnect", "agent.getTree", "input.inject"):
        return failure(command.id, "not_supported", f"{command.method} is not supported here")
    return failure(command.id, "unknown_command", f"there is no command {command.method[:50]!r}")


def told(error: ValidationError) -> str:
    """Which parameter does not fit, and why."""
    first = error.errors(include_input=False, include_url=False)[0]
    return f"{'.'.join(str(part) for part in first['loc'])}: {first['msg']}"


def _code(error: FielError) -> str:
    if isinstance(error, NoSuchInterrupt):
        return "no_such_interrupt"
    if isinstance(error, NotPermitted):
        return "permission_denied"
    if error.code == "unknown_checkpoint":
        return "no_such_checkpoint"
    return "no_such_run" if isinstance(error, NotFound) else "invalid_argument"


async def _start(service: Service, caller: Caller, thread_id: UUID, asked: RunStart) -> Run:
    """A new run; what is sent to a thread that waits for an answer is the answer."""
    sent: Json = {"config": asked.config, "metadata": asked.metadata, "multitask_strategy": asked.multitaskStrategy}
    sent["input"] = asked.input
    if asked.input is not None and await _waiting(service, caller, thread_id):
        sent |= {"input": None, "command": {"resume": asked.input}}
    return await _made(service, caller, thread_id, asked.assistant_id, sent)


async def _respond(service: Service, caller: Caller, thread_id: UUID, asked: InputRespond) -> Run:
    answers = asked.answers()
    if not answers:
        raise BadRequest("an answer names its interrupt", where="interrupt_id")
    waiting = await _waiting(service, caller, thread_id, told=True)
    if missing := answers.keys() - waiting:
        raise NoSuchInterrupt(f"the thread does not wait for an answer to {sorted(missing)[0][:100]!r}")
    thread = await threads_of(service).get(caller.principal, thread_id)
    command: Json = {"resume": answers}
    command |= {key: value for key, value in (("update", asked.update), ("goto", asked.goto)) if value is not None}
    sent = {"command": command, "config": asked.config, "metadata": asked.metadata}
    return await _made(service, caller, thread_id, str(thread.metadata.get("assistant_id")), sent)


async def _made(service: Service, caller: Caller, thread_id: UUID, assistant: str, sent: Json) -> Run:
    config, checkpoint_id = _fork(sent.get("config") or {}, thread_id)
    check_config(config)
    whole = {**sent, "config": config, "checkpoint_id": checkpoint_id, "stream_mode": PROTOCOL}
    whole |= {"stream_subgraphs": True, "if_not_exists": "create"}
    spec = spec_of(whole, await basis(service, caller, assistant), thread_id, stateless=False)
    run, _ = await service.engine.submit(asking(caller), spec)
    return run


def _fork(config: Mapping[str, Any], thread_id: UUID) -> tuple[Json, str | None]:
    """The config without what names the place: the SDKs put the checkpoint to fork from there, and the thread."""
    configurable = dict(config.get("configurable") or {})
    checkpoint_id = configurable.pop("checkpoint_id", None)
    if checkpoint_id is not None and not isinstance(checkpoint_id, str):
        raise BadRequest("this is no id of a checkpoint", where="config.configurable.checkpoint_id")
    if configurable.get("thread_id") == str(thread_id):
        del configurable["thread_id"]
    return {**config, "configurable": configurable}, checkpoint_id


async def _waiting(service: Service, caller: Caller, thread_id: UUID, *, told: bool = False) -> set[str]:
    """Interrupts that the thread waits for. A run that has said so may still be about to note it.

    `told`: the caller names an interrupt, so a run has asked, in this process or another: its note is waited for.
    """
    deadline = time.monotonic() + SETTLE
    quiet = False
    while True:
        try:
            thread = await threads_of(service).get(caller.principal, thread_id)
        except NotFound:
            return set()
        if thread.status != "busy" or quiet or time.monotonic() > deadline:
            break
        # A run that does not run any more may have ended after the thread was read: read again before that counts.
        quiet = not told and not await _about_to_ask(service, caller, thread)
        if not quiet:
            await asyncio.sleep(0.05)
    if thread.status != "interrupted":
        return set()
    several = orjson.loads(thread.interrupts or b"{}").values()
    return {one["id"] for waiting in several for one in waiting}


async def _about_to_ask(service: Service, caller: Caller, thread: Thread) -> bool:
    """Whether the run that keeps the thread busy has asked for input already."""
    runs = await service.engine.runs.of_thread(caller.principal, thread.thread_id, limit=5, offset=0, status="running")
    for run in runs:
        feed = service.engine.feeds.get(run.run_id)
        if feed is not None and any(method_of(event.event) == "input.requested" for event in feed.tail()):
            return True
    return False
