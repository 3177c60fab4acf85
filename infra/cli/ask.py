"""`fiel ask`: one question, or one a line."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import click

from fiel.infra.callers import principal_of
from fiel.infra.cli.answer import STATUS, show_answer
from fiel.infra.cli.callers import caller_options
from fiel.infra.cli.command import command
from fiel.infra.cli.options import options_of
from fiel.infra.cli.output import Result
from fiel.infra.cli.text import clean
from fiel.infra.settings import Settings
from fiel.tools.errors import UsageError

if TYPE_CHECKING:
    from fiel.graphs.answer.options import Options
    from fiel.infra.cli.lines import Work


@command("ask")
@click.argument("question", required=False)
@click.option("--collection", default="default", show_default=True, metavar="C", help="Where to look for the answer.")
@click.option("--thread", metavar="T", help="Name of the conversation that the question belongs to.")
@click.option("--option", "given", multiple=True, metavar="K=V", help="An option of the run, e.g. k=5; repeatable.")
@click.option("--lines", "by_line", is_flag=True, help="One JSON value a line from standard input, one object a line.")
@caller_options
async def ask(
    settings: Settings,
    question: str | None,
    collection: str,
    thread: str | None,
    given: tuple[str, ...],
    by_line: bool,
    as_user: str | None,
    groups: tuple[str, ...],
) -> Result | int:
    """Answer QUESTION from a collection, with citations, or say that it cannot be answered.

    Exits with 0 where the run answered, 1 where it abstained or was refused, 3 where a service is unavailable.
    """
    if by_line == (question is not None):
        raise UsageError("give one QUESTION, or --lines and questions on standard input", where="fiel ask")
    if by_line and thread is not None:
        raise UsageError("--lines asks side by side: it has no --thread", where="fiel ask")
    options = options_of(collection, given)
    async with _answering(settings, as_user, groups, options, thread) as work:
        if by_line:
            from fiel.infra.cli import lines

            return await lines.serve(work)
        answer = await work(str(question))
    return Result(answer, lambda: show_answer(answer), STATUS[answer["outcome"]])


@asynccontextmanager
async def _answering(
    settings: Settings, as_user: str | None, groups: tuple[str, ...], options: "Options", thread: str | None
) -> AsyncIterator["Work"]:
    """Answers questions: through the service that runs, or in a house of its own."""
    from fiel.infra.desk.client import reach

    if (service := reach(settings, as_user, groups)) is not None:
        given = {"options": asdict(options), "thread": thread}

        async def through(text: str) -> dict[str, Any]:
            answer: dict[str, Any] = await service.send(
                "POST", "/fiel/ask", {"question": clean(text, "QUESTION"), **given}
            )
            return answer

        yield through
        return

    from fiel.infra.compose import open_house
    from fiel.infra.desk.operations import ask as answered
    from fiel.infra.people.people import People

    principal_of(as_user, groups)  # a name that cannot be is told before anything is opened
    async with open_house(settings) as house:
        principal = await People(house.corpus.database).spoken_for(as_user, groups)

        async def here(text: str) -> dict[str, Any]:
            return await answered(house, principal, clean(text, "QUESTION"), options, thread)

        yield here
