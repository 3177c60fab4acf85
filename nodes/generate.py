"""generate: drafts an answer whose every sentence cites. The draft goes into the vault; state gets its digest."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from langchain_core.runnables import RunnableConfig
from langgraph.runtime import Runtime

from fiel.nodes.base import State, Update
from fiel.nodes.cite import cited
from fiel.nodes.names import thread_of
from fiel.nodes.prompts import Prompts
from fiel.nodes.spending import TOO_COSTLY, added, counted, within
from fiel.nodes.turns import mark_of
from fiel.nodes.windows import WINDOW, going_on, shown, window_of
from fiel.tools.canonical import digest_trusted
from fiel.tools.chat import Chat, ChatRequest, Completion, DraftSentence, Turn
from fiel.tools.errors import StreamLost
from fiel.tools.record import Callers, Recorder
from fiel.tools.vault import Vault

NO_ANSWER = "NO_ANSWER"
"""What the prompt tells a model to say where the passages do not answer."""

SHARE = 8
"""A window of an answer has at least this part of what was written before it. Each window is checked with all that was
shown before, so that windows of one size would make the work on an answer grow with the square of its length."""


@dataclass(frozen=True, slots=True)
class Generate:
    """Asks the chat model that the options name."""

    callers: Callers
    chat: Callable[[str], Chat]
    prompts: Callable[[str], Prompts]
    recorder: Recorder
    vault: Vault

    async def __call__(self, state: State, runtime: Runtime[Any], config: RunnableConfig) -> Update:
        run = self.recorder.run_of(runtime, config)
        options = runtime.context
        prompt = self.prompts(options.prompt).answer(
            state["standalone"], state["passages"], state["language"], mark_of(state, run)
        )
        request = ChatRequest(
            turns=(Turn("system", prompt.system), Turn("user", prompt.user)),
            question=state["standalone"],
            passages=state["passages"],
            language=state["language"],
        )
        chat = self.chat(options.chat)
        if chat.writes and not going_on(state):
            fitting = within(request, options, state)
            if fitting is None:
                # No attempt is left: a further one would cost no less.
                return {"attempt": options.attempts, "draft": "", "judgement": {}, "reason": TOO_COSTLY}
            request = fitting
        if options.release == WINDOW:
            return await self._window(state, run, chat, request, self._stream(run, runtime, config, request), options)
        completion = await chat.complete(request)
        update: Update = {"attempt": state["attempt"] + 1, "usage": _spent(completion, request, options, state)}
        sentences = _sentences(completion, state)
        if not sentences:
            return {**update, "draft": "", "judgement": {}, "reason": "no_answer_in_passages"}
        return {**update, "draft": await self.vault.put(run, {"sentences": [as_plain(one) for one in sentences]})}

    def _stream(self, run: str, runtime: Runtime[Any], config: RunnableConfig, request: ChatRequest) -> str:
        """The name under which this answer is written: a run that resumes another on its thread finds it again.

        Who calls comes from authentication and the prompt from the state, so nobody finds another's answer by it.
        """
        who, thread = self.callers.principal(config), thread_of(runtime) or run
        return digest_trusted([who.tenant, who.id, thread, *(turn.content for turn in request.turns)])

    async def _window(
        self, state: State, run: str, chat: Chat, request: ChatRequest, stream: str, options: Any
    ) -> Update:
        """The next sentences of the answer, behind those of it that wait still."""
        window = window_of(state)
        waiting: list[Any] = []
        if going_on(state) and window["waits"]:
            content = await self.vault.get(run, window["waits"])
            waiting = list(content["sentences"]) if content else []
        # A run that began under a version that kept no `written` goes on as if its answer had just begun.
        number, written = (window["next"], window.get("written", 0)) if going_on(state) else (0, 0)
        try:
            taken = await self._taken(state, chat, request, stream, number, written // SHARE)
        except StreamLost:
            if shown(state) or not number:
                raise
            waiting, written = [], 0  # nobody has seen any of it, so it may be written anew
            taken = await self._taken(state, chat, request, stream, 0, 0)
        update: Update = {"attempt": state["attempt"] + (0 if going_on(state) else 1)}
        if taken.completion is not None:
            update["usage"] = _spent(taken.completion, request, options, state)
        left = {"next": taken.next, "more": taken.completion is None, "shown": shown(state)}
        left |= {"written": written + len(taken.text)}
        left |= {name: window.get(name, blank) for name, blank in _KEPT.items()}
        drafted = [*waiting, *(as_plain(one) for one in taken.sentences)]
        if NO_ANSWER in taken.text + taken.ahead or not (drafted or shown(state)):
            left |= {"more": False, "waits": ""}
            return {**update, "draft": "", "judgement": {}, "reason": "no_answer_in_passages", WINDOW: left}
        draft = await self.vault.put(run, {"sentences": drafted, "ahead": taken.ahead})
        return {**update, "draft": draft, "reason": "", WINDOW: {**left, "waits": draft}}

    async def _taken(
        self, state: State, chat: Chat, request: ChatRequest, stream: str, number: int, least: int
    ) -> "_Taken":
        """The next stretches, from that `number` on, until they have a sentence and `least` characters."""
        sentences: tuple[DraftSentence, ...] = ()
        text = ""
        while True:
            stretch = await chat.stretch(request, stream, number)
            number += 1
            text += stretch.text
            completion = stretch.completion
            if completion is not None and completion.sentences is not None:
                return _Taken(completion.sentences, text, stretch.ahead, completion, number)
            found = cited(stretch.text, state["passages"], state["language"], cut=False)
            if completion is not None and completion.finish == "length":
                found = found[:-1] if len(found) > 1 or number > 1 else found
            sentences += found
            if completion is not None or (sentences and len(text) >= least):
                return _Taken(sentences, text, stretch.ahead, completion, number)


class _Taken(NamedTuple):
    """What was taken at once of an answer that is being written."""

    sentences: tuple[DraftSentence, ...]
    text: str
    ahead: str
    """What was written already behind it, in sight of the checks."""
    completion: Completion | None
    """The whole answer, where this was its end."""
    next: int
    """Number of the stretch after it."""


_KEPT: Mapping[str, Any] = {"run": "", "from": 0, "labels": [], "scores": [], "answered": ""}
"""What of the channel `window` this hop leaves as it was."""


def _sentences(completion: Completion, state: State) -> tuple[DraftSentence, ...]:
    if completion.sentences is not None:
        return completion.sentences
    if NO_ANSWER in completion.text:
        return ()
    cut = completion.finish == "length"
    return cited(completion.text, state["passages"], state["language"], cut=cut)


def _spent(completion: Completion, request: ChatRequest, options: Any, state: State) -> dict[str, Any]:
    """Usage of the run with that of this answer."""
    return added(state["usage"], counted(completion.usage, request, options, state))


def as_plain(sentence: DraftSentence) -> dict[str, Any]:
    """A sentence of a draft as canonical data."""
    return {
        "text": sentence.text,
        "quotes": [{"passage": quote.passage, "start": quote.start, "end": quote.end} for quote in sentence.quotes],
    }
