"""`fiel serve`: the API alone, until interrupted."""

import asyncio
import contextlib
import gc
import resource
import signal
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import click

from fiel.infra.cli.command import command
from fiel.infra.cli.output import DONE, write_json
from fiel.infra.settings import Settings
from fiel.tools.errors import SettingsError, Unavailable

if TYPE_CHECKING:
    from types import FrameType

    import uvicorn
    from fastapi import FastAPI

    from fiel.infra.api.service import Service

PORT = 8123
HOST = "127.0.0.1"
FILES = 65_536
DRAIN = 20
"""Seconds that open requests have left when the service is told to stop."""


class PortTaken(Unavailable):
    """The address cannot be listened on."""

    code = "port_taken"


def listen(host: str, port: int) -> socket.socket:
    """A socket that listens. Raises PortTaken."""
    kind = socket.AF_INET6 if ":" in host else socket.AF_INET
    bound = socket.socket(kind, socket.SOCK_STREAM, socket.IPPROTO_TCP)  # named, or asyncio leaves Nagle on: 40 ms
    bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        bound.bind((host, port))
        bound.listen(2048)
    except OSError as error:
        bound.close()
        raise PortTaken(
            f"{host}:{port} cannot be listened on: {error.strerror}", where="--port", hint="Name another with --port"
        ) from error
    bound.setblocking(False)
    _allow_many_files()
    return bound


def _allow_many_files() -> None:
    """Each connection is a file: 1024, which many systems begin with, are few for those that are open and idle."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = FILES if hard == resource.RLIM_INFINITY else min(FILES, hard)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


def check_open(settings: Settings, host: str) -> None:
    """Nobody is let in without authentication from anywhere but this machine. Raises SettingsError."""
    from fiel.infra.api.auth.authenticator import is_loopback

    if settings.auth == "none" and not is_loopback(host):
        raise SettingsError(
            "without authentication fiel serves this machine only",
            where=f"--host {host}",
            hint="Unset FIEL_AUTH, or listen on 127.0.0.1",
        )


def address(bound: socket.socket) -> str:
    """Where a socket listens, as a URL."""
    host, port = bound.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def server_of(
    app: "FastAPI", started: asyncio.Event, max_message: int, drain: Callable[[float], Awaitable[None]]
) -> "uvicorn.Server":
    """The server of an application: `await server.serve([socket])` runs it, and sets `started` when it answers.

    `max_message`: bytes of a WebSocket's message. `drain(seconds)`: ends within them what is at work; called when the
    server is told to stop, so that runs and the requests that wait for them have the same time.
    """
    import uvicorn

    from fiel.infra.api.connection import Connection

    class Server(uvicorn.Server):
        """Stops at the first signal, after what is open has had its time; at the second at once."""

        @contextlib.contextmanager
        def capture_signals(self) -> Iterator[None]:
            before = {number: signal.signal(number, self.handle_exit) for number in (signal.SIGINT, signal.SIGTERM)}
            try:
                yield
            finally:
                for number, handler in before.items():
                    signal.signal(number, handler)

        def handle_exit(self, sig: int, frame: "FrameType | None") -> None:
            self.force_exit = self.should_exit
            self.should_exit = True

        async def startup(self, sockets: list[socket.socket] | None = None) -> None:
            await super().startup(sockets)
            started.set()

        async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
            draining = asyncio.ensure_future(drain(DRAIN))
            await super().shutdown(sockets)
            if self.force_exit:
                draining.cancel()
                await drain(0.0)
                await self.lifespan.shutdown()
            await asyncio.gather(draining, return_exceptions=True)

    config = uvicorn.Config(
        app,
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,
        lifespan="on",
        http=Connection,
        ws="websockets-sansio",
        ws_max_size=max_message,
        timeout_keep_alive=75,
        timeout_graceful_shutdown=DRAIN,
    )
    return Server(config)


async def serve_until_stopped(
    settings: Settings, bound: socket.socket, graphs: Path | None, told: Callable[["Service"], Awaitable[None]]
) -> None:
    """Serve on a socket until a signal comes; `told` is called when the service answers.

    The service is opened before the server, so that what stops a start is told as it is.
    """
    from fiel.infra.api.app import create
    from fiel.infra.api.opening import open_service
    from fiel.infra.reload import on_hangup

    with on_hangup() as hangups:
        async with open_service(settings, graphs) as service, _desk(settings, service) as sockets:
            started, app = asyncio.Event(), create(settings, lambda: contextlib.nullcontext(service))
            server = server_of(app, started, settings.max_body_mb * 2**20, service.engine.drain)
            serving = asyncio.create_task(server.serve([bound, *sockets]))
            try:
                await started.wait()
                keep_what_is_loaded()
                with hangups.reload(service.house.reloader if service.house is not None else None):
                    await told(service)
                    await serving
            finally:
                server.should_exit = True
                await serving


@contextlib.asynccontextmanager
async def _desk(settings: Settings, service: "Service") -> AsyncIterator[list[socket.socket]]:
    """The socket at which the command line asks, where fiel's own graph is served and nobody else has the desk."""
    from fiel.infra.desk.place import open_desk

    desk = open_desk(settings) if service.house is not None else None
    if desk is None:
        yield []
        return
    service.authenticator = replace(service.authenticator, desk=desk.path)
    try:
        yield [desk.socket]
    finally:
        desk.close()


def keep_what_is_loaded() -> None:
    """The collector would walk all of it again and again: a tenth of a second each, in which nobody is served."""
    gc.collect()
    gc.freeze()


@command("serve")
@click.option(
    "--graphs",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    metavar="langgraph.json",
    help="Serve the graphs that this file names, in place of fiel's own.",
)
@click.option("--port", default=PORT, show_default=True, type=click.IntRange(0, 65535), help="0: any free one.")
@click.option("--host", default=HOST, show_default=True, help="Address to listen on.")
def serve(settings: Settings, graphs: Path | None, port: int, host: str, as_json: bool) -> int:
    """Serve the LangGraph Agent Server protocol and OpenAI's shapes until interrupted.

    Logs go to standard error, one JSON object a line.
    """
    import uvloop

    from fiel.infra.api.logs import configure

    check_open(settings, host)
    configure()
    with listen(host, port) as bound:
        uvloop.run(_serve(settings, bound, graphs, as_json))
    return DONE


async def _serve(settings: Settings, bound: socket.socket, graphs: Path | None, as_json: bool) -> None:
    async def tell(service: "Service") -> None:
        graph_ids = list(service.host.graph_ids())
        if as_json:
            write_json({"url": address(bound), "graphs": graph_ids})
        else:
            click.echo(f"fiel        {click.style(address(bound), bold=True)}  graphs: {', '.join(graph_ids)}")

    await serve_until_stopped(settings, bound, graphs, tell)
