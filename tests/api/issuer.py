"""An OIDC issuer on loopback: discovery, keys that rotate, JWTs signed by a library other than ours."""

import hmac
import json
import time
from base64 import urlsafe_b64encode
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from joserfc import jwt
from joserfc.jwk import ECKey, OKPKey, RSAKey
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from tests.api.conftest import running

AUDIENCE = "fiel-api"


@dataclass(slots=True)
class Issuer:
    """The issuer's keys, and how it behaves."""

    url: str = ""
    keys: dict[str, Any] = field(default_factory=dict)
    down: bool = False
    asked: int = 0
    """How often the keys were fetched."""
    discovery: dict[str, Any] = field(default_factory=dict)
    """What the discovery document says otherwise than it should."""

    def rotate(self, kind: str = "RSA", keep: bool = False) -> str:
        """A new signing key in place of the others; its id."""
        kid = f"key-{len(self.keys)}-{time.monotonic_ns()}"
        made = {
            "RSA": lambda: RSAKey.generate_key(2048, {"kid": kid, "use": "sig"}),
            "EC": lambda: ECKey.generate_key("P-256", {"kid": kid, "use": "sig"}),
            "OKP": lambda: OKPKey.generate_key("Ed25519", {"kid": kid, "use": "sig"}),
        }[kind]()
        self.keys = {**(self.keys if keep else {}), kid: made}
        return kid

    def sign(self, kid: str | None = None, alg: str = "RS256", key: Any = None, **claims: Any) -> str:
        """A JWT of this issuer. A claim of None is left out."""
        kid = kid or next(iter(self.keys))
        now = int(time.time())
        said = {"iss": self.url, "aud": AUDIENCE, "sub": "ann", "iat": now, "exp": now + 300, **claims}
        said = {name: value for name, value in said.items() if value is not None}
        return jwt.encode({"alg": alg, "kid": kid}, said, key or self.keys[kid], algorithms=[alg])

    def confused(self) -> str:
        """A JWT under HMAC with the public key as its secret: for a verifier that mixes kinds of keys."""
        kid, key = next(iter(self.keys.items()))
        _, body, _ = self.sign().split(".")
        head = json.dumps({"alg": "HS256", "kid": kid, "typ": "JWT"}).encode()
        text = urlsafe_b64encode(head).rstrip(b"=") + b"." + body.encode()
        mac = hmac.digest(key.as_pem(private=False), text, "sha256")
        return (text + b"." + urlsafe_b64encode(mac).rstrip(b"=")).decode()

    async def configuration(self, request: Request) -> JSONResponse:
        if self.down:
            return JSONResponse({}, 503)
        return JSONResponse({"issuer": self.url, "jwks_uri": f"{self.url}/keys", **self.discovery})

    async def jwks(self, request: Request) -> JSONResponse:
        self.asked += 1
        return JSONResponse({"keys": [key.as_dict(private=False) for key in self.keys.values()]})


@asynccontextmanager
async def issuing() -> AsyncIterator[Issuer]:
    """An issuer that runs while the block does."""
    issuer = Issuer()
    issuer.rotate()
    routes = [Route("/.well-known/openid-configuration", issuer.configuration), Route("/keys", issuer.jwks)]
    async with running(Starlette(routes=routes)) as issuer.url:
        yield issuer
