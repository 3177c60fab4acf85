"""rewrite: the question as it stands alone, and what to search for it in this attempt."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from langchain_core.messages import AnyMessage
from langchain_core.runnables import RunnableConfig
from langgraph.runtime import Runtime

from fiel.nodes.base import State, Update, text_of
from fiel.nodes.follow_up import stand_alone
from fiel.nodes.generate import added
from fiel.nodes.prompts import Prompts
from fiel.tools.chat import Chat, ChatRequest, Turn, Usage
from fiel.tools.text import content, names, numbers

TURNS = 6
"""Messages of the conversation that a follow-up may lean on."""
LONGEST = 400
"""A rewritten question over so many characters is not one; the question itself is used instead."""


@dataclass(frozen=True, slots=True)
class Rewrite:
    """First attempt: the question itself, made to stand alone. Later ones: another wording, where a model writes one.

    Without a model that writes there is no better wording, so a second attempt would only find the same again:
    `queries` stays empty and the run abstains.
    """

    chat: Callable[[str], Chat]
    prompts: Callable[[str], Prompts]

    async def __call__(self, state: State, runtime: Runtime[Any], config: RunnableConfig) -> Update:
        if state["attempt"] >= runtime.context.attempts:
            return {"queries": []}
        chat = self.chat(runtime.context.chat)
        earlier = history(state)
        if not chat.writes:
            alone = stand_alone(state["question"], [text for _, text in earlier])
            return {"standalone": alone, "queries": [] if state["attempt"] else [alone]}
        if not earlier and not state["attempt"]:
            return {"standalone": state["question"], "queries": [state["question"]]}
        return await self._written(chat, state, runtime, earlier)

    async def _written(self, chat: Chat, state: State, runtime: Runtime[Any], earlier: list[tuple[str, str]]) -> Update:
        again = state["attempt"] > 0
        lines = list(earlier)
        if again:
            lines.append(("assistant", f"(a search for «{state['queries'][0]}» did not find the answer)"))
        prompt = self.prompts(runtime.context.prompt).rewrite(state["question"], lines, state["language"])
        completion = await chat.complete(
            ChatRequest((Turn("system", prompt.system), Turn("user", prompt.user)), max_tokens=128)
        )
        usage: Usage = completion.usage
        text = completion.text.strip()
        known = [state["question"], *(line for _, line in earlier)]
        good = bool(text) and len(text) <= LONGEST and "\n" not in text and not invents(text, known)
        if again:
            tried = set(state["queries"])
            queries = [text, state["standalone"]] if good and text not in tried else []
            return {"queries": queries, "usage": added(state["usage"], usage)}
        alone = text if good else stand_alone(state["question"], [line for _, line in earlier])
        queries = list(dict.fromkeys((alone, state["question"])))
        return {"standalone": alone, "queries": queries, "usage": added(state["usage"], usage)}


def invents(text: str, known: Sequence[str]) -> bool:
    """Whether a wording brings a name or a number that nobody has said.

    Such a wording is an answer in disguise: it stands in state and would be seen before anything has checked it.
    """
    said_names = {name.value for one in known for name in names(one)} | {form for one in known for form in content(one)}
    said_numbers = {number.value for one in known for number in numbers(one)}
    new_names = {name.value for name in names(text) if not name.initial} - said_names
    return bool(new_names) or any(number.value not in said_numbers for number in numbers(text))


def history(state: State) -> list[tuple[str, str]]:
    """Role and text of the turns before this question, oldest first, without what was refused or withheld.

    A question that was refused is forgotten with its refusal: what a guard kept out does not come back as history.
    """
    messages: list[AnyMessage] = list(state.get("messages") or [])[:-1]
    turns: list[tuple[str, str]] = []
    for message, following in zip(messages, [*messages[1:], None], strict=False):
        text = text_of(message)
        if not text or _outcome(following) == "refused":
            continue
        if message.type == "human":
            turns.append(("user", text))
        elif message.type == "ai" and _outcome(message) in (None, "answered"):
            turns.append(("assistant", text))
    return turns[-TURNS:]


def _outcome(message: AnyMessage | None) -> str | None:
    return message.response_metadata.get("outcome") if message is not None else None
