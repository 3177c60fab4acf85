"""What kind of thing a question asks for, by its question word."""

import re
import unicodedata
from functools import lru_cache
from typing import Literal

from fiel.tools.text.words import fold

Kind = Literal["number", "time", "person", "place", "reason", "manner", "thing"]

_PATTERNS: tuple[tuple[Kind, str], ...] = (
    (
        "number",
        r"how (many|much|old|long|far|tall|high|big|large|often|fast|deep|heavy|hot|cold|wide)"
        r"|what (percent|percentage|number|amount|proportion|fraction|share)"
        r"|(which|what) (was|is|were|are) the (number|percentage|amount|population|price|cost|size|length|height|score)"
        r"|\bcuant[oa]s?\b|que (porcentaje|cantidad|numero|proporcion|edad|altura|longitud|distancia|precio)"
        r"|\bcombien\b|\bwie ?viele?\b|\bquant[oaie]s?\b",
    ),
    (
        "time",
        r"\bwhen\b|(what|which) (year|date|day|month|century|decade|time|season|era|period)"
        r"|how (soon|recently)|\bcuando\b|(que|cual) (ano|fecha|dia|mes|siglo|decada|epoca|hora|periodo)"
        r"|\bquand\b|\bwann\b|\bquando\b",
    ),
    (
        "person",
        r"\bwho(se|m)?\b|(what|which) (person|man|woman|king|queen|emperor|president|player|author|scientist|leader)"
        r"|\bquien(es)?\b|\bqui\b|\bwer\b|\bwen\b|\bquem\b|\bchi\b",
    ),
    (
        "place",
        r"\bwhere\b|(what|which) (city|country|state|place|river|region|town|area|location|continent|street|county)"
        r"|\badonde\b|\bdonde\b|(que|cual) (ciudad|pais|estado|lugar|rio|region|pueblo|zona|continente|calle|condado)"
        r"|\bwo\b|\bonde\b|\bdove\b",
    ),
    ("reason", r"\bwhy\b|what (caused|reason|led)|\bpor que\b|\bwarum\b|\bpourquoi\b|\bperche\b"),
    ("manner", r"\bhow\b|\bcomo\b|\bcomment\b|\bwie\b"),
)
_CODE = re.compile(
    r"`|(?<!\w)--?[a-z]|\b[A-Z0-9]+_[A-Z0-9_]+\b|(?i:\b(?:commands?|command lines?|code|snippets?|syntax|scripts?"
    r"|comandos?|instruccion(?:es)?|codigo|sintaxis|ordenes)\b)"
)
_COMPILED = tuple((kind, re.compile(pattern)) for kind, pattern in _PATTERNS)


@lru_cache(maxsize=2048)
def kind_of(question: str) -> Kind:
    """The kind of answer that `question` asks for; `thing` where no pattern says more."""
    folded = fold(question)
    found = [(match.start(), order, kind) for order, (kind, pattern) in enumerate(_COMPILED)
             if (match := pattern.search(folded))]  # fmt: skip
    return min(found)[2] if found else "thing"


def wants_code(question: str) -> bool:
    """Whether `question` asks for something to type: a command, an option, a setting."""
    plain = unicodedata.normalize("NFKD", question)
    return bool(_CODE.search("".join(char for char in plain if not unicodedata.combining(char))))
