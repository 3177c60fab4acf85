"""Links that carry data out: an image is fetched, and a script runs, without a click of the reader."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from fiel.policies.checks.base import Check, Found, marked, parameter
from fiel.policies.types import Span

_IMAGE = re.compile(r"!\[[^\[\]\n]{0,500}\](?:\([^()\n]{1,2000}\)|\[[^\[\]\n]{0,200}\])")
_ACTIVE = re.compile(
    r"(?i:<(?:img|script|iframe|object|embed|link|meta|svg|video|audio|source|form|base|style)\b[^<>]{0,2000}>?)"
)
_SCHEME = re.compile(r"(?i:\b(?:javascript|vbscript):[^\s)\"'<>]{1,2000}|\bdata:text/html[^\s)\"'<>]{0,2000})")


@dataclass(frozen=True, slots=True)
class Links(Check):
    """Finds Markdown images, active HTML elements, script addresses, and links with a long query. Score 1."""

    name: ClassVar[str] = "links"
    reason: ClassVar[str] = "outward_link"
    inline: ClassVar[bool] = True

    query: int = parameter(
        120, "Longest query of a link, in characters; a longer one could carry data.", tighter="lower"
    )

    def run(self, parts: Sequence[str], facts: Mapping[str, Any]) -> Found:
        return marked(parts, [span for index, part in enumerate(parts) for span in self._look(index, part)])

    def _look(self, index: int, text: str) -> list[Span]:
        spans: list[Span] = []
        if "![" in text:
            spans += [Span(index, *match.span(), "image") for match in _IMAGE.finditer(text)]
        if "<" in text:
            spans += [Span(index, *match.span(), "active_element") for match in _ACTIVE.finditer(text)]
        if ":" in text:
            spans += [Span(index, *match.span(), "script") for match in _SCHEME.finditer(text)]
        if "://" in text and "?" in text:
            spans += [Span(index, start, end, "link") for start, end in self._long(text)]
        return spans

    def _long(self, text: str) -> list[tuple[int, int]]:
        found = []
        for match in re.finditer(r"https?://[^\s()<>\"'?]{1,300}\?[^\s()<>\"']{1,8000}", text):
            if len(match.group().split("?", 1)[1]) > self.query:
                found.append(match.span())
        return found
