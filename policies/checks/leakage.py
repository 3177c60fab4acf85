"""Prompt leakage: an output that repeats the system prompt."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, ClassVar

from fiel.policies.checks.base import Check, Found, nothing, parameter
from fiel.policies.checks.folding import Folded
from fiel.policies.types import Span

_WORD = re.compile(r"\w+")


@lru_cache(maxsize=64)
def _runs(prompt: str, words: int) -> tuple[frozenset[str], frozenset[tuple[str, ...]]]:
    """The words of the prompt, folded, and every run of `words` of them."""
    parts = _WORD.findall(Folded(prompt).text)
    return frozenset(parts), frozenset(tuple(parts[i : i + words]) for i in range(len(parts) - words + 1))


@dataclass(frozen=True, slots=True)
class Leakage(Check):
    """Finds runs of words that also stand in `facts["prompt"]`, and the marker `facts["canary"]`.

    Without a prompt there is nothing that could leak: score 0.
    """

    name: ClassVar[str] = "leakage"
    reason: ClassVar[str] = "prompt_leak"
    inline: ClassVar[bool] = True
    modules: ClassVar[tuple[str, ...]] = ("fiel.policies.checks.folding",)

    words: int = parameter(12, "Length of the run of words that counts as leaked.", tighter="lower")

    def run(self, parts: Sequence[str], facts: Mapping[str, Any]) -> Found:
        prompt, canary = facts.get("prompt") or "", facts.get("canary") or ""
        if not prompt and not canary:
            return nothing(parts)
        spans: list[Span] = []
        scores = tuple(self._look(index, part, prompt, canary, spans) for index, part in enumerate(parts))
        return Found(scores, tuple(spans))

    def _look(self, index: int, text: str, prompt: str, canary: str, spans: list[Span]) -> float:
        found = [(start, end) for start, end in self._overlap(text, prompt)]
        at = text.find(canary) if canary else -1
        if at >= 0:
            found.append((at, at + len(canary)))
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
