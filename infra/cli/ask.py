"""`fiel ask`: one question, or one a line."""

from typing import TYPE_CHECKING, Any

import click

from fiel.infra.cli.answer import STATUS, show_answer
from fiel.infra.cli.callers import caller_options, principal_of
from fiel.infra.cli.command import command
from fiel.infra.cli.options import options_of
from fiel.infra.cli.output import Result
from fiel.infra.cli.text import clean
from fiel.infra.settings import Settings
from fiel.tools.errors import UsageError

if TYPE_CHECKING:
    from fiel.graphs.answer.options import Options
    from fiel.infra.compose import House


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
    principal = principal_of(as_user, groups)
    options = options_of(collection, given)

    from fiel.infra.answering import Question
    from fiel.infra.compose import open_house

    async with open_house(settings) as house:
        _require(house, options)

        async def work(text: str) -> dict[str, Any]:
            return await house.ask(Question(clean(text, "QUESTION"), principal, options, thread))

        if by_line:
            from fiel.infra.cli import lines

            return await lines.serve(work)
        answer = await work(str(question))
    return Result(answer, lambda: show_answer(answer), STATUS[answer["outcome"]])


def _require(house: "House", options: "Options") -> None:
    """Raises PolicyError or UsageError, which name it, where there is no such bundle, chat model or prompt."""
    from fiel.graphs.answer.prompt_files import prompts

    house.services.policies.bundle(options.policy)
    house.services.chat(options.chat)
    prompts(options.prompt)
