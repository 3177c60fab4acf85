"""The built-in chat adapter: quotes the sentences that answer, verbatim, at most two. It never invents a word."""

from collections.abc import Sequence

from fiel.tools.chat import AtOnce, ChatRequest, Completion, DraftSentence, Quote, Usage
from fiel.tools.chat.tasks import sets_task
from fiel.tools.rerank.choosing import Weighed, chosen, weigh
from fiel.tools.rerank.cross_encoder import PairScorer
from fiel.tools.rerank.grading import read
from fiel.tools.rerank.logistic import Calibration, calibration
from fiel.tools.search import Passage
from fiel.tools.text.questions import wants_code

_CLOSING = " \t\r\n*_"
"""What may stand behind the mark of a question; behind that of one that is only told of stands a quotation mark."""


class Extract(AtOnce):
    """Answers by quotation, in whatever language the passages are.

    Passages come best first. In English the cross-encoder (where one is given) helps to choose among sentences; in
    every language rare words, names, numbers and the kind of thing that is asked for do.
    """

    def __init__(
        self, scorer: PairScorer | None = None, calibrated: Calibration | None = None, *, most: int = 2
    ) -> None:
        """`scorer` is the reranker's cross-encoder; `most` sentences are quoted."""
        self._scorer = scorer
        self._calibrated = calibrated or calibration()
        self._most = most

    @property
    def version(self) -> str:
        scorer = self._scorer.version if self._scorer else "none"
        return f"extract:5:{scorer}:{self._calibrated.digest[:12]}"

    @property
    def writes(self) -> bool:
        return False

    async def complete(self, request: ChatRequest) -> Completion:
        """A draft without sentences where no passage has any. Raises ModelUnavailable when the scorer fails."""
        reading = read(request.question, request.passages)
        weighed = await weigh(
            reading,
            range(len(request.passages)),
            language=request.language,
            scorer=self._scorer,
            calibrated=self._calibrated,
        )
        least = self._calibrated.threshold("second", request.language)
        weighed = [
            one
            for one in weighed
            if not _asks(one)
            and not sets_task(one.candidate.text, request.question)
            and not _orders(one, request.passages)
        ]
        picked = chosen(weighed, least=least, most=self._most, code=wants_code(request.question))
        sentences = tuple(map(_sentence, picked))
        return Completion(
            text=" ".join(sentence.text for sentence in sentences),
            usage=Usage(),
            model=self.version,
            sentences=sentences,
        )


def _asks(weighed: Weighed) -> bool:
    """Whether the sentence is a question itself, which answers none; its answer stands behind it."""
    return weighed.candidate.text.rstrip(_CLOSING).endswith(("?", "？", "؟"))


def _orders(weighed: Weighed, passages: Sequence[Passage]) -> bool:
    """Whether the sentence touches one that gives orders: such a one is never quoted."""
    span = weighed.candidate.span
    places = passages[weighed.candidate.passage].get("orders", ())
    return any(start < span.end and span.start < end for start, end in places)


def _sentence(weighed: Weighed) -> DraftSentence:
    """The sentence with its line breaks made spaces; the quote stays verbatim."""
    candidate = weighed.candidate
    return DraftSentence(
        text=" ".join(candidate.text.split()),
        quotes=(Quote(candidate.passage, candidate.span.start, candidate.span.end),),
    )
