"""Who calls, as authentication found it, and the dependency with which a route asks for it."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any

from fastapi import Depends
from starlette.requests import HTTPConnection

from fiel.tools.principal import Principal


@dataclass(frozen=True, slots=True)
class Caller:
    """An authenticated caller."""

    principal: Principal
    user: Mapping[str, Any] = field(default_factory=dict)
    """What a hosted graph sees as `langgraph_auth_user`."""
    credential: str = ""
    """What `Authenticator.still_valid` looks at again; names a token or JWT without being one. Empty: nothing can
    expire (the local administrator)."""
    kind: str = "none"
    """How the caller was authenticated: none, desk, token, jwt or custom."""


def user_of(principal: Principal, **more: Any) -> dict[str, Any]:
    """A principal in the shape of the protocol's authenticated user."""
    return {
        "identity": principal.id,
        "display_name": principal.id,
        "is_authenticated": True,
        "permissions": sorted(principal.roles),
        "tenant": principal.tenant,
        "groups": sorted(principal.groups),
        "roles": sorted(principal.roles),
        **more,
    }


async def authenticated(connection: HTTPConnection) -> Caller:
    """The caller of a request, within their limits; asked at most once a request.

    Raises NotAuthenticated, TooMany.
    """
    known = getattr(connection.state, "caller", None)
    if known is None:
        service = connection.app.state.service
        known = await service.authenticator.authenticate(connection)
        connection.state.caller = known
        connection.state.allowance = service.limits.take(known.principal)
    assert isinstance(known, Caller)  # noqa: S101 - an authenticator that answers otherwise is a fault of ours
    return known


Calling = Annotated[Caller, Depends(authenticated)]
"""`caller: Calling` in a route's signature: nobody comes in without being authenticated."""
