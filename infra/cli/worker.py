"""`fiel worker`: works on runs, without an API, until interrupted."""

import asyncio
import signal
from pathlib import Path

import click

from fiel.infra.cli.command import command
from fiel.infra.cli.output import DONE, write_json
from fiel.infra.cli.service import keep_what_is_loaded
from fiel.infra.settings import Settings

ENDING = (signal.SIGINT, signal.SIGTERM)


@command("worker")
@click.option(
    "--graphs",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    metavar="langgraph.json",
    help="Work on runs of the graphs that this file names, in place of fiel's own: the same as `fiel serve` has.",
)
def worker(settings: Settings, graphs: Path | None, as_json: bool) -> int:
    """Work on runs until interrupted: those that wait, those that are due, and those of processes that are gone.

    Every `fiel serve` works on runs too; workers beside it take on more, and go on where it dies.
    """
    import uvloop

    from fiel.infra.api.logs import configure

    configure()
    uvloop.run(_work(settings, graphs, as_json))
    return DONE


async def _work(settings: Settings, graphs: Path | None, as_json: bool) -> None:
    from fiel.infra.api.opening import open_engine
    from fiel.infra.reload import on_hangup

    with on_hangup() as hangups:
        async with open_engine(settings, graphs) as (engine, hosted):
            keep_what_is_loaded()
            stop = _told_to_stop()
            with hangups.reload(hosted.house.reloader if hosted.house is not None else None):
                _say(list(engine.host.graph_ids()), as_json)
                await stop.wait()
            # A second signal ends the process at once: what it worked on is taken up by others.
            for number in ENDING:
                asyncio.get_running_loop().remove_signal_handler(number)
                signal.signal(number, signal.SIG_DFL)
            click.echo("stopping", err=True)


def _told_to_stop() -> asyncio.Event:
    """Set by the first signal."""
    stop = asyncio.Event()
    for number in ENDING:
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    return stop


def _say(graph_ids: list[str], as_json: bool) -> None:
    if as_json:
        write_json({"graphs": graph_ids})
    else:
        click.echo(f"working on runs of {', '.join(graph_ids)}")
