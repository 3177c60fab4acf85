"""What a browser would run, fetch or carry out, in Markdown or HTML; a reader need not click for most of it."""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from fiel.policies.checks.base import Check, Found, marked, parameter
from fiel.policies.types import Span

_IMAGE = re.compile(r"!\[[^\[\]\n]{0,500}\](?:\((?:[^()\n]|\([^()\n]{0,200}\)){1,2000}\)|\[[^\[\]\n]{0,200}\])")
_ACTIVE = re.compile(
    r"(?i:<(?:img|script|iframe|object|embed|link|meta|svg|video|audio|source|form|base|style|math|template|button|input"
    r"|applet|frame|frameset|marquee|picture|track|portal)\b[^<>]{0,2000}>?)"
)
# An event handler (`onerror=`), or an attribute that begins with a character reference, behind which a scheme hides.
_HANDLER = re.compile(
    r"(?i:<[a-z][^<>]{0,2000}?(?:[\s/\"']on[a-z]{3,24}\s{0,5}=|=\s{0,5}[\"']?&(?:#|colon;|tab;|newline;))[^<>]{0,2000}>?)"
)
# Browsers leave out tabs and line ends within a scheme.
_SCHEME = re.compile(
    r"(?i:\b(?:"
    + "|".join("[\\t\\r\\n]{0,3}".join(scheme) for scheme in ("javascript", "vbscript", "livescript"))
    + r")[\t\r\n]{0,3}:[^\s)\"'<>]{1,2000}"
    r"|\bdata:(?:text/(?:html|xml|javascript)|application/(?:xhtml\+xml|xml|javascript|x-javascript)|image/svg\+xml)"
    r"[^\s)\"'<>]{0,2000})"
)
_LONG = re.compile(r"https?://[^\s()<>\"'?]{1,300}\?[^\s()<>\"']{1,8000}", re.IGNORECASE)
_AUTHORITY = re.compile(
    r"(?<![:/\\\w])(?:[a-z][a-z0-9+.-]{1,20}:)?[/\\]{2}(?P<host>[^\s/\\?#()<>\"'\[\]`]{1,300})", re.IGNORECASE
)
_REST = re.compile(r"[^\s()<>\"'\[\]`]{0,2000}")


@dataclass(frozen=True, slots=True)
class Links(Check):
    """Finds Markdown images, active HTML, script addresses and links that could carry data out. Score 1."""

    name: ClassVar[str] = "links"
    reason: ClassVar[str] = "outward_link"
    inline: ClassVar[bool] = True

    query: int = parameter(
        120, "Longest query of a link, in characters; a longer one could carry data.", tighter="lower"
    )
    hosts: tuple[str, ...] = parameter(
        (), "Hosts that links may lead to, their subdomains with them; none: any host.", tighter="fewer"
    )

    def run(self, parts: Sequence[str], facts: Mapping[str, Any]) -> Found:
        return marked(parts, [span for index, part in enumerate(parts) for span in self._look(index, part)])

    def _look(self, index: int, text: str) -> list[Span]:
        spans: list[Span] = []
        if "![" in text:
            spans += [Span(index, *match.span(), "image") for match in _IMAGE.finditer(text)]
        if "<" in text:
            spans += [Span(index, *match.span(), "active_element") for match in _ACTIVE.finditer(text)]
            spans += [Span(index, *match.span(), "active_element") for match in _HANDLER.finditer(text)]
        if ":" in text:
            spans += [Span(index, *match.span(), "script") for match in _SCHEME.finditer(text)]
        if "://" in text and "?" in text:
            spans += [Span(index, start, end, "link") for start, end in self._long(text)]
        if self.hosts and ("//" in text or "\\" in text):
            spans += [Span(index, start, end, "link") for start, end in self._elsewhere(text)]
        return spans

    def _long(self, text: str) -> list[tuple[int, int]]:
        found = []
        for match in _LONG.finditer(text):
            if len(match.group().split("?", 1)[1]) > self.query:
                found.append(match.span())
        return found

    def _elsewhere(self, text: str) -> Iterator[tuple[int, int]]:
        """Links to a host that is not listed."""
        allowed = tuple(host.lower().strip(".") for host in self.hosts)
        for match in _AUTHORITY.finditer(text):
            # A name before `@` and a port are no part of the host; a colon ends what browsers read as one.
            host = match["host"].rpartition("@")[2].partition(":")[0].lower().rstrip(".,;!*_")
            if not any(host == one or host.endswith(f".{one}") for one in allowed):
                rest = _REST.match(text, match.end())
                yield match.start(), rest.end() if rest else match.end()
