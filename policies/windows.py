"""Windows over a stream of text: what may be shown already, and what must wait for what follows.

A check looks at a whole text, and a stream has none yet. So a window shows text only up to a cut behind which nothing
can change any more: enough follows it that whatever begins before it would be seen whole, no finding lies across it,
and nothing stands open before it. One object a stream; nothing is shared between streams.

What is shown, put together, is what the checks leave of the whole text; where they hold the text back, it ends before
the place that they found.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from fiel.policies.mask import bracketed, merged
from fiel.policies.placeholders import FACT, Names
from fiel.policies.types import HELD, MASKING, Bundle, Decision, Policies, Span, Stage

AHEAD = 240
"""Characters that must follow a cut."""
WORDS = 24
"""Words that must follow a cut: twice as many as the longest run that a check counts."""
REACH = 3_000
"""No finding that begins with a bracket and has white space in it is longer; so much stays in sight behind a cut."""
MOST = 24_000
"""Characters that may wait. A stream in which nothing can be shown for longer is stopped."""

_WORD = re.compile(r"\w+")
_GAP = re.compile(r"\s(?=\S)")
"""The last of the white space before something: a longer pattern would look at a run of it again and again."""
_OPEN = re.compile(r"!\[|<|-----BEGIN ")
_CLOSE: Mapping[str, re.Pattern[str]] = {
    "![": re.compile(r"\][^(\[]|\]\([^()]*\)|\]\[[^\[\]]*\]|\n"),
    "<": re.compile(r">"),
    "-----BEGIN ": re.compile(r"-----END [^-\n]*-----"),
}


def opened(text: str, start: int = 0) -> int:
    """Where, from `start` on, the first thing begins that is not closed yet and is not too long to be one."""
    for match in _OPEN.finditer(text, max(start, len(text) - REACH)):
        if not _CLOSE[match.group()].search(text, match.end()):
            return match.start()
    return len(text)


class StreamStopped(Exception):
    """The checks hold the rest of a stream back. `decision` says why; nothing more is shown."""

    def __init__(self, decision: Decision) -> None:
        super().__init__(decision.reason)
        self.decision = decision


class StreamWindow:
    """One stream. `feed` and `close` return what may be shown; they raise StreamStopped, and then only that."""

    __slots__ = ("_bundle", "_facts", "_names", "_policies", "_shown", "_stage", "_stopped", "_text")

    def __init__(
        self, policies: Policies, bundle: Bundle, stage: Stage = "output", facts: Mapping[str, Any] | None = None
    ) -> None:
        self._policies = policies
        self._bundle = bundle
        self._stage: Stage = stage
        self._facts = dict(facts or {})
        self._names: Mapping[str, str] = self._facts.pop(FACT, {})
        """Placeholders of the conversation so far, to their values."""
        self._text = ""
        """What was shown last, as far as a finding may reach back into it, and what waits."""
        self._shown = 0
        """Characters of `_text` that have been shown."""
        self._stopped: Decision | None = None

    @property
    def placeholders(self) -> Mapping[str, str]:
        """Placeholder to value: those that were given, and those of what was shown."""
        return self._names

    @property
    def waiting(self) -> int:
        """Characters that have come in and not been shown."""
        return len(self._text) - self._shown

    @property
    def held(self) -> int:
        """Characters in memory."""
        return len(self._text)

    async def feed(self, text: str) -> str:
        """More of the stream has come in."""
        self._still()
        self._text += text
        cut = self._cut()
        if cut <= self._shown:
            if self.waiting > MOST:
                await self._check()
                self._stop(Decision("block", (), (), "too_long"))
            return ""
        decision = await self._check()
        masks = self._masks(decision)
        while (crossing := next((one.start for one in masks.spans if one.start < cut < one.end), None)) is not None:
            cut = crossing
        if cut <= self._shown or masks.over(self._text, self._names, self._text)[0] != decision.parts[0]:
            return ""  # masking brings more to light than was found: only the whole text can say what
        return self._show(cut, masks)

    async def close(self) -> str:
        """The stream has ended: everything that may be shown is."""
        self._still()
        if not self.waiting:
            return ""
        decision = await self._check()
        masks = self._masks(decision).within(0, self._shown)
        before, _ = masks.over(self._text[: self._shown], self._names, self._text)
        if not decision.parts[0].startswith(before):
            self._stop(Decision("block", decision.verdicts, (), "check_failed"))
        self._text, self._shown, self._names = "", 0, decision.placeholders or self._names
        return decision.parts[0][len(before) :]

    def _still(self) -> None:
        if self._stopped is not None:
            raise StreamStopped(self._stopped)

    def _stop(self, decision: Decision) -> None:
        self._text, self._shown, self._stopped = "", 0, decision
        raise StreamStopped(decision)

    async def _check(self) -> Decision:
        """What the checks say of all that is in sight. Raises StreamStopped where they hold it back."""
        known = {FACT: dict(self._names)} if self._bundle.replaces(self._stage) else {}
        decision = await self._policies.check(self._bundle, self._stage, [self._text], {**self._facts, **known})
        if decision.action in HELD:
            self._stop(decision)
        return decision

    def _masks(self, decision: Decision) -> "_Masks":
        """What is masked. A finding that reaches back into what was shown was not seen in time: the stream stops."""
        found = {
            action: merged(span for one in decision.verdicts if one.action == action for span in one.spans)
            for action in MASKING
        }
        masks = _Masks(tuple(found["redact"]), tuple(found["replace"]))
        if any(span.start < self._shown < span.end for span in masks.spans):
            self._stop(Decision("block", decision.verdicts, (), "check_failed"))
        return masks

    def _cut(self) -> int:
        """The last place, between two words, that enough follows and before which nothing stands open."""
        text, end = self._text, len(self._text) - AHEAD
        if end <= self._shown:
            return 0
        words = [match.start() for match in _WORD.finditer(text, self._shown)]
        if len(words) <= WORDS:
            return 0
        end = min(end, words[-WORDS - 1], self._opened())
        gaps = [match.end() for match in _GAP.finditer(text, self._shown, max(end, self._shown))]
        return gaps[-1] if gaps else 0

    def _opened(self) -> int:
        return opened(self._text, self._shown)

    def _show(self, cut: int, masks: "_Masks") -> str:
        start = self._shown
        piece, self._names = masks.within(start, cut).over(self._text[start:cut], self._names, self._text)
        keep = self._kept(cut)
        self._text, self._shown = self._text[keep:], cut - keep
        return piece

    def _kept(self, cut: int) -> int:
        """From where on what was shown stays in sight: a place between two words."""
        gap = _GAP.search(self._text, max(cut - REACH, 0), cut) if cut > REACH else None
        return gap.end() if gap else (0 if cut <= REACH else cut - REACH)


@dataclass(frozen=True, slots=True)
class _Masks:
    """What of a text is masked, and what gets a placeholder; each in order, without overlaps of its own."""

    redacted: tuple[Span, ...]
    replaced: tuple[Span, ...]

    @property
    def spans(self) -> tuple[Span, ...]:
        return (*self.redacted, *self.replaced)

    def within(self, start: int, end: int) -> "_Masks":
        """Those between the two places, counted from `start`."""
        redacted, replaced = (
            tuple(
                Span(one.part, one.start - start, one.end - start, one.kind)
                for one in spans
                if start <= one.start and one.end <= end
            )
            for spans in (self.redacted, self.replaced)
        )
        return _Masks(redacted, replaced)

    def over(self, text: str, known: Mapping[str, str], beside: str) -> tuple[str, Mapping[str, str]]:
        """The masked text and the placeholders after it. Where masks and placeholders overlap, the mask stands.

        Numbers of placeholders that stand in `beside` are not given to new values.
        """
        names = Names(known, (beside,))
        free = [one for one in self.replaced if all(one.end <= r.start or r.end <= one.start for r in self.redacted)]
        named = {(one.start, one.end) for one in free}
        pieces: list[str] = []
        position = 0
        for span in merged((*self.redacted, *free)):
            value = text[span.start : span.end]
            cover = names.of if (span.start, span.end) in named else bracketed
            pieces += (text[position : span.start], cover(value, span.kind))
            position = span.end
        return "".join((*pieces, text[position:])), names.known
