"""Answers taken in stretches while they are written: whole sentences, once each, and an honest end."""

import asyncio
import json
from collections.abc import Callable, Sequence
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fiel.tools.chat import Completion, Stretch, Usage
from fiel.tools.chat.streams import AHEAD, Pieces, Streams, end_of
from fiel.tools.errors import ModelBusy, ModelFiltered, ModelUnavailable, ModelUnreadable, StreamLost
from tests.contract.test_chat import Behaviour, Endpoint, chat, endpoint, good, raw, request

TEXT = " ".join(
    f"The {place} store keeps {number + 3} boxes of letters and the maps that belong to each of them [1]."
    for number, place in enumerate(("north", "south", "east", "west", "upper", "lower", "inner", "outer"))
)


def written(pieces: Sequence[str], error: Exception | None = None) -> Callable[[], Pieces]:
    async def write() -> Pieces:
        for piece in pieces:
            yield piece
            await asyncio.sleep(0)
        if error is not None:
            raise error
        text = "".join(pieces)
        yield Completion(text, Usage(1, 2))

    return write


async def taken(streams: Streams, begin: Callable[[], Pieces], name: str = "a") -> list[Stretch]:
    found = [await streams.stretch(begin, name, 0)]
    while found[-1].completion is None:
        found.append(await streams.stretch(begin, name, len(found)))
    return found


def pieces_at(text: str, cuts: Sequence[int]) -> list[str]:
    return [text[a:b] for a, b in zip([0, *cuts], [*cuts, len(text)], strict=True)]


# Stretches ------------------------------------------------------------------------------------------------------------


@settings(max_examples=60, deadline=None)
@given(data=st.data())
async def test_stretches_are_whole_sentences_and_the_text_put_together(data: st.DataObject) -> None:
    cuts = sorted(data.draw(st.sets(st.integers(1, len(TEXT) - 1), max_size=80)))
    found = await taken(Streams(), written(pieces_at(TEXT, cuts)))
    assert "".join(one.text for one in found) == TEXT
    for one in found[:-1]:
        assert one.text.rstrip().endswith("[1].")
        assert len(one.ahead) >= AHEAD
        assert one.completion is None


@settings(max_examples=100, deadline=None)
@given(st.text(alphabet="aA .[1]!?\n", max_size=900), st.integers(0, 900))
def test_an_end_never_goes_back_nor_near_the_end_of_what_is_written(text: str, start: int) -> None:
    start = min(start, len(text))
    end = end_of(text, start)
    assert end == start or start < end <= len(text) - AHEAD


def test_markers_behind_a_full_stop_belong_to_its_sentence() -> None:
    text = f"It was built in the year 1912. [1][2] {TEXT}"
    end = end_of(text, 0)
    while (sooner := end_of(text[: end + AHEAD - 1], 0)) and sooner < end:
        end = sooner
    assert text[:end].rstrip().endswith("[2]")


LED = " ".join(f"[{n + 1}]. {one[: -len(' [1].')]}." for n, one in enumerate(TEXT.split(" [1]. "))) + " [9]. So be it."


@settings(max_examples=60, deadline=None)
@given(data=st.data())
async def test_a_marker_that_leads_goes_with_its_sentence(data: st.DataObject) -> None:
    cuts = sorted(data.draw(st.sets(st.integers(1, len(LED) - 1), max_size=80)))
    found = await taken(Streams(), written(pieces_at(LED, cuts)))
    assert "".join(one.text for one in found) == LED
    for one in found:
        assert one.text.startswith("[")
        assert one.text.rstrip().endswith(".")
        assert not one.text.rstrip().endswith("].")


async def test_a_stretch_out_of_turn_is_lost() -> None:
    streams, begin = Streams(), written(pieces_at(TEXT, range(10, len(TEXT), 10)))
    await streams.stretch(begin, "a", 0)
    for number in (0 + 2, 7):
        with pytest.raises(StreamLost):
            await streams.stretch(begin, "a", number)
    with pytest.raises(StreamLost):
        await streams.stretch(begin, "another", 1)
    await streams.stretch(begin, "a", 1)


async def test_beginning_anew_stops_what_was_written() -> None:
    stopped = asyncio.Event()

    async def endless() -> Pieces:
        try:
            while True:
                yield TEXT
                await asyncio.sleep(0.001)
        finally:
            stopped.set()

    streams = Streams()
    await streams.stretch(endless, "a", 0)
    found = await taken(streams, written([TEXT]))
    await asyncio.wait_for(stopped.wait(), 2)
    assert found[-1].completion is not None


async def test_what_nobody_takes_is_stopped_and_forgotten() -> None:
    streams = Streams(kept=0.02)
    await streams.stretch(written(pieces_at(TEXT, range(10, len(TEXT), 10))), "a", 0)
    await asyncio.sleep(0.1)
    with pytest.raises(StreamLost):
        await streams.stretch(written([]), "a", 1)


async def test_a_taker_that_is_cancelled_stops_the_answer() -> None:
    stopped = asyncio.Event()

    async def hanging() -> Pieces:
        try:
            yield "It"
            await asyncio.sleep(60)
        finally:
            stopped.set()

    taker = asyncio.create_task(Streams().stretch(hanging, "a", 0))
    await asyncio.sleep(0.01)
    taker.cancel()
    await asyncio.wait_for(stopped.wait(), 2)


async def test_too_many_answers_are_refused() -> None:
    streams = Streams(most=1)
    begin = written(pieces_at(TEXT, range(10, len(TEXT), 10)))
    await streams.stretch(begin, "a", 0)
    with pytest.raises(ModelBusy):
        await streams.stretch(begin, "b", 0)


async def test_what_is_taken_before_a_failure_stands_and_then_it_is_raised() -> None:
    streams = Streams()
    begin = written(pieces_at(TEXT, range(10, len(TEXT), 10)), ModelUnavailable("gone"))
    found = await streams.stretch(begin, "a", 0)
    assert TEXT.startswith(found.text)
    with pytest.raises(ModelUnavailable, match="gone"):
        for number in range(1, 20):
            await streams.stretch(begin, "a", number)


# Endpoints ------------------------------------------------------------------------------------------------------------


def chunk(content: str | None = None, **more: Any) -> dict[str, Any]:
    finish = more.pop("finish", None)
    delta = {**({"content": content} if content is not None else {}), **more.pop("delta", {})}
    return {"model": "served", "choices": [{"index": 0, "delta": delta, "finish_reason": finish}], **more}


def events(*told: Any, end: bool = True) -> Behaviour:
    lines = [one if isinstance(one, str) else f"data: {json.dumps(one)}" for one in told]
    lines += ["data: [DONE]"] if end else []
    body = "".join(f"{line}\r\n\r\n" for line in lines).encode()
    return raw(body, "200 OK", "Content-Type: text/event-stream; charset=utf-8")


USAGE = {"model": "served", "choices": [], "usage": {"prompt_tokens": 1000, "completion_tokens": 20}}


async def all_of(adapter: Any) -> list[Stretch]:
    found = [await adapter.stretch(request(), "run", 0)]
    while found[-1].completion is None:
        found.append(await adapter.stretch(request(), "run", len(found)))
    return found


async def test_a_streamed_reply_is_taken_in_stretches_with_its_usage() -> None:
    told = [chunk("", delta={"role": "assistant"}), ": a comment", *(chunk(f"{word} ") for word in TEXT.split(" "))]
    async with endpoint(events(*told, chunk(finish="stop"), USAGE)) as served, chat(served) as adapter:
        found = await all_of(adapter)
    assert "".join(one.text for one in found) == f"{TEXT} "
    completion = found[-1].completion
    assert completion is not None
    assert (completion.finish, completion.model, completion.text) == ("stop", "served", f"{TEXT} ")
    assert (completion.usage.input_tokens, completion.usage.output_tokens) == (1000, 20)
    assert served.bodies[0]["stream"] is True
    assert served.bodies[0]["stream_options"] == {"include_usage": True}


async def test_an_endpoint_that_does_not_stream_is_asked_in_plainer_words_and_remembered() -> None:
    refusals = [raw(f'{{"error":{{"message":"unknown field {name}"}}}}'.encode(), "400 Bad Request")
                for name in ("stream_options", "stream")]  # fmt: skip
    async with endpoint(*refusals, good("It was 1969. [1]")) as served, chat(served) as adapter:
        found = await all_of(adapter)
        assert [one.text for one in found] == ["It was 1969. [1]"]
        assert [body["stream"] for body in served.bodies] == [True, True, False]
        assert "stream_options" not in served.bodies[1]


async def test_a_whole_reply_to_a_streamed_question_is_read_as_one() -> None:
    async with endpoint(good("It was 1969. [1]")) as served, chat(served) as adapter:
        found = await all_of(adapter)
    assert [one.text for one in found] == ["It was 1969. [1]"]
    assert found[0].completion is not None


BROKEN: list[tuple[Sequence[Any], type[Exception]]] = [
    ((chunk("It"), chunk("was")), ModelUnreadable),  # never says how it ended
    ((chunk(finish="stop"),), ModelUnreadable),  # no text
    ((chunk("It"), chunk(finish="tool_calls")), ModelUnreadable),
    ((chunk("It"), "data: {half"), ModelUnreadable),
    ((chunk("It"), "data: [1]"), ModelUnreadable),
    (({"choices": "none"},), ModelUnreadable),
    (({"choices": [{"delta": "It"}]},), ModelUnreadable),
    ((chunk("It"), {"choices": [{"delta": {"content": ["It"]}}]}), ModelUnreadable),
    ((chunk("It", finish="stop"), chunk("was", finish="stop")), ModelUnreadable),
    ((chunk("It"), {"error": {"message": "overloaded"}}), ModelUnavailable),
    ((chunk("It"), chunk(finish="content_filter")), ModelFiltered),
    ((chunk("It"), chunk(delta={"refusal": "No."})), ModelFiltered),
    ((chunk("It", finish="stop"), {**USAGE, "usage": {"prompt_tokens": -1}}), ModelUnreadable),
    ((*(chunk("word " * 1000) for _ in range(40)), chunk(finish="stop")), ModelUnreadable),  # more than its limit
]


@pytest.mark.parametrize(("told", "error"), BROKEN)
async def test_a_stream_is_read_strictly(told: Sequence[Any], error: type[Exception]) -> None:
    async with endpoint(events(*told)) as served, chat(served) as adapter:
        with pytest.raises(error) as raised:
            await all_of(adapter)
        assert "sk-not" not in str(raised.value)


async def test_a_connection_that_breaks_in_the_middle_is_said_to() -> None:
    async def breaks(_: Endpoint, __: dict[str, Any], writer: asyncio.StreamWriter) -> None:
        body = f"data: {json.dumps(chunk('It was '))}\n\n".encode()
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nContent-Length: 9000\r\n\r\n" + body)
        await writer.drain()
        writer.transport.abort()

    async with endpoint(breaks) as served, chat(served) as adapter:
        with pytest.raises(ModelUnavailable):
            await all_of(adapter)
        assert len(served.bodies) == 1, "what was begun is not asked again"


async def test_an_endpoint_that_is_busy_at_first_is_asked_again() -> None:
    busy = raw(b"{}", "503 Service Unavailable")
    async with endpoint(busy, events(chunk("It was 1969. [1]", finish="stop"))) as served, chat(served) as adapter:
        found = await all_of(adapter)
    assert found[-1].text == "It was 1969. [1]"


async def test_leaving_stops_the_endpoint() -> None:
    async def slow(_: Endpoint, __: dict[str, Any], writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n")
        writer.write(f"data: {json.dumps(chunk('It was '))}\n\n".encode())
        await writer.drain()
        await asyncio.sleep(60)

    async with endpoint(slow) as served, chat(served) as adapter:
        taker = asyncio.create_task(adapter.stretch(request(), "run", 0))
        await asyncio.wait_for(served.asked.wait(), 2)
        await asyncio.sleep(0.05)
        taker.cancel()
        await asyncio.wait_for(served.gone.wait(), 2)
