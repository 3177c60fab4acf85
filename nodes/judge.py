"""judge: is each sentence of the draft carried by what it quotes, and is the question answered?"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from langchain_core.runnables import RunnableConfig
from langgraph.runtime import Runtime

from fiel.nodes.base import State, Update
from fiel.nodes.spending import added
from fiel.nodes.windows import shown, window_of
from fiel.tools.canonical import content_digest_trusted, score
from fiel.tools.chat import DraftSentence, Quote
from fiel.tools.errors import NotProven
from fiel.tools.judge import Judge as JudgePort
from fiel.tools.judge import Judgement
from fiel.tools.record import Recorder
from fiel.tools.search import Passage
from fiel.tools.vault import Vault


@dataclass(frozen=True, slots=True)
class Judge:
    """Judges the draft in the vault. State gets labels, scores and digests, never a sentence."""

    judge: JudgePort
    recorder: Recorder
    vault: Vault

    async def __call__(self, state: State, runtime: Runtime[Any], config: RunnableConfig) -> Update:
        run = self.recorder.run_of(runtime, config)
        content = await self.vault.get(run, state["draft"])
        if content is None:
            raise NotProven("the draft is not in the vault", where="judge")
        sentences = [_sentence(one, state["passages"]) for one in content["sentences"]]
        if not sentences and shown(state):  # the answer ended with the window before this one
            judgement = Judgement((), 1.0)
            reason = ""
        else:
            judgement = await self.judge.judge(
                state["standalone"], sentences, state["passages"], language=state["language"]
            )
            reason = shortfall(sentences, judgement, self.judge.threshold(state["language"]))
        if reason == "not_answered" and shown(state):
            reason = ""  # the windows before it have answered; this one adds to them
        return {
            "judgement": {
                **({"shown": shown(state)} if window_of(state) else {}),
                "draft": state["draft"],
                "question": content_digest_trusted(state["standalone"]),
                "passages": content_digest_trusted(state["passages"]),
                "labels": [one.label for one in judgement.sentences],
                "scores": [score(one.score) for one in judgement.sentences],
                "answered": score(judgement.answered),
                "satisfied": not reason,
            },
            "reason": reason,
            "usage": added(state["usage"], judgement.usage),
        }


def shortfall(draft: Sequence[DraftSentence], judgement: Judgement, threshold: float) -> str:
    """Reason why the draft may not be released; empty where it may.

    Whatever the judge says, a sentence that cites nothing is unsupported, and so is one that was not judged.
    """
    labels = {one.label for one in judgement.sentences}
    if len(judgement.sentences) != len(draft) or not all(sentence.quotes for sentence in draft):
        return "unsupported"
    if "contradicted" in labels:
        return "contradicted"
    if labels != {"supported"}:
        return "unsupported"
    return "" if judgement.answered >= threshold else "not_answered"


def _sentence(plain: Mapping[str, Any], passages: Sequence[Passage]) -> DraftSentence:
    """A sentence of the draft; one of whose quotes lies anywhere but in the passages quotes nothing."""
    quotes = tuple(Quote(one["passage"], one["start"], one["end"]) for one in plain["quotes"])
    return DraftSentence(plain["text"], quotes if all(_lies_in(quote, passages) for quote in quotes) else ())


def _lies_in(quote: Quote, passages: Sequence[Passage]) -> bool:
    """Whether a quote is a stretch of a passage. Python would take a negative offset, or one beyond the end, too."""
    if not all(type(number) is int for number in (quote.passage, quote.start, quote.end)):
        return False
    if not 0 <= quote.passage < len(passages):
        return False
    return 0 <= quote.start < quote.end <= len(passages[quote.passage]["text"])
