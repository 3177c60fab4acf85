"""The keys of an OIDC issuer: found by discovery, cached, fetched again when they are old or one is unknown."""

import asyncio
import json
import logging
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

import httpx

from fiel.infra.api.auth.authenticator import is_loopback
from fiel.tools.errors import SettingsError, Unavailable

LOG = logging.getLogger("fiel.api.auth")
FRESH = 600.0
"""Seconds after which keys are fetched again."""
STALE = 24 * 3600.0
"""Seconds for which known keys are good while the issuer does not answer."""
PAUSE = 10.0
"""Least seconds between two fetches: a flood of unknown key ids is no flood of the issuer."""
LARGEST = 2**20


class IssuerUnavailable(Unavailable):
    """The OIDC issuer does not answer, or not in a way that can be read."""

    code = "issuer_unavailable"


def check_address(url: str, where: str) -> str:
    """An address that keys may come from: https, or http on this machine. Raises SettingsError."""
    parts = urlsplit(url)
    if parts.scheme == "https" or (parts.scheme == "http" and is_loopback(parts.hostname or "")):
        return url
    raise SettingsError(f"{url!r} is no https address", where=where, hint="Keys come over https, or from this machine")


@dataclass(slots=True)
class Keys:
    """The signing keys of one issuer, by id. Raises IssuerUnavailable where none is known and none can be had."""

    issuer: str
    client: httpx.AsyncClient
    clock: Callable[[], float] = time.monotonic
    _keys: dict[str, Mapping[str, Any]] = field(default_factory=dict)
    _fetched: float | None = None
    _tried: float | None = None
    _lock: asyncio.Lock = field(default_factory=asyncio.Lock)

    async def key(self, kid: str) -> Mapping[str, Any] | None:
        """The key of this id as a JWK; None where the issuer has none such."""
        await self._refresh(unless=lambda: self._age() < FRESH)
        if kid not in self._keys:
            await self._refresh(unless=lambda: kid in self._keys)
        if self._age() > STALE:
            raise IssuerUnavailable("the issuer's keys cannot be had", where=self.issuer)
        return self._keys.get(kid)

    async def fetch(self) -> None:
        """Get the keys now. Raises IssuerUnavailable."""
        self._tried = self.clock()
        found = await self._json(self.issuer.rstrip("/") + "/.well-known/openid-configuration")
        if found.get("issuer") != self.issuer:
            raise IssuerUnavailable("the discovery document names another issuer", where=self.issuer)
        uri = found.get("jwks_uri")
        try:
            place = check_address(uri if isinstance(uri, str) else "", "jwks_uri")
        except SettingsError as error:
            raise IssuerUnavailable("the discovery document names no usable jwks_uri", where=self.issuer) from error
        keys = (await self._json(place)).get("keys")
        if not isinstance(keys, list):
            raise IssuerUnavailable("the issuer's keys cannot be read", where=place)
        self._keys = {key["kid"]: key for key in keys if _signs(key)}
        self._fetched = self.clock()

    async def _refresh(self, unless: Callable[[], bool]) -> None:
        async with self._lock:
            soon = self._tried is not None and self.clock() - self._tried < PAUSE
            if soon or unless():
                return
            try:
                await self.fetch()
            except IssuerUnavailable as error:
                # Keys that are known go on being good for a while; without any, `key` says so.
                LOG.warning("the issuer does not answer", extra={"code": error.code})

    def _age(self) -> float:
        return float("inf") if self._fetched is None else self.clock() - self._fetched

    async def _json(self, url: str) -> dict[str, Any]:
        try:
            async with self.client.stream("GET", url) as response:
                response.raise_for_status()
                text = bytearray()
                async for part in response.aiter_bytes():
                    text += part
                    if len(text) > LARGEST:
                        raise IssuerUnavailable("the issuer's answer is too long", where=url)
            value = json.loads(text)
        except (httpx.HTTPError, ValueError) as error:
            raise IssuerUnavailable("the issuer does not answer", where=url) from error
        if not isinstance(value, dict):
            raise IssuerUnavailable("the issuer's answer is no object", where=url)
        return value


def _signs(key: Any) -> bool:
    """Whether a JWK is a public key for signatures, with an id."""
    return (
        isinstance(key, dict)
        and isinstance(key.get("kid"), str)
        and key.get("use", "sig") == "sig"
        and key.get("kty") in ("RSA", "EC", "OKP")
    )
