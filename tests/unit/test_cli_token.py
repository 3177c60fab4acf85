"""`fiel token`: what is shown once, listed, ended and replaced; what `up` and `serve` refuse."""

import json
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from fiel.infra.cli.app import run
from fiel.infra.cli.service import listen
from fiel.infra.cli.token import seconds
from fiel.tools.errors import UsageError
from tests.conftest import Urls

Fiel = Callable[..., tuple[int, Any]]


@pytest.fixture
def fiel(
    database_urls: Urls, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Fiel:
    """Runs a command with `--json` against this test's database; returns its status and its JSON."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("FIEL_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("FIEL_DATABASE_URL", database_urls.runtime)
    monkeypatch.setenv("FIEL_DATABASE_OWNER_URL", database_urls.owner)

    def call(*arguments: str) -> tuple[int, Any]:
        status = run([*arguments, "--json"])
        return status, json.loads(capsys.readouterr().out)

    return call


def test_a_token_is_shown_once_and_listed_without_its_secret(fiel: Fiel) -> None:
    status, made = fiel("token", "create", "--user", "ann", "--group", "hr", "--role", "curator", "--expires", "90d")
    assert status == 0
    assert made["token"].startswith("fiel_")
    assert (made["principal"], made["groups"], made["roles"]) == ("ann", ["hr"], ["curator"])
    assert made["expires_at"] > made["created_at"]
    _, [listed] = fiel("token", "list")
    assert listed["id"] == made["id"]
    assert made["token"] not in json.dumps(listed)


def test_without_a_role_a_token_reads(fiel: Fiel) -> None:
    assert fiel("token", "create", "--user", "ann")[1]["roles"] == ["reader"]


def test_a_token_is_replaced_and_ended(fiel: Fiel) -> None:
    _, made = fiel("token", "create", "--user", "ann")
    status, fresh = fiel("token", "rotate", made["id"], "--grace", "1h")
    assert status == 0
    assert fresh["token"] != made["token"]
    assert {one["id"] for one in fiel("token", "list")[1]} == {made["id"], fresh["id"]}
    assert fiel("token", "revoke", made["id"])[0] == 0
    assert [one["id"] for one in fiel("token", "list")[1]] == [fresh["id"]]
    assert len(fiel("token", "list", "--all")[1]) == 2
    status, answer = fiel("token", "revoke", made["id"])
    assert (status, answer["error"]["code"]) == (2, "token_not_found")


@pytest.mark.parametrize(
    "arguments",
    [
        ["create", "--user", " "],
        ["create", "--user", "ann", "--group", "role:administrator"],
        ["create", "--user", "ann", "--role", "overlord"],
        ["create", "--user", "ann", "--expires", "soon"],
        ["create", "--user", "ann", "--tenant", ""],
        ["revoke", "no-id"],
        ["rotate", "no-id"],
    ],
    ids=" ".join,
)
def test_what_cannot_be_is_refused_with_2(fiel: Fiel, arguments: list[str]) -> None:
    assert fiel("token", *arguments)[0] == 2
    assert fiel("token", "list", "--all")[1] == []


@pytest.mark.parametrize(
    ("text", "span"), [("45s", 45), ("30m", 1800), ("12h", 43200), ("90d", 7776000), ("2w", 1209600)]
)
def test_time_spans(text: str, span: float) -> None:
    assert seconds(text, "") == span


@pytest.mark.parametrize("text", ["", "d", "0d", "-1d", "1.5h", "90", "1y", "9999999999w", "1 d"])
def test_what_is_no_time_span_is_refused(text: str) -> None:
    with pytest.raises(UsageError):
        seconds(text, "")


@pytest.mark.parametrize("command", ["serve", "up"])
def test_without_authentication_only_this_machine_is_served(
    fiel: Fiel, command: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FIEL_AUTH", "none")
    status, answer = fiel(command, "--host", "0.0.0.0", "--port", "0")  # noqa: S104 - that is what is refused
    assert (status, answer["error"]["code"]) == (2, "settings")


@pytest.mark.parametrize("command", ["serve", "up"])
def test_a_port_that_is_taken_is_told(fiel: Fiel, command: str) -> None:
    with listen("127.0.0.1", 0) as bound:
        status, answer = fiel(command, "--port", str(bound.getsockname()[1]))
    assert (status, answer["error"]["code"]) == (3, "port_taken")


def test_the_socket_listens(tmp_path: Path) -> None:
    with listen("127.0.0.1", 0) as bound, socket.create_connection(bound.getsockname(), timeout=2):
        pass
