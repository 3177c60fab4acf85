"""Length: a text beyond the limit is refused, never cut."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from fiel.policies.checks.base import Check, Found, marked, parameter
from fiel.policies.types import Span


@dataclass(frozen=True, slots=True)
class Length(Check):
    """Finds texts with more characters, or more tokens by estimate, than allowed, whole."""

    name: ClassVar[str] = "length"
    reason: ClassVar[str] = "too_long"
    inline: ClassVar[bool] = True

    characters: int = parameter(8_000, "Most characters of one text.", tighter="lower")
    tokens: int = parameter(4_000, "Most tokens of one text, estimated as its UTF-8 bytes over 4.", tighter="lower")
    total: int = parameter(400_000, "Most characters of all texts together.", tighter="lower")

    def run(self, parts: Sequence[str], facts: Mapping[str, Any]) -> Found:
        everything = sum(map(len, parts)) > self.total
        return marked(
            parts,
            [
                Span(index, 0, len(part), "too_long")
                for index, part in enumerate(parts)
                if part and (everything or self._too_long(part))
            ],
        )

    def _too_long(self, text: str) -> bool:
        if len(text) > self.characters:
            return True
        # No text has more than four bytes a character, so a short one cannot have too many tokens.
        return len(text) > self.tokens and len(text.encode("utf-8", "surrogatepass")) > 4 * self.tokens
