"""Is a sentence carried by what it quotes? Rules over words, numbers, names and negation; no model.

Strict on purpose: what cannot be shown to be carried is not supported, true paraphrases among it. What the rules catch,
what they refuse though it is true, and what slips past them stands in `tests/unit/test_judge_adversarial.py`.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from fiel.tools.judge import Label, SentenceJudgement
from fiel.tools.judge.quantities import misattributed, misdated, mismeasured, unit_of
from fiel.tools.judge.wording import NEGATING, clauses, negated_elsewhere, negations, opposes, says_more
from fiel.tools.rerank.evidence import alike, neighbours
from fiel.tools.text import Word, content, names, numbers, sentences, words
from fiel.tools.text.words import fold

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
"""Least share of a sentence's content words that its quotes must hold, less the malus for torn pairs.

Chosen by hand, calibrated on nothing: one word in four may be another. What weighs more is checked apart."""


_PLAIN = re.compile(r"\w+|[%‰°€$£¥<>≤≥±]|(?<!\S)[-−](?=\d)")
"""Words, and the signs without which a number is another one."""


@dataclass(frozen=True, slots=True)
class _Sides:
    """A sentence and what it quotes, as compared."""

    sentence: str
    quoted: str
    aligned: str
    """The sentence of the quotes that has most in common with the judged one."""
    source: str
    """What the judged sentence draws on: `aligned`, and every other sentence that holds a word which that one lacks."""
    cover: float
    """Share of the sentence's content words that the quotes hold."""


def support(sentence: str, quotes: Sequence[str], *, carried: float = _CARRIED) -> SentenceJudgement:
    """Label and score of `sentence`, given the verbatim texts of its `quotes`.

    A sentence without quotes is unsupported. A number that the quotes do not hold, in an otherwise matching sentence,
    contradicts them, and so does a negation on one side alone, or an opposite.
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
    """Folded words and signs of `text` with single spaces: what *verbatim* means to the judge."""
    return " ".join(_PLAIN.findall(fold(text)))


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
    lacking = _wanted(sentence) - content(aligned)
    source = " ".join(one for one in spans if one == aligned or lacking & content(one))
    return _Sides(sentence, quoted, aligned, source, _cover(sentence, quoted))


def _wanted(sentence: str) -> frozenset[str]:
    return content(sentence) - NEGATING


def _cover(sentence: str, other: str) -> float:
    """Share of the content words of `sentence` that `other` holds, inflection and spelling of units aside."""
    wanted, there = _wanted(sentence), content(other)
    if not wanted:
        return 0.0
    spelt = there | _values(other) | frozenset(map(unit_of, there))
    return sum(_carried(word, there, spelt) for word in wanted) / len(wanted)


def _carried(word: str, there: frozenset[str], spelt: frozenset[str]) -> float:
    if word in there or unit_of(word) in spelt or _values(word) & spelt:
        return 1.0
    return max((alike(word, one) for one in there), default=0.0)


def _conflict(sides: _Sides) -> Label | None:
    same = _cover(sides.sentence, sides.aligned) >= _SAME
    if _values(sides.sentence) - _values(sides.quoted):
        return "contradicted" if same and _values(sides.aligned) else "unsupported"
    if missing_names(sides.sentence, sides.quoted, sides.cover):
        return "unsupported"
    if negated_elsewhere(sides.sentence, sides.source) or opposes(sides.sentence, sides.source):
        return "contradicted" if same else "unsupported"
    if negations(sides.sentence) != negations(sides.source) or _misbound(sides):
        return "unsupported"
    return None


def _misbound(sides: _Sides) -> bool:
    """Whether the right words stand in the wrong places, or with less around them than they need."""
    return (
        misdated(sides.sentence, sides.quoted)
        or mismeasured(sides.sentence, sides.source)
        or misattributed(sides.sentence, sides.source)
        or says_more(sides.sentence, sides.source)
        or _swapped(sides.sentence, sides.aligned)
    )


def _values(text: str) -> frozenset[str]:
    return frozenset(number.value for number in numbers(text))


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
    """Whether names, numbers or other words have changed places in an otherwise equal sentence (`B beat A`)."""
    if content(sentence) != content(aligned) or _regrouped(sentence, aligned):
        return False
    one, other = _anchors(sentence), _anchors(aligned)
    if sorted(one) == sorted(other) and one != other:
        return True
    own, theirs = words(sentence), words(aligned)
    forms, others = ([word.form for word in side] for side in (own, theirs))
    return forms != others and sorted(forms) == sorted(others) and _frame(own) == _frame(theirs)


def _regrouped(sentence: str, aligned: str) -> bool:
    """Whether whole clauses alone have changed places."""
    return sorted(map(plain, clauses(sentence))) == sorted(map(plain, clauses(aligned)))


def _anchors(text: str) -> list[str]:
    """Names and numbers in their order. A single number at either end is an adverbial, which may stand at both."""
    values = [number.value for number in numbers(text)]
    placed = [(one.start, one.value) for one in names(text)] + [(one.start, one.value) for one in numbers(text)]
    order = [value for _, value in sorted(placed)]
    if len(values) == 1 and values[0] in (order[0], order[-1]):
        order.remove(values[0])
        order.append(values[0])
    return order


def _frame(forms: Sequence[Word]) -> list[str]:
    """The small words in their places: where they stay and the others move, the others have been exchanged."""
    return ["" if word.content else word.form for word in forms]


def share_missing(sentence: str, quoted: str) -> float:
    """A malus for words that bind differently: the share of neighbouring pairs of `sentence` that stand apart."""
    own, theirs = ([word.form for word in words(text) if word.content] for text in (sentence, quoted))
    share = neighbours(own, theirs, apart=3)
    return 0.0 if share is None else 0.2 * (1.0 - share)
