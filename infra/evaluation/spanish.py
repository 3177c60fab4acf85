"""Spanish texts with personal data, made from sentences and values of fiel's own; no training reads the sentences.

The sentences are `texts/pii.es.txt` and `texts/first.es.txt`, one a line with slots such as `{person}`; the values
`texts/pii.es.json`. Numbers are drawn, with valid check digits. A seed gives the same texts again.
"""

import json
import random
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

from fiel.infra.evaluation.marked import Marked

_DATA = Path(__file__).parent / "texts"
_SLOT = re.compile(r"\{(\w+)\}")
_LETTERS = "TRWAGMYFPDXBNJZSQVHLCKE"
EACH = 5
"""Texts a sentence."""


def spanish(seed: int = 7, each: int = EACH) -> list[Marked]:
    """`each` texts of every sentence; a span's type is the name of its slot."""
    values = _Values(seed)
    lines = (_DATA / "pii.es.txt").read_text(encoding="utf-8").splitlines()
    return [filled(line.replace("\\n", "\n"), values.of) for line in lines for _ in range(each)]


def bare(seed: int = 7, each: int = EACH) -> list[Marked]:
    """Texts in which a first name stands alone, with names that the other texts do not have."""
    values = _Values(seed)
    lines = (_DATA / "first.es.txt").read_text(encoding="utf-8").splitlines()
    return [filled(line, lambda _: values.of("bare")) for line in lines for _ in range(each)]


def filled(sentence: str, value: Callable[[str], str]) -> Marked:
    """The sentence with a value in each slot, and where the values stand."""
    text, spans, at = "", [], 0
    for slot in _SLOT.finditer(sentence):
        text += sentence[at : slot.start()]
        put = value(slot[1])
        spans.append((len(text), len(text) + len(put), slot[1]))
        text += put
        at = slot.end()
    return Marked(text + sentence[at:], tuple(spans))


class _Values:
    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed)  # noqa: S311  (samples, no secrets)
        self._lists: dict[str, list[str]] = json.loads((_DATA / "pii.es.json").read_text(encoding="utf-8"))

    def of(self, slot: str) -> str:
        """A value for the slot. Raises AttributeError for a slot that there is not."""
        if slot in ("bare", "first", "last", "place"):
            return self._one(self._lists[slot])
        made: Any = getattr(self, f"_{slot}")
        return str(made())

    def _one(self, among: Any) -> str:
        return str(self._random.choice(among))

    def _digits(self, count: int) -> str:
        return f"{self._random.randrange(10**count):0{count}}"

    def _person(self) -> str:
        names = [self._one(self._lists["first"])]
        if self._random.random() < 0.15:
            names.append(self._one(self._lists["first"]))
        names.append(self._one(self._lists["last"]))
        if self._random.random() < 0.6:
            names.append(self._one(self._lists["last"]))
        return " ".join(names)

    def _address(self) -> str:
        gap = self._one((" ", ", ", ", n.º "))
        street, floor = self._one(self._lists["street"]), self._one(self._lists["floor"])
        return f"{street}{gap}{self._random.randint(1, 180)}{floor}"

    def _phone(self) -> str:
        d = self._one("6679") + self._digits(8)
        return self._one(
            (d, f"{d[:3]} {d[3:6]} {d[6:]}", f"{d[:3]} {d[3:5]} {d[5:7]} {d[7:]}", f"+34 {d[:3]} {d[3:6]} {d[6:]}")
        )

    def _date(self) -> str:
        day, month, year = self._random.randint(1, 28), self._random.randint(1, 12), self._random.randint(1935, 2026)
        name = self._lists["month"][month - 1]
        return self._one((f"{day} de {name} de {year}", f"{day:02}/{month:02}/{year}", f"{day}-{month}-{year}"))

    def _age(self) -> str:
        return str(self._random.randint(2, 97))

    def _zip(self) -> str:
        return f"{self._random.randint(1001, 52999):05}"

    def _email(self) -> str:
        name = self._one(self._lists["first"]).lower()
        return f"{name}.{self._random.randint(1, 99)}@{self._one(('correo', 'ejemplo', 'empresa'))}.example"

    def _user(self) -> str:
        name = self._one(self._lists["last"]).lower().replace(" ", "")
        return f"{self._one('mjl')}{name}{self._random.randint(1, 99)}"

    def _dni(self) -> str:
        number = self._random.randint(10_000_000, 99_999_999)
        return f"{number}{self._one(('', '-', ' '))}{_LETTERS[number % 23]}"

    def _nie(self) -> str:
        first, rest = self._random.randint(0, 2), self._digits(7)
        return f"{'XYZ'[first]}{rest}{_LETTERS[int(f'{first}{rest}') % 23]}"

    def _iban(self) -> str:
        account = self._digits(20)
        plain = f"ES{98 - int(account + '142800') % 97:02}{account}"
        return self._one((plain, " ".join(plain[at : at + 4] for at in range(0, 24, 4))))

    def _card(self) -> str:
        body = "4" + self._digits(14)
        values = [int(digit) for digit in reversed(body)]
        total = sum(sum(divmod(2 * value, 10)) for value in values[::2]) + sum(values[1::2])
        plain = f"{body}{-total % 10}"
        return self._one((plain, " ".join(plain[at : at + 4] for at in range(0, 16, 4))))

    def _passport(self) -> str:
        return self._one(("PAA", "XDD", "AAB")) + self._digits(6)

    def _nss(self) -> str:
        return f"{self._random.randint(1, 50):02}/{self._digits(8)}/{self._digits(2)}"

    def _health(self) -> str:
        return "BBBB" + self._digits(12)

    def _ip(self) -> str:
        return ".".join(str(self._random.randint(1, 254)) for _ in range(4))
