"""The training of the tagger: what it is given, and that it learns."""

import pytest

from fiel.infra.evaluation.marked import Marked
from fiel.infra.evaluation.spanish import bare, filled, spanish
from fiel.infra.training import entities
from fiel.policies.checks.tagging import Tagger, tokens


def test_labels_begin_and_go_on() -> None:
    item = filled("Ask {person} in {place}.", {"person": "Ana Ruiz", "place": "Cuenca"}.__getitem__)
    assert entities.labels(item, tokens(item.text)) == ["O", "B-person", "I-person", "O", "B-place", "O"]


@pytest.mark.slow
def test_sentences_of_training_and_evaluation_are_others() -> None:
    learnt = {entities.sentence_of(0, item) for item in entities.own(each=1)}
    unnamed = [Marked(one.text, tuple((start, end, "first") for start, end, _ in one.spans)) for one in bare(each=1)]
    assert learnt.isdisjoint(entities.sentence_of(0, item) for item in (*spanish(each=1), *unnamed))


def test_the_own_sentences_are_filled_and_the_same_each_time() -> None:
    items = list(entities.own(each=1))
    assert items == list(entities.own(each=1))
    assert len(items) > 2_000
    assert not [item.text for item in items if "{person}" in item.text or "{place}" in item.text]
    assert all(item.text[start:end].strip() for item in items for start, end, _ in item.spans)


def test_a_tagger_learns_what_it_is_given() -> None:
    items = [Marked(f"Ask {name} now.", ((4, 4 + len(name), "person"),)) for name in ("Ana", "Eva", "Tom", "Max")] * 5
    tagger = Tagger(entities.fit([*items, *[Marked("Ask nobody now.", ())] * 5]))
    assert list(tagger.read("Ask Ida now.", 0.5)) == [(4, 7, "person")]
    assert list(tagger.read("Ask nobody now.", 0.5)) == []
