"""Numbers in a text, brought to one form: `1,000`, `1.000`, `1 000` and `mil` are all `1000`."""

import re
from functools import lru_cache
from typing import NamedTuple

from fiel.tools.text.words import fold


class Number(NamedTuple):
    """One number of a text."""

    value: str
    """Canonical: digits without grouping, a point before decimals (`1500000`, `3.14`)."""
    start: int
    end: int
    """Where it stands, code points."""


_UNITS = """
0 zero cero|1 one uno|2 two dos|3 three tres|4 four cuatro|5 five cinco|6 six seis|7 seven siete|8 eight ocho
|9 nine nueve|10 ten diez|11 eleven once|12 twelve doce|13 thirteen trece|14 fourteen catorce|15 fifteen quince
|16 sixteen dieciseis|17 seventeen diecisiete|18 eighteen dieciocho|19 nineteen diecinueve|20 twenty veinte
|21 veintiuno veintiun|22 veintidos|23 veintitres|24 veinticuatro|25 veinticinco|26 veintiseis|27 veintisiete
|28 veintiocho|29 veintinueve|30 thirty treinta|40 forty cuarenta|50 fifty cincuenta|60 sixty sesenta
|70 seventy setenta|80 eighty ochenta|90 ninety noventa|100 hundred cien ciento|200 doscientos doscientas
|300 trescientos trescientas|400 cuatrocientos|500 quinientos quinientas|600 seiscientos|700 setecientos
|800 ochocientos|900 novecientos|1000 thousand mil
|1 first primer primero primera|2 second segundo segunda|3 third tercer tercero tercera|4 fourth cuarto cuarta
|5 fifth quinto quinta|6 sixth sexto sexta|7 seventh septimo septima|8 eighth octavo octava|9 ninth noveno novena
|10 tenth decimo decima|2 twice|3 thrice
"""
_NAMED = {word: entry.split()[0] for entry in _UNITS.replace("\n", " ").split("|") for word in entry.split()[1:]}
_AMBIGUOUS = frozenset({"one", "once", "second", "segundo", "segunda", "uno", "cuarto", "cuarta"})
"""Left out: they are pronouns, adverbs or measures more often than counts."""
_SCALES = {
    "thousand": 3, "mil": 3, "million": 6, "millions": 6, "millon": 6, "millones": 6, "billion": 9, "billions": 9,
}  # fmt: skip
_DIGITS = re.compile(r"(?<![\w.,])\d+(?:[.,   ]\d{3})*(?:[.,]\d+)?(?:[½¼¾])?(?=\D|$)|(?<=[A-Za-z$€£-])\d+(?:[.,]\d+)*")
_NAME = re.compile(r"[^\W\d_]+")
_GROUPED = re.compile(r"\d{1,3}(?:([.,   ])\d{3})(?:\1\d{3})*")


@lru_cache(maxsize=8192)
def numbers(text: str) -> tuple[Number, ...]:
    """Numbers of `text` in order, in digits or (English, Spanish) in words; ordinals count as their number."""
    found = [_from_digits(text, match) for match in _DIGITS.finditer(text)]
    found += [
        Number(_NAMED[word], match.start(), match.end())
        for match in _NAME.finditer(text)
        if (word := fold(match.group())) in _NAMED and word not in _AMBIGUOUS and not _scales(text, match)
    ]
    return tuple(sorted(found, key=lambda number: number.start))


def _scales(text: str, match: re.Match[str]) -> bool:
    """Whether the word only scales the digits before it (`3 thousand`)."""
    return fold(match.group()) in _SCALES and bool(re.search(r"\d\s*$", text[: match.start()]))


def _from_digits(text: str, match: re.Match[str]) -> Number:
    raw = match.group()
    value = _plain(raw)
    scale = re.match(r"\s?([^\W\d_]+)", text[match.end() :])
    zeros = _SCALES.get(fold(scale.group(1))) if scale else None
    if zeros:
        value = _shifted(value, zeros)
    return Number(value, match.start(), match.end())


def _plain(raw: str) -> str:
    raw = raw.translate({ord("½"): ".5", ord("¼"): ".25", ord("¾"): ".75"})
    grouped = _GROUPED.match(raw)
    if grouped and grouped.group(1):
        whole = re.sub(r"\D", "", grouped.group())
        rest = raw[grouped.end() :]
    else:
        head = re.match(r"\d+", raw)
        whole = head.group() if head else "0"
        rest = raw[len(whole) :]
    decimals = re.sub(r"\D", "", rest).rstrip("0")
    whole = whole.lstrip("0") or "0"
    return f"{whole}.{decimals}" if decimals else whole


def _shifted(value: str, zeros: int) -> str:
    whole, _, decimals = value.partition(".")
    moved = whole + decimals[:zeros].ljust(zeros, "0")
    rest = decimals[zeros:]
    moved = moved.lstrip("0") or "0"
    return f"{moved}.{rest}" if rest else moved
