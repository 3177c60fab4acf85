"""Small words that turn a statement round: negations, quantifiers, hedges, conditions, opposites. English and Spanish.

Each function looks at a sentence and at what it draws on, and says whether the sentence claims what that does not.
Lists, no grammar: what they do not hold goes unseen, and `tests/unit/test_judge_adversarial.py` says what that is.
"""

import re

from fiel.tools.rerank.evidence import alike
from fiel.tools.text import content, stem, words
from fiel.tools.text.words import fold

_NEGATION = re.compile(
    r"\bno\b(?:\W+\w+){0,3}?\W+(?:nunca|jamas|nadie|nada|ningun[oa]?s?|tampoco)\b"  # one negation in two words
    r"|\b(?:no|not|never|none|nobody|nothing|neither|nor|without|cannot|hardly|nunca|jamas|ningun[oa]?s?|nadie|nada|sin"
    r"|tampoco|pas|nicht|kein\w*|nao|non|mai)\b|n['’]t\b"
)
NEGATING = frozenset(
    map(stem, "never nobody nothing neither cannot hardly none nunca jamas nadie nada tampoco".split())
)
"""Negations that are no stop words: they are counted, and must not count as missing content as well."""

_CLAUSE = re.compile(r"[.!?,:](?=\s)|[;()—–]|\b(?:and|or|but|while|whereas|y|e|o|pero|mientras)\b", re.I)

_CLAIMS = (
    re.compile(r"\b(?:all|every\w*|each|always|entire\w*|whole|tod[oa]s?|cada|siempre)\b"),
    re.compile(r"\b(?:only|solely|exclusively|solo|solamente|unicamente|exclusivamente)\b"),
)
"""What makes a sentence say more when it is added."""
_LIMITS = (
    re.compile(
        r"\b(?:some|several|few|many|sometimes|occasionally|often|usually|generally|mostly|part(?:ly|ially)|most of"
        r"|algun\w*|vari[oa]s|poc[oa]s|much[oa]s|a veces|a menudo|normalmente|generalmente|la mayoria|parcialmente)\b"
    ),
    re.compile(
        r"\b(?:may|might|could|possibly|perhaps|maybe|probably|likely|reportedly|allegedly|apparently|supposedly"
        r"|presumably|seems?|seemed|appears? to|appeared to|thought to|believed to|said to|puede[n]?|podrian?"
        r"|quizas?|tal vez|posible(?:mente)?|probable(?:mente)?|supuesta(?:mente)?|presunt\w+|al parecer|parecen?"
        r"|aparentemente)\b"
    ),
)
"""What makes a sentence say more when it is left out before a word that stays."""
_CONDITION = re.compile(
    r"\b(?:if|unless|provided|except|as long as|si|salvo|excepto|a menos que|siempre que|siempre y cuando)\b"
)
_OPPOSITES = tuple(
    (re.compile(rf"\b(?:{one})\b"), re.compile(rf"\b(?:{other})\b"))
    for one, other in (
        (r"increas\w*|rose|ris(?:e|es|en|ing)|grew|grow\w*|aument\w*|subi\w*|crec\w*",
         r"decreas\w*|fell|fall(?:s|en|ing)?|declin\w*|drop\w*|disminu\w*|baja\w*|bajo|cay\w*|descend\w*|reduc\w*"),
        (r"more|mas", r"less|fewer|menos"),
        (r"many|much[oa]s", r"few|poc[oa]s"),
        (r"higher|larger|bigger|greater|heavier|longer|taller|older|faster|stronger|mayor(?:es)?|superior(?:es)?",
         r"lower|smaller|lighter|shorter|younger|slower|weaker|menor(?:es)?|inferior(?:es)?"),
        (r"highest|largest|biggest|greatest|longest|tallest|oldest", r"lowest|smallest|least|shortest|youngest"),
        (r"before|antes", r"after|despues"),
        (r"above|encima", r"below|debajo"),
        (r"first|primer[oa]?", r"last|ultim[oa]"),
        (r"maxim\w+", r"minim\w+"),
        (r"north\w*|norte", r"south\w*|sur"),
        (r"east\w*|oriental(?:es)?", r"west\w*|oeste|occidental(?:es)?"),
        (r"allow\w*|permit\w*|permiti\w+|permite\w*", r"forb[ia]d\w*|prohib\w*|banned|bans?"),
        (r"won|wins?|winning|gan[oa]\w*", r"lost|loses?|losing|perd\w+|pierd\w+"),
        (r"accept\w*|approv\w*|acept\w*|aprob\w*|aprueb\w*",
         r"reject\w*|den(?:y|ies|ied)|rechaz\w*|deneg\w*|denieg\w*"),
        (r"buys?|bought|buyers?|compr[oa]\w*", r"sells?|sold|sellers?|vend\w+"),
        (r"includ\w*|inclu\w*", r"exclud\w*|exclu\w*"),
        (r"true|verdader[oa]", r"false|fals[oa]"),
        (r"import\w*", r"export\w*"),
        (r"opens?|opened|opening|abr\w+|abiert\w+", r"clos\w+|cierr\w+|cerr\w+"),
        (r"succeed\w*|logr\w+", r"fail\w*|fracas\w*"),
    )
)  # fmt: skip


def negations(text: str) -> int:
    """How often `text` negates; `no … nunca` is one negation."""
    return len(_NEGATION.findall(fold(text)))


def clauses(text: str) -> list[str]:
    """`text` cut at full stops, commas and conjunctions."""
    return [part.strip() for part in _CLAUSE.split(text) if part.strip(" .")]


def negated_elsewhere(sentence: str, source: str) -> bool:
    """Whether a clause of `sentence` is negated and the clause of `source` nearest to it is not, or the other way."""
    theirs = [(content(one), negations(one)) for one in clauses(source)]
    for clause in clauses(sentence):
        own, count = content(clause), negations(clause)
        shared = [len(own & other) for other, _ in theirs]
        most = max(shared, default=0)
        near = [one for (_, one), common in zip(theirs, shared, strict=True) if common == most]
        if most and count not in near:
            return True
    return False


def says_more(sentence: str, source: str) -> bool:
    """Whether `sentence` adds an *all* or *only*, or drops a *some*, a *may* or an *if* of `source`."""
    own, theirs = _lowered(sentence), _lowered(source)
    if any(claim.search(fold(own)) and not claim.search(fold(theirs)) for claim in _CLAIMS):
        return True
    if _CONDITION.search(theirs) and not _CONDITION.search(own):
        return True
    there = content(sentence)
    return any(
        not limit.search(fold(own))
        and any(_limits(fold(theirs), found.end(), there) for found in limit.finditer(fold(theirs)))
        for limit in _LIMITS
    )


def opposes(sentence: str, source: str) -> bool:
    """Whether `sentence` holds one of two opposites where `source` holds only the other."""
    own, theirs = fold(sentence), fold(source)
    return any(
        one.search(own) and not other.search(own) and other.search(theirs) and not one.search(theirs)
        for pair in _OPPOSITES
        for one, other in (pair, pair[::-1])
    )


def _lowered(text: str) -> str:
    """Without case, with accents (`sí` is no `si`), and without the month that looks like a hedge."""
    return re.sub(r"(?<=\s)May\b|^May\b(?=\s+(?:was|is|\d))", "", text).casefold()


def _limits(folded: str, end: int, there: frozenset[str]) -> bool:
    """Whether the word that a limiting word before `end` speaks of stands in `there`."""
    following = next((word.form for word in words(folded[end : end + 80]) if word.content), "")
    return bool(following) and not following.isdigit() and any(alike(following, one) >= 0.7 for one in there)


__all__ = ["NEGATING", "clauses", "negated_elsewhere", "negations", "opposes", "says_more"]
