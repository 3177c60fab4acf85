"""`fiel token`: make, list, end and replace the bearer tokens that the service accepts."""

import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import click

from fiel.infra.callers import TENANT, group_name
from fiel.infra.cli.command import command
from fiel.infra.cli.output import Result
from fiel.infra.settings import Settings
from fiel.tools.errors import UsageError
from fiel.tools.principal import ROLES, Principal, local_administrator

if TYPE_CHECKING:
    from fiel.infra.api.auth.tokens import Token, Tokens

UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 7 * 86400}
LONGEST = 100 * 365 * 86400
TENANT_OPTION = click.option("--tenant", default=TENANT, show_default=True, help="Tenant of the token.")


@click.group("token")
def token() -> None:
    """Make, list, end and replace the bearer tokens that the service accepts.

    A token is shown once: the database keeps its SHA-256 only.
    """


def seconds(text: str | None, where: str) -> float | None:
    """`90d`, `12h`, `30m`, `45s` or `2w` in seconds. Raises UsageError."""
    if text is None:
        return None
    match = re.fullmatch(r"(\d{1,10})([smhdw])", text.strip())
    if not match or not 0 < int(match[1]) * UNITS[match[2]] <= LONGEST:
        raise UsageError(f"{text!r} is no time span", where=where, hint="Write a number and s, m, h, d or w, as in 90d")
    return float(int(match[1]) * UNITS[match[2]])


@asynccontextmanager
async def _tokens(settings: Settings) -> AsyncIterator["Tokens"]:
    from fiel.infra.api.auth.tokens import Tokens
    from fiel.infra.database.open import open_database

    async with open_database(settings, size=2) as database:
        yield Tokens(database)


@command("create", token)
@click.option("--user", required=True, help="Who calls with the token.")
@click.option("--group", "groups", multiple=True, metavar="GROUP", help="A group of that user; repeatable.")
@click.option(
    "--role",
    "roles",
    multiple=True,
    type=click.Choice(ROLES),
    help="Repeatable; without it a kept user's own, else reader.",
)
@click.option("--expires", metavar="SPAN", help="90d, 12h, 30m; without it the token lives until it is revoked.")
@TENANT_OPTION
async def create(
    settings: Settings, user: str, groups: tuple[str, ...], roles: tuple[str, ...], expires: str | None, tenant: str
) -> Result:
    """Make a token and show it, once."""
    span = seconds(expires, "--expires")
    holder, by = holder_of(tenant, user, groups, roles), local_administrator(tenant)
    async with _tokens(settings) as tokens:
        if not roles and await tokens.kept(by, user):
            holder = replace(holder, roles=frozenset())
        secret, made = await tokens.create(by, holder, seconds=span)
    return _shown(secret, made)


def holder_of(tenant: str, user: str, groups: tuple[str, ...], roles: tuple[str, ...]) -> Principal:
    """Who a token is for. Raises UsageError for names that are none."""
    for name, where in ((tenant, "--tenant"), (user, "--user")):
        if not name.strip() or "\0" in name or len(name) > 256:
            raise UsageError(f"{name!r} is no name", where=where)
    held = frozenset(role for role in ROLES if role in (roles or ("reader",)))
    return Principal(tenant, user, frozenset(group_name(group) for group in groups), held)


@command("list", token)
@click.option("--all", "dead", is_flag=True, help="Show those expired and revoked too.")
@TENANT_OPTION
async def list_(settings: Settings, dead: bool, tenant: str) -> Result:
    """List the tokens of a tenant, without what they are."""
    async with _tokens(settings) as tokens:
        rows = await tokens.all(local_administrator(tenant), dead=dead)
    return Result([row.as_dict() for row in rows], lambda: _table([row.as_dict() for row in rows]))


@command("revoke", token)
@click.argument("id")
@TENANT_OPTION
async def revoke(settings: Settings, id: str, tenant: str) -> Result:
    """End a token at once; streams that run with it end too."""
    async with _tokens(settings) as tokens:
        ended = await tokens.revoke(local_administrator(tenant), id)
    return Result(ended.as_dict(), lambda: click.echo(f"revoked {ended.id} of {ended.principal}"))


@command("rotate", token)
@click.argument("id")
@click.option("--grace", metavar="SPAN", help="How long the old one goes on working; without it it ends at once.")
@click.option("--expires", metavar="SPAN", help="How long the new one lives; without it until it is revoked.")
@TENANT_OPTION
async def rotate(settings: Settings, id: str, grace: str | None, expires: str | None, tenant: str) -> Result:
    """Make a token with the rights of another, in its place, and show it, once."""
    left, span = seconds(grace, "--grace") or 0.0, seconds(expires, "--expires")
    async with _tokens(settings) as tokens:
        secret, made = await tokens.rotate(local_administrator(tenant), id, seconds=span, grace=left)
    return _shown(secret, made)


def _shown(secret: str, made: "Token") -> Result:
    def show() -> None:
        click.echo(secret)
        until = made.expires_at.strftime("until %Y-%m-%d %H:%M UTC") if made.expires_at else "until it is revoked"
        roles = ", ".join(made.roles) or "the roles of the user"
        click.echo(f"{made.id} of {made.principal}: {roles}; {until}. It is not shown again.", err=True)

    return Result({"token": secret, **made.as_dict()}, show)


def _table(rows: list[dict[str, Any]]) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table(box=None, pad_edge=False)
    for title in ("id", "user", "groups", "roles", "created", "expires", "last used", "revoked"):
        table.add_column(title, overflow="fold")
    for row in rows:
        times = [(row[name] or "–")[:16] for name in ("created_at", "expires_at", "last_used_at", "revoked_at")]
        table.add_row(
            row["id"], row["principal"], " ".join(row["groups"]), " ".join(row["roles"]) or "as the user", *times
        )
    Console().print(table)
