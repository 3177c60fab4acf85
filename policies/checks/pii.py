"""Personal data with a form that can be verified: addresses, numbers with a checksum, telephone numbers.

Names, places and health data need a model and are not found here.
"""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from fiel.policies.checks.base import Check, Found, marked, parameter
from fiel.policies.types import Span

Finder = Callable[[str], Iterator[tuple[int, int]]]

# Seven digits with at most two separators between neighbours: every number that is looked for contains such a run.
_DIGITS = re.compile(r"[0-9](?:[ .()/-]{0,2}[0-9]){6}")
_LOCAL = frozenset("!#$%&'*+-/=?^_`{|}~.")
_DOMAIN = re.compile(r"(?:[^\W_](?:[\w-]{0,62})\.){1,8}[^\W\d_]{2,24}(?![\w-])")
_MOST_LOCAL = 64


def emails(text: str) -> Iterator[tuple[int, int]]:
    """Each `@` with a local part before and a domain after it."""
    at = text.find("@")
    until = 0
    while at >= 0:
        start = at
        least = max(until, at - _MOST_LOCAL)
        while start > least and (text[start - 1].isalnum() or text[start - 1] in _LOCAL):
            start -= 1
        while start < at and text[start] in "'`*{|}/=.":
            start += 1
        domain = _DOMAIN.match(text, at + 1)
        if start < at and domain is not None:
            yield start, domain.end()
            until = domain.end()
        at = text.find("@", at + 1)


# Length of an IBAN by country, from the registry that ISO 13616 refers to.
_IBAN_LENGTH = {
    "AD": 24, "AE": 23, "AL": 28, "AT": 20, "AZ": 28, "BA": 20, "BE": 16, "BG": 22, "BH": 22, "BR": 29, "BY": 28,
    "CH": 21, "CR": 22, "CY": 28, "CZ": 24, "DE": 22, "DK": 18, "DO": 28, "EE": 20, "EG": 29, "ES": 24, "FI": 18,
    "FO": 18, "FR": 27, "GB": 22, "GE": 22, "GI": 23, "GL": 18, "GR": 27, "GT": 28, "HR": 21, "HU": 28, "IE": 22,
    "IL": 23, "IQ": 23, "IS": 26, "IT": 27, "JO": 30, "KW": 30, "KZ": 20, "LB": 28, "LC": 32, "LI": 21, "LT": 20,
    "LU": 20, "LV": 21, "LY": 25, "MC": 27, "MD": 24, "ME": 22, "MK": 19, "MR": 27, "MT": 31, "MU": 30, "NL": 18,
    "NO": 15, "PK": 24, "PL": 28, "PS": 29, "PT": 25, "QA": 29, "RO": 24, "RS": 22, "SA": 24, "SC": 31, "SE": 24,
    "SI": 19, "SK": 24, "SM": 27, "ST": 25, "SV": 28, "TL": 23, "TN": 24, "TR": 26, "UA": 29, "VA": 22, "VG": 24,
    "XK": 20,
}  # fmt: skip
_IBAN = re.compile(r"(?<![A-Za-z0-9])[A-Za-z]{2}[0-9]{2}(?=[ -]?[A-Za-z0-9])")


def ibans(text: str) -> Iterator[tuple[int, int]]:
    """Country, check digits and account, in one piece or in groups; the remainder modulo 97 must be 1 (ISO 7064)."""
    for match in _IBAN.finditer(text):
        length = _IBAN_LENGTH.get(match.group()[:2].upper())
        if length is None:
            continue
        end = _take(text, match.start(), length)
        if end is not None and _mod97(text[match.start() : end]):
            yield match.start(), end


def _take(text: str, start: int, count: int) -> int | None:
    """End of the `count` letters and digits from `start` on, with single spaces or hyphens between; None if fewer."""
    position, gap = start, False
    while count and position < len(text):
        character = text[position]
        if character.isascii() and character.isalnum():
            count, gap = count - 1, False
        elif character in " -" and not gap:
            gap = True
        else:
            return None
        position += 1
    if count or (position < len(text) and text[position].isalnum()):
        return None
    return position


def _mod97(text: str) -> bool:
    plain = text.replace(" ", "").replace("-", "").upper()
    return int("".join(str(int(c, 36)) for c in plain[4:] + plain[:4])) % 97 == 1


_CARD = re.compile(r"(?<![0-9A-Za-z_])(?<![0-9][.,-])[1-6](?:[ -]?[0-9]){11,18}(?![0-9A-Za-z_])(?![.,-][0-9])")
_ISSUERS = re.compile(
    r"4(?:[0-9]{12}|[0-9]{15}|[0-9]{18})\Z|5[1-5][0-9]{14}\Z|2(?:22[1-9]|2[3-9][0-9]|[3-6][0-9]{2}|7[01][0-9]|720)"
    r"[0-9]{12}\Z|3[47][0-9]{13}\Z|6(?:011|4[4-9][0-9]|5[0-9]{2})[0-9]{12}\Z|35[0-9]{14}\Z|(?:1800|2131)[0-9]{11}\Z|"
    r"3(?:0[0-5]|[68][0-9])[0-9]{11}\Z|(?:5018|5020|5038|6304|6759|676[1-3])[0-9]{8,15}\Z|62[0-9]{14,17}\Z"
)


def cards(text: str) -> Iterator[tuple[int, int]]:
    """Card numbers: the range of an issuer, and Luhn's check digit (ISO/IEC 7812)."""
    for match in _CARD.finditer(text):
        digits = match.group().replace(" ", "").replace("-", "")
        if _ISSUERS.match(digits) and _luhn(digits):
            yield match.span()


def _luhn(digits: str) -> bool:
    values = [int(digit) for digit in reversed(digits)]
    doubled = sum(sum(divmod(2 * value, 10)) for value in values[1::2])
    return (sum(values[::2]) + doubled) % 10 == 0


_DNI = re.compile(r"(?<![0-9A-Za-z])(?:[0-9]{8}|[0-9]{2}\.[0-9]{3}\.[0-9]{3})[ -]?[A-Za-z](?![0-9A-Za-z])")
_NIE = re.compile(r"(?<![0-9A-Za-z])[XYZxyz][ -]?[0-9]{7}[ -]?[A-Za-z](?![0-9A-Za-z])")
_DNI_LETTERS = "TRWAGMYFPDXBNJZSQVHLCKE"


def spanish_ids(text: str) -> Iterator[tuple[int, int]]:
    """DNI and NIE: the letter is the number's remainder modulo 23."""
    for pattern in (_DNI, _NIE):
        for match in pattern.finditer(text):
            plain = re.sub(r"[ .-]", "", match.group()).upper()
            number = plain[:-1].translate({ord("X"): "0", ord("Y"): "1", ord("Z"): "2"})
            if _DNI_LETTERS[int(number) % 23] == plain[-1]:
                yield match.span()


_SSN = re.compile(
    r"(?<![0-9A-Za-z-])(?!000|666|9)[0-9]{3}([ -])(?!00)[0-9]{2}\1(?!0000)[0-9]{4}(?![0-9A-Za-z])(?!-[0-9])"
)


def us_ssns(text: str) -> Iterator[tuple[int, int]]:
    """Social security numbers of the United States, grouped 3-2-4, without the ranges that are never issued."""
    for match in _SSN.finditer(text):
        yield match.span()


_PHONE = re.compile(
    r"(?<![0-9A-Za-z+.,/-])(?:"
    # International: + or 00, then 8 to 15 digits.
    r"(?:\+|00(?=[1-9]))[ ]?[1-9][0-9]{0,2}(?:[ .-]?\([0-9]{1,4}\))?(?:[ .-]?[0-9]){6,13}|"
    # North America.
    r"(?:1[ .-])?(?:\([2-9][0-9]{2}\)[ .-]?|[2-9][0-9]{2}[.-])[2-9][0-9]{2}[ .-][0-9]{4}|"
    # Spain, in groups.
    r"[6789][0-9]{2}(?:([ .-])[0-9]{3}\1[0-9]{3}|([ .-])[0-9]{2}\2[0-9]{2}\2[0-9]{2})"
    r")(?![0-9A-Za-z])(?![.,/-][0-9])"
)
# Possessive throughout: the groups could be cut in very many ways, and no other way would match either.
_ANY_NUMBER = re.compile(
    r"(?<![0-9A-Za-z+,-])\(?+[0-9]{1,11}+\)?+(?:[ ./-]{0,2}+\(?+[0-9]{1,11}+\)?+){0,6}+(?![0-9A-Za-z])"
)
_PHONE_CUE = re.compile(
    r"(?i:\b(?:(?:tele)?phone|tel|mobile|cell|desk|fax|whatsapp|(?:call|text|ring|reach|phone) (?:me|us|him|her|them)|"
    r"(?:call|messages?|texts?) (?:at|to)|(?:answering|reached) at|tel[eé]fono|m[oó]vil|"
    r"ll[aá]m(?:ame|enos|anos|ar|e)(?: al)?)\b"
    r"(?:[\s:.#]|number|no\b|is\b|at\b|on\b|to\b|n[uú]mero|es\b|al\b){0,8})\Z"
)


def phones(text: str) -> Iterator[tuple[int, int]]:
    """Telephone numbers in the groups people write; after a word such as *phone* any of 7 to 15 digits."""
    for match in _PHONE.finditer(text):
        if not match.group().endswith(("000 000", "000.000")):  # a quantity
            yield match.span()
    for match in _ANY_NUMBER.finditer(text):
        digits = sum(character.isdigit() for character in match.group())
        if 7 <= digits <= 15 and _PHONE_CUE.search(text, max(0, match.start() - 40), match.start()):
            yield match.span()


_IPV4 = re.compile(
    r"(?<![0-9A-Za-z.])(?:(?:25[0-5]|2[0-4][0-9]|1?[0-9]{1,2})\.){3}(?:25[0-5]|2[0-4][0-9]|1?[0-9]{1,2})(?![0-9A-Za-z])"
    r"(?!\.[0-9])"
)


def addresses(text: str) -> Iterator[tuple[int, int]]:
    """IPv4 addresses."""
    for match in _IPV4.finditer(text):
        yield match.span()


_FINDERS: dict[str, Finder] = {
    "card": cards,
    "iban": ibans,
    "phone": phones,
    "spanish_id": spanish_ids,
    "us_ssn": us_ssns,
}
_KINDS = ("card", "email", "iban", "phone", "spanish_id", "us_ssn")
KINDS = (*_KINDS, "ip_address")
"""Every kind there is."""


@dataclass(frozen=True, slots=True)
class Pii(Check):
    """Finds personal data. Score 1 where there is some."""

    name: ClassVar[str] = "pii"
    reason: ClassVar[str] = "personal_data"
    masks: ClassVar[bool] = True
    inline: ClassVar[bool] = True

    kinds: tuple[str, ...] = parameter(_KINDS, "Kinds that are looked for.", tighter="superset", known=KINDS)

    def run(self, parts: Sequence[str], facts: Mapping[str, Any]) -> Found:
        return marked(
            parts,
            [
                Span(index, start, end, kind)
                for index, part in enumerate(parts)
                for start, end, kind in self._find(part)
            ],
        )

    def _find(self, text: str) -> Iterator[tuple[int, int, str]]:
        if "@" in text and "email" in self.kinds:
            for start, end in emails(text):
                yield start, end, "email"
        if "ip_address" in self.kinds and "." in text:
            for start, end in addresses(text):
                yield start, end, "ip_address"
        if _DIGITS.search(text) is None:
            return
        for kind in self.kinds:
            finder = _FINDERS.get(kind)
            if finder is not None:
                for start, end in finder(text):
                    yield start, end, kind
