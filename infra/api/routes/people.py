"""Users and groups over HTTP, for administrators of the caller's tenant. Every change is an act of the ledger."""

from fastapi import APIRouter, Response

from fiel.infra.api.auth.caller import Calling
from fiel.infra.api.service import Serving
from fiel.infra.api.wire.answers import PROBLEMS, reply
from fiel.infra.api.wire.body import JsonRoute
from fiel.infra.api.wire.people import GroupOut, GroupPut, UserOut, UserPut
from fiel.infra.people.people import People

router = APIRouter(tags=["people"], route_class=JsonRoute, responses=PROBLEMS)


@router.get("/users", response_model=list[UserOut])
async def users(caller: Calling, service: Serving) -> Response:
    """The users that are kept."""
    return reply([one.as_dict() for one in await People(service.database).users(caller.principal)])


@router.get("/users/{user}", response_model=UserOut)
async def user(user: str, caller: Calling, service: Serving) -> Response:
    """One user: roles and groups."""
    return reply((await People(service.database).user(caller.principal, user)).as_dict())


@router.put("/users/{user}", response_model=UserOut)
async def put_user(user: str, body: UserPut, caller: Calling, service: Serving) -> Response:
    """Keep a user, or change the roles of a known one; put them into groups that are kept."""
    people = People(service.database)
    kept = await people.add_user(caller.principal, user, roles=body.roles, groups=body.groups)
    return reply(kept.as_dict())


@router.delete("/users/{user}", response_model=UserOut)
async def delete_user(user: str, caller: Calling, service: Serving) -> Response:
    """Keep a user no longer: memberships and tokens end. Grants to the name stay."""
    return reply((await People(service.database).remove_user(caller.principal, user)).as_dict())


@router.get("/groups", response_model=list[GroupOut])
async def groups(caller: Calling, service: Serving) -> Response:
    """The groups that are kept."""
    return reply([one.as_dict() for one in await People(service.database).groups(caller.principal)])


@router.get("/groups/{group}", response_model=GroupOut)
async def group(group: str, caller: Calling, service: Serving) -> Response:
    """One group: who is in it."""
    return reply((await People(service.database).group(caller.principal, group)).as_dict())


@router.put("/groups/{group}", response_model=GroupOut)
async def put_group(group: str, body: GroupPut, caller: Calling, service: Serving) -> Response:
    """Keep a group; put users that are kept into it, and take others out."""
    people = People(service.database)
    await people.add_group(caller.principal, group, body.add)
    return reply((await people.remove_members(caller.principal, group, body.remove)).as_dict())


@router.delete("/groups/{group}", response_model=GroupOut)
async def delete_group(group: str, caller: Calling, service: Serving) -> Response:
    """Keep a group no longer: all memberships end. Grants to the name stay."""
    return reply((await People(service.database).remove_group(caller.principal, group)).as_dict())
