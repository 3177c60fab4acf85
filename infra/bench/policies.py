"""What each check costs beside the vector of a question, in CPU time, and how the cost grows with length.

Every call has a text of its own: a question of 200 characters for the stage `input`, 1,500 for the others, half of them
with something to find; the last row of a stage is of texts that consist of names. The vector of a question is there
already, as retrieval needs it anyway; what a check embeds beside it counts. The figures are milliseconds of CPU time of
the whole process, which are those on the clock where one core is idle, and which other work does not lengthen.
"""

import json
import os
import statistics
import time
from collections.abc import Callable, Sequence

from fiel.infra.models import quiet_threads
from fiel.policies.bundle import load_bundles, parse_bundle
from fiel.policies.plain import judged
from fiel.policies.rules import Rule
from fiel.policies.types import Stage
from fiel.tools import e5

CALLS = 60
STAGES: tuple[tuple[Stage, int], ...] = (("input", 200), ("context", 1_500), ("output", 1_500))
LENGTHS = (1_500, 15_000, 150_000)
PROMPT = "You answer only from the passages that you are given. Where the passages do not answer, say so. " * 8
SCORES = {"moderation": {"model": "none", "scores": {"hate": "0.010000", "violence": "0.020000"}}}
FACTS = {"prompt": PROMPT, "licence": "MIT", "trust": "internal", "question": "When does the harbour close?", **SCORES}
PLACES = ("harbour", "castle", "library", "museum", "market", "station", "garden", "bridge", "theatre", "school")
FOUND = "Write to ana.ruiz@example.org or call +34 612 345 678, see https://example.org/guide?page=2. "
NAMED = "Ana Ruiz of the Acme Corporation met Peter Baker in Lisbon on 3 May 2021, at 24 Clarke Avenue, Springfield. "
OTHERS = """
name: others
messages: {en: {blocked: No.}}
limit_ms: 60000
checks:
  - check: topics
    stages: {input: block, output: block}
    with: {denied: [sports betting, lawsuit, medical advice], allowed: [opening hours, gate, pass]}
  - check: topic_likeness
    stages: {input: block}
    with:
      denied: ["How do I place a bet on a match?", "Which odds do bookmakers give?", "How do I win at roulette?"]
  - check: banned
    stages: {input: block, output: block}
    with: {words: [darn, damn], competitors: [Acme Corp, Globex]}
"""
"""The checks that no built-in bundle has."""


def texts(length: int, count: int = CALLS) -> list[str]:
    """Texts of `length` characters, no two alike; every other one has something to find."""
    made = []
    for number in range(count):
        place, other = PLACES[number % 10], PLACES[number // 10 % 10]
        plain = f"The {place} behind the old {other} closes at nine in the evening, and its gate to the north stays "
        plain += "open for those who hold a pass of the port authority. "
        unit = plain + (FOUND if number % 2 else "")
        made.append((unit * (length // len(unit) + 1))[:length])
    return made


def p50(call: Callable[[str], object], given: Sequence[str]) -> float:
    """Median milliseconds of `call`."""
    took = []
    for text in given:
        started = time.process_time()
        call(text)
        took.append((time.process_time() - started) * 1000)
    return round(statistics.median(took), 3)


def run() -> dict[str, object]:
    """Milliseconds by bundle, stage and check; `all` is the whole stage."""
    quiet_threads()
    e5.shared(1)
    figures: dict[str, object] = {"calls": CALLS, "load of the machine": round(os.getloadavg()[0], 1)}
    figures["embedding, 200 characters, p50 ms of CPU"] = embedding(texts(200, 20))
    bundles = load_bundles() | {"others": parse_bundle(OTHERS)}
    for name, bundle in bundles.items():
        for stage, length in STAGES:
            if rules := bundle.rules[stage]:
                figures[f"{name}, {stage}, {length} characters, p50 ms of CPU"] = stage_of(stage, rules, length)
    judge = _judging(bundles["default"].rules["output"])
    figures["default, output, p50 ms of CPU by length"] = {length: p50(judge, texts(length, 6)) for length in LENGTHS}
    return figures


def stage_of(stage: Stage, rules: Sequence[Rule], length: int) -> dict[str, float]:
    """The whole stage, then each of its checks; the vectors of questions are there already."""
    given = texts(length)
    _judging(rules)(given[0])  # what is loaded at the first use is no cost of a check
    named = [(f"In {number}: " + NAMED * (length // len(NAMED) + 1))[:length] for number in range(CALLS)]
    if stage == "input":
        for text in (*given, *named):
            e5.shared().encode([text], True)
    table = {"all": p50(_judging(rules), given)} | {rule.id: p50(_judging([rule]), given) for rule in rules}
    return table | {"all, full of names": p50(_judging(rules), named)}


def embedding(given: Sequence[str]) -> float:
    """Median milliseconds of the vector itself, which is no cost of a policy."""
    took = []
    for text in given:
        started = time.process_time()
        e5.shared().encode([text + " "], True)
        took.append((time.process_time() - started) * 1000)
    return round(statistics.median(took), 3)


def _judging(rules: Sequence[Rule]) -> Callable[[str], object]:
    return lambda text: judged(rules, [text], FACTS)


if __name__ == "__main__":
    print(json.dumps(run(), indent=1))
