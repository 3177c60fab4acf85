"""Values for the slots of templates: names, places, addresses and numbers, drawn from Faker's lists by a fixed seed.

Faker is a library of the development environment; nothing that serves imports this.
"""

import json
import random
import string
from collections.abc import Callable
from functools import cached_property
from pathlib import Path
from typing import Any

_LISTS = Path(__file__).parent / "data" / "entity-values.json"
"""Locales of Faker by language of the sentence (one that stands several times is drawn that much more often), and what
Faker has no good list of."""
_NUMBERS = (
    "99999999L", "LLL999999", "L9999999", "99-9999999-9", "99 99999999 99", "L99999999", "99999999", "999-99-9999",
    "LL99 9999 9999 9999 9999 9999", "9999 9999 9999 9999", "9999999999999999", "LL999999L", "LLLL999999999999",
    "99.99.99.99", "L-9999999-L", "9999-9999-99", "LL9999999",
)  # fmt: skip
"""Shapes of numbers of persons: 9 a digit, L a letter."""


class Values:
    """Draws values for sentences of one language."""

    def __init__(self, language: str, seed: int) -> None:
        self._language = language
        lists = json.loads(_LISTS.read_text(encoding="utf-8"))
        self._lists: dict[str, list[str]] = lists[language]
        self._organisations: list[str] = lists["organisations"]
        self._random = random.Random(seed)  # noqa: S311  (samples, no secrets)
        self._seed = seed

    def of(self, slot: str) -> str:
        """A value for `slot`. Raises KeyError for a slot that there is not."""
        made: Callable[[], str] = {
            "person": self._person, "first": self._first, "last": self._last, "place": self._place, "org": self._org,
            "address": self._address, "phone": self._phone, "email": self._email, "date": self._date, "age": self._age,
            "number": self._number, "zip": self._zip, "title": self._title, "group": self._group, "link": self._link,
            "user": self._user,
        }[slot]  # fmt: skip
        return " ".join(made().split(" "))

    @cached_property
    def _fakers(self) -> list[Any]:
        from faker import Faker

        fakers = [Faker(locale) for locale in self._lists["locales"]]
        for place, faker in enumerate(fakers):
            faker.seed_instance(self._seed * 100 + place)
        return fakers

    @property
    def _faker(self) -> Any:
        return self._random.choice(self._fakers)

    def _chance(self, share: float) -> bool:
        return self._random.random() < share

    def _first(self) -> str:
        return str(self._faker.first_name())

    def _last(self) -> str:
        faker = self._faker
        last = str(faker.last_name())
        if self._chance(0.25 if self._language == "es" else 0.05):
            last += f" {faker.last_name()}"
        return last

    def _person(self) -> str:
        faker, draw = self._faker, self._random.random()
        first, last = str(faker.first_name()), str(faker.last_name())
        if draw < 0.08:
            return first
        if draw < 0.12:
            return last
        if draw < 0.2:
            return f"{first} {self._random.choice(string.ascii_uppercase)}. {last}"
        if draw < 0.24:
            return f"{first[0]}. {last}"
        if draw < (0.55 if self._language == "es" else 0.28):
            return f"{first} {last} {faker.last_name()}"
        if draw < 0.6 and self._language == "es":
            return f"{first} {self._random.choice(('de la', 'del', 'de'))} {last}"
        return f"{first} {last}"

    def _place(self) -> str:
        draw = self._random.random()
        if draw < 0.55:
            return self._random.choice(self._lists["places"])
        if draw < 0.6:
            return str(self._fakers[0].country())
        city = str(self._faker.city())
        return city.upper() if draw > 0.97 else city

    def _org(self) -> str:
        if self._chance(0.3):
            return self._random.choice(self._organisations)
        return str(self._faker.company())

    def _street(self) -> str:
        faker, kind = self._faker, self._random.choice(self._lists["streets"])
        named = self._random.choice(
            (str(faker.last_name()), f"{faker.first_name()} {faker.last_name()}", self._place())
        )
        return f"{named} {kind}" if self._language == "en" else f"{kind} {named}"

    def _address(self) -> str:
        number, draw = self._random.randint(1, 300), self._random.random()
        if draw < 0.35:
            return str(self._faker.street_address()).replace("\n", self._random.choice((", ", " ", "\n")))
        if self._language == "en":
            flat = self._random.choice(("", "", ", Apt. 12", " Suite 5", ", Flat 3B", " Apt. 804"))
            end = self._random.choice(("", "", f", {self._place()}", f", {self._place()} {self._zip()}"))
            return f"{number} {self._street()}{flat}{end}"
        flat = self._random.choice(
            ("", "", ", 2.º A", ", 3º B", ", bajo", ", 1.º izquierda", ", piso 4", ", 5.º derecha")
        )
        gap = self._random.choice((" ", ", ", ", n.º ", " nº "))
        end = self._random.choice(("", "", f", {self._place()}", f", {self._zip()} {self._place()}"))
        return f"{self._street()}{gap}{number}{flat}{end}"

    def _phone(self) -> str:
        if self._language == "es" and self._chance(0.6):
            digits = f"{self._random.choice('6679')}{self._random.randint(0, 99_999_999):08}"
            cut = self._random.choice(((3, 6), (3, 5, 7), ()))
            plain = " ".join(digits[a:b] for a, b in zip((0, *cut), (*cut, 9), strict=True))
            return self._random.choice(("", "", "+34 ", "0034 ")) + plain
        return str(self._faker.phone_number())

    def _email(self) -> str:
        return str(self._fakers[0].email())

    def _user(self) -> str:
        return str(self._fakers[0].user_name())

    def _link(self) -> str:
        return self._random.choice((str(self._fakers[0].url()), f"www.{self._fakers[0].domain_name()}"))

    def _date(self) -> str:
        day, month, year = self._random.randint(1, 28), self._random.randint(1, 12), self._random.randint(1900, 2030)
        name = self._lists["months"][month - 1]
        if self._language == "es":
            forms: tuple[str, ...] = (
                f"{day} de {name} de {year}", f"{day}/{month:02}/{year}", f"{day} de {name}", f"{year}",
                f"{name} de {year}", f"{day:02}-{month:02}-{year}", f"{day}.{month}.{year}",
            )  # fmt: skip
        else:
            forms = (f"{name} {day}, {year}", f"{day} {name} {year}", f"{day}/{month}/{year}", f"{name} {year}",
                     f"{year}", f"{year}-{month:02}-{day:02}", f"{name} {day}", f"{day}.{month}.{year}")  # fmt: skip
        return self._random.choice(forms)

    def _age(self) -> str:
        return str(self._random.randint(1, 99))

    def _zip(self) -> str:
        if self._language == "es":
            return f"{self._random.randint(1001, 52999):05}"
        return str(self._faker.postcode())

    def _title(self) -> str:
        return self._random.choice(self._lists["titles"])

    def _group(self) -> str:
        return self._random.choice(self._lists["groups"])

    def _number(self) -> str:
        digit, letter = string.digits, string.ascii_uppercase
        shape = self._random.choice(_NUMBERS)
        return "".join(self._random.choice(digit if c == "9" else letter) if c in "9L" else c for c in shape)
