"""Prompt leakage: an output that repeats the system prompt, word for word or in spite of a new form."""

import base64
import binascii
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import accumulate
from typing import Any, ClassVar

from fiel.policies.checks.base import Check, Found, nothing, parameter
from fiel.policies.checks.folding import Folded
from fiel.policies.types import Span

_WORD = re.compile(r"\w+")
_BASE64 = re.compile(r"[A-Za-z0-9+/_-]{60,}={0,2}")
_SHINGLE = 8
"""Letters and digits of one shingle. A changed word spoils as many shingles as it has letters, and eight more."""
_LEAST = 60
"""A prompt with fewer letters and digits than this has no fuzzy form: too much innocent text would be like it."""


@lru_cache(maxsize=64)
def _runs(prompt: str, words: int) -> tuple[frozenset[str], frozenset[tuple[str, ...]]]:
    """The words of the prompt, folded, and every run of `words` of them."""
    parts = _WORD.findall(Folded(prompt).text)
    return frozenset(parts), frozenset(tuple(parts[i : i + words]) for i in range(len(parts) - words + 1))


@lru_cache(maxsize=64)
def _shingles(prompt: str) -> tuple[frozenset[str], ...]:
    """The shingles of the prompt read forwards, and those of it read backwards; none for a short one."""
    letters = "".join(character for character in Folded(prompt).text if character.isalnum())
    if len(letters) < _LEAST:
        return ()
    return tuple(
        frozenset(text[i : i + _SHINGLE] for i in range(len(text) - _SHINGLE + 1)) for text in (letters, letters[::-1])
    )


@dataclass(frozen=True, slots=True)
class Leakage(Check):
    """Finds what also stands in `facts["prompt"]`, and the marker `facts["canary"]`. Score 1.

    A run of words counts as leaked; so does a passage most of whose letters are the prompt's, however it is set: in
    capitals, spelled out, in a list, with words changed, backwards or in Base64. Without a prompt nothing could leak.
    """

    name: ClassVar[str] = "leakage"
    reason: ClassVar[str] = "prompt_leak"
    inline: ClassVar[bool] = True
    modules: ClassVar[tuple[str, ...]] = ("fiel.policies.checks.folding",)

    words: int = parameter(12, "Length of the run of words that counts as leaked.", tighter="lower")
    window: int = parameter(120, "Letters and digits of the passage that is compared as a whole.", tighter="lower")
    share: int = parameter(50, "Per cent of a passage's shingles that must be the prompt's.", tighter="lower")

    def run(self, parts: Sequence[str], facts: Mapping[str, Any]) -> Found:
        prompt, canary = facts.get("prompt") or "", facts.get("canary") or ""
        if not prompt and not canary:
            return nothing(parts)
        spans: list[Span] = []
        scores = tuple(self._look(index, part, prompt, canary, spans) for index, part in enumerate(parts))
        return Found(scores, tuple(spans))

    def _look(self, index: int, text: str, prompt: str, canary: str, spans: list[Span]) -> float:
        found = self._overlap(text, prompt) or self._alike(text, prompt) or self._encoded(text, prompt, canary)
        at = text.find(canary) if canary else -1
        if at >= 0:
            found = [*found, (at, at + len(canary))]
        spans.extend(Span(index, start, end, "prompt") for start, end in found)
        return 1.0 if found else 0.0

    def _overlap(self, text: str, prompt: str) -> list[tuple[int, int]]:
        known, runs = _runs(prompt, self.words)
        if not runs:
            return []
        folded = Folded(text)
        found: list[tuple[int, int]] = []
        window: list[tuple[str, int, int]] = []
        for match in _WORD.finditer(folded.text):
            if match.group() not in known:
                window.clear()
                continue
            window.append((match.group(), *match.span()))
            if len(window) > self.words:
                del window[0]
            if len(window) == self.words and tuple(word for word, _, _ in window) in runs:
                start, end = folded.origin(window[0][1], match.end())
                if found and start <= found[-1][1]:
                    start = found.pop()[0]
                found.append((start, end))
        return found

    def _alike(self, text: str, prompt: str) -> list[tuple[int, int]]:
        """The first passage whose shingles are the prompt's, as one place."""
        folded = Folded(text)
        places = [i for i, character in enumerate(folded.text) if character.isalnum()]
        letters = "".join(folded.text[i] for i in places)
        for known in _shingles(prompt):
            width = max(_LEAST, min(self.window, len(known))) - _SHINGLE + 1
            hits = [letters[i : i + _SHINGLE] in known for i in range(len(letters) - _SHINGLE + 1)]
            sums = [0, *accumulate(hits)]
            least = width * self.share / 100
            for i in range(len(hits) - width + 1):
                if sums[i + width] - sums[i] >= least:
                    return [folded.origin(places[i], places[i + width + _SHINGLE - 2] + 1)]
        return []

    def _encoded(self, text: str, prompt: str, canary: str) -> list[tuple[int, int]]:
        found = []
        for match in _BASE64.finditer(text):
            for plain in _decoded(match.group()):
                if self._overlap(plain, prompt) or self._alike(plain, prompt) or (canary and canary in plain):
                    found.append(match.span())
        return found


def _decoded(text: str) -> Iterator[str]:
    whole = text.rstrip("=").replace("-", "+").replace("_", "/")
    try:
        yield base64.b64decode(whole + "=" * (-len(whole) % 4)).decode("utf-8", "replace")
    except binascii.Error:
        return
