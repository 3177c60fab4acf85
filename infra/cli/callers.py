"""`--as USER`: who asks on the command line."""

from collections.abc import Callable
from typing import Any, TypeVar

import click

from fiel.tools.errors import UsageError
from fiel.tools.principal import EVERYONE, Principal, local_administrator

TENANT = "default"
F = TypeVar("F", bound=Callable[..., Any])


def caller_options(function: F) -> F:
    """Adds `--as` and `--group`; the command gets `as_user` and `groups`."""
    group = click.option("--group", "groups", multiple=True, metavar="GROUP", help="A group of that user; repeatable.")
    user = click.option("--as", "as_user", metavar="USER", help="Ask with that user's rights (a reader).")
    return user(group(function))


def principal_of(as_user: str | None, groups: tuple[str, ...]) -> Principal:
    """The caller: the local administrator, or with `--as` a reader of that name in those groups.

    Raises UsageError for groups without a user and for names that are reserved.
    """
    if as_user is None:
        if groups:
            raise UsageError("--group needs --as: the local administrator reads everything", where="--group")
        return local_administrator(TENANT)
    if not as_user.strip() or "\0" in as_user:
        raise UsageError("a user needs a name", where="--as")
    return Principal(TENANT, as_user, frozenset(group_name(group) for group in groups), frozenset({"reader"}))


def group_name(name: str) -> str:
    """`name`, if a group may be called so. Raises UsageError: a colon marks the reserved names of users and roles."""
    if not name.strip() or ":" in name or "\0" in name:
        raise UsageError(
            f"{name!r} is no name for a group", where="group", hint=f"Use a name like finance or {EVERYONE}"
        )
    return name
