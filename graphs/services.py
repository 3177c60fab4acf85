"""What a graph is built from: ports, each already wrapped by the composition root (recorded, limited in time)."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from fiel.policies.types import Policies
from fiel.tools.chat import Chat
from fiel.tools.embed import Embedder
from fiel.tools.errors import UsageError
from fiel.tools.guard import Guard
from fiel.tools.guard.second import NoSecond, Second
from fiel.tools.judge import Judge
from fiel.tools.principal import Role
from fiel.tools.record import Callers, Recorder
from fiel.tools.rerank import Reranker
from fiel.tools.review import Nobody, Reviews
from fiel.tools.search import Search
from fiel.tools.vault import Vault


@dataclass(frozen=True, slots=True)
class Services:
    """The ports of one process. Built once, shared by all runs."""

    callers: Callers
    chats: Mapping[str, Chat]
    """By name as options name them; the first is the default."""
    embed: Embedder
    guard: Guard
    judge: Judge
    language: Callable[[str], str]
    """Detects the language of a text: ISO 639-1, `und` where it cannot tell."""
    policies: Policies
    recorder: Recorder
    rerank: Reranker
    search: Search
    vault: Vault
    prices: Mapping[str, str] = field(default_factory=dict)
    """Price per million tokens, `input/output`, by the chat's name as options name it; without it, it is not known."""
    second: Second = field(default_factory=NoSecond)
    """Who is asked where the injection head is in doubt."""
    reviews: Reviews = field(default_factory=Nobody)
    """Whom a run can ask that needs a review."""
    stated: Mapping[str, str] = field(default_factory=dict)
    """Versions that runs state instead of those installed: a replay states those of then."""
    forbidden: Callable[[Any, frozenset[Role]], str | None] | None = None
    """Name of an option that may not be set so, None where all may; without it the graph's own rule. A replay, which
    asks what another option would have changed, holds the rule against the options of then."""
    prompts: Callable[[str], Any] | None = None
    """Prompts by the name of their version; without it those that lie beside the graph."""
    timeout: float = 60.0
    """Longest time for one hop, seconds."""

    def chat(self, name: str) -> Chat:
        """The chat model of that name; the first one for the empty name. Raises UsageError for a name nobody has."""
        if not name:
            return next(iter(self.chats.values()))
        if name not in self.chats:
            raise UsageError(f"there is no chat model {name!r}", where="option chat")
        return self.chats[name]
