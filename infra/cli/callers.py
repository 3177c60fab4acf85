"""`--as USER`: who asks on the command line."""

from collections.abc import Callable
from typing import Any, TypeVar

import click

F = TypeVar("F", bound=Callable[..., Any])


def caller_options(function: F) -> F:
    """Adds `--as` and `--group`; the command gets `as_user` and `groups`."""
    group = click.option("--group", "groups", multiple=True, metavar="GROUP", help="A group of that user; repeatable.")
    user = click.option("--as", "as_user", metavar="USER", help="Ask with that user's rights (a reader).")
    return user(group(function))
