"""Follow-up questions without a model: who or what `it` is, from the turns before."""

import re
from collections.abc import Sequence

from fiel.tools.text import content, fold, names, words

_POINTING = frozenset(
    """
    he she it its they them their his her him this that these those there then one ones former latter same
    el ella ello ellos ellas su sus este esta esto estos estas ese esa eso esos esas aquel aquella alli entonces
    lo la los las le les mismo misma
    """.split()
)
"""Words, folded, that point at something said before. Spanish articles count only as pronouns, see `_points`."""

_ARTICLES = frozenset({"el", "la", "los", "las", "lo", "that", "this", "these", "those", "su", "sus", "este", "esta"})
_OPENERS = re.compile(r"^\W*(and|but|what about|how about|y|e|pero|que hay de|que tal)\b")
_FEW = 2
"""A question with at most so many content words and no name leans on the one before."""


def leans(question: str) -> bool:
    """Whether the question cannot be understood alone."""
    folded = fold(question)
    if _OPENERS.match(folded):
        return True
    return _points(question) or (len(content(question)) <= _FEW and not _named(question))


def stand_alone(question: str, earlier: Sequence[str]) -> str:
    """The question with what it leans on: the names of the turns before, else the content of the last question.

    `earlier` are the texts of the conversation, oldest first, questions and answers alike. The question itself stays as
    it is; what it leans on is added at its end, since both search and grading read it as a bag of evidence.
    """
    if not earlier or not leans(question):
        return question
    subject = _subject(earlier, question)
    return f"{question.rstrip()} ({subject})" if subject else question


def _points(question: str) -> bool:
    """Whether a pronoun stands where no noun follows it."""
    found = words(question)
    for index, word in enumerate(found):
        raw = fold(question[word.start : word.end])
        if raw not in _POINTING:
            continue
        followed = index + 1 < len(found) and found[index + 1].content
        if raw not in _ARTICLES or not followed:
            return True
        if raw in {"su", "sus", "this", "these", "este", "esta"}:
            return True
    return False


def _named(question: str) -> bool:
    return any(not name.initial for name in names(question))


def _subject(earlier: Sequence[str], question: str) -> str:
    """Names of the newest turn that has any the question lacks; else the last turn's content words."""
    mine = {name.value for name in names(question)}
    for text in reversed(earlier):
        found = [text[name.start : name.end] for name in names(text) if not name.initial and name.value not in mine]
        if found:
            return " ".join(dict.fromkeys(found))
    last = earlier[-1] if len(earlier) == 1 else earlier[-2]
    return " ".join(dict.fromkeys(last[word.start : word.end] for word in words(last) if word.content))
