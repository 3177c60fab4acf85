"""`python -m fiel.infra.training.entities`: trains the tagger of the check `entities`, or says how it does held out.

It learns from sentences of fiel's own in English and Spanish, whose slots are filled with drawn values, from sentences
without personal data, from prose (see `prose`), and from the synthetic texts beside the checkout
(`../shared/data/safety/pii.presidio.jsonl`). With `--folds` nothing is written: each fifth of the synthetic texts is
read by a tagger that has not seen it.
"""

import argparse
import random
import re
import sys
import tempfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path

import orjson

from fiel.infra.evaluation.marked import Marked, Tally, empty, measured, rows
from fiel.infra.evaluation.spanish import filled, spanish
from fiel.infra.training.entity_values import Values
from fiel.infra.training.prose import prose
from fiel.policies.checks.base import Check
from fiel.policies.checks.entities import CERTAINTY, KINDS, Entities
from fiel.policies.checks.pii import KINDS as FORMS
from fiel.policies.checks.pii import Pii
from fiel.policies.checks.tagging import MODEL, OUTSIDE, Tagger, features, tokens
from fiel.policies.heads import file_of

OWN = Path(__file__).parent / "data"
SYNTHETIC = "safety/pii.presidio.jsonl"
EACH = 14
"""Texts that are made of each sentence with slots."""
LOWERED = 0.06
"""Share of them in lower case throughout."""
CAPITALS = 0.25
"""Share of the words beside the slots that are capitalised in some of the texts."""
FOLDS = 5
ITERATIONS = 80

_WORD = re.compile(r"[^\W\d_]{4,}")

KIND = {
    "PERSON": "person", "GPE": "place", "STREET_ADDRESS": "address", "ZIP_CODE": "address",
    "ORGANIZATION": "organisation", "NRP": "group", "DATE_TIME": "date", "TITLE": "title", "AGE": "age",
    "DOMAIN_NAME": "link", "EMAIL_ADDRESS": "email", "PHONE_NUMBER": "phone", "CREDIT_CARD": "number",
    "IBAN_CODE": "number", "US_SSN": "number", "IP_ADDRESS": "number", "US_DRIVER_LICENSE": "number",
    "person": "person", "first": "person", "last": "person", "place": "place", "org": "organisation",
    "address": "address", "zip": "address", "phone": "phone", "email": "email", "date": "date", "age": "age",
    "number": "number", "user": "number", "title": "title", "group": "group", "link": "link",
}  # fmt: skip
"""Type of a marked span, or slot of a sentence, to the kind that the tagger learns."""


def own(each: int = EACH) -> Iterator[Marked]:
    """The sentences of the repository, filled; then those without personal data."""
    for language in ("en", "es"):
        values, chance = Values(language, seed=1), random.Random(1)  # noqa: S311  (samples, no secrets)
        for sentence in _lines(f"entities.{language}.txt"):
            for number in range(each):
                item = filled(sentence, values.of)
                if chance.random() < LOWERED and len(item.text.lower()) == len(item.text):
                    yield Marked(item.text.lower(), item.spans)
                else:
                    yield capitalised(item, chance) if number % 4 == 3 else item
    chance = random.Random(2)  # noqa: S311
    sentences = _lines("entities.none.txt")
    sentences += [orjson.loads(line)["text"] for line in (OWN / "benign.jsonl").read_bytes().splitlines()]
    for sentence in sentences:
        item = Marked(sentence, ())
        yield from (item, capitalised(item, chance), capitalised(item, chance))


def capitalised(item: Marked, chance: random.Random) -> Marked:
    """The text with some of its other words capitalised, which are no names for that."""
    inside = {place for start, end, _ in item.spans for place in range(start, end)}
    text = list(item.text)
    for word in _WORD.finditer(item.text):
        letter = word[0][0].upper()
        if word.start() not in inside and len(letter) == 1 and chance.random() < CAPITALS:
            text[word.start()] = letter
    return Marked("".join(text), item.spans)


def _lines(name: str) -> list[str]:
    return [line.replace("\\n", "\n") for line in (OWN / name).read_text(encoding="utf-8").splitlines()]


def fit(items: Iterable[Marked]) -> bytes:
    """Weights of a tagger that has learnt from `items`: regularised likelihood, by L-BFGS."""
    import pycrfsuite

    trainer = pycrfsuite.Trainer(algorithm="lbfgs", verbose=False)
    trainer.set_params({"c1": 0.2, "c2": 0.02, "max_iterations": ITERATIONS, "feature.possible_transitions": True})
    for item in items:
        places = tokens(item.text)
        if places:
            trainer.append(features(item.text, places), labels(item, places))
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "tagger.crf"
        trainer.train(str(file))
        return file.read_bytes()


def labels(item: Marked, places: Sequence[tuple[int, int]]) -> list[str]:
    """`B-kind` for the first token of a marked span, `I-kind` for the others, `O` beside them."""
    found = [OUTSIDE] * len(places)
    for start, end, kind in item.spans:
        inside = [at for at, (first, last) in enumerate(places) if first < end and start < last]
        for at in inside:
            found[at] = f"{'B' if at == inside[0] else 'I'}-{KIND[kind]}"
    return found


def checks(weights: bytes) -> tuple[Check, ...]:
    """Both checks of personal data, the second with the tagger of `weights`."""
    tagger = Tagger(weights)

    class Fitted(Entities):
        __slots__ = ()

        def read(self, text: str) -> Iterator[tuple[int, int, str]]:
            return tagger.read(text, CERTAINTY)

    return Pii(kinds=FORMS), Fitted(kinds=KINDS)


def folded(items: Sequence[Marked], group: Callable[[int, Marked], object], base: Sequence[Marked]) -> Tally:
    """All of `items`, each fifth of the groups read by a tagger that has learnt from `base` and the other fifths."""
    groups = sorted({str(group(at, item)) for at, item in enumerate(items)})
    random.Random(3).shuffle(groups)  # noqa: S311
    number = {name: at % FOLDS for at, name in enumerate(groups)}
    fold = [number[str(group(at, item))] for at, item in enumerate(items)]
    total = empty()
    for held in range(FOLDS):
        learnt = [item for item, mine in zip(items, fold, strict=True) if mine != held]
        kept = [item for item, mine in zip(items, fold, strict=True) if mine == held]
        total.add(measured(kept, checks(fit([*base, *learnt]))))
    return total


def sentence_of(_: int, item: Marked) -> str:
    """The text without its values: texts that are made of one sentence are one group."""
    text = item.text
    for start, end, kind in sorted(item.spans, reverse=True):
        text = f"{text[:start]}{kind}{text[end:]}"
    return re.sub(r"\W+", "", text.lower())


def main(arguments: Sequence[str] | None = None) -> int:
    """Write the weights, or print the figures of the folds."""
    parser = argparse.ArgumentParser(prog="python -m fiel.infra.training.entities", description="Train the tagger.")
    parser.add_argument("--data", type=Path, default=Path("../shared/data"))
    parser.add_argument("--folds", action="store_true", help="Say how it does on texts that it has not seen.")
    given = parser.parse_args(arguments)
    synthetic, base = rows(given.data / SYNTHETIC), [*own(), *prose(given.data)]
    if not given.folds:
        weights = fit([*base, *synthetic])
        file_of(MODEL).write_bytes(weights)
        sys.stdout.write(f"{file_of(MODEL)}: {len(weights):,} bytes from {len(base) + len(synthetic):,} texts\n")
        return 0
    tallies = {
        "synthetic, unseen texts": folded(synthetic, lambda at, _: f"{at:04}", base),
        "synthetic, unseen sentences": folded(synthetic, sentence_of, base),
        "Spanish, nothing synthetic learnt": measured(spanish(), checks(fit(base))),
    }
    for name, tally in tallies.items():
        sys.stdout.write(f"{name}: {tally.median_ms:.1f} ms a text\n")
        for kind, figure in tally.figures().items():
            sys.stdout.write(f"  {kind:20} {figure}\n")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
