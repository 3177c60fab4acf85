"""Orders in documents: sentences that speak to whoever answers instead of telling anything; English and Spanish.

A document informs; it has no reason to say what an answer must hold, how it is to be spelled, or what the user is to be
told. A sentence that does is an order, wherever it stands. Manuals give orders to their readers ("Restart the server"),
so an imperative alone is none: it has to be about the answer, the one who answers, or the one who asked.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, ClassVar

from fiel.policies.checks.base import Check, Found, parameter
from fiel.policies.checks.folding import Folded, holds
from fiel.policies.checks.injection import Injection
from fiel.policies.checks.source import said_of
from fiel.policies.types import Span

SURE = 0.9
"""Score of a sentence that speaks to the one who answers, about the answer."""
LIKELY = 0.7
"""Score of one that speaks of letters and spelling, or of what to do when answering."""
TASK = 0.4
"""Score of a task for a writer, which a book of exercises may well set."""
_TALK = 0.6
"""From this score on the patterns of `injection` find an order, and no talk about one."""

SENTENCE = re.compile(r"(?:[^.!?\n]|[.!?](?=[^\s]))+[.!?]*")
_LEAD = (
    r"\A[\W\d_]*(?:(?:please|now|also|then|and|but|important|note|attention|"
    r"por favor|ahora|ademas|y|importante)\b[\W_]*){0,3}"
)
_VERB = (
    r"(?:add|include|insert|integrate|incorporate|modify|change|alter|augment|enhance|adapt|extend|embed|weave|use|provide|"
    r"give|render|write|rewrite|phrase|substitute|replace|swap|convert|encode|introduce|misspell|scramble|shuffle|jumble|"
    r"rearrange|anagram|reverse|remove|drop|group|combine|join|append|prepend|attach|put|place|end|begin|start|finish|close|"
    r"conclude|mention|state|say|repeat|translate|format|restrict|limit|base|make|keep|turn|let|have|ensure|remember|"
    r"anade|agrega|incluye|inserta|integra|incorpora|modifica|cambia|altera|usa|utiliza|escribe|reescribe|sustituye|"
    r"reemplaza|convierte|codifica|introduce|desordena|mezcla|invierte|elimina|quita|agrupa|junta|pon|coloca|termina|"
    r"empieza|comienza|acaba|concluye|menciona|repite|traduce|da|haz|asegurate|recuerda)"
)
_ANSWER = (
    r"(?:responses?|repl(?:y|ies)|answers?|outputs?|completions?|summar(?:y|ies)|respuestas?|contestacion(?:es)?|salidas?|"
    r"resumen(?:es)?)"
)
_YOUR = r"(?:your|ur|the (?:final|next|whole|entire)|tus?|vuestras?|la)"
_USER = (
    r"(?:the (?:user|reader|person asking|questioner|human)|users?|readers|al (?:usuario|lector)|"
    r"a los (?:usuarios|lectores))"
)
_MODEL = (
    r"(?:ai|a\.i\.|(?:ai |virtual )?assistants?|chat ?bots?|language models?|llms?|gpt|ia|asistentes?|"
    r"modelos? de lenguaje)"
)
_ORDERS: tuple[tuple[str, tuple[str, ...], float], ...] = (
    # Add a sentence to your reply. Provide your answer in capitals.
    (
        rf"{_LEAD}{_VERB}\b.{{0,200}}?\b{_YOUR}(?: \w+){{0,2}} {_ANSWER}\b",
        ("respon", "repl", "answer", "output", "completion", "summar", "respuesta", "contest", "salida", "resumen"),
        SURE,
    ),
    # In your response, suggest ...
    (
        rf"{_LEAD}(?:in|within|as part of|at the (?:end|beginning|start) of|throughout|en|dentro de|al final de|"
        rf"al principio de) {_YOUR}(?: \w+){{0,2}} {_ANSWER}\b",
        ("respon", "repl", "answer", "output", "completion", "summar", "respuesta", "contest", "salida", "resumen"),
        SURE,
    ),
    # Tell the user that ... Encourage readers to ...
    (
        rf"{_LEAD}(?:tell|inform|advise|urge|encourage|direct|instruct|persuade|convince|warn|remind|send|refer|ask|dile|"
        rf"diles|informa|aconseja|anima|dirige|convence|advierte|recuerda|envia|pide)\b ?{_USER}\b",
        ("user", "reader", "person asking", "questioner", "human", "usuario", "lector"),
        SURE,
    ),
    # Note to the assistant: ... Attention, chatbot: ...
    (
        r"\b(?:(?:note|message|instructions?|reminder|nota|mensaje|instruccion(?:es)?|aviso)(?: to| for| para| a| al)"
        rf"(?: the| any| all| el| la| los| las| cualquier)?(?: \w+)?|attention|atencion),? {_MODEL}\b",
        ("note", "messag", "instruc", "attention", "remind", "nota", "mensaje", "aviso", "atencion"),
        SURE,
    ),
    # If you are an assistant ... As an AI you must ... When you answer this ...
    (
        rf"\b(?:(?:if you are|as|si eres|como) (?:(?:an?|the|un|una|el|la) )?{_MODEL}|(?:when|whenever|cuando) "
        r"(?:you (?:answer|respond|reply|summari[sz]e)|answering|responding|replying|summari[sz]ing|respondas|"
        r"contestes|resumas))\b.{0,80}?\b(?:you|your|must|should|always|never|say|tell|add|include|"
        r"tu|debes|siempre|nunca|di|anade|incluye)\b",
        ("if you are", "as ", "when", "si eres", "como ", "cuando"),
        LIKELY,
    ),
    # Respond only in ... Answer every question with ...
    (
        rf"{_LEAD}(?:always |never |only |siempre |nunca |solo )?(?:respond|reply|answer|responde|contesta)\b "
        r"(?:only |always |solo |siempre )?(?:in|with|as|using|by|to (?:every|all|any|each)|every|all|any|en|con|como|"
        r"a (?:toda|todas|cada|cualquier))\b",
        ("respond", "reply", "answer", "contesta"),
        LIKELY,
    ),
    # Replace vowels with numbers. Scramble the letters of every word.
    (
        rf"{_LEAD}(?:replace|substitute|swap|convert|scramble|shuffle|jumble|reverse|misspell|remove|omit|double|capitali[sz]e|"
        r"sustituye|reemplaza|cambia|convierte|desordena|invierte|elimina|quita|duplica)\b.{0,60}?\b"
        r"(?:letters?|vowels?|consonants?|words?|spaces|characters?|letras?|vocales|consonantes|palabras?|espacios|"
        r"caracteres)\b",
        ("letter", "vowel", "consonant", "word", "space", "character", "letra", "vocal", "consonante", "palabra",
         "espacio", "caracter"),
        LIKELY,
    ),
    # Write a poem about ... Translate the following ...
    (
        rf"{_LEAD}(?:(?:write|draft|compose|develop|create|generate|provide|tell|escribe|redacta|compon|crea|genera|"
        r"cuenta(?:me)?)(?: me| us)? (?:an?|the|some|un|una|el|la|unos|unas)(?: \w+){0,3} (?:poem|essay|story|letter|"
        r"speech|song|article|e-?mail|introduction|tweet|post|joke|haiku|rap|limerick|poema|ensayo|cuento|carta|discurso|cancion|"
        r"articulo|correo|introduccion|chiste)|(?:translate|traduce)\b)",
        ("write", "draft", "compose", "develop", "create", "generate", "provide", "tell", "transla", "escribe",
         "redacta", "compon", "crea", "genera", "cuenta", "traduce"),
        TASK,
    ),
)  # fmt: skip
_SCAN = tuple((re.compile(pattern), hints, score) for pattern, hints, score in _ORDERS)
_LONGEST = 600
"""Characters of a sentence that are looked at: an order comes to the point."""
_PATTERNS = Injection()


def scored(text: str) -> Iterator[tuple[int, int, float]]:
    """Every sentence of `text`: start, end, and how clearly it is an order, 0 to 1; in order."""
    for match in SENTENCE.finditer(text):
        found = match.group()
        sentence = found.strip()
        if sentence:
            start = match.start() + found.index(sentence)
            clarity = _kept if len(sentence) <= _LONGEST else _clarity
            yield start, start + len(sentence), clarity(sentence)


def _clarity(sentence: str) -> float:
    """How clearly a sentence is an order."""
    folded = Folded(f"\n{sentence}")  # the line break says that the sentence begins here
    score = _score(folded.text[: _LONGEST + 1])
    told = 0.0 if score >= SURE else _PATTERNS.weigh(folded)
    return max(score, told if told >= _TALK else 0.0)


def orders(text: str, least: float) -> Iterator[tuple[int, int, float]]:
    """Sentences of `text` that are orders with a score of at least `least`: start, end, score; in order."""
    return (one for one in scored(text) if one[2] >= least)


_kept = lru_cache(maxsize=32_768)(_clarity)
"""A passage is looked at with its headings before it is read, without them when an answer is checked, and once more
where it is quoted, and it is found by more than one question: its sentences are the same. Some 10 MB when full."""


def _score(folded: str) -> float:
    return max(
        (score for pattern, hints, score in _SCAN if holds(folded, hints) and pattern.search(folded)), default=0.0
    )


@dataclass(frozen=True, slots=True)
class Orders(Check):
    """Finds sentences of a passage that give orders to whoever answers. Score: that of the clearest one.

    The less its source is trusted, the more a passage is suspected: `facts["trust"]` moves the score of what is found.
    """

    name: ClassVar[str] = "orders"
    reason: ClassVar[str] = "document_order"
    inline: ClassVar[bool] = True
    modules: ClassVar[tuple[str, ...]] = (
        "fiel.policies.checks.folding",
        "fiel.policies.checks.injection",
        "fiel.policies.checks.source",
    )

    least: int = parameter(60, "Hundredths of score from which on a sentence is an order.", tighter="lower")
    distrust: int = parameter(10, "Hundredths that a source from outside, or one not known, adds.", tighter="equal")

    def run(self, parts: Sequence[str], facts: Mapping[str, Any]) -> Found:
        trusts = said_of(facts, "trust", parts) if "trust" in facts else ["internal"] * len(parts)
        spans: list[Span] = []
        scores = []
        for index, (part, trust) in enumerate(zip(parts, trusts, strict=True)):
            worst = 0.0
            for start, end, score in orders(part, self.least / 100):
                spans.append(Span(index, start, end, "order"))
                worst = max(worst, score)
            scores.append(self._moved(worst, trust) if worst else 0.0)
        return Found(tuple(scores), tuple(spans))

    def _moved(self, score: float, trust: str) -> float:
        if trust == "trusted":
            return max(0.0, score - self.distrust / 100)
        return score if trust == "internal" else min(1.0, score + self.distrust / 100)
