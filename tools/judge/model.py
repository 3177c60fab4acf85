"""A judge that asks a language model, with constrained output, and believes nothing that it cannot read.

Where the model gives probabilities, each sentence is asked about alone, and P(yes) / (P(yes) + P(no)) of the first
token is compared with a threshold that `fiel.infra.evaluation.calibrate_judge` chose on labelled pairs, because small
models say yes far too often. Without probabilities, labels alone count, read by a JSON schema. With an evidence judge
beside it (numbers, names, cross-encoder), a sentence is supported only if both say so.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

import orjson

from fiel.tools.chat import Chat, ChatRequest, Completion, DraftSentence, Usage
from fiel.tools.chat.together import together
from fiel.tools.chat.yes import p_yes
from fiel.tools.errors import ModelUnreadable
from fiel.tools.judge import Judge, Judgement, Label, SentenceJudgement
from fiel.tools.judge.prompts import Prompts
from fiel.tools.search import Passage, shown_headings, shown_text

LABELS: tuple[Label, ...] = ("supported", "contradicted", "unsupported")
BAR = 0.5
"""What both judges' own thresholds are mapped to, so that one number can speak for both."""


@dataclass(frozen=True, slots=True)
class Thresholds:
    """Least P(yes) that counts as yes. The defaults are for a large model; calibrate for a small one."""

    supported: float = 0.8
    answered: float = 0.5

    def __post_init__(self) -> None:
        if not (0 < self.supported < 1 and 0 < self.answered < 1):
            raise ValueError("a threshold lies between 0 and 1")


class ModelJudge:
    """Judges with `chat`, and with `evidence` where given."""

    def __init__(
        self, chat: Chat, *, evidence: Judge | None = None, thresholds: Thresholds | None = None, at_once: int = 4
    ) -> None:
        """`at_once`: questions to the model that run side by side for one draft.

        With `thresholds` the model must give probabilities. Without, what it gives at first decides for good: a judge
        that could be brought to drop its probabilities later would be a weaker one.
        """
        self._chat = chat
        self._evidence = evidence
        self._thresholds = thresholds or Thresholds()
        self._at_once = at_once
        self._prompts = Prompts()
        self._probabilities: bool | None = True if thresholds else None

    @property
    def version(self) -> str:
        own = self._thresholds
        parts = [f"model:{self._chat.version}:{self._prompts.version}:{own.supported:g}:{own.answered:g}"]
        return "+".join(parts + ([self._evidence.version] if self._evidence else []))

    def threshold(self, language: str) -> float:
        return BAR

    async def judge(
        self, question: str, draft: Sequence[DraftSentence], passages: Sequence[Passage], *, language: str
    ) -> Judgement:
        """Judge. A sentence that quotes nothing is unsupported without being asked about."""
        if not draft:
            return Judgement((), 0.0)
        sources = [_source(sentence, passages) for sentence in draft]
        asked = [index for index, source in enumerate(sources) if source]
        mine = None if self._probabilities is False else await self._by_probability(question, draft, sources, asked)
        if mine is None:
            mine = await self._by_label(question, draft, sources, asked)
        if self._evidence is None:
            return mine
        theirs = await self._evidence.judge(question, draft, passages, language=language)
        return _both(mine, theirs, self._evidence.threshold(language))

    async def aclose(self) -> None:
        """Close what the model holds, where it holds anything."""
        held = getattr(self._chat, "aclose", None)
        if held is not None:
            await held()

    async def probability(self, name: str, **values: str) -> tuple[float | None, Usage]:
        """P(yes) for a yes-or-no prompt; None where the model gives no probabilities. Unreadable counts as no."""
        turns = self._prompts.turns(name, **values)
        completion = await self._chat.complete(ChatRequest(turns, max_tokens=1, logprobs=True))
        if not completion.first_token:
            return None, completion.usage
        return p_yes(completion.first_token) or 0.0, completion.usage

    async def support(self, source: str, statement: str) -> float | None:
        """P(yes) that `source` says `statement`."""
        return (await self.probability("support", source=source, statement=statement))[0]

    async def answers(self, question: str, answer: str) -> float | None:
        """P(yes) that `answer` answers `question`."""
        return (await self.probability("answers", question=question, answer=answer))[0]

    async def _by_probability(
        self, question: str, draft: Sequence[DraftSentence], sources: Sequence[str], asked: Sequence[int]
    ) -> Judgement | None:
        whole = " ".join(sentence.text for sentence in draft)
        first, used = await self.probability("answers", question=question, answer=whole)
        if first is None and not self._probabilities:
            self._probabilities = False
            return None
        self._probabilities = True
        answers = await together(
            [self.probability("support", source=sources[index], statement=draft[index].text) for index in asked],
            self._at_once,
        )
        usage = _total([used, *(one for _, one in answers)])
        if first is None or any(found is None for found, _ in answers):
            raise ModelUnreadable("the judge's model gives no probabilities", hint="Unset FIEL_JUDGE_THRESHOLDS")
        given = {index: found or 0.0 for index, (found, _) in zip(asked, answers, strict=True)}
        scores = [given.get(index, 0.0) for index in range(len(draft))]
        labels, more = await self._labelled(question, draft, sources, scores)
        sentences = tuple(map(SentenceJudgement, labels, scores))
        return Judgement(sentences, at_bar(first, self._thresholds.answered), _total([usage, more]))

    async def _labelled(
        self, question: str, draft: Sequence[DraftSentence], sources: Sequence[str], scores: Sequence[float]
    ) -> tuple[list[Label], Usage]:
        """Labels by score; where one fell below, the model is asked once whether that is a contradiction."""
        labels: list[Label] = ["supported" if p >= self._thresholds.supported else "unsupported" for p in scores]
        doubtful = [index for index, label in enumerate(labels) if label != "supported" and sources[index]]
        if not doubtful:
            return labels, Usage()
        try:
            told = await self._by_label(question, draft, sources, doubtful)
        except ModelUnreadable:
            return labels, Usage()
        for index in doubtful:
            if told.sentences[index].label == "contradicted":
                labels[index] = "contradicted"
        return labels, told.usage

    async def _by_label(
        self, question: str, draft: Sequence[DraftSentence], sources: Sequence[str], asked: Sequence[int]
    ) -> Judgement:
        if not asked:
            return Judgement(tuple(SentenceJudgement("unsupported", 0.0) for _ in draft), 0.0)
        numbered = [
            f"Sentence {number}: {draft[index].text}\nSource {number}: {sources[index]}"
            for number, index in enumerate(asked, start=1)
        ]
        turns = self._prompts.turns("labels", question=question, sentences="\n\n".join(numbered))
        request = ChatRequest(turns, schema=_schema(len(asked)), max_tokens=64 + 24 * len(asked))
        completion = await self._chat.complete(request)
        labels, answered = _read(completion, len(asked))
        told = dict(zip(asked, labels, strict=True))
        sentences = [told.get(index, "unsupported") for index in range(len(draft))]
        return Judgement(
            tuple(SentenceJudgement(label, 1.0 if label == "supported" else 0.0) for label in sentences),
            1.0 if answered else 0.0,
            completion.usage,
        )


def at_bar(value: float, threshold: float) -> float:
    """`value` stretched so that `threshold` comes to lie at BAR; 0 stays 0, 1 stays 1, the order stays."""
    if value < threshold:
        return BAR * value / threshold
    return 1.0 if threshold >= 1 else BAR + (1 - BAR) * (value - threshold) / (1 - threshold)


def _both(mine: Judgement, theirs: Judgement, their_threshold: float) -> Judgement:
    """The stricter of both, sentence by sentence."""
    if len(theirs.sentences) != len(mine.sentences):
        raise ModelUnreadable("the evidence judge judged another number of sentences")
    sentences = []
    for one, other in zip(mine.sentences, theirs.sentences, strict=True):
        label = max(one.label, other.label, key=("supported", "unsupported", "contradicted").index)
        sentences.append(SentenceJudgement(label, min(one.score, other.score)))
    answered = min(mine.answered, at_bar(theirs.answered, their_threshold))
    return Judgement(tuple(sentences), answered, _total([mine.usage, theirs.usage]))


def _source(sentence: DraftSentence, passages: Sequence[Passage]) -> str:
    """The passages that the sentence quotes, with their headings; empty where it quotes nothing that is there."""
    quoted = list(dict.fromkeys(quote.passage for quote in sentence.quotes))
    if not quoted or not all(0 <= index < len(passages) for index in quoted):
        return ""
    return "\n\n".join(_shown(passages[index]) for index in quoted)


def _shown(passage: Passage) -> str:
    heading = " > ".join(part for part in shown_headings(passage) if part)
    return f"{heading}\n{shown_text(passage)}" if heading else shown_text(passage)


def _schema(count: int) -> dict[str, Any]:
    labels = {"type": "array", "items": {"type": "string", "enum": list(LABELS)}, "minItems": count, "maxItems": count}
    return {
        "type": "object",
        "properties": {"labels": labels, "answered": {"type": "boolean"}},
        "required": ["labels", "answered"],
        "additionalProperties": False,
    }


def _read(completion: Completion, count: int) -> tuple[list[Label], bool]:
    """Labels and answered. The adapter has held the schema; an adapter that has not is found out here."""
    try:
        value = orjson.loads(completion.text)
        labels, answered = value["labels"], value["answered"]
        if type(answered) is bool and len(labels) == count and all(label in LABELS for label in labels):
            return list(labels), answered
    except (orjson.JSONDecodeError, KeyError, TypeError):
        pass
    raise ModelUnreadable("the judge's answer cannot be read")


def _total(usages: Sequence[Usage]) -> Usage:
    return Usage(
        sum(one.input_tokens for one in usages),
        sum(one.output_tokens for one in usages),
        str(sum((Decimal(one.cost) for one in usages), Decimal("0.000000"))),
    )


__all__ = ["ModelJudge", "Thresholds"]
