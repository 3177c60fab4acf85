"""Numbers with what hangs on them: unit, bound (*more than*, *about*), month or day, and whose number it is."""

import re
from typing import NamedTuple

from fiel.tools.judge.wording import clauses
from fiel.tools.text import names, numbers, stem
from fiel.tools.text.words import fold

_UNITS = {
    name: unit
    for unit, listed in {
        "km": "km kilometre kilometres kilometer kilometers kilometro kilometros",
        "m": "m metre metres meter meters metro metros",
        "cm": "cm centimetre centimetres centimeter centimeters centimetro centimetros",
        "mm": "mm millimetre millimetres millimeter millimeters milimetro milimetros",
        "mile": "mi mile miles milla millas",
        "foot": "ft foot feet pie pies",
        "inch": "inch inches pulgada pulgadas",
        "kg": "kg kilo kilos kilogram kilograms kilogramo kilogramos",
        "g": "g gram grams gramo gramos",
        "lb": "lb lbs pounds libras",
        "t": "ton tons tonne tonnes tonelada toneladas",
        "l": "l litre litres liter liters litro litros",
        "gallon": "gallon gallons galon galones",
        "ha": "ha hectare hectares hectarea hectareas",
        "acre": "acre acres",
        "second": "seconds segundos",
        "minute": "min minute minutes minuto minutos",
        "hour": "h hour hours hora horas",
        "day": "day days dia dias",
        "week": "week weeks semana semanas",
        "month": "month months mes meses",
        "year": "year years ano anos",
        "%": "% percent por",
        "eur": "€ euro euros eur",
        "usd": "$ dollar dollars usd dolar dolares",
        "gbp": "£ gbp",
        "c": "°c celsius",
        "f": "°f fahrenheit",
        "mb": "mb megabyte megabytes", "gb": "gb gigabyte gigabytes", "tb": "tb terabyte terabytes",
        "kb": "kb kilobyte kilobytes",
    }.items()
    for name in listed.split()
}  # fmt: skip
_MINUS = re.compile(r"(?<!\S)[-−]$|\b(?:minus|menos)\s$")
_SCALE = r"(?:thousand|millions?|billions?|mil|millon(?:es)?)(?: de)?"
_AFTER = re.compile(rf"[\s-]?(?:{_SCALE}\s+)?(°[cf]|[%€$£]|[a-z]+)(?:\s+([a-z]+))?")
_BOUNDS = tuple(
    (name, re.compile(rf"(?<!\w)(?:{listed})\s+(?:the |an? |el |la |los |las |un |una )?[$€£]?$"))
    for name, listed in (
        ("at most", r"no more than|at most|up to|(?:a )?maximum(?: of)?|no mas de|como maximo|maximo(?: de)?|hasta"
                    r"|a lo sumo"),
        ("at least", r"no (?:less|fewer) than|at least|(?:a )?minimum(?: of)?|no menos de|al menos|por lo menos"
                     r"|como minimo|minimo(?: de)?"),
        ("over", r"(?:more|greater|higher|longer|larger|older) than|over|above|beyond|exceed\w*|mas de"
                 r"|superior(?:es)? a|mayor(?:es)? (?:de|que)"),
        ("under", r"(?:less|fewer|lower|smaller|shorter|younger) than|under|below|menos de|inferior(?:es)? a"
                  r"|menor(?:es)? (?:de|que)"),
        ("before", r"before|prior to|antes de(?:l)?"),
        ("after", r"after|since|despues de(?:l)?|desde"),
        ("about", r"about|around|approximately|roughly|nearly|almost|some|circa|ca\.?|un[oa]s|cerca de|alrededor de"
                  r"|aproximadamente|casi"),
    )
)  # fmt: skip
_CALENDAR = {
    name: place
    for place, listed in enumerate(
        """
        January enero|February febrero|March marzo|April abril|May mayo|June junio|July julio|August agosto
        |September septiembre setiembre|October octubre|November noviembre|December diciembre
        |Monday lunes|Tuesday martes|Wednesday miercoles|Thursday jueves|Friday viernes|Saturday sabado|Sunday domingo
        """.split("|")
    )
    for name in listed.split()
}
"""English names with their capital: `may` and `march` are verbs."""


class Quantity(NamedTuple):
    """A number as it is meant."""

    value: str
    unit: str
    """One name for all spellings; empty where there is none that is known."""
    bound: str


_STEMMED = {stem(name): unit for name, unit in _UNITS.items()}


def unit_of(form: str) -> str:
    """The one name of the unit that `form`, a word as it is compared, spells; `form` itself where it is none."""
    return _STEMMED.get(form, form)


def quantities(text: str) -> list[Quantity]:
    """The numbers of `text` with unit and bound."""
    return [
        Quantity(number.value, _unit(text, number.start, number.end), _bound(text, number.start))
        for number in numbers(text)
    ]


def mismeasured(sentence: str, source: str) -> bool:
    """Whether a number that both hold has another unit or bound in `sentence` than it ever has in `source`."""
    theirs = quantities(source)
    units = {one.unit for one in theirs}
    for own in quantities(sentence):
        same = [one for one in theirs if one.value == own.value]
        if same and not any(_agree(own, one, units) for one in same):
            return True
    return False


def misdated(sentence: str, source: str) -> bool:
    """Whether `sentence` names a month or a day of the week that `source` does not."""
    return bool(_calendar(sentence) - _calendar(source))


def misattributed(sentence: str, source: str) -> bool:
    """Whether a clause of `sentence` gives its subject a number that `source` gives to another one."""
    theirs = [(_subject(clause), _values(clause)) for clause in clauses(source)]
    for clause in clauses(sentence):
        subject = _subject(clause)
        own = [values for one, values in theirs if one == subject and values]
        for value in _values(clause) if subject and own else ():
            others = [one for one, values in theirs if value in values]
            if others and all(one and one != subject for one in others):
                return True
    return False


def _agree(own: Quantity, other: Quantity, units: set[str]) -> bool:
    if own.bound != other.bound and not (own.bound == "about" and not other.bound):
        return False
    if not own.unit or own.unit == other.unit:
        return True
    return not other.unit and own.unit in units  # `between 5 and 7 days`


def _unit(text: str, start: int, end: int) -> str:
    sign = text[:start].rstrip()[-1:]
    if sign in ("$", "€", "£"):
        return _UNITS[sign]
    after = _AFTER.match(fold(text[end : end + 40]))
    if after is None:
        return ""
    return next((_UNITS[word] for word in after.groups() if word in _UNITS), "")


def _bound(text: str, start: int) -> str:
    before = fold(text[max(0, start - 40) : start])
    if _MINUS.search(before):
        return "minus"
    return next((name for name, pattern in _BOUNDS if pattern.search(before)), "")


def _calendar(text: str) -> frozenset[int]:
    found = re.findall(r"[^\W\d_]+", text)
    return frozenset(_CALENDAR[one] for word in found for one in (word, fold(word)) if one in _CALENDAR)


def _subject(clause: str) -> str:
    """The name with which a clause begins, an article aside; empty where it begins with none."""
    begun = [word.start() for word in re.finditer(r"\S+", clause)][:2]
    return next((name.value for name in names(clause) if name.start in begun and name.value not in _DATES), "")


_DATES = frozenset(map(fold, _CALENDAR))


def _values(text: str) -> frozenset[str]:
    return frozenset(number.value for number in numbers(text))


__all__ = ["Quantity", "misattributed", "misdated", "mismeasured", "quantities", "unit_of"]
