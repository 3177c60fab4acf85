"""What the command line prints: one JSON value or something pleasant on standard output, errors on standard error."""

import contextlib
import json
import sys
import traceback
from collections.abc import Callable, Iterator
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any, TextIO

import click

from fiel.tools.errors import FielError, UsageError

DONE, NO, USAGE, UNAVAILABLE = 0, 1, 2, 3
INTERRUPTED = 130
"""128 + SIGINT, as shells have it."""


@dataclass(frozen=True, slots=True)
class Result:
    """What a command found out."""

    value: Any
    """JSON value for `--json`."""
    show: Callable[[], None]
    """Prints the same for a person."""
    status: int = DONE


_results: ContextVar[TextIO | None] = ContextVar("results", default=None)


@contextlib.contextmanager
def results_only() -> Iterator[None]:
    """Standard output carries results alone: what libraries print meanwhile goes to standard error."""
    token = _results.set(sys.stdout)
    try:
        with contextlib.redirect_stdout(sys.stderr):
            yield
    finally:
        _results.reset(token)


def write_json(value: Any, stream: TextIO | None = None) -> None:
    """One JSON value and a line feed, flushed: who reads line by line does not wait."""
    stream = stream or _results.get() or sys.stdout
    stream.write(json.dumps(value, ensure_ascii=False, default=str) + "\n")
    stream.flush()


def report(error: FielError, *, as_json: bool) -> int:
    """Print what was wrong, where, and what to do. Returns the exit status."""
    if as_json:
        write_json({"error": error.public()})
    _say(error.what, error.where, error.hint)
    return error.exit_status


def report_usage(error: click.ClickException, *, as_json: bool) -> int:
    """Click's own complaints about arguments, in the shape of fiel's errors."""
    if isinstance(error, click.exceptions.NoArgsIsHelpError) and not as_json:
        click.echo(error.format_message(), err=True)
        return USAGE
    ctx = getattr(error, "ctx", None)
    where = ctx.command_path if ctx is not None else "fiel"
    return report(UsageError(error.format_message(), where=where, hint=f"See `{where} --help`"), as_json=as_json)


def report_interrupt(kept: str, *, as_json: bool) -> int:
    """The command was interrupted; `kept` says what stays of its work. Returns the exit status."""
    if as_json:
        write_json({"error": {"code": "interrupted", "what": "interrupted", "where": "", "hint": kept}})
    click.secho("interrupted", fg="yellow", err=True)
    if kept:
        click.echo(f" hint: {kept}", err=True)
    return INTERRUPTED


def report_crash(error: Exception, *, as_json: bool) -> int:
    """An error nobody foresaw: a fault of fiel's. The traceback goes to standard error, for the report of it."""
    traceback.print_exception(error)
    what = f"fiel failed: {type(error).__name__}: {error}"
    if as_json:
        write_json({"error": {"code": "internal", "what": what, "where": "", "hint": "Please report this"}})
    _say(what, "", "This is a fault of fiel's; please report it with the lines above")
    return UNAVAILABLE


def _say(what: str, where: str, hint: str) -> None:
    click.secho(f"error: {what}", fg="red", err=True)
    if where:
        click.echo(f"where: {where}", err=True)
    if hint:
        click.echo(f" hint: {hint}", err=True)
