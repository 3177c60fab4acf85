"""The built-in judge: per sentence by what its quotes hold, and *is it answered* by calibrated evidence."""

from collections.abc import Sequence

from fiel.tools.chat import DraftSentence, Quote
from fiel.tools.errors import ModelUnavailable
from fiel.tools.judge import Judgement
from fiel.tools.judge.support import support
from fiel.tools.rerank.choosing import MOST, Weighed, suffix, weigh
from fiel.tools.rerank.cross_encoder import PairScorer
from fiel.tools.rerank.evidence import coverage, matches
from fiel.tools.rerank.grading import Reading, Row, list_row, passage_rows, read
from fiel.tools.rerank.logistic import Calibration, calibration, finite
from fiel.tools.search import Passage


class Evidence:
    """Judges a draft without a language model. Passages come best first, as the reranker left them."""

    def __init__(self, scorer: PairScorer | None = None, calibrated: Calibration | None = None) -> None:
        """`scorer` is the reranker's cross-encoder; what it was asked before it remembers."""
        self._scorer = scorer
        self._calibrated = calibrated or calibration()

    @property
    def version(self) -> str:
        scorer = self._scorer.version if self._scorer else "none"
        return f"evidence:2:{scorer}:{self._calibrated.digest[:12]}"

    def threshold(self, language: str) -> float:
        """Least `answered` at which an answer in `language` may be released."""
        return self._calibrated.threshold("answered", language)

    async def judge(
        self, question: str, draft: Sequence[DraftSentence], passages: Sequence[Passage], *, language: str
    ) -> Judgement:
        """Raises ModelUnavailable when the scorer fails, or a quote lies outside its passage."""
        quotes = [[_quoted(quote, passages) for quote in sentence.quotes] for sentence in draft]
        judged = tuple(support(sentence.text, quoted) for sentence, quoted in zip(draft, quotes, strict=True))
        if not any(quotes):
            return Judgement(judged, 0.0)
        return Judgement(judged, await self._answered(question, draft, passages, language))

    async def _answered(
        self, question: str, draft: Sequence[DraftSentence], passages: Sequence[Passage], language: str
    ) -> float:
        reading = read(question, passages)
        order = range(len(passages))
        cited = list(dict.fromkeys(quote.passage for sentence in draft for quote in sentence.quotes))
        weighed = await weigh(
            reading,
            order,
            language=language,
            scorer=self._scorer,
            calibrated=self._calibrated,
            most=max(MOST, max(cited) + 1),
        )
        picked = [one for one in weighed if _quotes(draft, one)]
        row = answered_row(reading, passage_rows(reading), order, picked)
        ending = suffix(self._scorer, passages, language)
        if self._scorer is not None and ending == "_crossed":
            texts = [passages[0]["text"], passages[cited[0]]["text"]]
            scores = finite(await self._scorer.scores(question, texts), len(texts), "judge")
            row["cross_passage"] = max(scores) / 5.0
            row["cross_sentence"] = max((one.row["cross"] for one in picked), default=-2.2)
        return self._calibrated.model(f"answered{ending}").probability(row)


def answered_row(reading: Reading, rows: Sequence[Row], order: Sequence[int], picked: Sequence[Weighed]) -> Row:
    """Features of a draft: the list it was drawn from, its best quoted sentence, and all of them together.

    `rows` are the passages' own features, `order` has the best first.
    """
    row = list_row(reading, rows, order)
    best = max(picked, key=lambda one: one.logit, default=None)
    found = matches(reading.question, *(one.candidate.text for one in picked))
    row["both"] = coverage(reading.question, found, reading.rarity)
    row["chosen"] = max(-6.0, min(6.0, best.logit)) / 3.0 if best else -2.0
    for name in ("cover", "cover_before", "cover_passage", "together", "fits", "names", "numbers"):
        row[f"s_{name}"] = best.row[name] if best else 0.0
    return row


def _quoted(quote: Quote, passages: Sequence[Passage]) -> str:
    """The verbatim text of a quote. Raises ModelUnavailable where it points outside: such a draft is unreadable."""
    if not 0 <= quote.passage < len(passages):
        raise ModelUnavailable(f"a quote names passage {quote.passage} of {len(passages)}", where="judge")
    text = passages[quote.passage]["text"]
    if not 0 <= quote.start < quote.end <= len(text):
        raise ModelUnavailable(f"a quote of {quote.start}:{quote.end} lies outside its passage", where="judge")
    return text[quote.start : quote.end]


def _quotes(draft: Sequence[DraftSentence], one: Weighed) -> bool:
    """Whether the draft quotes anything of this sentence."""
    span, passage = one.candidate.span, one.candidate.passage
    return any(
        quote.passage == passage and quote.start < span.end and quote.end > span.start
        for sentence in draft
        for quote in sentence.quotes
    )
