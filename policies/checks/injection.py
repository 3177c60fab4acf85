"""Prompt injection by pattern: orders to drop the rules, to change the role, to show the prompt; English and Spanish.

Precision comes first. A sentence that talks *about* such orders (asks what they mean, quotes them, reports them) scores
below one that gives them: an order stands where orders stand, at the start of a sentence or after a word such as
*please*, *now*, *you must*. What one pattern alone leaves in doubt, two kinds together decide.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from fiel.policies.checks.base import Check, Found, parameter
from fiel.policies.checks.folding import Folded, holds
from fiel.policies.types import Span

# Where an order may stand; matched against what is before it.
_ORDER = (
    r"(?P<order>\A|[^\w\s]|\n|"
    r"\b(?:please|now|then|and|but|just|must|should|shall|will|to you|assistant|ai|"
    r"por favor|ahora|entonces|y|pero|debes?|tienes que|primero|first|instead|simply|importante?|important)\b)"
    r"[ \t\n\"'*_:,>]{0,6}"
)
_GAP = r"[^.!?\n]{0,30}?\b"
_EARLIER = (
    r"(?:previous(?:ly)?|prior|above|earlier|preceding|foregoing|former|original|initial|system|safety|existing|"
    r"anterior(?:es)?|previ[ao]s?|precedentes?|iniciales?|original(?:es)?|del sistema|de seguridad)"
)
_WHAT = (
    r"(?:instructions?|prompts?|directions?|directives?|guidelines?|rules?|commands?|orders?|programming|"
    r"instruccion(?:es)?|indicacion(?:es)?|ordenes|reglas?|normas?|directrices|mensajes? de sistema)"
)
_YOURS = r"(?:your|ur|all|any|the|these|those|every|tus?|todas?|las|esas|estas|cualquier|lo que te)"
_DROP = (
    r"(?:ignor(?:e|a|ad|en|es)|disregard|forget|override|overrule|bypass|discard|neglect|do not follow|don'?t follow|"
    r"stop following|olvida(?:te)?|olvidad|omite|descarta|desobedece|no sigas|deja de seguir|haz caso omiso(?: de| a)?|"
    r"salta(?:te)?|pasa por alto)"
)
_SHOW = (
    r"(?:reveal|print|show|display|output|repeat|recite|tell me|give me|write out|leak|dump|expose|paste|"
    r"revela(?:me)?|muestra(?:me)?|imprime|repite|ensena(?:me)?|escribe|dime|dame)"
)
_PROMPT = (
    r"(?:system (?:prompt|message|instructions?)|(?:initial|original|hidden|secret|internal|developer) "
    r"(?:prompt|instructions?|message)|prompt (?:del sistema|inicial|original|oculto)|"
    r"(?:instrucciones|mensaje|indicaciones) (?:del sistema|iniciales|originales|ocult[ao]s?|secretas|internas))"
)


@dataclass(frozen=True, slots=True)
class _Kind:
    """Patterns of one kind of order."""

    name: str
    hints: tuple[str, ...]
    """One of these stands in every text that the pattern could match: a cheap test first."""
    body: str
    order: float
    """Score where it is given as an order."""
    mention: float
    """Score where it is only mentioned."""


_KINDS = (
    _Kind(
        "override",
        (
            "instru",
            "prompt",
            "direc",
            "rule",
            "guideline",
            "command",
            "order",
            "program",
            "indicac",
            "orden",
            "regla",
            "norma",
            "mensaje",
            "everything",
            "anything",
            " all ",
            "todo ",
        ),
        rf"{_DROP} (?:(?:{_YOURS}|of|de) {{1,2}}){{0,4}}(?:{_EARLIER} {{0,2}}(?:and |y )?){{1,3}}{_WHAT}|"
        rf"{_DROP} (?:(?:{_YOURS}|of|de) {{1,2}}){{1,4}}{_WHAT}(?: {_EARLIER}| you (?:were|have been|are)| above|"
        r" que te (?:dieron|han dado|di))|"
        rf"{_DROP} (?:everything|anything|all|todo)(?: that)?{_GAP}(?:above|before|told|said|instructed|"
        r"anterior|dicho|arriba)\b",
        0.9,
        0.4,
    ),
    _Kind(
        "role",
        (
            "dan",
            "jailbr",
            "restric",
            "unfilter",
            "uncensor",
            "developer mode",
            "modo desarrollador",
            "no rules",
            "sin reglas",
            "sin filtro",
            "sin censura",
            "filter",
            "guideline",
            "limit",
        ),
        r"(?:you are now|you'?re now|act as|pretend (?:to be|that you are|you are)|behave as|become|enter|enable|"
        r"ahora eres|actua como|finge (?:ser|que eres)|comportate como|activa|entra en)\b[^.!?\n]{0,60}?\b"
        r"(?:dan|do anything now|jailbroken|unrestricted|unfiltered|uncensored|developer mode|dan mode|"
        r"(?:no|without|sin|any|ningun[ao]?) (?:restrictions?|rules|filters?|guidelines|limits|limitations|"
        r"restriccion(?:es)?|reglas|filtros?|limites|limitaciones|censura)|"
        r"modo (?:desarrollador|dan|sin restricciones)|"
        r"sin (?:censura|filtros?))\b",
        0.85,
        0.5,
    ),
    _Kind(
        "reveal",
        ("prompt", "instru", "message", "mensaje", "indicac"),
        rf"{_SHOW} (?:me |us |to me )?{_GAP}(?:your|tus?|the|el|las|los)[ \w]{{0,24}}? {{0,2}}{_PROMPT}|"
        rf"{_SHOW} (?:me |us )?(?:(?:your|the|all|everything|tus?|las|todo) ){{0,3}}(?:exact |full |entire )?"
        r"(?:instructions|text|words|prompt|instrucciones|texto)(?: (?:you were given|above|verbatim|word for word|"
        r"que te dieron|de arriba|literalmente|al pie de la letra))\b",
        0.85,
        0.4,
    ),
    _Kind(
        "frame",
        (
            "<|",
            "[inst",
            "[/inst",
            "<<sys",
            "</system",
            "<system",
            "### system",
            "### instruction",
            "\nsystem:",
            "begin system",
            "end of system",
        ),
        r"<\|(?:im_start|im_end|system|assistant|endoftext|start_header_id|eot_id)\|>|\[/?inst\]|<</?sys>>|</?system>|"
        r"(?:^|\n)#{2,4} {0,2}(?:system|instructions?):|\nsystem: |\bend of system (?:prompt|message)\b",
        0.6,
        0.6,
    ),
    _Kind(
        "renew",
        (
            "new instruction",
            "from now on",
            "nuevas instrucciones",
            "a partir de ahora",
            "de ahora en adelante",
            "updated instruction",
            "real instruction",
            "override code",
            "new rule",
            "nuevas reglas",
        ),
        r"(?:(?:new|updated|real|actual|true) (?:system )?(?:instructions?|rules|orders)(?: are)? {0,2}:|"
        r"(?:nuevas|verdaderas) (?:instrucciones|reglas|ordenes) {0,2}:|"
        r"(?:from now on|a partir de ahora|de ahora en adelante),? {0,2}(?:you|tu|only|solo|siempre|always|responde|"
        r"answer|reply|ignor))",
        0.5,
        0.3,
    ),
)

# Words shortly before a phrase that say: this is talk about it. Words that report or name may stand before a colon or a
# comma; words that ask or deny must stand in the same clause, or "What a day, ignore ..." would pass as a question.
_ABOUT = re.compile(
    r"(?:\b(?:means?|meaning|phrase|called|example|such as|attacks?|injections?|said|says|told (?:him|her|them)|"
    r"asks|someone|people|users?|frases?|significa|ejemplo|ataques?|inyeccion(?:es)?|dice|dijo|alguien)\b"
    r"[^.!?\n]{0,48}|"
    r"\b(?:what|why|how|who|which|can i|should i|may i|could i|detect\w{0,4}|prevent\w{0,4}|block\w{0,4}|"
    r"explain\w{0,4}|"
    r"instead of|without|never|tried|tries|que (?:es|significa|pasa|son)|por que|como|puedo|quien|cual|detectar|evitar|"
    r"bloquear|explica\w{0,3}|nunca|sin)\b[^.!?\n,;:]{0,48})\Z"
)
_WINDOW = 64
_SCAN = tuple((kind, re.compile(f"(?:{kind.body})"), re.compile(rf"{_ORDER}\Z")) for kind in _KINDS)


@dataclass(frozen=True, slots=True)
class Injection(Check):
    """Finds orders to the model. Score: the kinds found, each 0 to 1, combined as independent evidence."""

    name: ClassVar[str] = "injection"
    reason: ClassVar[str] = "injection_pattern"
    inline: ClassVar[bool] = True
    modules: ClassVar[tuple[str, ...]] = ("fiel.policies.checks.folding",)

    most_spans: int = parameter(50, "Most places that a verdict names in one text.")

    def run(self, parts: Sequence[str], facts: Mapping[str, Any]) -> Found:
        spans: list[Span] = []
        scores = tuple(self._look(index, Folded(part), spans) for index, part in enumerate(parts))
        return Found(scores, tuple(spans))

    def weigh(self, folded: Folded) -> float:
        """The score of one text that is folded already."""
        return self._look(0, folded, [])

    def _look(self, index: int, folded: Folded, spans: list[Span]) -> float:
        text = folded.text
        clear = 1.0
        for kind, body, order in _SCAN:
            if not holds(text, kind.hints):
                continue
            best = 0.0
            for count, match in enumerate(body.finditer(text)):
                best = max(best, self._weight(kind, order, text, match.start()))
                if count < self.most_spans:
                    spans.append(Span(index, *folded.origin(match.start(), match.end()), kind.name))
            clear *= 1.0 - best
        return 1.0 - clear

    @staticmethod
    def _weight(kind: _Kind, order: re.Pattern[str], text: str, start: int) -> float:
        before = text[max(0, start - _WINDOW) : start]
        if start > _WINDOW:
            before = " " + before[1:]  # so that \A is the start of the text and nothing else
        if order.search(before) is None or _ABOUT.search(before) is not None:
            return kind.mention
        return kind.order
