"""A chat graph as another project writes it: progress, an interrupt, an answer word by word with its sources.

What it does is told by words of the question: `approve` asks a person first, `hold:NAME` stops in the middle of the
answer until there is a file NAME in the folder CHAT_HOLD.
"""

import asyncio
import os
import re
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Annotated, Any

from langchain_core.callbacks import AsyncCallbackManagerForLLMRun
from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, AIMessageChunk, AnyMessage, BaseMessage
from langchain_core.outputs import ChatGeneration, ChatGenerationChunk, ChatResult
from langgraph.config import get_stream_writer
from langgraph.graph import START, StateGraph
from langgraph.graph.message import add_messages
from langgraph.types import interrupt
from typing_extensions import TypedDict

SOURCE = {"marker": 1, "uri": "contract.md", "quote": "The contract ends in May."}


class Chat(TypedDict, total=False):
    """What was said, and where the answer comes from."""

    messages: Annotated[list[AnyMessage], add_messages]
    citations: list[dict[str, Any]]


async def held(question: str) -> None:
    """Return when the file is there that the question names; at once where it names none."""
    if match := re.search(r"hold:([\w-]+)", question):
        file = Path(os.environ["CHAT_HOLD"]) / match[1]
        for _ in range(600):
            if file.exists():
                return
            await asyncio.sleep(0.05)


class Words(BaseChatModel):
    """Answers with the question's own words and a sentence of the source, one word at a time."""

    @property
    def _llm_type(self) -> str:
        return "words"

    def _generate(self, messages: list[BaseMessage], *args: Any, **kwargs: Any) -> ChatResult:
        return ChatResult(generations=[ChatGeneration(message=AIMessage(_answer(messages)))])

    async def _astream(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: AsyncCallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> AsyncIterator[ChatGenerationChunk]:
        for number, word in enumerate(re.findall(r"\S+\s*", _answer(messages))):
            if number == 3:
                await held(str(messages[-1].content))
            await asyncio.sleep(0.02)
            chunk = ChatGenerationChunk(message=AIMessageChunk(word))
            if run_manager:
                await run_manager.on_llm_new_token(word, chunk=chunk)
            yield chunk


def _answer(messages: list[BaseMessage]) -> str:
    asked = sum(message.type == "human" for message in messages)
    return f"Answer {asked} to “{messages[-1].content}”: {SOURCE['quote']} [1]"


async def search(state: Chat) -> Chat:
    """Tells of its progress as fiel's own graph does."""
    write = get_stream_writer()
    write({"type": "progress", "hop": "search", "status": "started"})
    await asyncio.sleep(0.05)
    write({"type": "progress", "hop": "search", "status": "done", "found": {"passages": 1}})
    return {"citations": []}


async def review(state: Chat) -> Chat:
    """Asks a person whether to answer."""
    if "approve" in str(state["messages"][-1].content):
        decision = interrupt({"question": "May this be answered?", "options": ["yes", "no"]})
        if decision != "yes":
            return {"messages": [AIMessage("A person said no.")]}
    return {}


async def answer(state: Chat) -> Chat:
    """The answer and its source; nothing where a person has said no."""
    if state["messages"][-1].type == "ai":
        return {}
    return {"messages": [await Words().ainvoke(state["messages"])], "citations": [SOURCE]}


builder: StateGraph[Any] = StateGraph(Chat)
for hop in (search, review, answer):
    builder.add_node(hop.__name__, hop)
builder.add_edge(START, "search").add_edge("search", "review").add_edge("review", "answer")
chat = builder.compile()
