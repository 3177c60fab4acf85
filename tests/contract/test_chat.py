"""The chat port: what holds for every adapter, and what an OpenAI-compatible endpoint may do to ours.

The endpoint is a real HTTP server on loopback that speaks OpenAI's shapes and misbehaves on demand.
"""

import asyncio
import json
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import pytest

from fiel.tools.chat import ChatRequest, Turn
from fiel.tools.chat.limits import Circuit, Limits
from fiel.tools.chat.openai import OpenAIChat
from fiel.tools.chat.wire import price
from fiel.tools.errors import (
    ModelBusy,
    ModelFiltered,
    ModelRejected,
    ModelTimeout,
    ModelUnavailable,
    ModelUnreadable,
    SettingsError,
)
from fiel.tools.search import Passage

KEY = "sk-not-to-be-seen"
SECRET = "the prompt nobody should read in a log"
QUICK = Limits(connect=10.0, total=30.0, attempts=3, first_wait=0.01, longest_wait=0.02, reply_bytes=100_000)
SCHEMA = {
    "type": "object",
    "properties": {"label": {"enum": ["yes", "no"]}},
    "required": ["label"],
    "additionalProperties": False,
}

Behaviour = Callable[["Endpoint", dict[str, Any], asyncio.StreamWriter], Awaitable[None]]


@dataclass
class Endpoint:
    """A server that answers each request with the next behaviour; the last one stays."""

    behaviours: list[Behaviour] = field(default_factory=list)
    bodies: list[dict[str, Any]] = field(default_factory=list)
    heads: list[str] = field(default_factory=list)
    connections: int = 0
    asked: asyncio.Event = field(default_factory=asyncio.Event)
    gone: asyncio.Event = field(default_factory=asyncio.Event)
    """Set when a client goes away while it is being answered."""
    url: str = ""

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        try:
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).decode()
                length = next(
                    int(x.split(":")[1]) for x in head.split("\r\n") if x.lower().startswith("content-length")
                )
                self.heads.append(head)
                self.bodies.append(json.loads(await reader.readexactly(length)))
                self.asked.set()
                behave = self.behaviours.pop(0) if len(self.behaviours) > 1 else self.behaviours[0]
                answer = asyncio.ensure_future(behave(self, self.bodies[-1], writer))
                ended = asyncio.ensure_future(reader.read(1))
                await asyncio.wait({answer, ended}, return_when=asyncio.FIRST_COMPLETED)
                if not answer.done():
                    self.gone.set()
                    answer.cancel()
                    return
                ended.cancel()
                await asyncio.gather(ended, return_exceptions=True)
                answer.result()
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()


@asynccontextmanager
async def endpoint(*behaviours: Behaviour) -> AsyncIterator[Endpoint]:
    served = Endpoint(list(behaviours))
    server = await asyncio.start_server(served.serve, "127.0.0.1", 0)
    served.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1"
    async with server:
        yield served


def raw(body: bytes, status: str = "200 OK", *headers: str, length: int | None = None) -> Behaviour:
    async def behave(_: Endpoint, __: dict[str, Any], writer: asyncio.StreamWriter) -> None:
        lines = [f"HTTP/1.1 {status}", f"Content-Length: {len(body) if length is None else length}", *headers]
        writer.write("\r\n".join(lines).encode() + b"\r\n\r\n" + body)
        await writer.drain()
        if length is not None:
            writer.close()

    return behave


def reply(text: Any = "Es war 1969. [1]", **changes: Any) -> dict[str, Any]:
    choice = {"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": text}}
    choice.update(changes.pop("choice", {}))
    usage = {"prompt_tokens": 1000, "completion_tokens": 20}
    return {"model": "model-as-served", "choices": [choice], "usage": usage, **changes}


def good(text: Any = "Es war 1969. [1]", **changes: Any) -> Behaviour:
    return raw(json.dumps(reply(text, **changes)).encode())


async def hang(*_: Any) -> None:
    await asyncio.sleep(60)


async def drop(_: Endpoint, __: dict[str, Any], writer: asyncio.StreamWriter) -> None:
    writer.transport.abort()


async def drip(_: Endpoint, __: dict[str, Any], writer: asyncio.StreamWriter) -> None:
    writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 5000\r\n\r\n")
    for _number in range(5000):
        writer.write(b" ")
        await writer.drain()
        await asyncio.sleep(0.02)


async def endless(_: Endpoint, __: dict[str, Any], writer: asyncio.StreamWriter) -> None:
    writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
    while True:
        writer.write(b"2710\r\n" + b" " * 10_000 + b"\r\n")
        await writer.drain()


def passage(text: str = "The eagle landed in 1969.") -> Passage:
    return {
        "document": "d",
        "uri": "u",
        "title": "t",
        "version": "v",
        "chunk": "c",
        "text": text,
        "context": "",
        "start": 0,
        "end": len(text),
        "language": "en",
        "score": "0.500000",
        "dense_rank": 1,
        "text_rank": 1,
        "similarity": None,
    }


def request(**changes: Any) -> ChatRequest:
    turns = (Turn("system", SECRET), Turn("user", "When did the eagle land?"))
    return ChatRequest(
        **{"turns": turns, "question": "When did the eagle land?", "passages": [passage()], "language": "en", **changes}
    )


def chat(served: Endpoint, limits: Limits = QUICK, **options: Any) -> OpenAIChat:
    return OpenAIChat("some-model", url=served.url, key=KEY, limits=limits, **options)


# -- What holds for every adapter ------------------------------------------------------------------------------------


@asynccontextmanager
async def an_openai() -> AsyncIterator[Any]:
    async with endpoint(good("The eagle landed in 1969. [1]")) as served, chat(served) as adapter:
        yield adapter


@asynccontextmanager
async def an_extract() -> AsyncIterator[Any]:
    extract = pytest.importorskip("fiel.tools.chat.extract", reason="the extracting adapter is not built yet")
    yield extract.Extract()


@pytest.fixture(params=[an_openai, an_extract], ids=["openai", "extract"])
async def adapter(request: pytest.FixtureRequest) -> AsyncIterator[Any]:
    async with request.param() as made:
        yield made


async def test_says_something_and_counts(adapter: Any) -> None:
    completion = await adapter.complete(request())
    assert "1969" in completion.text
    assert completion.finish in ("stop", "length")
    assert completion.usage.input_tokens >= 0
    assert completion.usage.output_tokens >= 0
    assert len(completion.usage.cost.partition(".")[2]) == 6


async def test_quotes_are_verbatim(adapter: Any) -> None:
    passages = [passage(), passage("Nothing to see here, 1969 or not.")]
    completion = await adapter.complete(request(passages=passages))
    for sentence in completion.sentences or ():
        assert sentence.quotes
        for quote in sentence.quotes:
            assert 0 <= quote.start < quote.end <= len(passages[quote.passage]["text"])


async def test_version_is_stable_and_never_holds_a_key(adapter: Any) -> None:
    assert adapter.version
    assert adapter.version == adapter.version
    assert KEY not in adapter.version


async def test_serves_many_at_once(adapter: Any) -> None:
    completions = await asyncio.gather(*(adapter.complete(request()) for _ in range(20)))
    assert len({completion.text for completion in completions}) == 1


# -- What an endpoint gets -------------------------------------------------------------------------------------------


async def test_sends_the_turns_the_key_and_nothing_else() -> None:
    async with endpoint(good()) as served, chat(served) as adapter:
        completion = await adapter.complete(request(max_tokens=77))
    assert served.bodies == [
        {
            "model": "some-model",
            "messages": [
                {"role": "system", "content": SECRET},
                {"role": "user", "content": "When did the eagle land?"},
            ],
            "stream": False,
            "max_tokens": 77,
            "temperature": 0,
        }
    ]
    assert served.heads[0].startswith("POST /v1/chat/completions ")
    assert f"authorization: bearer {KEY}" in served.heads[0].lower()
    assert completion.model == "model-as-served"
    assert adapter.writes


async def test_a_lone_surrogate_is_sent_as_a_question_mark() -> None:
    async with endpoint(good()) as served, chat(served) as adapter:
        await adapter.complete(request(turns=(Turn("user", "a\ud800b"),)))
    assert served.bodies[0]["messages"][0]["content"] == "a?b"


async def test_counts_and_cost_are_decimal() -> None:
    async with endpoint(good()) as served, chat(served, price=price("0.15/0.60")) as adapter:
        usage = (await adapter.complete(request())).usage
    assert (usage.input_tokens, usage.output_tokens, usage.cost) == (1000, 20, "0.000162")


async def test_connections_are_kept() -> None:
    async with endpoint(good()) as served, chat(served) as adapter:
        for _ in range(5):
            await adapter.complete(request())
    assert served.connections == 1


async def test_no_more_connections_than_allowed() -> None:
    async def slow(served: Endpoint, body: dict[str, Any], writer: asyncio.StreamWriter) -> None:
        await asyncio.sleep(0.01)
        await good()(served, body, writer)

    limits = Limits(connections=3)
    async with endpoint(slow) as served, chat(served, limits) as adapter:
        await asyncio.gather(*(adapter.complete(request()) for _ in range(12)))
        assert len(served.bodies) == 12
    assert served.connections == 3


async def test_no_proxy_is_taken_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    async with endpoint(good()) as served, chat(served) as adapter:
        assert (await adapter.complete(request())).text


async def test_used_from_two_event_loops() -> None:
    async with endpoint(good()) as served, chat(served) as adapter:
        await adapter.complete(request())

        async def elsewhere() -> str:
            async with adapter:
                return (await adapter.complete(request())).text

        assert await asyncio.to_thread(lambda: asyncio.run(elsewhere()))
        assert (await adapter.complete(request())).text


# -- Constrained output and probabilities ----------------------------------------------------------------------------


async def test_schema_is_sent_and_held() -> None:
    async with endpoint(good('{"label": "yes"}')) as served, chat(served) as adapter:
        completion = await adapter.complete(request(schema=SCHEMA))
    assert json.loads(completion.text) == {"label": "yes"}
    assert served.bodies[0]["response_format"]["json_schema"]["schema"] == SCHEMA
    assert served.bodies[0]["response_format"]["json_schema"]["strict"] is True


@pytest.mark.parametrize(
    "text", ["yes", '{"label": "maybe"}', '{"label": "yes"} and more', '{"label"', '[{"label": "yes"}]', '"yes"']
)
async def test_what_breaks_the_schema_cannot_be_read(text: str) -> None:
    async with endpoint(good(text)) as served, chat(served) as adapter:
        with pytest.raises(ModelUnreadable):
            await adapter.complete(request(schema=SCHEMA))


async def test_json_that_was_cut_off_cannot_be_read() -> None:
    async with (
        endpoint(good('{"label": "yes"}', choice={"finish_reason": "length"})) as served,
        chat(served) as adapter,
    ):
        with pytest.raises(ModelUnreadable):
            await adapter.complete(request(schema=SCHEMA))


def refusing(*names: str) -> Behaviour:
    """An endpoint that refuses requests with any of `names` in them, as real ones do."""

    async def behave(served: Endpoint, body: dict[str, Any], writer: asyncio.StreamWriter) -> None:
        for name in names:
            if name in json.dumps(body):
                error = {"error": {"message": f"Unsupported parameter: {name}", "code": "unsupported"}}
                await raw(json.dumps(error).encode(), "400 Bad Request")(served, body, writer)
                return
        await good('{"label": "no"}')(served, body, writer)

    return behave


async def test_an_endpoint_without_schemas_is_asked_in_words_and_that_is_remembered() -> None:
    async with endpoint(refusing("response_format")) as served, chat(served) as adapter:
        for _ in range(2):
            completion = await adapter.complete(request(schema=SCHEMA))
            assert json.loads(completion.text) == {"label": "no"}
    kinds = [body.get("response_format", {}).get("type") for body in served.bodies]
    assert kinds == ["json_schema", "json_object", None, None]
    assert json.dumps(SCHEMA, separators=(",", ":")) in served.bodies[-1]["messages"][-1]["content"]


async def test_an_endpoint_that_wants_other_names_gets_them() -> None:
    async def behave(served: Endpoint, body: dict[str, Any], writer: asyncio.StreamWriter) -> None:
        message = "Unsupported parameter: 'max_tokens'. Use 'max_completion_tokens' instead."
        refusal = raw(json.dumps({"error": {"message": message}}).encode(), "400 Bad Request")
        await (refusal if "max_tokens" in body else refusing("temperature"))(served, body, writer)

    async with endpoint(behave) as served, chat(served) as adapter:
        await adapter.complete(request(max_tokens=5))
    assert served.bodies[-1]["max_completion_tokens"] == 5
    assert "temperature" not in served.bodies[-1]


async def test_what_is_refused_in_every_wording_is_rejected() -> None:
    async with endpoint(raw(b'{"error": "context too long"}', "400 Bad Request")) as served, chat(served) as adapter:
        with pytest.raises(ModelRejected):
            await adapter.complete(request(schema=SCHEMA, logprobs=True))
        before = len(served.bodies)
        served.behaviours = [good('{"label": "no"}')]
        await adapter.complete(request(schema=SCHEMA, logprobs=True))
        assert served.bodies[before]["response_format"]["type"] == "json_schema", "a failure must teach nothing"


async def test_probabilities_of_the_first_token() -> None:
    top = [{"token": "Yes", "logprob": -0.105}, {"token": "No", "logprob": -2.303}]
    logprobs = {"content": [{"token": "Yes", "logprob": -0.105, "top_logprobs": top}]}
    async with endpoint(good("Yes", choice={"logprobs": logprobs})) as served, chat(served) as adapter:
        found = (await adapter.complete(request(logprobs=True))).first_token
    assert found == pytest.approx({"Yes": 0.9, "No": 0.1}, abs=0.001)
    assert served.bodies[0]["top_logprobs"] == 20


async def test_an_endpoint_without_probabilities_gives_none() -> None:
    async with endpoint(refusing("logprobs")) as served, chat(served) as adapter:
        assert (await adapter.complete(request(logprobs=True))).first_token == {}
        await adapter.complete(request(logprobs=True))
    assert ["logprobs" in body for body in served.bodies] == [True, False, False]


@pytest.mark.parametrize("message", ["context too long", "invalid request", ""])
async def test_a_passing_refusal_takes_no_probabilities_away(message: str) -> None:
    """A judge that lost its probabilities for good would judge by labels, which is weaker."""
    refusal = raw(json.dumps({"error": {"message": message}}).encode(), "400 Bad Request")
    async with endpoint(refusal, good("Yes")) as served, chat(served) as adapter:
        with pytest.raises(ModelRejected):
            await adapter.complete(request(logprobs=True))
        await adapter.complete(request(logprobs=True))
    assert ["logprobs" in body for body in served.bodies] == [True, True]


# -- What cannot be read ---------------------------------------------------------------------------------------------

UNREADABLE: dict[str, bytes] = {
    "empty": b"",
    "html": b"<html><body>502 but with status 200</body></html>",
    "half": json.dumps(reply()).encode()[:60],
    "binary": bytes(range(256)),
    "deep": b"[" * 100_000,
    "null": b"null",
    "list": b"[]",
    "no choices": b'{"choices": []}',
    "choices no list": b'{"choices": {"0": {}}}',
    "choice no object": b'{"choices": ["yes"]}',
    "no message": b'{"choices": [{"finish_reason": "stop"}]}',
    "content null": json.dumps(reply(None)).encode(),
    "content number": json.dumps(reply(7)).encode(),
    "content parts": json.dumps(reply([{"type": "text", "text": "x"}])).encode(),
    "content blank": json.dumps(reply("  \n")).encode(),
    "no finish": json.dumps(reply(choice={"finish_reason": None})).encode(),
    "tool call": json.dumps(reply(choice={"finish_reason": "tool_calls"})).encode(),
    "usage text": json.dumps(reply(usage="much")).encode(),
    "usage negative": json.dumps(reply(usage={"prompt_tokens": -1})).encode(),
    "usage float": json.dumps(reply(usage={"prompt_tokens": 1.5})).encode(),
    "usage huge": json.dumps(reply(usage={"prompt_tokens": 10**40})).encode(),
    "usage true": json.dumps(reply(usage={"prompt_tokens": True})).encode(),
    "surrogate": json.dumps(reply("x")).replace('"x"', '"\\ud800"').encode(),
    "logprobs list": json.dumps(reply(choice={"logprobs": [1]})).encode(),
    "logprobs shape": json.dumps(reply(choice={"logprobs": {"content": [{"top_logprobs": ["a"]}]}})).encode(),
    "logprobs text": json.dumps(
        reply(choice={"logprobs": {"content": [{"top_logprobs": [{"token": "a", "logprob": "-1"}]}]}})
    ).encode(),
    "more than certain": json.dumps(
        reply(choice={"logprobs": {"content": [{"top_logprobs": [{"token": "a", "logprob": 1.0}]}]}})
    ).encode(),
    "not a number": b'{"choices": [NaN]}',
    "too large": b" " * 200_000,
}


@pytest.mark.parametrize("name", UNREADABLE)
async def test_what_cannot_be_read(name: str) -> None:
    async with endpoint(raw(UNREADABLE[name])) as served, chat(served) as adapter:
        with pytest.raises(ModelUnreadable) as caught:
            await adapter.complete(request(logprobs=True))
    assert len(served.bodies) == 1, "asking again would cost and not help"
    assert silent(caught.value)


def silent(error: ModelUnavailable) -> bool:
    """Neither the error nor its causes tell the key, the prompt or what came back."""
    told = ""
    cause: BaseException | None = error
    while cause is not None:
        told += f"{cause!s}{cause!r}"
        cause = cause.__cause__
    return not any(secret in told for secret in (KEY, SECRET, "502 but", "eagle"))


async def test_no_usage_counts_as_nothing() -> None:
    async with endpoint(good(usage=None)) as served, chat(served) as adapter:
        assert (await adapter.complete(request())).usage.input_tokens == 0


async def test_a_text_cut_off_says_so() -> None:
    async with endpoint(good(choice={"finish_reason": "length"})) as served, chat(served) as adapter:
        assert (await adapter.complete(request())).finish == "length"


@pytest.mark.parametrize(
    "choice",
    [{"finish_reason": "content_filter"}, {"message": {"role": "assistant", "content": None, "refusal": "I will not"}}],
)
async def test_a_filtered_answer_is_none(choice: dict[str, Any]) -> None:
    async with endpoint(good(choice=choice)) as served, chat(served) as adapter:
        with pytest.raises(ModelFiltered):
            await adapter.complete(request())


async def test_a_compressed_reply_is_not_unpacked() -> None:
    async with endpoint(raw(b"\x1f\x8b", "200 OK", "Content-Encoding: gzip")) as served, chat(served) as adapter:
        with pytest.raises(ModelUnreadable):
            await adapter.complete(request())


# -- What fails ------------------------------------------------------------------------------------------------------

BROKEN = raw(b"{}", "500 Internal Server Error")


@pytest.mark.parametrize("failure", [BROKEN, raw(b"", "503 Service Unavailable"), drop], ids=["500", "503", "drop"])
async def test_a_passing_failure_is_repeated(failure: Behaviour) -> None:
    async with endpoint(failure, failure, good()) as served, chat(served) as adapter:
        assert (await adapter.complete(request())).text
    assert len(served.bodies) == 3


async def test_a_reply_that_breaks_off_is_repeated() -> None:
    body = json.dumps(reply()).encode()
    async with endpoint(raw(body[:30], length=len(body)), good()) as served, chat(served) as adapter:
        assert (await adapter.complete(request())).text


async def test_a_lasting_failure_ends() -> None:
    async with endpoint(BROKEN) as served, chat(served) as adapter:
        with pytest.raises(ModelUnavailable) as caught:
            await adapter.complete(request())
    assert len(served.bodies) == QUICK.attempts
    assert silent(caught.value)
    assert "500" in str(caught.value)


async def test_retry_after_is_honoured() -> None:
    busy = raw(b"{}", "429 Too Many Requests", "Retry-After: 1")
    async with endpoint(busy, good()) as served, chat(served) as adapter:
        started = time.monotonic()
        assert (await adapter.complete(request())).text
    assert 1.0 <= time.monotonic() - started < 20.0
    assert len(served.bodies) == 2


async def test_retry_after_the_deadline_is_not_waited_for() -> None:
    busy = raw(b"{}", "429 Too Many Requests", "Retry-After: 3600")
    async with endpoint(busy) as served, chat(served) as adapter:
        started = time.monotonic()
        with pytest.raises(ModelBusy):
            await adapter.complete(request())
    assert time.monotonic() - started < 20.0
    assert len(served.bodies) == 1


@pytest.mark.parametrize("status", ["401 Unauthorized", "403 Forbidden", "404 Not Found", "302 Found", "418 Teapot"])
async def test_a_refusal_is_not_repeated(status: str) -> None:
    other = raw(KEY.encode(), status, "Location: http://127.0.0.1:9/elsewhere")
    async with endpoint(other) as served, chat(served) as adapter:
        with pytest.raises(ModelRejected) as caught:
            await adapter.complete(request())
    assert len(served.bodies) == 1
    assert silent(caught.value)


SHORT = Limits(connect=0.2, total=0.4, attempts=3, first_wait=0.01, reply_bytes=1_000_000)


@pytest.mark.parametrize("behaviour", [hang, drip], ids=["hang", "drip"])
async def test_time_is_bounded_whatever_comes(behaviour: Behaviour) -> None:
    async with endpoint(behaviour) as served, chat(served, SHORT) as adapter:
        started = time.monotonic()
        with pytest.raises(ModelTimeout):
            await adapter.complete(request())
        assert time.monotonic() - started < 20.0
        async with asyncio.timeout(20):
            await served.gone.wait()


async def test_size_is_bounded_whatever_comes() -> None:
    async with endpoint(endless) as served, chat(served) as adapter:
        with pytest.raises(ModelUnreadable):
            await adapter.complete(request())


async def test_cancelling_closes_the_request() -> None:
    async with endpoint(hang) as served, chat(served) as adapter:
        call = asyncio.create_task(adapter.complete(request()))
        await served.asked.wait()
        call.cancel()
        with pytest.raises(asyncio.CancelledError):
            await call
        async with asyncio.timeout(20):
            await served.gone.wait()
        served.behaviours = [good()]
        assert (await adapter.complete(request())).text, "the pool must have got its connection back"


async def test_nobody_listens() -> None:
    async with endpoint(good()) as served:
        pass
    async with chat(served) as adapter:
        with pytest.raises(ModelUnavailable) as caught:
            await adapter.complete(request())
    assert served.url in str(caught.value)


async def test_an_endpoint_that_is_down_is_left_alone_for_a_while() -> None:
    now = [0.0]
    circuit = Circuit(failures=2, rest=10, clock=lambda: now[0])
    async with endpoint(BROKEN) as served, chat(served, Limits(attempts=1), circuit=circuit) as adapter:
        for _ in range(5):
            with pytest.raises(ModelUnavailable):
                await adapter.complete(request())
        assert len(served.bodies) == 2
        now[0] = 11.0
        served.behaviours = [good()]
        for _ in range(3):
            await adapter.complete(request())
        assert len(served.bodies) == 5


async def test_an_endpoint_that_refuses_is_not_down() -> None:
    circuit = Circuit(failures=1, rest=1000)
    async with endpoint(raw(b"x"), good()) as served, chat(served, circuit=circuit) as adapter:
        with pytest.raises(ModelUnreadable):
            await adapter.complete(request())
        assert (await adapter.complete(request())).text


# -- Addresses and keys ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "url",
    ["", "localhost:8080/v1", "ftp://127.0.0.1/v1", "http://", "http://me:secret@127.0.0.1/v1", "http://h/v1?key=1"],
)
def test_an_address_that_cannot_be_used(url: str) -> None:
    with pytest.raises(SettingsError) as caught:
        OpenAIChat("m", url=url)
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize("key", ["a\nb", "schlüssel", " sk-1"])
def test_a_key_that_no_header_can_carry(key: str) -> None:
    with pytest.raises(SettingsError) as caught:
        OpenAIChat("m", url="http://127.0.0.1:1/v1", key=key)
    assert key not in str(caught.value)


def test_a_model_without_a_name() -> None:
    with pytest.raises(SettingsError):
        OpenAIChat(" ", url="http://127.0.0.1:1/v1")


@pytest.mark.parametrize("value", ["1", "1/2/3", "a/b", "-1/2", "NaN/1", "Infinity/1"])
def test_a_price_that_is_none(value: str) -> None:
    with pytest.raises(SettingsError):
        price(value)
