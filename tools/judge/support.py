"""Is a sentence carried by what it quotes? Rules over words, numbers, names and negation; no model.

Strict on purpose: what cannot be shown to be carried is not supported.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from fiel.tools.judge import Label, SentenceJudgement
from fiel.tools.rerank.evidence import alike
from fiel.tools.text import content, names, numbers, sentences, words
from fiel.tools.text.words import fold

_NEGATION = re.compile(
    r"\b(no|not|never|none|nobody|nothing|neither|nor|without|cannot|hardly|nunca|jamas|ningun[oa]?|nadie|nada|sin"
    r"|tampoco|pas|nicht|kein\w*|nao|non|mai)\b|n['’]t\b"
)
_OPENERS = frozenset(
    """
    additionally also although according accordingly because besides both but consequently currently during each
    eventually finally first following from furthermore hence historically however including initially later meanwhile
    moreover nevertheless one originally overall second since similarly some specifically subsequently therefore this
    thus today together while ademas actualmente aunque asimismo finalmente igualmente inicialmente luego mientras
    posteriormente segun sin tambien
    """.split()
)
"""Words that open a sentence with a capital and are no names."""
_SAME = 0.6
"""From this share of common words on, two sentences speak of the same thing, and a difference is a contradiction."""
_CARRIED = 0.75
"""Least share of a sentence's content words that its quotes must hold; chosen by `calibrate` on made-up changes."""


@dataclass(frozen=True, slots=True)
class _Sides:
    """A sentence and what it quotes, as compared."""

    sentence: str
    quoted: str
    aligned: str
    """The sentence of the quotes that has most in common with the judged one."""
    cover: float
    """Share of the sentence's content words that the quotes hold."""


def support(sentence: str, quotes: Sequence[str], *, carried: float = _CARRIED) -> SentenceJudgement:
    """Label and score of `sentence`, given the verbatim texts of its `quotes`.

    A sentence without quotes is unsupported. A number that the quotes do not hold, in an otherwise matching sentence,
    contradicts them, and so does a negation on one side alone.
    """
    quoted = " ".join(quotes)
    if not plain(sentence) or not plain(quoted):
        return SentenceJudgement("unsupported", 0.0)
    if _verbatim(sentence, quoted):
        return SentenceJudgement("supported", 1.0)
    sides = _sides(sentence, quoted)
    label = _conflict(sides)
    if label is not None:
        return SentenceJudgement(label, 0.0)
    missing = share_missing(sentence, quoted)
    score = max(0.0, sides.cover - missing)
    return SentenceJudgement("supported" if score >= carried else "unsupported", score)


def plain(text: str) -> str:
    """Folded words of `text` with single spaces: what *verbatim* means to the judge."""
    return " ".join(re.findall(r"\w+", fold(text)))


def _verbatim(sentence: str, quoted: str) -> bool:
    """Whether whole sentences of the quotes make up `sentence`: a part alone may lose the *not* before it."""
    wanted = plain(sentence)
    spans = sentences(quoted)
    texts = [plain(span.of(quoted)) for span in spans]
    if wanted in texts or wanted == plain(quoted):
        return True
    return any(
        wanted == " ".join(texts[first:last])
        for first in range(len(texts))
        for last in range(first + 2, min(len(texts), first + 6) + 1)
    )


def _sides(sentence: str, quoted: str) -> _Sides:
    spans = [span.of(quoted) for span in sentences(quoted)]
    aligned = max(spans, key=lambda one: _cover(sentence, one), default=quoted)
    return _Sides(sentence, quoted, aligned, _cover(sentence, quoted))


def _cover(sentence: str, other: str) -> float:
    """Share of the content words of `sentence` that `other` holds, inflected forms included."""
    wanted, there = content(sentence), content(other)
    if not wanted:
        return 0.0
    return sum(
        1.0 if word in there else max((alike(word, one) for one in there), default=0.0) for word in wanted
    ) / len(wanted)


def _conflict(sides: _Sides) -> Label | None:
    same = _cover(sides.sentence, sides.aligned) >= _SAME
    missing = _values(sides.sentence) - _values(sides.quoted)
    if missing:
        return "contradicted" if same and _values(sides.aligned) else "unsupported"
    if missing_names(sides.sentence, sides.quoted, sides.cover):
        return "unsupported"
    if same and _negations(sides.sentence) % 2 != _negations(sides.aligned) % 2:
        return "contradicted"
    if same and _swapped(sides.sentence, sides.aligned):
        return "unsupported"
    return None


def _values(text: str) -> frozenset[str]:
    return frozenset(number.value for number in numbers(text))


def _negations(text: str) -> int:
    return len(_NEGATION.findall(fold(text)))


def missing_names(sentence: str, quoted: str, cover: float) -> list[str]:
    """Names in `sentence` that `quoted` does not hold.

    The first word of a sentence has a capital anyway: it counts where all the rest is carried, because then it is what
    was exchanged.
    """
    there = {fold(match) for match in re.findall(r"[^\W_]+", quoted)}
    missing = []
    for name in names(sentence):
        parts = re.findall(r"[^\W_]+", name.value)
        if all(part in there or any(alike(part, one) >= 0.7 for one in there) for part in parts):
            continue
        if name.initial and (name.value in _OPENERS or cover < 0.7):
            continue
        missing.append(name.value)
    return missing


def _swapped(sentence: str, aligned: str) -> bool:
    """Whether two names have changed places in an otherwise equal sentence (`A beat B`, `B beat A`)."""
    if content(sentence) != content(aligned):
        return False
    one, other = ([name.value for name in names(text)] for text in (sentence, aligned))
    return one != other and sorted(one) == sorted(other)


def share_missing(sentence: str, quoted: str) -> float:
    """A malus for words that bind differently: the share of neighbouring pairs of `sentence` that stand apart."""
    own = [word.form for word in words(sentence) if word.content]
    theirs = [word.form for word in words(quoted) if word.content]
    pairs = set(pairwise(own))
    if not pairs:
        return 0.0
    places: dict[str, list[int]] = {}
    for index, form in enumerate(theirs):
        places.setdefault(form, []).append(index)
    near = sum(any(abs(i - j) <= 3 for i in places.get(a, ()) for j in places.get(b, ())) for a, b in pairs)
    return 0.2 * (1.0 - near / len(pairs))
