"""What the checks cost: whole stages of the built-in bundles, and each check by itself, on one thread.

A question of 200 characters for the stage `input`, texts of 1,500 for the others; half of them hold something to find.
"""

import json
import statistics
import time
from collections.abc import Callable, Sequence

from fiel.infra.bench import checks
from fiel.policies.bundle import load_bundles
from fiel.policies.plain import judged
from fiel.policies.rules import Rule
from fiel.policies.types import Stage

ROUNDS = 200
PROMPT = "You answer only from the passages that you are given. Where the passages do not answer, say so. " * 8
FACTS = {"prompt": PROMPT, "licence": "MIT", "trust": "internal"}
PLAIN = (
    "The harbour of the old town closes at nine in the evening, and the gate to the north stays open for those "
    "who hold a pass of the port authority. "
)
FULL = PLAIN + "Write to ana.ruiz@example.org or call +34 612 345 678, see https://example.org/guide?page=2. "


def texts(length: int) -> list[str]:
    """Texts of `length` characters: without and with something to find."""
    return [(text * (length // len(text) + 1))[:length] for text in (PLAIN, FULL)]


def p50(call: Callable[[str], object], given: Sequence[str]) -> float:
    """Median milliseconds of `call`, over all of `given`, after a round that warms."""
    took = []
    for number in range(ROUNDS + 1):
        for text in given:
            started = time.perf_counter()
            call(text)
            if number:
                took.append((time.perf_counter() - started) * 1000)
    return round(statistics.median(took), 3)


def run() -> dict[str, object]:
    """Milliseconds by bundle, stage and check; `all` is the whole stage."""
    figures: dict[str, object] = {"rounds": ROUNDS}
    stages: tuple[tuple[Stage, int], ...] = (("input", 200), ("context", 1_500), ("output", 1_500))
    for name, bundle in load_bundles().items():
        for stage, length in stages:
            given, rules = texts(length), bundle.rules[stage]
            table = {"all": p50(lambda text, rules=rules: judged(rules, [text], FACTS), given)}  # type: ignore[misc]
            table |= {rule.id: p50(_alone(rule), given) for rule in rules}
            figures[f"{name}, {stage}, {length} characters, p50 ms"] = table
    return figures


def _alone(rule: Rule) -> Callable[[str], object]:
    return lambda text: judged([rule], [text], FACTS)


if __name__ == "__main__":
    print(json.dumps(run() | checks.run(), indent=1))
