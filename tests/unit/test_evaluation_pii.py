"""The evaluation of personal data: what counts as masked and what as right."""

from pathlib import Path

import pytest

from fiel.infra.evaluation import pii
from fiel.policies.checks.pii import Pii
from fiel.tools.errors import UsageError

ROW = '{"text": "Mail ana@example.org at Acme.", "spans": [%s]}\n'


def _result(tmp_path: Path, spans: str) -> pii.Result:
    file = tmp_path / "rows.jsonl"
    file.write_text(ROW % spans, encoding="utf-8")
    return pii.measured(pii.rows(file), (Pii(),))


def test_a_span_is_masked_as_a_whole_or_not(tmp_path: Path) -> None:
    whole = '{"start": 5, "end": 20, "type": "EMAIL_ADDRESS"}'
    wider = '{"start": 5, "end": 28, "type": "EMAIL_ADDRESS"}'
    assert _result(tmp_path, whole).masked["scored"].value == 1
    assert _result(tmp_path, wider).masked["scored"].value == 0
    assert _result(tmp_path, whole).precision.n == 1


def test_what_is_found_elsewhere_is_wrong_and_an_unscored_type_counts_neither_way(tmp_path: Path) -> None:
    assert _result(tmp_path, '{"start": 24, "end": 28, "type": "PERSON"}').precision.value == 0
    assert _result(tmp_path, '{"start": 5, "end": 20, "type": "ORGANIZATION"}').precision.n == 0


def test_a_missing_file_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="cannot be read"):
        pii.rows(tmp_path / "none.jsonl")


@pytest.mark.skipif(not pii.DATA.exists(), reason="../shared/data is not there")
def test_the_command_prints_both_halves(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    part = tmp_path / "part.jsonl"
    part.write_text("".join(pii.DATA.read_text(encoding="utf-8").splitlines(keepends=True)[:20]), encoding="utf-8")
    assert pii.main(["--data", str(part)]) == 0
    assert "odd rows" in capsys.readouterr().out
    assert pii.main(["--data", str(part), "--json"]) == 0
