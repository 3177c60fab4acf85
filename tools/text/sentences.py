"""Sentences with offsets, by rule: it must be fast, deterministic, and never lose a character of a quote."""

import re
from functools import lru_cache

from fiel.tools.text.span import Span

_ABBREVIATIONS = frozenset(
    """
    adj adm al apdo approx apr arq art aug av avda ave bros bull c ca cap capt cf ch cia cmdr cnel co col comp conf corp
    cía d dec dept depto dic dna doc dr dra dres ed eds eg ej ene ens esp esq est et etc excmo feb ff fig figs fr fra
    gen gob gov gral gr hon hr hrs ibid ie ilmo inc ing inst intro jan jr jul jun km lic lt ltd m maj mar max mfg mgr
    min mons mr mrs ms msgr mt mtro no nos nov ntra núm num núms oct op p pág págs par pdo phd pl pp prof profa prov
    pte ptda pt pts pub rd ref rep res rev rte s sa san sec sen sept sgt sig sr sra sras sres srta ss st sta ste sto
    suc supt tel tít tom tte ud uds univ v vda vid viz vol vols vs z
    """.split()
)
"""Words that carry a full stop and mostly stand within a sentence. One letter alone counts as an initial."""

_LAST = frozenset("etc inc ltd corp co jr sa al".split())
"""Abbreviations that often end a sentence too: a following capital decides."""

_COUNTING = frozenset("no nos sec op art max min mar cap".split())
"""Abbreviations that are words as well: only before a digit are they abbreviations."""

_STOP = re.compile(
    r"""(?P<mark>[.!?…]+|[。！？]+)(?P<close>["'”’»)\]]*)(?P<note>(?:\[\d+\])*)(?=\s|$)|[。！？]+|\n\s*\n"""
)
_OPENING = "\"'“‘«([¿¡—–-*•"
_BULLET = re.compile(r"\n[^\S\n]*(?=(?:[-*•]|\d{1,3}[.)])\s)")
_FOLLOWING = re.compile(rf"\s*+(?P<rest>[{re.escape(_OPENING)}]*+(?P<first>.?))", re.DOTALL)
_BOUNDS = frozenset("([“\"'«/–—-")
"""Signs that no word goes across."""


def split(text: str) -> tuple[Span, ...]:
    """Sentences of `text` in order, without the white space between them.

    Paragraph breaks and list items end a sentence; full stops after abbreviations, initials and numerals that count
    ("No. 5") do not, nor does one that a lower-case letter follows. Time is linear in the text, whatever it is.
    """
    spans = []
    start = 0
    for end in sorted({*_ends(text), len(text)}):
        span = _trimmed(text, start, end)
        if span is not None:
            spans.append(span)
        start = end
    return tuple(spans)


sentences = lru_cache(maxsize=4096)(split)
"""`split`, for texts that are looked at again and again. One that grows word by word would only drive them out."""


def _ends(text: str) -> list[int]:
    ends = [match.start() for match in _BULLET.finditer(text)]
    for match in _STOP.finditer(text):
        if match.group("mark") is None or _ends_here(text, match):
            ends.append(match.end())
    return ends


def _ends_here(text: str, match: re.Match[str]) -> bool:
    following = _FOLLOWING.match(text, match.end())
    if following is None or not following["rest"]:
        return True
    first = following["first"]
    if first.islower():
        return False
    if match.group("mark") != ".":
        return match.group("mark") != "..." or not first.islower()
    return not _abbreviates(_word_before(text, match.start()), first)


def _word_before(text: str, end: int) -> str:
    """The word that ends at `end`, or at the end of the line before it."""
    if end and text[end - 1] == "\n":
        end -= 1
    start = end
    while start and text[start - 1] not in _BOUNDS and not text[start - 1].isspace():
        start -= 1
    return text[start:end]


def _abbreviates(word: str, following: str) -> bool:
    plain = word.casefold()
    if len(word) == 1 and word.isalpha() and word.isupper():
        return True
    if re.fullmatch(r"(?:\w\.)+\w", plain):  # U.S, e.g, EE.UU
        return not following.isupper() or (len(plain) > 3 and not plain.startswith(("u.s", "u.k", "a.m", "p.m")))
    if plain in {"ee", "rr", "ff", "jj"}:  # EE. UU., RR. HH.
        return True
    if plain in _LAST:
        return not following.isupper()
    if plain in _COUNTING:
        return following.isdigit()
    return plain in _ABBREVIATIONS


def _trimmed(text: str, start: int, end: int) -> Span | None:
    while start < end and (text[start].isspace() or text[start] == "﻿"):
        start += 1
    while end > start and text[end - 1].isspace():
        end -= 1
    return Span(start, end) if end > start else None
