"""The check `entities`: what it does with its tagger, and what it does without one."""

import threading
from pathlib import Path

import pytest

from fiel.policies import heads
from fiel.policies.checks import entities, tagging
from fiel.policies.checks.entities import KINDS, Entities
from fiel.policies.mask import settled
from fiel.policies.types import Span
from fiel.tools.errors import PolicyError


def _found(text: str, check: Entities | None = None) -> set[tuple[str, str]]:
    return {
        (text[span.start : span.end], span.kind) for span in (check or Entities(kinds=KINDS)).run((text,), {}).spans
    }


def test_english_and_spanish_are_read() -> None:
    assert {("Angela Rossi", "person"), ("Berlin", "place")} <= _found("Yesterday we met Angela Rossi in Berlin.")
    assert {("Begoña Quintana", "person"), ("Cuenca", "place")} <= _found("Ayer vimos a Begoña Quintana en Cuenca.")


def test_a_text_without_names_does_not_wake_the_tagger(monkeypatch: pytest.MonkeyPatch) -> None:
    def woken() -> None:
        raise AssertionError("the tagger was asked")

    monkeypatch.setattr(tagging, "tagger", woken)
    for text in ("", " ", "How do I reset it? Please tell me.", "¿Cuántos días hay? No sé."):
        assert Entities().run((text,), {}).scores == (0.0,)
    for text in ("Ask Angela about it", "at 9", "ask angela about it", "a@b"):
        with pytest.raises(AssertionError):
            Entities().run((text,), {})


def test_a_text_that_is_too_long_to_read_is_masked_whole() -> None:
    found = Entities().run(("x " * 10_001, "fine"), {})
    assert found.scores == (1.0, 0.0)
    assert [(span.start, span.end) for span in found.spans] == [(0, 20_002)]


def test_only_the_kinds_that_are_asked_for() -> None:
    text = "My name is Ana Ruiz, aged 41, calle de Alcalá 15."
    assert {kind for _, kind in _found(text, Entities(kinds=("age",)))} == {"age"}
    assert {kind for _, kind in _found(text)} >= {"age", "address", "person"}


def test_a_date_that_is_not_whole_is_a_time() -> None:
    assert ("1863", "time") in _found("The hospital in Leeds was founded in 1863 by Peter Baker.")
    assert ("3 de mayo de 1981", "date") in _found("Nació en Burgos el 3 de mayo de 1981.")


def test_masks_hold_when_the_check_looks_again() -> None:
    check = Entities(kinds=KINDS)

    def look(text: str) -> list[Span]:
        return list(check.run((text,), {}).spans)

    text = "Mr. Lukas Ostermann lives in Bremen, at 583 Magrethevej 298, Suite 12. He turned 54."
    masked = settled(text, look(text), look)
    assert masked is not None
    assert look(masked) == []
    assert not any(word in masked for word in ("Lukas", "Ostermann", "Bremen", "Magrethevej", "54"))


@pytest.mark.parametrize("mask", ["[PERSON]", "<PERSON_1>", "<PLACE_12>", "[US_SSN]"])
def test_a_mask_is_no_finding(mask: str) -> None:
    assert _found(f"My name is {mask} and I live in {mask}.") == set()


@pytest.mark.parametrize("trick", ["[Angela Rossi]", "<Angela Rossi>", "[ANGELA]", "[PERSON]Angela Rossi"])
def test_brackets_hide_no_name(trick: str) -> None:
    masked = "".join(text for text, _ in _found(f"My name is {trick} and I live in Berlin.")).lower()
    assert "angela" in masked


def test_windows_of_a_long_text_have_their_places() -> None:
    text = "Nothing stands here, and that is all.\n" * 180 + "My name is Angela Rossi."
    assert {(text[a:b], kind) for a, b, kind in tagging.tagger().read(text, 0.6)} == {("Angela Rossi", "person")}


def test_threads_do_not_mix_their_texts() -> None:
    names = ["Angela Rossi", "Peter Baker", "Begoña Quintana", "Lukas Ostermann"]
    wrong: list[str] = []

    def work(name: str) -> None:
        for _ in range(20):
            if (name, "person") not in _found(f"My name is {name} and I live in Berlin."):
                wrong.append(name)

    threads = [threading.Thread(target=work, args=(name,)) for name in names]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []


def test_weights_that_were_changed_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = heads.file_of(tagging.MODEL)
    broken = tmp_path / tagging.MODEL
    broken.parent.mkdir()
    content = file.read_bytes()
    broken.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    monkeypatch.setattr(heads, "FOLDER", tmp_path)
    tagging._loaded.cache_clear()
    with pytest.raises(PolicyError, match="not those"):
        Entities().run(("Ask Angela about it",), {})
    broken.unlink()
    with pytest.raises(PolicyError, match="missing"):
        Entities().prepare()
    monkeypatch.undo()
    assert entities.promising("Ask Angela about it")
    assert ("Angela", "person") in _found("My name is Angela.")
