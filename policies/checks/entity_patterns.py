"""What names, places, addresses, ages and dates look like in English and Spanish: patterns that need no model.

Every repetition is bounded, and possessive where another way of cutting the words could not match either.
"""

import re
from collections.abc import Callable, Iterator, Mapping

_W = r"(?:[^\W\d_][\w.'’/-]{0,30}+)"
_CAPITAL = r"(?:[^\W\d_a-z][\w.'’/-]{0,30}+)"
_STREET = (
    r"(?i:street|st|avenue|ave|road|rd|lane|ln|drive|dr|court|ct|boulevard|blvd|place|pl|square|way|terrace|highway|"
    r"parkway|crescent|close|grove|hill|strasse|straße|str)"
)
# Between the parts of an address: a space, a comma, or a line's end with what quotes the line.
_GAP = r"(?:,?+[ \t>?]{0,4}+\n?+[ \t>?]{0,8}+,?+ ?+)"
_UNIT = r"(?i:apt|apartment|suite|ste|flat)\.? ?#?[0-9]{1,5}[A-Za-z]?"
_PLACE = rf"(?:{_GAP}(?:{_CAPITAL}|nan|de|la|del|di|do|y|and)(?=\W)){{0,5}}(?: ?\([A-Za-z]{{1,20}}\))?"
_CODE = r"(?:[A-Z]{2,3}[ -])?[0-9]{3,6}(?:[ -][0-9]{2,4})?\b(?![.,:/][0-9])"
# Flat, then town and country where a postal code ends them.
_TAIL = rf"(?:{_GAP}{_UNIT}){{0,3}}(?:{_PLACE}{_GAP}{_CODE})?"
_ADDRESSES = (
    # 24 Clarke Avenue, Apt. 805, Springfield 12345
    re.compile(rf"\b[0-9]{{1,6}}[A-Za-z]? (?:[0-9]{{1,5}} )?(?:{_W} ){{1,4}}{_STREET}\b\.?(?: [0-9]{{1,5}}\b)?{_TAIL}"),
    # 583 Magrethevej 298, Suite 12
    re.compile(
        rf"\b[0-9]{{1,6}} (?:[0-9]{{1,3}} )?(?:{_W} ){{0,5}}(?:[0-9]{{1,5}}\b|{_W})(?: {_W}){{0,3}}{_GAP}{_UNIT}{_TAIL}"
    ),
    re.compile(rf"\b{_UNIT}{_TAIL}"),
    # 760 Passauer Strasse 33
    re.compile(rf"\b[0-9]{{1,6}} {_CAPITAL}(?: {_CAPITAL}){{0,3}} [0-9]{{1,4}}\b{_TAIL}"),
    re.compile(
        r"\b(?i:address(?: is| to the same)?|located at|arrived at|lives? at|meet (?:me|you) at|is at|taxi to|it is|"
        r"return to|ship to|sen[dt] to)\b:?\s{1,4}"
        rf"([0-9]{{1,6}} (?:[0-9]{{1,5}} )?(?:{_W} ){{0,4}}(?:[0-9]{{1,5}}\b|{_W}){_TAIL})"
    ),
    # the corner of Nieuwe Baan 473 and King Forges
    re.compile(
        rf"\b[Cc]orner of ({_W}(?: (?:{_W}|[0-9]{{1,5}})){{0,5}} (?:and|y) {_CAPITAL}(?: {_CAPITAL}){{0,2}})",
    ),
    # Military post, and boxes
    re.compile(r"\b(?i:psc|unit|cmr) [0-9]{2,5},? (?i:box) [0-9]{2,5}(?:\s{1,4}(?i:[afd]po) (?i:a[aep]) [0-9]{5})?"),
    re.compile(rf"\b(?i:p\.? ?o\.? box) [0-9]{{1,6}}\b(?: (?:{_W} ?){{1,3}})?{_TAIL}"),
    re.compile(rf"\b(?:USS|USNV|USNS|USCGC) {_CAPITAL}\s{{1,4}}[AFD]PO A[AEP] [0-9]{{5}}"),
    re.compile(r"\b(?i:[afd]po a[aep]) [0-9]{5}\b"),
    # Calle de Alcalá 15, 3.º B; Avda. de la Paz, n.º 4; Rue de Piétrain 371; ul. Cicha 86
    re.compile(
        r"(?:\b[0-9]{2,6} )?(?<!\w)(?i:calle|c/|avenida|avda\.?|av\.|plaza|pza\.?|paseo|camino|carretera|ctra\.?|"
        r"travesía|ronda|glorieta|rue|via|viale|rua|ul\.|ulica) ?(?:(?i:de la|de los|de las|del|de|da|do|dos) )?"
        rf"{_W}(?: {_W}){{0,4}},? (?:(?i:n\.?º|núm\.?|número) ?)?[0-9]{{1,5}}\b"
        rf"(?:,? [0-9]{{1,2}}\.?[ºª](?: ?[A-Z]\b)?)?{_TAIL}"
    ),
    # Postal codes: after their name, or at the end of a line of their own
    re.compile(
        r"\b(?i:zip(?: code)?|postal code|post ?code|código postal|c\.?p\.?)\b[ :.]{0,3}(?:is |es |el )?"
        r"([0-9]{3,5}(?:[ -][0-9]{2,4})?)\b"
    ),
    re.compile(r"\n[ \t>?]{0,8}(?:[^\W\d_]{2,20}+ ){0,2}([0-9]{3,5}(?:[ -][0-9]{2,4})?)[ \t]{0,4}(?=\n|\Z)"),
    re.compile(r"(?<=[^\W\d_] )([0-9]{4}-[0-9]{3})\b(?![ .,-]?[0-9])"),
)
_AGES = (
    re.compile(
        r"\b(?i:aged?|age of|age:|turned|turn|when (?:he|she|they) (?:was|were)) ([0-9]{1,3})\b(?![.,:/-][0-9])",
    ),
    re.compile(r"\b([0-9]{1,3})(?=[ -](?i:years?[ -]old|year-old|años|yo\b))"),
    re.compile(r"\b(?:is|was|am|I'm) an? ([0-9]{2,3})\b(?=[ -]year)"),
)
_DATES = (
    re.compile(r"\b[0-9]{1,2}[/.-][0-9]{1,2}[/.-](?:19|20)[0-9]{2}\b"),
    re.compile(r"\b(?:19|20)[0-9]{2}-[01][0-9]-[0-3][0-9]\b"),
)
_NAME = r"[^\W\d_a-z][\w'’-]{0,30}+"
_FULL = rf"{_NAME}(?: (?:(?:de|del|la|las|los|van|von|da|di|y|e) ){{0,2}}(?:{_NAME}|[A-Z]\.?(?!\w))){{0,3}}"
_PEOPLE = (
    re.compile(
        r"(?:\b(?i:my name is|name is|names?:|user:|me llamo|mi nombre es|soy|nombre:|se llama|call me|assistant to|"
        r"attn:|dear|estimad[oa]|hola|querid[oa]|paciente:?|clienta?e?:?|regards,|saludos,|atentamente,)\s{1,6}|"
        r"\b(?:(?i:mr|mrs|ms|miss|dr|dra|prof|sr|sra|srta)|Don|Doña|D|Dña)\b\.? )"
        rf"(?!(?:The|This|Your|I|To|At|Sir|Madam)\b)({_FULL})"
    ),
    # A line of its own, as at the head of an address or under a letter
    re.compile(rf"(?:\A|\n)[ \t>?]{{0,6}}({_NAME}(?: (?:[A-Z]\.?|{_NAME})){{1,3}})[ \t]{{0,4}}\n"),
    re.compile(rf"\b(?i:founders|members|colleagues|friends): ({_NAME}(?:,? (?:and )?{_NAME}){{0,6}})"),
)
_PLACES = re.compile(
    r"\b(?i:(?:moved here|originally|is|was|am|are|coming|arrived|travelled) from|grew up in|flew to|travell?ing to|"
    r"lives? in|living in|born in|returned to|i'm in|vivo en|vive en|nac[íi](?:do|da|ó)? en|reside en|residente en|"
    r"natural de) "
    rf"({_NAME}(?: (?:(?:de|del|la|las|los|da|do|di|y|of|and) ){{0,2}}{_NAME}){{0,4}})"
)


def _each(patterns: tuple[re.Pattern[str], ...]) -> Callable[[str], Iterator[tuple[int, int]]]:
    """A finder of every match of `patterns`: of its group where it has one."""

    def finder(text: str) -> Iterator[tuple[int, int]]:
        for pattern in patterns:
            for match in pattern.finditer(text):
                yield match.span(pattern.groups)

    return finder


FINDERS: Mapping[str, Callable[[str], Iterator[tuple[int, int]]]] = {
    "address": _each(_ADDRESSES),
    "age": _each(_AGES),
    "date": _each(_DATES),
    "person": _each(_PEOPLE),
    "place": _each((_PLACES,)),
}
"""By kind: start and end of what is found."""
