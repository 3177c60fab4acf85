"""`fiel user` and `fiel group`, and the rights that come from them on the command line."""

from pathlib import Path

from tests.unit.test_cli_token import Fiel, fiel

__all__ = ["fiel"]


def test_users_and_groups_are_kept_and_shown(fiel: Fiel) -> None:
    assert fiel("group", "add", "finance")[1]["members"] == []
    assert fiel("user", "add", "ana", "--group", "finance", "--role", "curator")[1]["roles"] == ["curator"]
    assert fiel("group", "members", "finance") == (0, ["ana"])
    assert [one["name"] for one in fiel("user", "show")[1]] == ["ana"]
    assert fiel("user", "add", "ana")[1]["roles"] == ["curator"], "what is not said stays"
    assert fiel("token", "create", "--user", "ana")[1]["roles"] == []
    assert fiel("group", "remove", "finance", "ana")[1]["members"] == []
    assert fiel("group", "remove", "finance")[0] == 0
    assert fiel("group", "list") == (0, [])
    assert fiel("user", "remove", "ana")[0] == 0
    assert fiel("token", "list") == (0, [])
    for arguments in (("user", "show", "ana"), ("user", "remove", "ana"), ("group", "members", "finance")):
        status, told = fiel(*arguments)
        assert (status, told["error"]["code"]) == (2, f"{arguments[0]}_not_found")


def test_a_kept_user_searches_with_the_groups_that_are_kept(fiel: Fiel, tmp_path: Path) -> None:
    (tmp_path / "a.md").write_text("The harbour opens at nine.")
    assert fiel("ingest", "a.md", "--collection", "c", "--allow", "finance")[0] == 0
    asked = ("search", "harbour", "--collection", "c", "--as", "ana")
    assert fiel(*asked)[0] == 2
    fiel("user", "add", "ana")
    fiel("group", "add", "finance", "ana")
    assert len(fiel(*asked)[1]) == 1
    fiel("group", "remove", "finance", "ana")
    assert fiel(*asked)[0] == 2
