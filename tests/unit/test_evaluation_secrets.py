"""The evaluation of the check `secrets`: keys of every kind are masked whole, harmless texts are left alone."""

import json
import socket

import pytest

from fiel.infra.evaluation import secrets

ITEMS = list(secrets.planted(12, 7))


def test_every_kind_is_masked() -> None:
    kinds, _ = secrets.measured(secrets.ours, ITEMS, ())
    assert len(kinds) > 50
    assert {kind: figure.value for kind, figure in kinds.items() if figure.value < 1} == {}


def test_hashes_uuids_and_images_raise_no_alarm() -> None:
    assert [text for text in secrets.harmless(2_000, 7) if secrets.ours(text)] == []


def test_a_private_key_is_masked_to_its_last_line() -> None:
    blocks = [item for item in ITEMS if item.kind == "private key (pem)"]
    assert blocks
    for item in blocks:
        assert (item.start, item.end) in secrets.ours(item.text)


def test_half_a_mask_does_not_count() -> None:
    item = secrets.Planted("x", "key 0123456789", 4, 14)
    assert not secrets.covered(item, [(4, 9)])
    assert secrets.covered(item, [(4, 9), (8, 14)])


@pytest.mark.parametrize("text", ["a.b.c", "MTIz.abcdef.ghi", "pat-na1-town", "key-value", "dp.pt.short", "ntn_notes"])
def test_words_that_only_look_like_it(text: str) -> None:
    assert secrets.ours(f"see {text} here") == []


def test_the_library_it_is_compared_with_asks_no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("detect_secrets")

    def refused(*_: object) -> None:
        raise AssertionError("a connection was opened")

    monkeypatch.setattr(socket.socket, "connect", refused)
    finder = secrets.detect_secrets()
    assert finder is not None
    assert finder("key AKIAQYLPMN5HFIQR7XYA") == [(4, 24)]
    assert all(start >= 0 for item in ITEMS[:200] for start, _ in finder(item.text))


def test_the_command_prints_figures_with_intervals(capsys: pytest.CaptureFixture[str]) -> None:
    assert secrets.main(["--count", "2", "--harmless", "20", "--json"]) == 0
    figures = json.loads(capsys.readouterr().out)
    assert figures["fiel"]["masked"]["all"]["n"] == 2 * len({item.kind for item in ITEMS})
    assert figures["fiel"]["false_alarms"]["value"] == 0
    assert secrets.main(["--count", "2", "--harmless", "20"]) == 0
    assert "false alarms of fiel" in capsys.readouterr().out
