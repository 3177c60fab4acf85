"""Parts of long lists."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Generic, Literal, TypeVar

T = TypeVar("T")
Order = Literal["asc", "desc"]


@dataclass(frozen=True, slots=True)
class Window:
    """Which part is wanted, and in which order."""

    limit: int = 10
    offset: int = 0
    sort_by: str | None = None
    sort_order: Order | None = None


@dataclass(frozen=True, slots=True)
class Page(Generic[T]):
    """One part of a list."""

    items: Sequence[T]
    offset: int
    more: bool
    """Whether something follows."""

    @property
    def next(self) -> int | None:
        """Where the next part begins."""
        return self.offset + len(self.items) if self.more else None


def cut(rows: Sequence[T], window: Window) -> Page[T]:
    """The page, from one row more than it may have."""
    return Page(rows[: window.limit], window.offset, len(rows) > window.limit)


def ordering(window: Window, columns: dict[str, str], fallback: str, tie: str) -> str:
    """An ORDER BY clause of fixed texts: nothing that a client sends gets into it."""
    column = columns[window.sort_by or fallback]
    direction = "ASC" if window.sort_order == "asc" else "DESC"
    return f"{column} {direction} NULLS LAST, {tie} {direction}"


def parameters(window: Window) -> dict[str, Any]:
    """`limit` (one more than wanted, to see whether something follows) and `offset` of a query."""
    return {"limit": window.limit + 1, "offset": window.offset}
