"""What a replay changes."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

KINDS = ("embed", "search", "rerank", "chat", "judge", "guard", "second")
"""What can be asked again although the record has it."""


@dataclass(frozen=True, slots=True)
class Change:
    """Without options, kinds and `now` it changes nothing, and the replay is strict."""

    options: Mapping[str, Any] = field(default_factory=dict)
    """Options of the graph (`policy`, `prompt`, `chat`, `k`, …) and their other values."""
    again: frozenset[str] = frozenset()
    """Kinds of `KINDS` that are asked anew, such as `search` to see the documents of now."""
    live: bool = True
    """Whether models and the index may be asked for what the record does not hold."""
    then: bool = False
    """Under the bundle and the prompts of then, which are kept, in place of those installed; for strict replays."""
    now: bool = False
    """Under the graph, bundles and prompts that are installed, to an end of its own, although nothing else changes."""
    most_calls: int | None = None
    """So many live calls, and no more."""
    most_cost: Decimal | None = None
    """Once live calls have cost so much, no further one begins."""

    @property
    def strict(self) -> bool:
        return not self.options and not self.again and not self.now

    def plain(self) -> dict[str, Any]:
        """The change as canonical data."""
        said: dict[str, Any] = {"then": True} if self.then else {}
        said |= {"now": True} if self.now else {}
        said |= {"again": sorted(self.again)} if self.again else {}
        said |= {"max_live": self.most_calls} if self.most_calls is not None else {}
        said |= {"max_cost": str(self.most_cost)} if self.most_cost is not None else {}
        return {**self.options, **said}


UNCHANGED = Change()
