"""The check `entities`: what it does with its model, and what it does without one."""

import subprocess
import sys

import pytest

from fiel.policies.checks import entities
from fiel.policies.checks.entities import Entities
from fiel.policies.mask import settled
from fiel.policies.types import Span

SILENT = """
import socket, sys
def refused(*_): raise SystemExit("a connection was opened")
socket.socket.connect = refused
socket.getaddrinfo = refused
from fiel.policies.checks.entities import Entities
assert "spacy" not in sys.modules
found = Entities().run(("Yesterday we met Angela Merkel in Berlin.",), {})
assert {span.kind for span in found.spans} == {"person", "place"}, found
"""


def test_the_model_is_loaded_late_and_asks_no_network() -> None:
    done = subprocess.run(
        [sys.executable, "-W", "error::ResourceWarning", "-c", SILENT], capture_output=True, text=True, timeout=120
    )
    assert (done.returncode, done.stderr) == (0, "")


def test_a_text_without_names_does_not_wake_the_model(monkeypatch: pytest.MonkeyPatch) -> None:
    def woken() -> None:
        raise AssertionError("the model was asked")

    monkeypatch.setattr(entities, "model", woken)
    for text in ("", "How do I reset it? Please tell me.", "¿Cuántos días hay? No sé.", "the corner shop, at 9"):
        assert Entities().run((text,), {}).scores == (0.0,)
    with pytest.raises(AssertionError):
        Entities().run(("Ask Angela about it",), {})


def test_a_text_that_is_too_long_to_read_is_masked_whole() -> None:
    found = Entities().run(("x " * 10_001, "fine"), {})
    assert found.scores == (1.0, 0.0)
    assert [(span.start, span.end) for span in found.spans] == [(0, 20_002)]


def test_only_the_kinds_that_are_asked_for() -> None:
    text = "My name is Ana Ruiz, aged 41, calle de Alcalá 15."
    assert {span.kind for span in Entities(kinds=("age",)).run((text,), {}).spans} == {"age"}
    assert {span.kind for span in Entities().run((text,), {}).spans} >= {"age", "address", "person"}


def test_masks_hold_when_the_check_looks_again() -> None:
    check = Entities()

    def look(text: str) -> list[Span]:
        return list(check.run((text,), {}).spans)

    text = "Mr. Lukas Ostermann lives in Bremen, at 583 Magrethevej 298, Suite 12. He turned 54."
    masked = settled(text, look(text), look)
    assert masked is not None
    assert look(masked) == []
    assert not any(word in masked for word in ("Lukas", "Ostermann", "Bremen", "Magrethevej", "54"))
