"""Which language a text is in: ISO 639-1, `und` where that cannot be told.

The model (py3langid, naive Bayes over byte n-grams) is held to the languages in which documents and questions are
expected: among 140 labels short questions drift into rare ones. Shorter than `LEAST_LETTERS`, or less sure than
`LEAST_CONFIDENCE`, is `und`: search then treats the text in a language-neutral way, which is never badly wrong.
"""

import threading
from typing import Any

LANGUAGES: tuple[str, ...] = tuple(
    (
        "ar bg ca cs da de el en es et eu fa fi fr ga he hi hr hu hy id it ja ka ko lt lv mk ne nl no pl pt ro ru sk "
        "sl sq sr sv ta th tr uk ur vi zh"
    ).split()
)
"""Languages that are told apart: those PostgreSQL stems, and large ones that it does not."""

UNKNOWN = "und"
LEAST_LETTERS = 4
LEAST_CONFIDENCE = 0.35
SAMPLES = 4
SAMPLE = 700
"""A long text is judged by `SAMPLES` stretches of `SAMPLE` code points, evenly spread."""


class LanguageDetector:
    """Callable: text to language. The model loads at the first call (about half a second); safe in threads."""

    def __init__(self, languages: tuple[str, ...] = LANGUAGES, least_confidence: float = LEAST_CONFIDENCE) -> None:
        self._languages = languages
        self._least = least_confidence
        self._lock = threading.Lock()
        self._model: Any = None

    def __call__(self, text: str) -> str:
        sample = _sample(text)
        if sum(character.isalpha() for character in sample) < LEAST_LETTERS and not _dense(sample):
            return UNKNOWN
        language, confidence = self._loaded().classify(sample)
        return str(language) if confidence >= self._least else UNKNOWN

    def warm(self) -> None:
        """Load the model now, off the request path."""
        self._loaded()

    def _loaded(self) -> Any:
        if self._model is None:
            with self._lock:
                if self._model is None:
                    from py3langid.langid import MODEL_FILE, LanguageIdentifier

                    model = LanguageIdentifier.from_model_file(MODEL_FILE, norm_probs=True)
                    model.set_languages(self._languages)
                    self._model = model
        return self._model


def _dense(text: str) -> bool:
    """Whether two letters of it may already be a word: Chinese, Japanese, Korean."""
    return sum("぀" <= character <= "鿿" or "가" <= character <= "힯" for character in text) >= 2


def _sample(text: str) -> str:
    if len(text) <= SAMPLES * SAMPLE:
        return text
    step = (len(text) - SAMPLE) // (SAMPLES - 1)
    return " ".join(text[index * step : index * step + SAMPLE] for index in range(SAMPLES))


detect = LanguageDetector()
"""The detector of this process."""

__all__ = ["LANGUAGES", "UNKNOWN", "LanguageDetector", "detect"]
