"""Webhooks: a signed POST when a run has ended, to addresses outside, however their names resolve.

The address that was looked at is the one that is called: a name that resolves to another one in between gains nothing.
No redirect is followed, no proxy asked. The signature covers the time and the body:

    X-Fiel-Signature: v1=HMAC-SHA256(secret, X-Fiel-Timestamp + "." + body), hexadecimal
"""

import asyncio
import hmac
import ipaddress
import logging
import socket
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from hashlib import sha256
from typing import Any
from urllib.parse import urlsplit
from uuid import UUID

import httpx
import orjson

from fiel.infra.runs.errors import NotFound
from fiel.infra.runs.outcome import shown_code
from fiel.infra.runs.runs import Run, Runs
from fiel.infra.runs.spec import kwargs_of
from fiel.tools.errors import Unavailable, UsageError
from fiel.tools.principal import Principal

_LOG = logging.getLogger("fiel.runs")
TIMEOUT = 10.0
LOOKUP = 5.0
_LATER = frozenset({408, 425, 429})
_NAT64 = ipaddress.ip_network("64:ff9b::/96")
Address = ipaddress.IPv4Address | ipaddress.IPv6Address


class WebhookRefused(UsageError):
    """A webhook's address is none that may be called."""

    code = "webhook_refused"


class WebhookFailed(Unavailable):
    """The receiver of a webhook did not take it; it is tried again."""

    code = "webhook_failed"


@dataclass(frozen=True, slots=True)
class Target:
    """Where a webhook goes: what was asked for, and the addresses that it resolved to."""

    scheme: str
    host: str
    port: int
    path: str
    addresses: tuple[str, ...]

    @property
    def urls(self) -> list[str]:
        """With each address in place of the name."""
        shown = (f"[{one}]" if ":" in one else one for one in self.addresses)
        return [f"{self.scheme}://{one}:{self.port}{self.path}" for one in shown]

    @property
    def authority(self) -> str:
        """The Host header."""
        shown = f"[{self.host}]" if ":" in self.host else self.host
        usual = {"http": 80, "https": 443}[self.scheme]
        return shown if self.port == usual else f"{shown}:{self.port}"


@dataclass(frozen=True, slots=True)
class Hooks:
    """What is set about webhooks."""

    secret: Callable[[], bytes] = lambda: b""
    """The secret that signs; without one nothing is sent."""
    allowed: Sequence[str] = ()
    """Internal names, `*.domain`, addresses and networks that may be called all the same."""


@dataclass(frozen=True, slots=True)
class Webhooks:
    """Sends webhooks for the runs of a database."""

    runs: Runs
    hooks: Hooks = field(default_factory=Hooks)

    async def check(self, url: str) -> Target:
        """Where `url` leads, now. Raises WebhookRefused."""
        if not self.hooks.secret():
            raise WebhookRefused("this service sends no webhooks", where="webhook", hint="Set FIEL_WEBHOOK_SECRET")
        try:
            parts = urlsplit(url)
            port = parts.port or {"http": 80, "https": 443}.get(parts.scheme, 0)
        except ValueError as error:
            raise WebhookRefused("the webhook is no URL", where="webhook") from error
        host = (parts.hostname or "").rstrip(".").lower()
        if parts.scheme not in ("http", "https") or not host or parts.username or parts.password:
            raise WebhookRefused("a webhook is an http or https URL with a host and no password", where="webhook")
        path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        addresses = await _resolved(host, port)
        for address in addresses:
            if not public(address) and not self._allows(host, address):
                raise WebhookRefused(
                    "the webhook leads to an address that is not public",
                    where="webhook",
                    hint="FIEL_WEBHOOK_HOSTS names internal hosts that may be called",
                )
        return Target(parts.scheme, host, port, path, tuple(dict.fromkeys(map(str, addresses))))

    def _allows(self, host: str, address: Address) -> bool:
        return any(_matches(entry, host, address) for entry in self.hooks.allowed)

    async def deliver(self, principal: Principal, run_id: UUID) -> None:
        """Tell the receiver of a run's webhook how it ended. Raises WebhookFailed where it is to be tried again."""
        try:
            run = await self.runs.get(principal, run_id)
            body = await self._body(principal, run)
            target = await self.check(run.spec.webhook or "")
        except NotFound:
            return  # deleted meanwhile
        except WebhookRefused as error:
            _LOG.warning("a webhook is not sent: %s", error.what, extra={"run_id": str(run_id)})
            return
        await self._post(target, body, run_id)

    async def _post(self, target: Target, body: bytes, run_id: UUID) -> None:
        headers = {"Host": target.authority, "X-Fiel-Delivery": str(run_id), **signed(self.hooks.secret(), body)}
        try:
            async with asyncio.timeout(TIMEOUT * 2):
                status = await _sent(target, body, headers)
        except (httpx.HTTPError, TimeoutError) as error:
            raise WebhookFailed(f"the receiver did not answer: {type(error).__name__}") from error
        if status >= 500 or status in _LATER:
            raise WebhookFailed(f"the receiver answered {status}")
        if status >= 300:
            _LOG.warning("a webhook was not taken: %d", status, extra={"run_id": str(run_id)})

    async def _body(self, principal: Principal, run: Run) -> bytes:
        status, error, values, _ = await self.runs.shown(principal, run.run_id)
        told: dict[str, Any] = {
            "run_id": str(run.run_id),
            "thread_id": str(run.spec.thread_id),
            "assistant_id": str(run.spec.assistant_id),
            "metadata": dict(run.spec.metadata),
            "kwargs": kwargs_of(run.spec),
            "multitask_strategy": run.spec.multitask,
            "status": status,
            "created_at": run.created_at,
            "updated_at": run.updated_at,
            "run_started_at": run.created_at,
            "run_ended_at": run.updated_at,
            "webhook_sent_at": datetime.now(UTC),
            "values": orjson.loads(values) if values else None,
        }
        return orjson.dumps(told | ({"error": shown_code(error)} if error else {}))


async def _sent(target: Target, body: bytes, headers: Mapping[str, str]) -> int:
    """The receiver's status, from the first of its addresses that takes a connection. Raises httpx.HTTPError."""
    async with httpx.AsyncClient(timeout=TIMEOUT, trust_env=False, follow_redirects=False) as web:
        *others, last = target.urls
        for url in others:
            with suppress(httpx.ConnectError, httpx.ConnectTimeout):
                return await _posted(web, url, target.host, body, headers)
        return await _posted(web, last, target.host, body, headers)


async def _posted(web: httpx.AsyncClient, url: str, host: str, body: bytes, headers: Mapping[str, str]) -> int:
    request = web.build_request("POST", url, content=body, headers=headers)
    request.extensions["sni_hostname"] = host
    answer = await web.send(request, stream=True)
    await answer.aclose()  # whatever it says, nobody reads it
    return answer.status_code


def signed(secret: bytes, body: bytes) -> dict[str, str]:
    """Headers with which a receiver can tell who sent a body, and when."""
    at = str(int(time.time()))
    digest = hmac.new(secret, at.encode() + b"." + body, sha256).hexdigest()
    return {"Content-Type": "application/json", "X-Fiel-Timestamp": at, "X-Fiel-Signature": f"v1={digest}"}


def public(address: Address) -> bool:
    """Whether an address is one of the Internet, also where it is wrapped in one of another kind."""
    if isinstance(address, ipaddress.IPv6Address):
        inner = address.ipv4_mapped or address.sixtofour or (address.teredo[1] if address.teredo else None)
        if inner is None and address in _NAT64:
            inner = ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
        if inner is not None:
            return public(inner)
        if address.is_site_local:  # deprecated, and routed inside all the same
            return False
    return address.is_global and not address.is_multicast and not address.is_reserved


async def _resolved(host: str, port: int) -> list[Address]:
    """Every address of a host. Raises WebhookRefused where it has none."""
    try:
        async with asyncio.timeout(LOOKUP):
            found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
        addresses = [ipaddress.ip_address(str(entry[4][0]).partition("%")[0]) for entry in found]
    except (OSError, UnicodeError, ValueError, TimeoutError) as error:
        raise WebhookRefused("the webhook's host cannot be found", where="webhook") from error
    if not addresses:
        raise WebhookRefused("the webhook's host has no address", where="webhook")
    return addresses


def _matches(entry: str, host: str, address: Address) -> bool:
    if entry.startswith("*."):
        return host.endswith(entry[1:])
    try:
        network = ipaddress.ip_network(entry, strict=False)
    except ValueError:
        return host == entry
    return address.version == network.version and address in network
