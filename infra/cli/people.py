"""`fiel user` and `fiel group`: who is kept, with which roles, in which groups."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import click

from fiel.infra.cli.command import command
from fiel.infra.cli.output import Result
from fiel.infra.cli.token import TENANT_OPTION
from fiel.infra.settings import Settings
from fiel.tools.principal import ROLES, local_administrator

if TYPE_CHECKING:
    from fiel.infra.people.people import Group, People, User


@asynccontextmanager
async def _people(settings: Settings) -> AsyncIterator["People"]:
    from fiel.infra.database.open import open_database
    from fiel.infra.people.people import People

    async with open_database(settings, size=2) as database:
        yield People(database)


@click.group("user")
def user() -> None:
    """Keep users and their roles. A token for a kept user has, each time, the rights that the user has."""


@command("add", user)
@click.argument("name")
@click.option(
    "--role", "roles", multiple=True, type=click.Choice(ROLES), help="Repeatable; a new user is a reader without it."
)
@click.option("--group", "groups", multiple=True, metavar="GROUP", help="A kept group to be in; repeatable.")
@TENANT_OPTION
async def add_user(settings: Settings, name: str, roles: Sequence[str], groups: Sequence[str], tenant: str) -> Result:
    """Keep a user. For a known one, --role replaces the roles and --group adds to the groups."""
    async with _people(settings) as people:
        kept = await people.add_user(local_administrator(tenant), name, roles=roles or None, groups=groups)
    return Result(kept.as_dict(), lambda: click.echo(_user_line(kept)))


@command("remove", user)
@click.argument("name")
@TENANT_OPTION
async def remove_user(settings: Settings, name: str, tenant: str) -> Result:
    """Keep a user no longer: memberships and tokens end. Grants to the name stay."""
    async with _people(settings) as people:
        gone = await people.remove_user(local_administrator(tenant), name)
    return Result(gone.as_dict(), lambda: click.echo(f"{gone.name} is no longer kept; memberships and tokens ended"))


@command("show", user)
@click.argument("name", required=False)
@TENANT_OPTION
async def show(settings: Settings, name: str | None, tenant: str) -> Result:
    """Show a user, or all of them: roles and groups."""
    async with _people(settings) as people:
        by = local_administrator(tenant)
        if name is not None:
            one = await people.user(by, name)
            return Result(one.as_dict(), lambda: click.echo(_user_line(one)))
        found = await people.users(by)
    return _listed([one.as_dict() for one in found], [_user_line(one) for one in found], "no user is kept")


@click.group("group")
def group() -> None:
    """Keep groups and who is in them. A change counts from the next request on."""


@command("add", group)
@click.argument("name")
@click.argument("users", nargs=-1)
@TENANT_OPTION
async def add_group(settings: Settings, name: str, users: tuple[str, ...], tenant: str) -> Result:
    """Keep a group, and put the users named into it."""
    async with _people(settings) as people:
        kept = await people.add_group(local_administrator(tenant), name, users)
    return Result(kept.as_dict(), lambda: click.echo(_group_line(kept)))


@command("remove", group)
@click.argument("name")
@click.argument("users", nargs=-1)
@TENANT_OPTION
async def remove_group(settings: Settings, name: str, users: tuple[str, ...], tenant: str) -> Result:
    """Take the users named out of a group; without users, keep the group no longer. Grants to the name stay."""
    async with _people(settings) as people:
        by = local_administrator(tenant)
        left = await people.remove_members(by, name, users) if users else await people.remove_group(by, name)
    line = _group_line(left) if users else f"{left.name} is no longer kept"
    return Result(left.as_dict(), lambda: click.echo(line))


@command("members", group)
@click.argument("name")
@TENANT_OPTION
async def members(settings: Settings, name: str, tenant: str) -> Result:
    """Show who is in a group."""
    async with _people(settings) as people:
        found = await people.group(local_administrator(tenant), name)
    return _listed(found.members, found.members, "nobody is in it")


@command("list", group)
@TENANT_OPTION
async def list_(settings: Settings, tenant: str) -> Result:
    """List the groups that are kept, with their members."""
    async with _people(settings) as people:
        found = await people.groups(local_administrator(tenant))
    return _listed([one.as_dict() for one in found], [_group_line(one) for one in found], "no group is kept")


def _listed(value: list[Any], lines: list[str], none: str) -> Result:
    return Result(value, lambda: click.echo("\n".join(lines or [none])))


def _user_line(one: "User") -> str:
    groups = f"; in {', '.join(one.groups)}" if one.groups else ""
    return f"{one.name}: {', '.join(one.roles) or 'no role'}{groups}"


def _group_line(one: "Group") -> str:
    return f"{one.name}: {', '.join(one.members) or 'nobody'}"
