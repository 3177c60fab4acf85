"""Longer texts put together from own sentences by a fixed seed: roles, and questions that an order hangs on.

Roles come in two kinds with the same shape, one that throws off every limit and one that any writer asks for, so that
the shape alone says nothing. An order hangs on a question in the ways in which it is smuggled in. Some of the own
attacks also come in disguise.
"""

import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson

FILE = Path(__file__).parent / "data" / "composed.json"
ROLES = {"en": 140, "es": 70}
"""Roles of each kind, by language."""
SHORT = 160
"""Characters of a sentence that may be part of another."""
_LEET = str.maketrans("aeiost", "43105+")
_LOOKALIKE = str.maketrans("aeopcyx", "аеорсух")
_BOLD = {ord("a") + i: chr(0x1D41A + i) for i in range(26)} | {ord("A") + i: chr(0x1D400 + i) for i in range(26)}


@dataclass(frozen=True, slots=True)
class Part:
    """A sentence that stands in other texts."""

    text: str
    language: str
    group: str


@dataclass(frozen=True, slots=True)
class Composed:
    """A text that was put together."""

    text: str
    label: int
    language: str
    group: str
    """The group of the attack in it; roles of a kind and language are one group, as they share their clauses."""


def composed(benign: Sequence[Part], attacks: Sequence[Part]) -> Iterator[Composed]:
    """All of them, always the same for the same sentences."""
    parts: Mapping[str, Any] = orjson.loads(FILE.read_bytes())
    draw = random.Random(11)  # noqa: S311  (samples, no secrets)
    for language, count in ROLES.items():
        for number in range(count):
            yield Composed(_role(parts, "persona", language, draw, number), 1, language, f"persona-{language}")
            yield Composed(_role(parts, "scene", language, draw, number), 0, language, f"scene-{language}")
    for attack in attacks:
        if len(attack.text) <= SHORT:
            yield from _hung_on(attack, benign, parts["joins"], draw)
            yield from _disguised(attack, draw)


def _role(parts: Mapping[str, Any], kind: str, language: str, draw: random.Random, number: int) -> str:
    one = parts[kind][language]
    rules = draw.sample(one["rule"], draw.randint(3, min(9, len(one["rule"]))))
    if number % 3 == 0:
        rules = [f"{place}. {rule}" for place, rule in enumerate(rules, 1)]
    clauses = [draw.choice(one["opening"]), *rules, *draw.sample(one["format"], draw.randint(0, 2))]
    clauses.append(draw.choice(one["closing"]))
    text = ("\n" if number % 3 == 0 else " ").join(clauses)
    return text.format(name=draw.choice(parts["names"]), job=draw.choice(parts["jobs"][language]))


def _hung_on(attack: Part, benign: Sequence[Part], joins: Sequence[str], draw: random.Random) -> Iterator[Composed]:
    """One attack in two is hung on a question in its language."""
    join, chance = draw.choice(joins), draw.random()
    among = [one for one in benign if one.language == attack.language and len(one.text) <= SHORT]
    if among and chance < 0.5:
        text = join.format(benign=draw.choice(among).text, attack=attack.text)
        yield Composed(text, 1, attack.language, attack.group)


def _disguised(attack: Part, draw: random.Random) -> Iterator[Composed]:
    """One attack in five is disguised."""
    disguise = draw.randrange(20)
    if disguise < len(_DISGUISES):
        yield Composed(_DISGUISES[disguise](attack.text), 1, attack.language, attack.group)


_DISGUISES = (
    lambda text: text.lower().translate(_LEET),
    lambda text: "".join(f"\\{letter}" for letter in text),
    lambda text: text.translate(_LOOKALIKE).translate(_LEET),
    lambda text: text.translate(_BOLD),
)
