"""Names of things: ids that the server makes, and those that follow from others."""

import os
import time
from functools import lru_cache
from uuid import UUID, uuid5

from fiel.infra.hosts.port import ThreadRef
from fiel.tools.principal import Principal

_GRAPHS = UUID("6ba7b821-9dad-11d1-80b4-00c04fd430c8")
"""Namespace of system assistants: LangGraph's own servers use it, so their clients' ids stay valid here."""
_THREADS = UUID("5b7a1d0e-3c58-4f0b-9a53-0f6c1de2a7b4")


def new_id() -> UUID:
    """A UUID of version 7 (RFC 9562, 5.7), with microseconds (6.2, method 3): ids sort by when they were made."""
    milliseconds, rest = divmod(time.time_ns(), 1_000_000)
    return dated_id(milliseconds, (rest * 4096 // 1_000_000).to_bytes(2, "big") + os.urandom(8))


def dated_id(milliseconds: int, random: bytes) -> UUID:
    """A UUID of version 7 from its parts: milliseconds since 1970, and ten bytes."""
    number = (milliseconds & (1 << 48) - 1) << 80 | int.from_bytes(random[:10], "big")
    number = number & ~(0xF << 76) | 0x7 << 76
    return UUID(int=number & ~(0x3 << 62) | 0x2 << 62)


@lru_cache(maxsize=1024)
def system_assistant(graph_id: str) -> UUID:
    """Id of the assistant that every graph has."""
    return uuid5(_GRAPHS, graph_id)


def place(principal: Principal, thing: UUID | str) -> str:
    """What binds sealed bytes to the row that they stand in. PostgreSQL holds no NUL, so parts cannot run together."""
    return f"{principal.tenant}\0{principal.id}\0{thing}"


def checkpoint_thread(principal: Principal, thread_id: UUID) -> str:
    """What the checkpointer calls a thread: two owners may use the same id, it may not."""
    return str(uuid5(_THREADS, place(principal, thread_id)))


def thread_ref(principal: Principal, thread_id: UUID) -> ThreadRef:
    """A thread as hosts know it."""
    return ThreadRef(str(thread_id), checkpoint_thread(principal, thread_id))
