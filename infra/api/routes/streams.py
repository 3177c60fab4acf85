"""Streams of threads: all runs of one, as they come. And the newer transport: commands, events, WebSocket."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import aclosing, suppress
from typing import Annotated, Any, Literal, cast
from uuid import UUID

import orjson
from fastapi import APIRouter, Header, Query, Response, WebSocket, WebSocketDisconnect
from pydantic import ValidationError

from fiel.infra.api import live
from fiel.infra.api.auth.caller import Caller, Calling, authenticated
from fiel.infra.api.commanding import commanded, told
from fiel.infra.api.live import Cut, Held, Watchful, stay
from fiel.infra.api.routes.making import valid_of
from fiel.infra.api.routes.resources import threads_of
from fiel.infra.api.routes.runs import STREAM, seen
from fiel.infra.api.service import Service, Serving
from fiel.infra.api.wire.answers import PROBLEMS, reply
from fiel.infra.api.wire.body import JsonRoute
from fiel.infra.api.wire.commands import Command, Failure, Subscription, Success, failure, success
from fiel.infra.runs.errors import BadRequest
from fiel.infra.runs.events import Event
from fiel.infra.runs.following import Step, follow, latest
from fiel.infra.runs.names import new_id
from fiel.infra.runs.protocol import finished, method_of
from fiel.tools.errors import FielError

router = APIRouter(prefix="/threads/{thread_id}", tags=["streams"], route_class=JsonRoute, responses=PROBLEMS)
Mode = Literal["lifecycle", "run_modes"]
MOST = 32
"""Subscriptions of one socket."""
FAREWELL = 5.0
"""Seconds that a client may take to let a socket be closed."""


@router.get("/stream", responses=STREAM)
async def join(
    thread_id: UUID,
    caller: Calling,
    service: Serving,
    stream_mode: Annotated[list[str] | None, Query()] = None,
    stream_modes: Annotated[list[str] | None, Query()] = None,
    last_event_id: Annotated[str, Header(description="The last event seen; - for all there are")] = "",
) -> Response:
    """See the events of a thread's runs as they come. The client closes."""
    await threads_of(service).get(caller.principal, thread_id)
    modes = _modes([*(stream_mode or ()), *(stream_modes or ())])
    if last_event_id:
        since = 0 if last_event_id == "-" else seen(last_event_id)
    else:  # before the answer begins: who has its head misses nothing from then on
        since = await latest(service.engine, caller.principal, thread_id)
    steps = follow(service.engine, caller.principal, thread_id, since)
    pieces = _sent(steps, lambda step: _classic(step, modes), Watchful(valid_of(service, caller)))
    return Held(pieces, stay, media_type="text/event-stream")


@router.post("/stream/events", responses=STREAM)
async def events(thread_id: UUID, body: Subscription, caller: Calling, service: Serving) -> Response:
    """See a thread's events over the newer transport, from its first one or after `since`."""
    steps = follow(service.engine, caller.principal, thread_id, body.since or 0)
    pieces = _sent(steps, lambda step: _newer(step, body), Watchful(valid_of(service, caller)))
    return Held(pieces, stay, media_type="text/event-stream")


@router.post("/commands", response_model=Success | Failure)
async def command(thread_id: UUID, body: Command, caller: Calling, service: Serving) -> Response:
    """Carry out a command: run.start or input.respond."""
    return reply(await commanded(service, caller, thread_id, body))


@router.websocket("/stream/events")
async def socket(websocket: WebSocket, thread_id: UUID) -> None:
    """Commands and events over one connection."""
    caller = await authenticated(websocket)
    await websocket.accept()
    await _Socket(websocket, websocket.app.state.service, caller, thread_id).serve()


class _Socket:
    """One WebSocket: it is told commands, and tells what its subscriptions want to hear."""

    def __init__(self, websocket: WebSocket, service: Service, caller: Caller, thread_id: UUID) -> None:
        self._websocket = websocket
        self._service = service
        self._caller = caller
        self._thread_id = thread_id
        self._pumps: dict[str, asyncio.Task[None]] = {}
        self._sending = asyncio.Lock()

    async def serve(self) -> None:
        reading = asyncio.create_task(self._read())
        guarding = asyncio.create_task(self._guard())
        try:
            await asyncio.wait((reading, guarding), return_when=asyncio.FIRST_COMPLETED)
        finally:
            tasks = [reading, guarding, *self._pumps.values()]
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            await self._close()

    async def _close(self) -> None:
        """A client that does not read does not hear of it either."""
        try:
            with suppress(RuntimeError, WebSocketDisconnect):
                async with asyncio.timeout(FAREWELL):
                    await self._websocket.close(1000)
        except TimeoutError:
            live.cut_off(self._websocket.scope)

    async def _guard(self) -> None:
        """Ends where the caller's right does, or a subscription breaks."""
        watch = Watchful(valid_of(self._service, self._caller))
        with suppress(Cut):
            while not any(pump.done() for pump in self._pumps.values()):
                await asyncio.sleep(1.0)
                await watch.look()

    async def _read(self) -> None:
        with suppress(WebSocketDisconnect, TimeoutError):
            while True:
                await self._say(await self._answer(await self._websocket.receive_text()))

    async def _answer(self, text: str) -> dict[str, Any]:
        try:
            asked = Command.model_validate(orjson.loads(text))
        except (ValidationError, orjson.JSONDecodeError):
            return failure(None, "invalid_argument", "a command has an integer id and a method")
        try:
            self._service.limits.take(self._caller.principal)  # each is what a request would be
            if asked.method == "subscription.subscribe":
                return self._subscribe(asked)
            if asked.method == "subscription.unsubscribe":
                return self._unsubscribe(asked)
            if self._service.spend.limit:
                await self._service.spend.check(self._caller.principal)
            return await commanded(self._service, self._caller, self._thread_id, asked)
        except FielError as error:
            return failure(asked.id, "unknown_error", error.what)

    def _subscribe(self, asked: Command) -> dict[str, Any]:
        try:
            wanted = Subscription.model_validate(asked.params)
        except ValidationError as error:
            return failure(asked.id, "invalid_argument", told(error))
        if len(self._pumps) >= MOST:
            return failure(asked.id, "invalid_argument", f"a connection has at most {MOST} subscriptions")
        name = str(new_id())
        self._pumps[name] = asyncio.create_task(self._pump(wanted))
        return success(asked.id, {"subscription_id": name, "replayed_events": 0})

    def _unsubscribe(self, asked: Command) -> dict[str, Any]:
        pump = self._pumps.pop(str(asked.params.get("subscription_id")), None)
        if pump is None:
            return failure(asked.id, "no_such_subscription", "there is no such subscription")
        pump.cancel()
        return success(asked.id, {})

    async def _pump(self, wanted: Subscription) -> None:
        steps = follow(self._service.engine, self._caller.principal, self._thread_id, wanted.since or 0)
        async with aclosing(cast("Any", steps)):
            async for step in steps:
                if step is not None and (event := _shaped(step, wanted)) is not None:
                    await self._send(event.data)

    async def _say(self, value: dict[str, Any]) -> None:
        await self._send(orjson.dumps(value))

    async def _send(self, data: bytes) -> None:
        async with self._sending, asyncio.timeout(live.STALLED):
            await self._websocket.send_text(data.decode())


async def _sent(
    steps: AsyncIterator[Step | None], shape: Callable[[Step], bytes | None], watch: Watchful
) -> AsyncIterator[bytes]:
    """Steps as server-sent events, with comments where nothing comes for a while."""
    loop = asyncio.get_running_loop()
    said = loop.time()
    async with aclosing(cast("Any", steps)):
        async for step in steps:
            await watch.look()
            if step is not None and (piece := shape(step)) is not None:
                said = loop.time()
                yield piece
            elif loop.time() - said > live.HEARTBEAT:
                said = loop.time()
                yield b": heartbeat\r\n\r\n"


def _classic(step: Step, modes: frozenset[str]) -> bytes | None:
    """An event of a thread's stream; the end of a run is one too."""
    if step.event is None:
        done = orjson.dumps({"status": "run_done", "run_id": str(step.run_id)})
        return live.encoded(Event(step.seq, "metadata", done))
    if "run_modes" not in modes and step.event.event != "metadata":
        return None
    return live.encoded(Event(step.seq, step.event.event, step.event.data))


def _newer(step: Step, wanted: Subscription) -> bytes | None:
    event = _shaped(step, wanted)
    return None if event is None else live.encoded(event)


def _shaped(step: Step, wanted: Subscription) -> Event | None:
    """An event of the newer transport, if it is one, and wanted."""
    told = step.event
    method = None if told is None else method_of(told.event)
    if told is None or method is None or not wanted.wants(method, told.data):
        return None
    # Clients find out which run begins by the id of its event: no field of it says so.
    kind = "synth:" if method == "lifecycle" else ""
    return Event(step.seq, method, finished(told.data, step.seq, f"{kind}{step.run_id}:{told.seq}"))


def _modes(given: list[str]) -> frozenset[str]:
    """Raises BadRequest for modes that do not exist, or that fiel does not tell of."""
    modes = [mode for mode in given if mode] or ["run_modes"]
    for mode in modes:
        if mode not in Mode.__args__:  # type: ignore[attr-defined]
            raise BadRequest(f"the stream mode {mode[:50]!r} is not supported", where="stream_modes")
    return frozenset(modes)
