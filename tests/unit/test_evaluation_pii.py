"""The evaluation of personal data: what counts as masked and what as right, and the figures that are promised."""

from pathlib import Path

import pytest

from fiel.infra.evaluation import marked, pii
from fiel.infra.evaluation.spanish import spanish
from fiel.infra.evaluation.statistics import Figure
from fiel.policies.checks.entities import KINDS, Entities
from fiel.policies.checks.pii import KINDS as FORMS
from fiel.policies.checks.pii import Pii
from fiel.tools.errors import UsageError

ROW = '{"text": "Mail ana@example.org at Acme.", "spans": [%s]}\n'


def _figures(tmp_path: Path, spans: str) -> dict[str, Figure]:
    file = tmp_path / "rows.jsonl"
    file.write_text(ROW % spans, encoding="utf-8")
    return marked.measured(marked.rows(file), (Pii(),)).figures()


def test_a_span_is_masked_as_a_whole_or_not(tmp_path: Path) -> None:
    whole = '{"start": 5, "end": 20, "type": "EMAIL_ADDRESS"}'
    wider = '{"start": 5, "end": 28, "type": "EMAIL_ADDRESS"}'
    assert _figures(tmp_path, whole)["scored"].value == 1
    assert _figures(tmp_path, wider)["scored"].value == 0
    assert _figures(tmp_path, whole)["precision"].n == 1


def test_what_is_found_elsewhere_is_wrong_and_an_unscored_type_counts_in_all_alone(tmp_path: Path) -> None:
    assert _figures(tmp_path, '{"start": 24, "end": 28, "type": "PERSON"}')["precision"].value == 0
    unscored = _figures(tmp_path, '{"start": 5, "end": 20, "type": "ORGANIZATION"}')
    assert (unscored["precision"].n, unscored["scored"].n, unscored["all"].n) == (0, 0, 1)
    assert unscored["precision of all"].value == 1


def test_a_missing_file_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="cannot be read"):
        marked.rows(tmp_path / "none.jsonl")


def test_the_spanish_texts_are_the_same_each_time_and_many() -> None:
    texts = spanish()
    assert texts == spanish()
    assert len({item.text for item in texts}) >= 200
    assert all(item.text[start:end].strip() for item in texts for start, end, _ in item.spans)


def test_spanish_is_masked_as_promised() -> None:
    figures = marked.measured(spanish(each=2), (Pii(kinds=FORMS), Entities(kinds=KINDS))).figures()
    assert figures["all"].value >= 0.85
    assert figures["precision of all"].value >= 0.92


def test_harmless_texts_raise_few_alarms() -> None:
    assert pii.alarms()["false alarms"].value <= 0.25


@pytest.mark.skipif(not pii.DATA.exists(), reason="../shared/data is not there")
def test_the_command_prints_its_tables_and_the_filter_loses_little(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    part = tmp_path / "part.jsonl"
    part.write_text("".join(pii.DATA.read_text(encoding="utf-8").splitlines(keepends=True)[:20]), encoding="utf-8")
    assert pii.main(["--data", str(part)]) == 0
    assert "Spanish" in capsys.readouterr().out
    assert pii.main(["--data", str(part), "--json"]) == 0
    tables = pii.results(marked.rows(pii.DATA))
    filtered, whole = tables["synthetic"].figures()["scored"], tables["synthetic, no filter"].figures()["scored"]
    assert whole.value - filtered.value <= 0.003
