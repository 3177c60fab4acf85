"""The stages that calibration fits, in the order in which the graph runs them, over samples.

Each stage uses the very features that serving uses; where serving asks the cross-encoder, its scores come from the
cache.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

from fiel.infra.evaluation.data import holds
from fiel.infra.evaluation.fit import fit
from fiel.infra.evaluation.samples import Sample
from fiel.tools.judge.evidence import answered_row
from fiel.tools.rerank.choosing import MOST, Weighed, chosen, weigh
from fiel.tools.rerank.cross_encoder import PairScorer
from fiel.tools.rerank.crossed import cross_row
from fiel.tools.rerank.evidence import NAMES
from fiel.tools.rerank.grading import Reading, Row, list_row, passage_rows, read
from fiel.tools.rerank.logistic import Calibration, Logistic

HEAD = 4
"""Passages that the cross-encoder reads."""

ORDER = (
    "score_gap", "similarity_gap", "cover", "cover_gap", "best", "best_gap", "together", "together_gap", "names",
    "numbers", "fits",
)  # fmt: skip
SENTENCE = (*NAMES, "similarity_gap", "score_gap")
LIST = (
    "score", "similarity", "ahead", "top_similarity", "cover", "top_cover", "best", "top_best", "together", "names",
    "numbers", "fits", "agree", "words", "unnamed",
)  # fmt: skip
DRAFT = (*LIST, "both", "chosen", "s_cover", "s_cover_before", "s_together", "s_fits", "s_names", "s_numbers")
CROSS_PASSAGE = ("cross", "cross_gap")
CROSS_LIST = ("cross", "cross_top")
CROSS_SENTENCE = ("cross", "cross_gap")
CROSS_DRAFT = ("cross_passage", "cross_sentence")
COSINES = frozenset({"similarity", "similarity_gap", "ahead", "top_similarity"})
"""Features in cosines of the embedder: what is a high one differs from model to model. (`score` is scale-free.)"""


@dataclass(slots=True)
class Case:
    """A sample, read once, with what the cross-encoder said of its first passages."""

    sample: Sample
    reading: Reading
    rows: list[Row]
    ending: str
    """Which models speak of it: see `fiel.tools.rerank.choosing.suffix`."""
    answers: tuple[str, ...]
    weighed: dict[tuple[int, ...], list[Weighed]] = field(default_factory=dict)
    """Sentences of the first passages, by their order: features do not depend on coefficients."""

    @property
    def crossed(self) -> bool:
        """Whether the cross-encoder takes part."""
        return self.ending == "_crossed"

    def of(self, ending: str) -> bool:
        """Whether the case teaches the models that end so: English without the cross-encoder counts as well."""
        return self.ending == ending or (self.crossed and ending == "")

    def gold(self, text: str) -> bool:
        """Whether `text` holds a gold answer."""
        return self.sample.inside and self.sample.question.answerable and holds(text, self.answers)


def case(sample: Sample, ending: str, answers: Sequence[str] = ()) -> Case:
    """Read a sample. `answers` replace the question's own, where it is asked in another language than the text."""
    reading = read(sample.question.text, sample.passages)
    return Case(sample, reading, passage_rows(reading), ending, tuple(answers) or sample.question.answers)


ENDINGS = ("", "_across", "_crossed")
_FLAT = Calibration(models={f"sentence{ending}": Logistic((), (), 0.0) for ending in ENDINGS}, thresholds={}, digest="")


class Stages:
    """Models in the making. `fit_*` are called in order; `outcome` says what the graph would do with a case."""

    def __init__(self, scorer: PairScorer, *, ridge: float = 3.0, cosines: bool = True) -> None:
        """`cosines` False: for the vectors of any embedder, so without features in the cosines of this one."""
        self.models: dict[str, Logistic] = {}
        self._scorer = scorer
        self._ridge = ridge
        self._cosines = cosines

    def _fit(
        self, names: Sequence[str], rows: Sequence[Row], labels: Sequence[bool], weights: Sequence[float] | None = None
    ) -> Logistic:
        used = [name for name in names if self._cosines or name not in COSINES]
        return fit(used, rows, labels, ridge=self._ridge, weights=weights)

    def order_before(self, one: Case) -> list[int]:
        """The order without the cross-encoder."""
        model = self.models["order_across" if one.ending == "_across" else "order"]
        scores = [model.logit(row) for row in one.rows]
        return sorted(range(len(scores)), key=lambda index: (-scores[index], index))

    async def _head(self, one: Case) -> tuple[list[int], list[Row]]:
        head = self.order_before(one)[:HEAD]
        texts = [one.sample.passages[index]["text"] for index in head]
        scores = await self._scorer.scores(one.sample.question.text, texts)
        return head, [{**one.rows[index], **cross_row(scores, place)} for place, index in enumerate(head)]

    async def order(self, one: Case) -> tuple[list[int], Row]:
        """The order of the graph and the features of the list."""
        before = self.order_before(one)
        if not one.crossed:
            return before, list_row(one.reading, one.rows, before)
        head, rows = await self._head(one)
        scores = [self.models["order_crossed"].logit(row) for row in rows]
        first = [head[place] for place in sorted(range(len(head)), key=lambda place: (-scores[place], place))]
        order = [*first, *before[HEAD:]]
        own = rows[head.index(first[0])]
        crossed = {name: own[name] for name in ("cross", "cross_gap", "cross_top")}
        return order, {**list_row(one.reading, one.rows, order), **crossed}

    async def fit_order(self, cases: Sequence[Case]) -> None:
        """Which passage answers, without and with the cross-encoder."""
        known = [one for one in cases if one.sample.inside and one.sample.gold is not None]
        for ending in ("", "_across"):
            own = [one for one in known if one.of(ending)]
            rows = [row for one in own for row in one.rows]
            labels = [index == one.sample.gold for one in own for index in range(len(one.rows))]
            if rows:
                self.models[f"order{ending}"] = self._fit(ORDER, rows, labels)
        rows, labels = [], []
        for one in known:
            if one.crossed:
                head, crossed = await self._head(one)
                rows += crossed
                labels += [index == one.sample.gold for index in head]
        if rows:
            self.models["order_crossed"] = self._fit((*ORDER, *CROSS_PASSAGE), rows, labels)

    async def fit_relevance(self, cases: Sequence[Case]) -> None:
        """Is the question's article there at all?"""
        for ending in ENDINGS:
            names = (*LIST, *CROSS_LIST) if ending == "_crossed" else LIST
            rows, labels = [], []
            for one in cases:
                if one.sample.question.answerable and one.of(ending):
                    rows.append((await self.order(one))[1])
                    labels.append(one.sample.inside)
            if rows:
                self.models[f"relevance{ending}"] = self._fit(names, rows, labels)

    async def weigh(self, one: Case, order: Sequence[int], most: int = MOST) -> list[Weighed]:
        """Sentences of the first passages, by the models that there are."""
        key = tuple(order[:most])
        if key not in one.weighed:
            one.weighed[key] = await weigh(
                one.reading, order, language=one.sample.question.language,
                scorer=self._scorer if one.crossed else None, calibrated=_FLAT, most=most,
            )  # fmt: skip
        model = self.models.get(f"sentence{one.ending}")
        if model is None:
            return one.weighed[key]
        return [
            Weighed(old.candidate, old.row, model.logit(old.row), model.probability(old.row))
            for old in one.weighed[key]
        ]

    async def fit_sentence(self, cases: Sequence[Case]) -> None:
        """Which sentence holds the gold answer?"""
        for ending in ENDINGS:
            names = (*SENTENCE, *CROSS_SENTENCE) if ending == "_crossed" else SENTENCE
            rows, labels = [], []
            for one in cases:
                if one.sample.inside and one.sample.question.answerable and one.of(ending):
                    order, _ = await self.order(one)
                    for old in await self.weigh(one, order):
                        rows.append(old.row)
                        labels.append(one.gold(old.candidate.text))
            if any(labels):
                self.models[f"sentence{ending}"] = self._fit(names, rows, labels)

    async def draft(self, one: Case, least: float = 0.0) -> tuple[list[Weighed], Row]:
        """The sentences that `extract` quotes, and the features that the judge sees."""
        order, _ = await self.order(one)
        picked = chosen(await self.weigh(one, order), least=least)
        row = answered_row(one.reading, one.rows, order, picked)
        if one.crossed:
            cited = [
                one.sample.passages[order[0]]["text"],
                *(one.sample.passages[old.candidate.passage]["text"] for old in picked[:1]),
            ]
            row["cross_passage"] = max(await self._scorer.scores(one.sample.question.text, cited)) / 5.0
            row["cross_sentence"] = max((old.row["cross"] for old in picked), default=-2.2)
        return picked, row

    async def fit_answered(self, cases: Sequence[Case], *, unanswerable: float = 0.0) -> None:
        """Does the draft answer? Drafts that miss the gold answer are left out; `unanswerable` weighs tricky ones."""
        for ending in ENDINGS:
            names = (*DRAFT, *CROSS_DRAFT) if ending == "_crossed" else DRAFT
            rows, labels, weights = [], [], []
            for one in cases:
                if not one.of(ending):
                    continue
                tricky = one.sample.inside and not one.sample.question.answerable
                if tricky and not unanswerable:
                    continue
                picked, row = await self.draft(one)
                good = any(one.gold(old.candidate.text) for old in picked)
                if one.sample.inside and not good and not tricky:
                    continue
                rows.append(row)
                labels.append(good)
                weights.append(unanswerable if tricky else 1.0)
            if rows:
                self.models[f"answered{ending}"] = self._fit(names, rows, labels, weights)

    async def fit(self, cases: Sequence[Case], *, unanswerable: float = 0.0) -> None:
        """All stages, in order."""
        await self.fit_order(cases)
        await self.fit_relevance(cases)
        await self.fit_sentence(cases)
        await self.fit_answered(cases, unanswerable=unanswerable)
