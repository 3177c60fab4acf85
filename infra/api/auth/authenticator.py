"""From a request to a caller: one way in for each kind of credential, and no way in without one."""

import ipaddress
from dataclasses import dataclass
from typing import Protocol
from urllib.parse import unquote

from starlette.requests import HTTPConnection

from fiel.infra.api.auth.caller import Caller, user_of
from fiel.infra.api.auth.tokens import PREFIX, Tokens
from fiel.infra.callers import NotAuthenticated
from fiel.infra.people.people import People
from fiel.tools.principal import Principal, local_administrator

HINT = "Send `Authorization: Bearer …` with a token from `fiel token create`"


class Bearers(Protocol):
    """Whoever can tell the holder of a bearer token that is not fiel's own."""

    async def authenticate(self, connection: HTTPConnection, bearer: str) -> Caller:
        """Raises NotAuthenticated."""
        ...

    async def still_valid(self, caller: Caller) -> bool: ...


@dataclass(frozen=True, slots=True)
class Authenticator:
    """Asks, in this order: fiel's own tokens; the handler of a `langgraph.json`; the OIDC issuer; nobody."""

    tokens: Tokens
    people: People
    open_door: bool = False
    """`FIEL_AUTH=none`: who shows no token of fiel's is the local administrator."""
    jwt: Bearers | None = None
    custom: Bearers | None = None
    desk: str = ""
    """Path of the Unix socket that only the owner of the home folder can reach; empty: there is none."""

    async def authenticate(self, connection: HTTPConnection) -> Caller:
        """The caller. Raises NotAuthenticated, DatabaseUnavailable."""
        if self._at_desk(connection):
            return await self._spoken_for(connection)
        bearer = bearer_of(connection)
        if bearer.startswith(PREFIX):
            return await self._token(bearer)
        if self.custom is not None:
            return await self.custom.authenticate(connection, bearer)
        if self.open_door:
            return LOCAL
        if not bearer:
            raise NotAuthenticated("nobody is authenticated", hint=HINT)
        if self.jwt is None:
            raise NotAuthenticated("this is no token of fiel's", hint=HINT)
        return await self.jwt.authenticate(connection, bearer)

    async def still_valid(self, caller: Caller) -> bool:
        """Whether what the caller came in with is still good: what a running stream asks from time to time.

        Raises DatabaseUnavailable where that cannot be told.
        """
        if caller.kind == "token":
            return await self.tokens.lives(caller.credential)
        if caller.kind == "desk":
            return bool(self.desk)
        if caller.kind == "none":
            return self.open_door
        bearers = self.jwt if caller.kind == "jwt" else self.custom
        return bearers is not None and await bearers.still_valid(caller)

    async def _token(self, bearer: str) -> Caller:
        found = await self.tokens.find(bearer)
        if found is None:
            raise NotAuthenticated("the token is unknown, expired or revoked", hint=HINT)
        return Caller(found.principal, user_of(found.principal), found.id, "token")

    async def _spoken_for(self, connection: HTTPConnection) -> Caller:
        """The owner of the home folder, or whom they speak for, as kept. Raises UsageError, DatabaseUnavailable."""
        user, groups = connection.headers.get("x-fiel-as"), connection.headers.get("x-fiel-groups", "")
        named = [unquote(group) for group in groups.split(",") if group]
        principal = await self.people.spoken_for(None if user is None else unquote(user), named)
        return Caller(principal, user_of(principal), kind="desk")

    def _at_desk(self, connection: HTTPConnection) -> bool:
        """Whether the connection came over the desk: the server tells it by the socket, not by anything sent."""
        scope = connection.scope
        return bool(self.desk) and scope.get("client") is None and tuple(scope.get("server") or ()) == (self.desk, None)


LOCAL = Caller(local_administrator(), user_of(local_administrator()))


def bearer_of(connection: HTTPConnection) -> str:
    """The bearer token of a request, or what LangGraph's clients send as `x-api-key`; empty where there is none."""
    scheme, _, value = connection.headers.get("authorization", "").partition(" ")
    if scheme.lower() == "bearer" and value.strip():
        return value.strip()
    return connection.headers.get("x-api-key", "").strip()


def is_loopback(host: str) -> bool:
    """Whether an address, or a name of one, is of this machine alone."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def check_name(principal: Principal) -> Principal:
    """A principal that another authority named. Raises NotAuthenticated for names that fiel keeps to itself."""
    if not principal.id.strip() or len(principal.id) > 256 or "\0" in principal.id + principal.tenant:
        raise NotAuthenticated("the caller has no usable name")
    if principal.id == LOCAL.principal.id:
        raise NotAuthenticated(f"the name {principal.id!r} is the local administrator's")
    return principal
