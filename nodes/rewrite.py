"""rewrite: the question as it stands alone, and what to search for it in this attempt."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from langchain_core.runnables import RunnableConfig
from langgraph.runtime import Runtime

from fiel.nodes.base import State, Update, bundle_of
from fiel.nodes.follow_up import stand_alone
from fiel.nodes.prompts import Prompts
from fiel.nodes.spending import added, counted, within
from fiel.nodes.turns import mark_of
from fiel.nodes.windows import WINDOW, shown, window_of
from fiel.policies.types import HELD, Policies, Stage
from fiel.tools.chat import Chat, ChatRequest, Turn
from fiel.tools.record import Recorder
from fiel.tools.text import content, names, numbers

STAGES: tuple[Stage, ...] = ("input", "output")
LONGEST = 400
"""A rewritten question over so many characters is not one; the question itself is used instead."""


@dataclass(frozen=True, slots=True)
class Rewrite:
    """First attempt: the question itself, made to stand alone. Later ones: another wording, where a model writes one.

    Without a model that writes there is no better wording, so a second attempt would only find the same again:
    `queries` stays empty and the run abstains.
    """

    chat: Callable[[str], Chat]
    policies: Policies
    prompts: Callable[[str], Prompts]
    recorder: Recorder

    async def __call__(self, state: State, runtime: Runtime[Any], config: RunnableConfig) -> Update:
        update = await self._reworded(state, runtime, config)
        if window_of(state) and not shown(state):
            update[WINDOW] = {}  # another attempt is another answer
        return update

    async def _reworded(self, state: State, runtime: Runtime[Any], config: RunnableConfig) -> Update:
        if state["attempt"] >= runtime.context.attempts or shown(state):
            return {"queries": []}  # of an answer that has begun to be shown there is no other wording
        chat = self.chat(runtime.context.chat)
        earlier = history(state)
        if not chat.writes:
            alone = stand_alone(state["question"], [text for _, text in earlier])
            return {"standalone": alone, "queries": [] if state["attempt"] else [alone]}
        if not earlier and not state["attempt"]:
            return {"standalone": state["question"], "queries": [state["question"]]}
        mark = mark_of(state, self.recorder.run_of(runtime, config))
        return await self._written(chat, state, runtime, earlier, mark)

    async def _written(
        self, chat: Chat, state: State, runtime: Runtime[Any], earlier: list[tuple[str, str]], mark: str
    ) -> Update:
        again = state["attempt"] > 0
        lines = list(earlier)
        if again:
            lines.append(("assistant", f"(a search for «{state['queries'][0]}» did not find the answer)"))
        prompt = self.prompts(runtime.context.prompt).rewrite(state["question"], lines, state["language"], mark)
        turns = (Turn("system", prompt.system), Turn("user", prompt.user))
        request = within(ChatRequest(turns, max_tokens=128), runtime.context, state)
        if request is None:  # no model is asked: a follow-up gets its names from the conversation
            alone = stand_alone(state["question"], [line for _, line in earlier])
            return {"queries": []} if again else {"standalone": alone, "queries": [alone]}
        completion = await chat.complete(request)
        usage = counted(completion.usage, request, runtime.context, state)
        known = [state["question"], *(line for _, line in earlier)]
        secret = {"prompt": self.prompts(runtime.context.prompt).secret, "canary": mark}
        text = await self._passed(completion.text.strip(), known, state, secret)
        if again:
            tried = set(state["queries"])
            queries = [text, state["standalone"]] if text and text not in tried else []
            return {"queries": queries, "usage": added(state["usage"], usage)}
        alone = text or stand_alone(state["question"], [line for _, line in earlier])
        queries = list(dict.fromkeys((alone, state["question"])))
        return {"standalone": alone, "queries": queries, "usage": added(state["usage"], usage)}

    async def _passed(self, text: str, known: Sequence[str], state: State, secret: Mapping[str, str]) -> str:
        """The wording as it may go on; empty where it may not.

        It goes where a question goes, so it passes what a question passes; a model wrote it and the caller sees it, so
        it passes what an answer passes as well.
        """
        if not _worded(text, known):
            return ""
        bundle = bundle_of(self.policies, state)
        facts = {"question": state["question"], "language": state["language"], **secret}
        for stage in STAGES:
            decision = await self.policies.check(bundle, stage, [text], facts)
            if decision.action in HELD or decision.placeholders:
                return ""  # a value that it would replace is one that nobody has said
            text = decision.parts[0]
        return text


def _worded(text: str, known: Sequence[str]) -> bool:
    """Whether a model has written one question and nothing else."""
    return 0 < len(text) <= LONGEST and len(text.splitlines()) == 1 and not invents(text, known)


def invents(text: str, known: Sequence[str]) -> bool:
    """Whether a wording brings a name or a number that nobody has said.

    Such a wording is an answer in disguise: it stands in state and would be seen before anything has checked it. The
    first word of a sentence has its capital whatever it is, so it counts too, but in any form that was said.
    """
    said_names = {name.value for one in known for name in names(one)} | {form for one in known for form in content(one)}
    said_numbers = {number.value for one in known for number in numbers(one)}
    for name in names(text):
        forms = content(text[name.start : name.end])
        if name.value not in said_names and not (name.initial and forms and forms <= said_names):
            return True
    return any(number.value not in said_numbers for number in numbers(text))


def history(state: State) -> list[tuple[str, str]]:
    """Role and text of what `guard_input` found fit to lean on, oldest first."""
    return [(one["role"], one["text"]) for one in state.get("history") or []]
