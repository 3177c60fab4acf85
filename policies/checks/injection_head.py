"""Prompt injection and jailbreaks by meaning and wording: a head on the vector that retrieval needs, and one on words.

Looks at the text as it is, and at what it says without its disguise. `policies/models/injection/CARD.md` has the
figures, and what the head does not find.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any, ClassVar

import numpy as np

from fiel.policies.checks.base import Check, Found
from fiel.policies.checks.grams import grams
from fiel.policies.checks.views import MOST_WINDOWS, views, windows
from fiel.policies.heads import chance, head
from fiel.policies.types import Span
from fiel.tools import e5

FLOOR = 0.1
"""A lower probability says nothing: score 0."""
SURE = 0.9
"""From this probability on nobody is asked for a second opinion, and none counts."""
LEAST_WORDS = 3
"""A window of fewer words says too little to tell, unless it is two words of which the first is one of `ORDERS`: people
search with two words, mostly with two nouns."""
ORDERS = frozenset(
    (
        "activate admit analyse analyze audit become break bypass cancel check circumvent continue copy "
        "deactivate debug decode defeat delete disable disclose display disregard drop dump echo eject enable "
        "erase escape eval evade examine execute expose exploit export extract fetch forget get give hack "
        "ignore inject inspect jailbreak kill leak lift list modify neglect obey omit open output override "
        "permit play pretend print probe query read recite release remove repeat replace reset retrieve "
        "reveal reverse run scan send share show simulate skip spill start stop summarise summarize suspend "
        "switch tell trace track translate trigger uncover unlock unrestrict upload view write abre accede "
        "activa anula borra cambia cancela comparte copia da dame decodifica desactiva descubre desbloquea di "
        "dime ejecuta elimina enseña entrega escribe evita exporta expón extrae filtra finge hackea ignora "
        "imprime imprimir lee libera lista muestra mostrar obedece olvida omite quita repite revela rompe "
        "saca salta saltate simula suelta traduce vuelca"
    ).split()
)
LEAST_LETTERS = 6
"""So many letters that stand alone are words in disguise, whatever parts them."""
WORDING = "injection/grams.npz"
"""The weights of wordings, fitted together with the head."""

_WORD = re.compile(r"[\u0e00-\u0e7f\u3040-\u30ff\u3400-\u9fff]|\w{2,}")
"""One character of a script that does without spaces (Thai, Japanese, Chinese), or a word of two letters or more."""
_ALONE = re.compile(r"(?<![^\W\d_])[^\W\d_](?![^\W\d_])")


@dataclass(frozen=True, slots=True)
class InjectionHead(Check):
    """Finds orders to the model by meaning. Score: the probability of the worst window of the worst reading.

    Where a second opinion was asked (`facts["second"]["score"]`, a decimal string), it takes the place of a probability
    that is neither nothing nor sure. Without one the thresholds decide: what may be an attack is treated as one.
    """

    name: ClassVar[str] = "injection_head"
    reason: ClassVar[str] = "injection_likely"
    heads: ClassVar[tuple[str, ...]] = ("injection", WORDING)
    modules: ClassVar[tuple[str, ...]] = (
        "fiel.policies.checks.folding",
        "fiel.policies.checks.views",
        "fiel.policies.checks.grams",
        "fiel.policies.checks.signs",
        "fiel.policies.heads",
        "fiel.tools.e5",
    )

    def prepare(self) -> None:
        """Load head, weights and engine. Raises ModelUnavailable, PolicyError."""
        head("injection")
        grams(WORDING)
        e5.shared()

    def run(self, parts: Sequence[str], facts: Mapping[str, Any]) -> Found:
        scores = tuple(_advised(_probability(part), facts) for part in parts)
        spans = [Span(index, 0, len(parts[index]), "injection") for index, score in enumerate(scores) if score]
        return Found(scores, tuple(spans))


def readings(text: str) -> list[str]:
    """The windows that are looked at, the text's own first; all readings get no more of them than one long text."""
    found = dict.fromkeys(window for view in views(text) for window in windows(view) if _says_something(window))
    return list(found)[:MOST_WINDOWS]


def _probability(text: str) -> float:
    seen = readings(text)
    if not seen:
        return 0.0
    rows = np.asarray(e5.shared().encode(seen, True), np.float32)
    vectors = rows / np.linalg.norm(rows, axis=1, keepdims=True)
    words = grams(WORDING)
    logits = head("injection").logits(vectors) + np.array([words.logit(window) for window in seen], np.float32)
    worst = float(chance(logits).max())
    return worst if not worst < FLOOR else 0.0


def _advised(probability: float, facts: Mapping[str, Any]) -> float:
    given = facts.get("second")
    return float(given["score"]) if given is not None and 0.0 < probability < SURE else probability


def _says_something(window: str) -> bool:
    return _holds(_WORD, window, LEAST_WORDS) or _holds(_ALONE, window, LEAST_LETTERS) or _orders(window)


def _orders(window: str) -> bool:
    words = [match.group() for match in islice(_WORD.finditer(window), 2)]
    return len(words) == 2 and words[0].lower() in ORDERS


def _holds(pattern: re.Pattern[str], window: str, least: int) -> bool:
    return next(islice(pattern.finditer(window), least - 1, None), None) is not None
