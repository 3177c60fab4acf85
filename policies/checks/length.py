"""Length and cost: a text beyond the limit is refused, never cut."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from fiel.policies.checks.base import Check, Found, parameter
from fiel.policies.types import Span

_NO_LIMIT = 2**31


@dataclass(frozen=True, slots=True)
class Length(Check):
    """Finds texts with more characters, or more tokens by estimate, than allowed, and too costly calls, whole."""

    name: ClassVar[str] = "length"
    reason: ClassVar[str] = "too_long"
    inline: ClassVar[bool] = True

    characters: int = parameter(8_000, "Most characters of one text.", tighter="lower")
    tokens: int = parameter(4_000, "Most tokens of one text, estimated as its UTF-8 bytes over 4.", tighter="lower")
    total: int = parameter(400_000, "Most characters of all texts together.", tighter="lower")
    price: int = parameter(100, "Price of a million tokens of input, in cents.")
    cost: int = parameter(
        _NO_LIMIT, "Most that all texts of one call may cost by estimate, in thousandths of a cent.", tighter="lower"
    )

    def run(self, parts: Sequence[str], facts: Mapping[str, Any]) -> Found:
        everything = sum(map(len, parts)) > self.total
        costly = not everything and self._cost(parts) > self.cost
        long = [bool(part) and (everything or self._too_long(part)) for part in parts]
        hit = [bool(part) for part in parts] if costly and not any(long) else long
        kind = "too_costly" if costly and not any(long) else "too_long"
        return Found(
            tuple(1.0 if one else 0.0 for one in hit),
            tuple(Span(index, 0, len(part), kind) for index, part in enumerate(parts) if hit[index]),
            kind,
        )

    def _cost(self, parts: Sequence[str]) -> float:
        """Estimated cost of `parts` as input of a model, thousandths of a cent."""
        if self.cost >= _NO_LIMIT:
            return 0.0
        return sum(len(part.encode("utf-8", "surrogatepass")) for part in parts) / 4 * self.price / 1000

    def _too_long(self, text: str) -> bool:
        if len(text) > self.characters:
            return True
        # No text has more than four bytes a character, so a short one cannot have too many tokens.
        return len(text) > self.tokens and len(text.encode("utf-8", "surrogatepass")) > 4 * self.tokens
