"""What the live calls of replays cost, and how much they may: tokens and cost as the models name them."""

from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Self

from fiel.infra.replay.change import Change
from fiel.tools.chat import Usage


@dataclass(slots=True)
class Spent:
    """The live calls of one replay, or of many together."""

    calls: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    cost: Decimal = Decimal(0)
    """In the currency of the price settings."""
    most_calls: int | None = None
    most_cost: Decimal | None = None
    whole: "Spent | None" = None
    """What this is a part of; its limits hold, and are reached by all its parts together."""

    @classmethod
    def within(cls, change: Change) -> Self:
        """Nothing yet, under the limits of `change`."""
        return cls(most_calls=change.most_calls, most_cost=change.most_cost)

    def part(self) -> "Spent":
        """Nothing yet, and what is spent of it is spent of this too."""
        return Spent(whole=self)

    def over(self) -> str:
        """Which limit allows no further call; empty where none does. Calls under way may end beyond that of cost."""
        if self.most_calls is not None and self.calls >= self.most_calls:
            return f"{self.most_calls} live calls were allowed"
        if self.most_cost is not None and self.cost >= self.most_cost:
            return f"a cost of {self.most_cost} was allowed"
        return self.whole.over() if self.whole is not None else ""

    def call(self) -> None:
        """A call begins."""
        self.calls += 1
        if self.whole is not None:
            self.whole.call()

    def charge(self, answer: Any) -> None:
        """A call has ended: add what the model says that it took. Searches and vectors say nothing."""
        usage = getattr(getattr(answer, "completion", answer), "usage", None)
        if isinstance(usage, Usage):
            self._add(usage.input_tokens, usage.output_tokens, Decimal(usage.cost))

    def _add(self, input_tokens: int, output_tokens: int, cost: Decimal) -> None:
        self.input_tokens += input_tokens
        self.output_tokens += output_tokens
        self.cost += cost
        if self.whole is not None:
            self.whole._add(input_tokens, output_tokens, cost)

    def take(self, plain: dict[str, Any]) -> None:
        """Add what `plain` of another said."""
        self.calls += plain["calls"]
        self._add(plain["input_tokens"], plain["output_tokens"], Decimal(plain["cost"]))

    def plain(self) -> dict[str, Any]:
        """As canonical data."""
        tokens = {"input_tokens": self.input_tokens, "output_tokens": self.output_tokens}
        return {"calls": self.calls, **tokens, "cost": format(self.cost.normalize() + 0, "f")}
