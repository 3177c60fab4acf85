"""Sentences drawn from a grammar by a fixed seed: families of attacks, and harmless ones that are built alike.

A shape such as `{task} [NOTE: {give} {yours}]` has slots, each filled from a list of words, which may have slots of
their own. Where a family of attacks has a turn of phrase, a family of harmless sentences has it too, about other
things, so that the turn alone says nothing.
"""

import random
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import orjson

from fiel.infra.training.composed import Composed

FILE = Path(__file__).parent / "data" / "grammar.json"
_SLOT = re.compile(r"\{(\w+)\}")
_MASKS = {"a": "@4αа", "c": "сϲ", "e": "3€е", "i": "!1і", "o": "0оο", "p": "р", "s": "$5ѕ", "t": "7+"}
_WIDE = {code: code + 0xFEE0 for code in range(ord("!"), ord("~") + 1)}


def drawn() -> Iterator[Composed]:
    """All sentences, always the same. Those of one shape are one group, as they share all but their fillings."""
    draw = random.Random(17)  # noqa: S311  (samples, no secrets)
    grammars: Sequence[Mapping[str, Any]] = orjson.loads(FILE.read_bytes())
    for one in grammars:
        language = one["language"]
        for family in one["families"]:
            shapes: Sequence[str] = family["shapes"]
            for number in range(family["draws"]):
                shape = number % len(shapes)
                text = _written(_filled(shapes[shape], one["words"], draw), draw)
                if "form" in family:
                    text = _FORMS[family["form"]](text, draw)
                yield Composed(text, family["label"], language, f"grammar-{language}-{family['name']}-{shape}")


def _filled(shape: str, words: Mapping[str, Sequence[str]], draw: random.Random) -> str:
    while _SLOT.search(shape):
        shape = _SLOT.sub(lambda slot: draw.choice(words[slot.group(1)]), shape)
    return " ".join(shape.split())


def _written(text: str, draw: random.Random) -> str:
    """As people type: most begin with a capital, some leave capitals and the last mark out, a few shout."""
    chance = draw.random()
    if chance < 0.04:
        return text.upper()
    if chance < 0.2:
        return text.lower().rstrip(".")
    return text[:1].upper() + text[1:]


def _broken(text: str, draw: random.Random) -> str:
    """Spaces or letters lost, letters swapped, or one word in wide letters."""
    words, place = text.split(), draw.randrange(4)
    if place == 0:
        return "".join(words)
    if place == 1:
        return "".join(letter for letter in text if letter == " " or draw.random() > 0.15)
    if place == 2:
        return " ".join(word[:1] + word[2:3] + word[1:2] + word[3:] if len(word) > 3 else word for word in words)
    number = draw.randrange(len(words))
    return " ".join(word.translate(_WIDE) if at == number else word for at, word in enumerate(words))


def _split(text: str, draw: random.Random) -> str:
    """Most words in two."""
    found = []
    for word in text.split():
        cut = draw.randrange(1, len(word)) if len(word) > 3 and draw.random() < 0.8 else 0
        found.append(f"{word[:cut]} {word[cut:]}".strip())
    return " ".join(found)


def _masked(text: str, draw: random.Random) -> str:
    """Letters that look like those they stand for, of other alphabets or digits, in about two words of three."""
    found = []
    for word in text.split():
        share = 0.5 if draw.random() < 0.7 else 0.0
        found.append(
            "".join(
                draw.choice(_MASKS[letter.lower()]) if letter.lower() in _MASKS and draw.random() < share else letter
                for letter in word
            )
        )
    return " ".join(found)


def _typed(text: str, draw: random.Random) -> str:
    """As typed in haste: in one word of three two letters are swapped, one is lost, or one stands twice."""
    found = []
    for word in text.split():
        if len(word) > 3 and draw.random() < 0.34:
            at, slip = draw.randrange(1, len(word) - 1), draw.randrange(3)
            word = word[:at] + (word[at + 1] + word[at], "", word[at] * 2)[slip] + word[at + (2, 1, 1)[slip] :]
        found.append(word)
    return " ".join(found)


_FORMS = {"broken": _broken, "masked": _masked, "split": _split, "typed": _typed}
