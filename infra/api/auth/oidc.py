"""JWTs of an OIDC issuer: signature, issuer, audience and times are checked; claims become a principal."""

import hashlib
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import httpx
import jwt
from starlette.requests import HTTPConnection

from fiel.infra.api.auth.authenticator import check_name
from fiel.infra.api.auth.caller import Caller, user_of
from fiel.infra.api.auth.keys import Keys, check_address
from fiel.infra.callers import NotAuthenticated
from fiel.infra.people.claims import Claims as Kept
from fiel.infra.settings import Settings
from fiel.tools.errors import SettingsError
from fiel.tools.principal import ROLES, Principal, Role

ALGORITHMS: Mapping[str, tuple[str, ...]] = {
    "RSA": ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512"),
    "EC": ("ES256", "ES384", "ES512"),
    "OKP": ("EdDSA",),
}
"""By type of key: what is signed with a shared secret, or not at all, is refused."""
LEEWAY = 30.0
"""Seconds that clocks may differ."""
LONGEST = 16 * 1024


@dataclass(frozen=True, slots=True)
class Claims:
    """Which claims say who calls; a dot leads into an object."""

    user: str
    groups: str
    roles: str
    tenant: str
    """Empty: everybody is of the tenant `default`."""


@dataclass(frozen=True, slots=True)
class Oidc:
    """`Bearers` for the JWTs of one issuer."""

    audience: str
    keys: Keys
    claims: Claims
    kept: Kept | None = None
    """What fiel itself keeps of people; None: claims alone count."""

    async def authenticate(self, connection: HTTPConnection, bearer: str) -> Caller:
        """Raises NotAuthenticated; IssuerUnavailable where no key is known."""
        header = _header(bearer)
        kid = header["kid"]
        key = await self.keys.key(kid)
        if key is None or header["alg"] not in ALGORITHMS[key["kty"]] or key.get("alg", header["alg"]) != header["alg"]:
            raise NotAuthenticated("the JWT is signed with a key that the issuer does not have", hint="Log in again")
        claims = self._verified(bearer, key, header["alg"])
        principal = check_name(principal_of(claims, self.claims))
        if self.kept is not None:
            principal = await self.kept.joined(principal, _issued(claims))
        digest = hashlib.sha256(bearer.encode()).hexdigest()[:16]
        user = user_of(principal, claims=claims)
        return Caller(principal, user, f"{int(claims['exp'])}|{digest}|{kid}", "jwt")

    async def still_valid(self, caller: Caller) -> bool:
        """Whether the JWT has not expired and the issuer has its key still."""
        expires, _, kid = caller.credential.split("|", 2)
        return time.time() < int(expires) + LEEWAY and await self.keys.key(kid) is not None

    def _verified(self, bearer: str, key: Mapping[str, Any], algorithm: str) -> dict[str, Any]:
        try:
            claims: dict[str, Any] = jwt.decode(
                bearer,
                jwt.PyJWK(dict(key), algorithm),
                algorithms=[algorithm],
                audience=self.audience,
                issuer=self.keys.issuer,
                leeway=LEEWAY,
                options={"require": ["exp", "iss", "aud"]},
            )
        except jwt.ExpiredSignatureError:
            raise NotAuthenticated("the JWT has expired", hint="Log in again") from None
        except jwt.PyJWTError as error:
            raise NotAuthenticated(f"the JWT is refused: {type(error).__name__}") from error
        return claims


def _header(bearer: str) -> dict[str, Any]:
    """The JWT's header with a key id and an algorithm of the list. Raises NotAuthenticated."""
    if len(bearer) > LONGEST:
        raise NotAuthenticated("the JWT is too long")
    try:
        header: dict[str, Any] = jwt.get_unverified_header(bearer)
    except jwt.PyJWTError as error:
        raise NotAuthenticated("this is neither a token of fiel's nor a JWT") from error
    if not isinstance(header.get("kid"), str) or not any(header.get("alg") in names for names in ALGORITHMS.values()):
        raise NotAuthenticated("the JWT names no key, or an algorithm that is refused")
    return header


def principal_of(claims: Mapping[str, Any], names: Claims) -> Principal:
    """The principal that claims speak of: everybody is a reader, and what else a claim of roles says.

    Raises NotAuthenticated where the user or the tenant is missing.
    """
    user, tenant = _claim(claims, names.user), _claim(claims, names.tenant) if names.tenant else "default"
    if not isinstance(user, str) or not isinstance(tenant, str) or not tenant.strip():
        raise NotAuthenticated("the JWT lacks the claim of the user or the tenant")
    held = texts(_claim(claims, names.roles))
    roles: frozenset[Role] = frozenset({"reader", *(role for role in ROLES if role in held)})
    return Principal(tenant, user, groups_of(_claim(claims, names.groups)), roles)


def groups_of(value: Any) -> frozenset[str]:
    """Groups that another authority names. A colon marks fiel's own grants, so a name with one is dropped."""
    return frozenset(name for name in texts(value) if name.strip() and ":" not in name and "\0" not in name)


def texts(value: Any) -> Sequence[str]:
    """A list of texts, or a text of words: `"a b"` or `["a", "b"]`."""
    if isinstance(value, str):
        return value.split()
    return [one for one in value if isinstance(one, str)] if isinstance(value, list | tuple) else []


def _issued(claims: Mapping[str, Any]) -> int:
    """When the JWT was issued; where it does not say, its end stands for it: later ends come from later tokens."""
    issued = claims.get("iat")
    return int(issued if isinstance(issued, int | float) else claims["exp"])


def _claim(claims: Any, name: str) -> Any:
    if not name or not isinstance(claims, Mapping):
        return None
    if name in claims:
        return claims[name]
    first, dot, rest = name.partition(".")
    return _claim(claims.get(first), rest) if dot else None


@asynccontextmanager
async def open_oidc(settings: Settings, kept: Kept | None = None) -> AsyncIterator[Oidc | None]:
    """The issuer of the settings, its keys fetched; None where there is none.

    Raises SettingsError, and IssuerUnavailable: no start without the identity provider.
    """
    if not settings.oidc_issuer:
        yield None
        return
    if not settings.oidc_audience:
        raise SettingsError(
            "an issuer needs an audience: a JWT made for another service must not open this one",
            where="FIEL_OIDC_AUDIENCE",
        )
    check_address(settings.oidc_issuer, "FIEL_OIDC_ISSUER")
    names = Claims(
        settings.oidc_user_claim, settings.oidc_groups_claim, settings.oidc_roles_claim, settings.oidc_tenant_claim
    )
    async with httpx.AsyncClient(timeout=5.0, follow_redirects=False) as client:
        keys = Keys(settings.oidc_issuer, client)
        await keys.fetch()
        yield Oidc(settings.oidc_audience, keys, names, kept)
