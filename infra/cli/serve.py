"""`fiel up` and `fiel demo`: PostgreSQL, MLflow and the shipping of traces in one process tree."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from fiel.infra.callers import TENANT, principal_of
from fiel.infra.cli.answer import STATUS, show_answer
from fiel.infra.cli.command import command
from fiel.infra.cli.output import DONE, UNAVAILABLE, Result, write_json
from fiel.infra.cli.service import HOST, PORT, address, check_open, listen, serve_until_stopped
from fiel.infra.settings import Settings
from fiel.tools.principal import EVERYONE, ROLES, Principal

if TYPE_CHECKING:
    from fiel.infra.compose import House
    from fiel.infra.database.connect import Database

COLLECTION = "fiel-docs"
QUESTION = "What happens when the judge is not satisfied?"
ARRIVAL = 60.0
"""Seconds that a trace may take from PostgreSQL to MLflow."""


def documentation() -> list[Path]:
    """The documents that lie beside the code, in a checkout and in an installed wheel."""
    return sorted((Path(__file__).parents[2] / "docs").glob("*.md"))


def tracking_store(settings: Settings) -> str:
    """Where a server that we start keeps its traces, for SQLAlchemy: in the same PostgreSQL, apart from fiel's tables.

    In the embedded one it is a database of its own, in an external one the schema `mlflow`.
    """
    if not settings.database_url:
        from fiel.infra.database.embedded import Embedded

        return Embedded(settings.folder).mlflow_url
    from psycopg.conninfo import conninfo_to_dict

    from fiel.infra.cli.tracking import address, make_schema

    owner = settings.database_owner_url or settings.database_url
    make_schema(owner)
    return address({name: str(value) for name, value in conninfo_to_dict(owner).items()})


@asynccontextmanager
async def mlflow(settings: Settings, port: int) -> AsyncIterator[str]:
    """Address of the MLflow server: the one of the settings, or one that runs and is watched while the block does."""
    if settings.mlflow_url:
        yield settings.mlflow_url
        return
    from fiel.infra.telemetry.mlflow_server import MlflowServer

    store = await asyncio.to_thread(tracking_store, settings)
    async with MlflowServer(settings.folder, store, port=port) as server, _beside(server.watch):
        yield server.url


@asynccontextmanager
async def _beside(work: Callable[[asyncio.Event], Awaitable[None]]) -> AsyncIterator[None]:
    """`work(stop)` runs beside the block and is told to stop at its end."""
    stop = asyncio.Event()
    task = asyncio.ensure_future(work(stop))
    try:
        yield
    finally:
        stop.set()
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(task, 10.0)


@command("up")
@click.option("--port", default=PORT, show_default=True, type=click.IntRange(0, 65535), help="Of the API; 0: any free.")
@click.option("--host", default=HOST, show_default=True, help="Address that the API listens on.")
@click.option("--mlflow-port", default=0, type=click.IntRange(0, 65535), help="Port of the MLflow server; 0: any free.")
async def up(settings: Settings, port: int, host: str, mlflow_port: int, as_json: bool) -> int:
    """Run PostgreSQL, MLflow and the API, which works on runs and ships traces, until interrupted.

    Prints where to look and, at first start, an administrator's token. Other commands with the same FIEL_HOME use these
    servers while they run.
    """
    from fiel.infra.api.logs import configure
    from fiel.infra.compose import make_shipper
    from fiel.infra.database.open import open_database

    check_open(settings, host)
    configure()
    with listen(host, port) as bound:
        async with (
            open_database(settings) as database,
            mlflow(settings, mlflow_port) as url,
            _beside(make_shipper(settings, database, url).ship_until),
        ):

            async def tell(_: object) -> None:
                # Not before the service answers: a token that a failed start made would be lost.
                token = await _first_token(settings, database)
                _say_where(settings, _There(database, url, address(bound), token), as_json)

            # An interrupt before the service answers cancels this; that is how this command ends well too.
            with contextlib.suppress(asyncio.CancelledError):
                await serve_until_stopped(settings, bound, None, tell)
            click.echo("stopping", err=True)
    return DONE


async def _first_token(settings: Settings, database: "Database") -> str | None:
    """The administrator's token of a first start; None later, and where nobody needs one."""
    from fiel.infra.api.auth.tokens import Tokens

    if settings.auth == "none":
        return None
    administrator = Principal(TENANT, "administrator", frozenset(), frozenset(ROLES))
    return await Tokens(database).first(administrator, administrator)


@dataclass(frozen=True, slots=True)
class _There:
    """Where everything is."""

    database: "Database"
    mlflow: str
    api: str
    token: str | None


def _say_where(settings: Settings, there: _There, as_json: bool) -> None:
    from fiel.infra.database.errors import place

    embedded, database = not settings.database_url, place(there.database.url)
    if as_json:
        token = {} if there.token is None else {"token": there.token}
        more = {"mlflow": there.mlflow, "home": str(settings.folder), "url": there.api, **token}
        write_json({"database": database, "embedded": embedded, **more})
        return
    click.echo(f"API         {click.style(there.api, bold=True)}  documentation at {there.api}/docs")
    click.echo(f"PostgreSQL  {'embedded' if embedded else 'external'}, {database}")
    click.echo(f"MLflow      {click.style(there.mlflow, bold=True)}  experiment {settings.mlflow_experiment}")
    click.echo(f"home        {settings.folder}")
    if there.token is not None:
        click.echo(f"token       {click.style(there.token, bold=True)}  of the administrator; it is not shown again")
    click.echo("Traces go from PostgreSQL to MLflow while this runs. Ctrl-C stops everything.")


@dataclass(frozen=True, slots=True)
class Demo:
    """What the demo showed."""

    ingest: dict[str, Any]
    answer: dict[str, Any]
    mlflow: str
    trace: dict[str, Any] | None
    """As MLflow gave it back; None where it did not arrive in time."""


@command("demo")
@click.option("--question", default=QUESTION, show_default=True, help="What to ask the documentation.")
async def demo(settings: Settings, question: str, as_json: bool) -> Result:
    """Start everything, ingest fiel's own documentation, ask it one question, and show the trace from MLflow."""
    from fiel.infra.answering import Question
    from fiel.infra.cli.options import options_of
    from fiel.infra.compose import open_house

    say = _Say(quiet=as_json)
    say("starting PostgreSQL")
    async with open_house(settings) as house, AsyncExitStack() as stack:
        say("starting MLflow beside ingesting the documentation")
        serving = asyncio.create_task(stack.enter_async_context(mlflow(settings, 0)))
        try:
            report = await _ingest(house, quiet=as_json)
            say(f"\n{question}")
            answer = await house.ask(Question(question, principal_of(None, ()), options_of(COLLECTION, ())))
            if not as_json:
                show_answer(answer, verdicts=True)
                say("\nthe trace, as MLflow has it")
            url = await serving
            tree = await _read_back(house, url, answer["run_id"])
        finally:
            serving.cancel()
            await asyncio.gather(serving, return_exceptions=True)
    shown = Demo(report, answer, url, tree)
    status = STATUS[answer["outcome"]] if tree else UNAVAILABLE
    return Result(asdict(shown), lambda: _show_end(settings, shown), status)


class _Say:
    """Tells a person how far the demo has come."""

    def __init__(self, *, quiet: bool) -> None:
        self._quiet = quiet

    def __call__(self, text: str) -> None:
        if not self._quiet:
            click.secho(text, bold=True)


async def _ingest(house: "House", *, quiet: bool) -> dict[str, Any]:
    """The documentation, readable by everyone."""
    from fiel.infra.cli.corpus import show_report
    from fiel.infra.cli.progress import progress_bar

    with progress_bar(quiet=quiet) as progress:
        report = await house.corpus.ingest(
            documentation(),
            collection=COLLECTION,
            principal=principal_of(None, ()),
            allow=[EVERYONE],
            progress=progress,
        )
    if not quiet:
        show_report(report)
    return report.as_dict()


async def _read_back(house: "House", url: str, run: str) -> dict[str, Any] | None:
    """Ship what waits, then read the run's trace from MLflow."""
    from fiel.infra.telemetry.mlflow import Mlflow
    from fiel.infra.telemetry.trace import read_back

    await house.shipper(url).drain(ARRIVAL)
    client = Mlflow(url, house.settings.mlflow_experiment)
    try:
        return await read_back(client, run, timeout=ARRIVAL)
    finally:
        await client.close()


def _show_end(settings: Settings, shown: Demo) -> None:
    """The trace, and where to look further."""
    from rich.console import Console

    from fiel.infra.cli.trace import span_tree

    console = Console(highlight=False)
    if shown.trace is None:
        console.print(f"[red]it did not arrive within {ARRIVAL:g} s[/red]")
    else:
        console.print(span_tree(shown.trace), soft_wrap=True)
    run = shown.answer["run_id"]
    trace = f"tr-{shown.answer['trace_id']}"
    console.print(f"\nrun    {run}: fiel trace {run}", soft_wrap=True)
    where = shown.mlflow if settings.mlflow_url else "fiel up prints the address of MLflow;"
    console.print(f"MLflow {where} experiment {settings.mlflow_experiment}, trace {trace}", soft_wrap=True)
    console.print(f'ask    fiel ask "What does each outcome mean?" --collection {COLLECTION}', soft_wrap=True)
