"""Passages read for a question: features of each passage, and of the whole list, that need no model.

`Reading` is what rerankers, `extract` and the built-in judge share.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from fiel.tools.rerank.evidence import (
    Asked,
    Candidate,
    Rarity,
    asked,
    candidates,
    coverage,
    features,
    fits,
    held,
    matches,
    together,
)
from fiel.tools.search import Passage
from fiel.tools.text import names, numbers

Row = dict[str, float]
"""Features by name."""


@dataclass(frozen=True, slots=True)
class Reading:
    """A question and its passages, read once."""

    question: Asked
    passages: Sequence[Passage]
    found: tuple[Candidate, ...]
    """All sentences of all passages."""
    rarity: Rarity

    def of(self, passage: int) -> list[Candidate]:
        """The sentences of one passage, in order."""
        return [candidate for candidate in self.found if candidate.passage == passage]


def read(question: str, passages: Sequence[Passage]) -> Reading:
    """Cut the passages into sentences and learn which words are rare among them."""
    found = tuple(candidates([passage["text"] for passage in passages]))
    return Reading(asked(question), passages, found, Rarity(candidate.text for candidate in found))


def best_first(scores: Sequence[float]) -> list[int]:
    """Indices of `scores`, the highest first, equal ones in their order."""
    return sorted(range(len(scores)), key=lambda index: (-scores[index], index))


def heading(passage: Passage) -> str:
    """What stands above a passage: its document's title and its headings. A file's name is no sentence but telling."""
    return f"{passage['title']} {passage['context']}".replace("_", " ").replace("-", " ")


def similarity(passage: Passage) -> float:
    """Cosine of question and chunk; where the search does not tell it, that of a middling passage."""
    plain = passage.get("similarity")
    return float(plain) if plain else 0.8


def passage_rows(reading: Reading) -> list[Row]:
    """Features of each passage."""
    question, rarity = reading.question, reading.rarity
    rows = []
    for index, passage in enumerate(reading.passages):
        text = f"{heading(passage)} {passage['text']}"
        own = [candidate.text for candidate in reading.of(index)]
        covers = [coverage(question, matches(question, one), rarity) for one in own]
        best = max(range(len(own)), key=covers.__getitem__, default=None)
        rows.append(
            {
                "score": float(passage["score"]),
                "similarity": similarity(passage),
                "cover": coverage(question, matches(question, text), rarity),
                "best": covers[best] if best is not None else 0.0,
                "together": max((together(question, one) for one in own), default=0.0),
                "names": held(question.names, frozenset(name.value for name in names(text))),
                "numbers": held(question.numbers, frozenset(number.value for number in numbers(text))),
                "fits": fits(question, own[best]) if best is not None else 0.0,
                "dense": 1.0 / (passage["dense_rank"] or 50),
                "text": 1.0 / (passage["text_rank"] or 50),
            }
        )
    _relative(rows)
    return rows


_RELATIVE = ("score", "similarity", "cover", "best", "together")


def _relative(rows: list[Row]) -> None:
    """Add to each row how far it lies below the best of the list."""
    for name in _RELATIVE:
        best = max((row[name] for row in rows), default=0.0)
        for row in rows:
            row[f"{name}_gap"] = row[name] - best


def list_row(reading: Reading, rows: Sequence[Row], order: Sequence[int]) -> Row:
    """Features of the list as a whole: those of its first passage, and how it stands out."""
    first, others = rows[order[0]], [rows[index] for index in order[1:]]
    mean = sum(row["similarity"] for row in others) / len(others) if others else first["similarity"]
    return {
        **first,
        "ahead": first["similarity"] - mean,
        "top_similarity": max(row["similarity"] for row in rows),
        "top_best": max(row["best"] for row in rows),
        "top_cover": max(row["cover"] for row in rows),
        "agree": float(first["dense"] == 1.0 and first["text"] == 1.0),
        "words": min(12.0, float(len(reading.question.words))) / 12.0,
        "unnamed": float(not reading.question.names),
    }


def sentence_rows(reading: Reading, order: Sequence[int], most: int) -> tuple[list[Candidate], list[Row]]:
    """Sentences of the first `most` passages of `order`, with their features; `place` counts along `order`."""
    chosen = list(order[:most])
    texts = [reading.passages[index]["text"] for index in chosen]
    titles = [heading(reading.passages[index]) for index in chosen]
    moved = [replace(one, passage=place) for place, index in enumerate(chosen) for one in reading.of(index)]
    top = max((similarity(passage) for passage in reading.passages), default=0.0)
    fused = max((float(passage["score"]) for passage in reading.passages), default=0.0)
    rows = features(reading.question, moved, texts, titles, reading.rarity)
    for candidate, row in zip(moved, rows, strict=True):
        passage = reading.passages[chosen[candidate.passage]]
        row["similarity_gap"] = similarity(passage) - top
        row["score_gap"] = float(passage["score"]) - fused
    return [replace(one, passage=chosen[one.passage]) for one in moved], rows
