"""Fifty streams at once: no order in which their pieces come in shows the text of one in another."""

import asyncio
import contextlib
import random

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fiel.policies.plain import decide
from fiel.policies.windows import StreamStopped, StreamWindow
from tests.security.test_stream_windows import FACTS, FOUND, PLAIN, POLICIES, chunks


@settings(max_examples=8, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(seed=st.integers(0, 9999), turns=st.lists(st.integers(0, 49), max_size=60))
async def test_no_interleaving_of_fifty_streams_mixes_text(seed: int, turns: list[int]) -> None:
    """Each stream shows what the checks leave of its own text, in whatever order the pieces of all come in."""
    rng = random.Random(seed)
    said = [
        f"Stream {n} says {rng.choice(PLAIN)} Ask u{n}@example.org. {rng.choice(FOUND)} and that is it. "
        for n in range(50)
    ]
    texts = [text * 4 for text in said]
    windows = [StreamWindow(POLICIES, POLICIES.bundle("default"), "output", FACTS) for _ in texts]
    pieces = [chunks(text, seed + n, 120) for n, text in enumerate(texts)]
    shown = [""] * len(texts)

    async def feed(number: int) -> None:
        try:
            shown[number] += await (
                windows[number].feed(pieces[number].pop(0)) if pieces[number] else windows[number].close()
            )
        except StreamStopped:
            pieces[number].clear()

    for number in turns:  # one after the other, then all at once
        if pieces[number]:
            await feed(number)

    async def rest(number: int) -> None:
        while pieces[number]:
            await feed(number)
            await asyncio.sleep(0)
        with contextlib.suppress(StreamStopped):
            shown[number] += await windows[number].close()

    await asyncio.gather(*(rest(number) for number in rng.sample(range(50), 50)))
    for text, out in zip(texts, shown, strict=True):
        whole = decide(POLICIES.bundle("default"), "output", [text], FACTS)
        if whole.action == "block":
            assert whole.parts[0].startswith(out) or text.startswith(out)
        else:
            assert out == whole.parts[0]
