"""What a check is, and how a server is asked all of them.

A check is a short conversation with a server through the Python SDK. It says what the SDK's documentation promises, and
raises AssertionError or the client's own error where the server does something else.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any

import httpx
from langgraph_sdk import get_client
from langgraph_sdk.client import LangGraphClient

Conversation = Callable[[LangGraphClient], Awaitable[None]]
AT_ONCE = 8
"""Checks that run side by side: the oracle sleeps half a second here and there, and works on ten runs at a time."""
LONGEST = 100.0
"""Seconds that one check may take. A cron fires once a minute."""
CALL = 40.0
"""Seconds that one request may be silent."""


@dataclass(frozen=True, slots=True)
class Check:
    """One promise of the SDK's documentation, and a conversation that shows whether it is kept."""

    name: str
    says: str
    """What of the SDK promises what: shown where the servers differ."""
    ask: Conversation
    alone: bool
    """Touches what other checks own: runs when the others are done."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a check went on one server."""

    why: str
    """Empty where it passed."""
    seconds: float

    @property
    def passed(self) -> bool:
        return not self.why


CHECKS: dict[str, Check] = {}
"""All checks by name, in the order in which they are written."""


def check(name: str, says: str, *, alone: bool = False) -> Callable[[Conversation], Conversation]:
    """Register a conversation as a check."""

    def register(ask: Conversation) -> Conversation:
        assert name not in CHECKS, f"two checks are called {name!r}"
        CHECKS[name] = Check(name, says, ask, alone)
        return ask

    return register


async def ask_all(url: str, chosen: Sequence[Check]) -> dict[str, Outcome]:
    """How the checks go on the server at `url`."""
    together = [one for one in chosen if not one.alone]
    room = asyncio.Semaphore(AT_ONCE)

    async def ask(one: Check) -> Outcome:
        async with room, get_client(url=url, api_key=None, timeout=httpx.Timeout(CALL)) as client:
            return await asked(one, client)

    outcomes = dict(zip(together, await asyncio.gather(*map(ask, together)), strict=True))
    for one in chosen:
        if one.alone:
            outcomes[one] = await ask(one)
    return {one.name: outcomes[one] for one in chosen}


async def asked(one: Check, client: LangGraphClient) -> Outcome:
    """How one check goes. Whatever it raises is its outcome."""
    began = time.monotonic()
    try:
        async with asyncio.timeout(LONGEST):
            await one.ask(client)
    except Exception as error:  # the edge that turns a failure into a line of the report
        return Outcome(told(error), time.monotonic() - began)
    return Outcome("", time.monotonic() - began)


def told(error: BaseException) -> str:
    """An error in a line: what it is, what it says, what the server said, and where in the check it came from."""
    said = [type(error).__name__, str(error).strip(), *getattr(error, "__notes__", ())]
    if isinstance(error, httpx.HTTPStatusError) and not error.response.is_stream_consumed:
        said.append("(the answer was not read)")
    if (body := getattr(error, "body", None)) is not None:
        said.append(str(body))
    place, step = "", error.__traceback__
    while step is not None:
        if "/conformance/checks/" in step.tb_frame.f_code.co_filename:
            place = f"{step.tb_frame.f_code.co_filename.rpartition('/')[2]}:{step.tb_lineno}"
        step = step.tb_next
    line = " ".join(" ".join(part.split()) for part in [*said, f"[{place}]"] if part)
    return line if len(line) <= 600 else f"{line[:400]} … {line[-190:]}"


def status_of(error: Any) -> int:
    """HTTP status that an error of the SDK carries."""
    return int(error.response.status_code)
