"""How long and how often a remote model is asked: limits, waits between attempts, and when not to ask at all."""

import random
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

from fiel.tools.errors import ModelUnavailable


@dataclass(frozen=True, slots=True)
class Limits:
    """Limits of one adapter."""

    connect: float = 5.0
    """Seconds for one connection to be made."""
    total: float = 55.0
    """Seconds for a whole call: waiting for a connection, all attempts, and the waits between them."""
    attempts: int = 3
    first_wait: float = 0.5
    """Seconds before the second attempt, doubled before each further one, less up to half by chance."""
    longest_wait: float = 8.0
    reply_bytes: int = 4 * 2**20
    """Largest body that is read."""
    connections: int = 16
    """Connections that are kept; further calls wait for one within their total."""

    def wait(self, attempt: int) -> float:
        """Seconds to wait after the failure of the given attempt (1-based), with jitter."""
        longest = min(self.longest_wait, self.first_wait * 2.0 ** (attempt - 1))
        return random.uniform(longest / 2, longest)  # noqa: S311 - spreads retries, protects nothing


def retry_after(value: str | None) -> float | None:
    """Seconds that a `Retry-After` header asks for (RFC 9110, 10.2.3); None where it is missing or unreadable."""
    if not value:
        return None
    if value.strip().isdecimal() and len(value) < 10:
        return float(value)
    try:
        when = parsedate_to_datetime(value)
    except ValueError:
        return None
    if when.tzinfo is None:
        when = when.replace(tzinfo=UTC)
    return max(0.0, (when - datetime.now(UTC)).total_seconds())


class Circuit:
    """Keeps runs from waiting, one after the other, for an endpoint that is down.

    After `failures` calls in a row have failed it lets no call through for `rest` seconds, then one: if that passes,
    all do again.
    """

    def __init__(self, failures: int = 5, rest: float = 15.0, clock: Callable[[], float] = time.monotonic) -> None:
        self._most = failures
        self._rest = rest
        self._clock = clock
        self._failures = 0
        self._next_try = 0.0

    def enter(self, where: str) -> None:
        """Raises ModelUnavailable while the endpoint rests."""
        if self._failures < self._most:
            return
        now = self._clock()
        if now < self._next_try:
            raise ModelUnavailable(
                f"the model failed {self._failures} times in a row and is not asked again yet",
                where=where,
                hint=f"It is tried again in {self._next_try - now:.0f} s",
            )
        self._next_try = now + self._rest

    def passed(self) -> None:
        self._failures = 0

    def failed(self) -> None:
        self._failures += 1
        self._next_try = self._clock() + self._rest
