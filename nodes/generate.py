"""generate: drafts an answer whose every sentence cites. The draft goes into the vault; state gets its digest."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from langchain_core.runnables import RunnableConfig
from langgraph.runtime import Runtime

from fiel.nodes.base import State, Update
from fiel.nodes.cite import cited
from fiel.nodes.prompts import Prompts
from fiel.tools.chat import Chat, ChatRequest, Completion, DraftSentence, Turn, Usage
from fiel.tools.record import Recorder
from fiel.tools.vault import Vault

NO_ANSWER = "NO_ANSWER"
"""What the prompt tells a model to say where the passages do not answer."""


@dataclass(frozen=True, slots=True)
class Generate:
    """Asks the chat model that the options name."""

    chat: Callable[[str], Chat]
    prompts: Callable[[str], Prompts]
    recorder: Recorder
    vault: Vault

    async def __call__(self, state: State, runtime: Runtime[Any], config: RunnableConfig) -> Update:
        run = self.recorder.run_of(runtime, config)
        options = runtime.context
        prompt = self.prompts(options.prompt).answer(state["standalone"], state["passages"], state["language"])
        completion = await self.chat(options.chat).complete(
            ChatRequest(
                turns=(Turn("system", prompt.system), Turn("user", prompt.user)),
                question=state["standalone"],
                passages=state["passages"],
                language=state["language"],
            )
        )
        update: Update = {"attempt": state["attempt"] + 1, "usage": added(state["usage"], completion.usage)}
        sentences = self._sentences(completion, state)
        if not sentences:
            return {**update, "draft": "", "judgement": {}, "reason": "no_answer_in_passages"}
        return {**update, "draft": await self.vault.put(run, {"sentences": [as_plain(one) for one in sentences]})}

    @staticmethod
    def _sentences(completion: Completion, state: State) -> tuple[DraftSentence, ...]:
        if completion.sentences is not None:
            return completion.sentences
        if NO_ANSWER in completion.text:
            return ()
        cut = completion.finish == "length"
        return cited(completion.text, state["passages"], state["language"], cut=cut)


def added(usage: Mapping[str, Any], more: Usage) -> dict[str, Any]:
    """Usage of a run so far and that of one more call."""
    from decimal import Decimal

    return {
        "input_tokens": usage["input_tokens"] + more.input_tokens,
        "output_tokens": usage["output_tokens"] + more.output_tokens,
        "cost": str(Decimal(usage["cost"]) + Decimal(more.cost)),
    }


def as_plain(sentence: DraftSentence) -> dict[str, Any]:
    """A sentence of a draft as canonical data."""
    return {
        "text": sentence.text,
        "quotes": [{"passage": quote.passage, "start": quote.start, "end": quote.end} for quote in sentence.quotes],
    }
