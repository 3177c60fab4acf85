"""`@command`: what all commands share, so that none can forget it: settings, `--json`, logs, the event loop."""

import asyncio
import contextlib
import functools
import logging
import sys
from collections.abc import Callable, Coroutine
from typing import Any

import click

from fiel.infra.cli.output import Result, results_only, write_json
from fiel.infra.settings import Settings, load

Body = Callable[..., Coroutine[Any, Any, Result | int]] | Callable[..., Result | int]


def command(name: str, group: click.Group | None = None) -> Callable[[Body], click.Command]:
    """Make a click command of a function `(settings, **arguments) -> Result`, plain or async.

    A command that writes its output as it goes returns its exit status in place of a Result.
    """

    def decorate(body: Body) -> click.Command:
        @functools.wraps(body)
        def callback(*, as_json: bool, **arguments: Any) -> int:
            logging.basicConfig(stream=sys.stderr, level=logging.WARNING, format="%(levelname)s %(name)s: %(message)s")
            if "as_json" in body.__annotations__:
                arguments["as_json"] = as_json
            return _finish(body, load(), arguments, as_json)

        made = click.command(name)(callback)
        made.params.append(click.Option(["--json", "as_json"], is_flag=True, help="One JSON value on standard output."))
        if group is not None:
            group.add_command(made)
        return made

    return decorate


def _finish(body: Body, settings: Settings, arguments: dict[str, Any], as_json: bool) -> int:
    by_machine = as_json or arguments.get("by_line", False)
    with results_only() if by_machine else contextlib.nullcontext():
        answer = body(settings, **arguments)
        result: Result | int = asyncio.run(answer) if asyncio.iscoroutine(answer) else answer
        if isinstance(result, int):
            return result
        if as_json:
            write_json(result.value)
    if not as_json:
        result.show()
    return result.status
