"""The search port: passages that the caller may read, best first.

`Principal` is a required argument of every call: an unfiltered search cannot be written.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, NotRequired, Protocol

from typing_extensions import TypedDict  # Studio shows schemas of it, and needs this one before Python 3.12

from fiel.tools.embed import Vector
from fiel.tools.principal import Principal

Trust = Literal["trusted", "internal", "external"]
"""How far a source is trusted: as one's own word, as a colleague's, as a stranger's."""


class Passage(TypedDict):
    """A chunk as retrieved: plain data, as it stands in state, spans and ledger."""

    document: str
    """Id of the document (UUID)."""
    uri: str
    """Where the document came from, as the curator named it."""
    title: str
    version: str
    """Id of the document's version (UUID)."""
    chunk: str
    """Id of the chunk (UUID)."""
    text: str
    """Verbatim slice of the stored extracted text."""
    licence: NotRequired[str]
    """SPDX identifier or expression of its source; empty: not known."""
    trust: NotRequired[Trust]
    """How far its source is trusted."""
    orders: NotRequired[list[list[int]]]
    """Places of sentences that give orders to whoever answers, `[start, end]` in `text`; what lies beyond its end
    stands in headings or title. Such a sentence is shown to no model and quoted by nobody."""
    context: str
    """Headings above the chunk, ` > ` between them; empty where there are none. Not part of `text`."""
    start: int
    end: int
    """Offsets of `text` in the extracted text of the version, Unicode code points."""
    language: str
    """ISO 639-1; `und` where unknown."""
    score: str
    """Fused score as a decimal string."""
    dense_rank: int | None
    text_rank: int | None
    """1-based place in the dense and in the full-text list; None where the passage is not in it."""
    similarity: str | None
    """Cosine of the query's and the chunk's vectors as a decimal string; None where the search does not know it."""


def shown_text(passage: Passage) -> str:
    """The text of a passage as a model may see it: `…` in place of each sentence that gives orders."""
    text = passage["text"]
    for start, end in reversed(passage.get("orders", [])):
        text = f"{text[:start]}…{text[end:]}" if start < len(text) else text
    return text


def shown_headings(passage: Passage) -> tuple[str, str]:
    """Title and headings of a passage as a model may see them: both empty where an order stands in either."""
    beyond = any(end > len(passage["text"]) for _, end in passage.get("orders", ()))
    return ("", "") if beyond else (passage["title"], passage["context"])


@dataclass(frozen=True, slots=True)
class CollectionInfo:
    """What a run has to know of a collection."""

    name: str
    policy: str
    """The least bundle that any run over it must use; empty: none named."""
    languages: tuple[str, ...]
    """Languages of its documents, most frequent first."""


@dataclass(frozen=True, slots=True)
class SearchRequest:
    """One hybrid search."""

    collection: str
    text: str
    vector: Vector
    language: str = "und"
    k: int = 10


class Search(Protocol):
    """Hybrid retrieval. Raises CollectionNotFound (unknown and forbidden alike) and DatabaseUnavailable."""

    @property
    def version(self) -> str:
        """Index and ranking: part of `versions.index` of every answer."""
        ...

    async def collection(self, principal: Principal, name: str) -> CollectionInfo:
        """The collection, if the caller may read it or anything in it."""
        ...

    async def search(self, principal: Principal, requests: Sequence[SearchRequest]) -> list[list[Passage]]:
        """For each request at most k passages, best first, each readable by `principal` at this moment."""
        ...


__all__ = ["CollectionInfo", "Passage", "Search", "SearchRequest", "shown_headings", "shown_text"]
