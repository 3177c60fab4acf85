"""`fiel audit verify`: what its exit status says of the second places of signed heads."""

from pathlib import Path

import pytest

from tests.unit.test_cli_commands import Fiel, fiel, home

__all__ = ["fiel", "home"]
pytestmark = pytest.mark.slow


def test_a_chain_is_not_called_whole_while_a_second_place_is_altered_or_cannot_be_asked(
    fiel: Fiel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = tmp_path / "heads.jsonl"
    monkeypatch.setenv("FIEL_HEADS", str(place))
    status, value = fiel("audit", "verify")
    assert (status, value["broken"], value["places"][0]["problem"]) == (0, [], None)
    place.write_text("{}\n{}\n", encoding="utf-8")
    status, value = fiel("audit", "verify")
    assert (status, value["broken"][0]["place"]) == (1, str(place))
    place.unlink()
    place.mkdir()
    status, value = fiel("audit", "verify")
    assert (status, value["broken"]) == (3, [])
