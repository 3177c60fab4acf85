"""The command line's own manners: help, errors, exit statuses, callers, lines."""

import asyncio
import io
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from fiel.infra.callers import principal_of
from fiel.infra.cli import lines
from fiel.infra.cli.app import COMMANDS, fiel, run
from fiel.tools.errors import ModelUnavailable, UsageError
from fiel.tools.principal import ROLES

HERE = {name: value for name, value in os.environ.items() if not name.startswith("FIEL_")}


def console(*arguments: str, cwd: Path, **environ: str) -> subprocess.CompletedProcess[str]:
    """The command line in a process of its own."""
    command = [sys.executable, "-m", "fiel.infra.cli", *arguments]
    return subprocess.run(command, cwd=cwd, env={**HERE, **environ}, capture_output=True, text=True, check=False)


def test_every_command_loads_and_takes_json() -> None:
    for name in COMMANDS:
        command = fiel.get_command(fiel.make_context("fiel", [name]), name)
        for one in getattr(command, "commands", {name: command}).values():
            assert "--json" in {option for parameter in one.params for option in parameter.opts}, name


def test_every_command_has_help() -> None:
    for name in COMMANDS:
        outcome = CliRunner().invoke(fiel, [name, "--help"])
        assert outcome.exit_code == 0, name
        assert len(outcome.output.splitlines()) > 3, name


def test_help_costs_less_than_half_a_second(tmp_path: Path) -> None:
    def cost() -> float:
        process = subprocess.Popen(
            [sys.executable, "-m", "fiel.infra.cli", "--help"], cwd=tmp_path, env=HERE, stdout=subprocess.DEVNULL
        )
        _, status, used = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        assert process.returncode == 0
        return used.ru_utime + used.ru_stime

    # CPU time, the best of three: on an idle machine the same as the time on the clock.
    assert min(cost() for _ in range(3)) < 0.5


@pytest.mark.parametrize("arguments", [["no-such"], ["ask"], ["ask", "a", "b"], ["search", "x", "-k", "many"]])
def test_a_wrong_command_line_exits_with_2(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert run(arguments) == 2
    printed = capsys.readouterr()
    assert printed.out == ""
    assert "error:" in printed.err


def test_an_error_is_one_json_value_where_json_was_asked_for(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["ask", "--json"]) == 2
    error = json.loads(capsys.readouterr().out)["error"]
    assert error["code"] == "usage"
    assert error["what"]


def test_an_unknown_setting_says_what_where_and_what_to_do(tmp_path: Path) -> None:
    outcome = console("settings", cwd=tmp_path, FIEL_CHATT="x")
    assert outcome.returncode == 2
    assert outcome.stdout == ""
    assert "chatt" in outcome.stderr and "FIEL_CHATT" in outcome.stderr and "'chat'" in outcome.stderr
    assert "Traceback" not in outcome.stderr


def test_a_file_that_is_no_toml_is_named(tmp_path: Path) -> None:
    (tmp_path / "fiel.toml").write_text("chat =")
    outcome = console("settings", "--json", cwd=tmp_path)
    assert outcome.returncode == 2
    assert json.loads(outcome.stdout)["error"]["where"] == "fiel.toml"


def test_a_wrong_database_address_is_a_service_that_is_unavailable(tmp_path: Path) -> None:
    url = "postgresql://user:secret@127.0.0.1:9/none"
    outcome = console("db", "status", "--json", cwd=tmp_path, FIEL_DATABASE_URL=url)
    assert outcome.returncode == 3
    assert json.loads(outcome.stdout)["error"]["code"] == "database_unavailable"
    assert "secret" not in outcome.stdout + outcome.stderr
    assert "Traceback" not in outcome.stderr


def test_a_fault_of_fiels_own_is_not_the_answer_no(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def broken(*_: Any) -> None:
        raise ZeroDivisionError("oops")

    monkeypatch.setattr("fiel.infra.cli.command.load", broken)
    assert run(["settings", "--json"]) == 3
    assert json.loads(capsys.readouterr().out)["error"]["code"] == "internal"


@pytest.mark.parametrize("answer", ["", "n\n"], ids=["nobody answers", "no"])
@pytest.mark.parametrize("command", [("erase", "--subject", "ana"), ("retention", "--days", "9")])
def test_what_nobody_agreed_to_is_not_erased(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], command: tuple[str, ...], answer: str
) -> None:
    def opened(*_: Any, **__: Any) -> None:
        pytest.fail("the database was opened")

    monkeypatch.setattr("fiel.infra.database.open.open_database", opened)
    monkeypatch.setattr("sys.stdin", io.StringIO(answer))
    assert run([*command]) == 2
    assert "nothing was erased" in capsys.readouterr().err


def test_an_interrupted_command_says_so_and_what_is_kept(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def interrupted(*_: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("fiel.infra.cli.command.load", interrupted)
    assert run(["ingest", "x", "--collection", "c"]) == 130
    printed = capsys.readouterr()
    assert "interrupted" in printed.err and "the same command goes on from there" in printed.err
    assert "Traceback" not in printed.err and printed.out == ""
    assert run(["settings", "--json"]) == 130
    assert json.loads(capsys.readouterr().out)["error"]["code"] == "interrupted"


@pytest.mark.slow
@pytest.mark.parametrize(
    "end", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP], ids=["interrupted", "terminated", "hung up"]
)
def test_a_command_whose_shell_ignores_interrupts_can_be_stopped(tmp_path: Path, end: signal.Signals) -> None:
    # As a shell without job control starts what it puts into the background.
    command = [sys.executable, "-m", "fiel.infra.cli", "policy", "check", "--stage", "input", "-"]
    process = subprocess.Popen(
        ["/bin/sh", "-c", 'trap "" INT; exec "$@"', "sh", *command],
        cwd=tmp_path, env=HERE, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip
    with process:
        deadline = time.monotonic() + 20
        while "S" not in _state(process.pid) and time.monotonic() < deadline:  # it waits for its input
            time.sleep(0.05)
        process.send_signal(end)
        try:
            _, errors = process.communicate(timeout=20)
        finally:
            process.kill()
    assert process.returncode == 130, errors
    assert b"interrupted" in errors


def _state(pid: int) -> str:
    """R or S, once the Python process has loaded what the command needs and reads standard input."""
    stat = Path(f"/proc/{pid}/wchan").read_text(encoding="ascii", errors="replace")
    return "S" if "pipe" in stat else "R"


def test_settings_as_json_are_those_of_the_class(tmp_path: Path) -> None:
    rows = json.loads(console("settings", "--json", cwd=tmp_path, FIEL_CHAT="openai:x").stdout)
    assert {row["name"]: row["value"] for row in rows}["chat"] == "openai:x"
    assert all({"name", "environment", "value", "default", "meaning"} == row.keys() for row in rows)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("DATABASE_URL", "garbage"),
        ("DATABASE_OWNER_URL", "mysql://u:secret@h/d"),
        ("CHAT", "garbage"),
        ("CHAT_URL", "garbage"),
        ("CHAT_PRICE", "cheap"),
        ("EMBED", "garbage"),
        ("JUDGE", "garbage"),
        ("JUDGE_THRESHOLDS", "0.9"),
    ],
)
@pytest.mark.parametrize("arguments", [("settings",), ("ask", "who?")], ids=lambda arguments: arguments[0])
def test_a_setting_that_cannot_be_is_named_by_every_command(
    name: str, value: str, arguments: tuple[str, ...], monkeypatch: pytest.MonkeyPatch, capsys: Any, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv(f"FIEL_{name}", value)
    assert run([*arguments, "--json"]) == 2
    printed = capsys.readouterr()
    error = json.loads(printed.out)["error"]
    assert error["code"] == "settings" and f"FIEL_{name}" in error["where"] and name.lower() in error["what"]
    assert "secret" not in printed.out + printed.err


# Who asks


def test_without_as_the_caller_is_the_local_administrator() -> None:
    assert principal_of(None, ()).roles == frozenset(ROLES)


def test_with_as_the_caller_is_a_reader_in_those_groups() -> None:
    caller = principal_of("ana", ("finance",))
    assert caller.roles == {"reader"}
    assert caller.grants == ("everyone", "finance", "role:reader", "user:ana")


@pytest.mark.parametrize(("user", "groups"), [(None, ("finance",)), ("", ()), (" ", ()), ("ana", ("role:curator",))])
def test_names_that_cannot_be_are_refused(user: str | None, groups: tuple[str, ...]) -> None:
    with pytest.raises(UsageError):
        principal_of(user, groups)


# Lines


async def served(text: str, work: lines.Work, width: int = lines.WIDTH) -> list[dict[str, Any]]:
    out = io.StringIO()
    await lines.serve(work, out, io.StringIO(text), width)
    return [json.loads(line) for line in out.getvalue().splitlines()]


async def echo(text: str) -> dict[str, Any]:
    return {"got": text}


async def test_lines_are_answered_in_order_with_their_ids() -> None:
    async def slower_first(text: str) -> dict[str, Any]:
        await asyncio.sleep(0.05 / (1 + int(text)))
        return {"got": text}

    given = "\n".join(['"0"', '{"text": "1", "id": "b"}', "", '{"id": null, "text": "2"}'])
    expected = [{"got": "0"}, {"id": "b", "got": "1"}, {"id": None, "got": "2"}]
    assert await served(given, slower_first) == expected


async def test_a_line_that_cannot_be_read_gets_an_error_in_its_place() -> None:
    given = '"a"\n{"question": "b"}\nnot json\n{"text": 5}\n"\\ud800"\nNaN\n' + "[" * 100_000 + '\n"c"\n'
    answers = await served(given, echo)
    assert [answer.get("got") for answer in answers] == ["a", *[None] * 6, "c"]
    assert all(answer["error"]["code"] == "usage" for answer in answers[1:7])


async def test_a_line_that_is_wrong_keeps_its_id() -> None:
    given = [
        '{"question": "b", "id": 1}',
        '{"text": 5, "id": "two"}',
        '{"text": "\\ud800", "id": 3}',
        '{"id": null}',
        '{"text": "a", "id": "\\udfff"}',
    ]
    answers = await served("\n".join(given), echo)
    assert [answer.get("id", "none") for answer in answers] == [1, "two", 3, None, "none"]
    assert all(answer.keys() >= {"error"} for answer in answers)
    assert ["surrogate" in answer["error"]["what"] for answer in answers] == [False, False, True, False, True]
    assert all("not JSON" not in answer["error"]["what"] for answer in answers)


async def test_a_line_that_fails_keeps_its_id() -> None:
    async def fail(_: str) -> dict[str, Any]:
        raise ModelUnavailable("no model")

    [answer] = await served('{"text": "a", "id": 7}', fail)
    assert (answer["id"], answer["error"]["code"]) == (7, "model_unavailable")


async def test_no_more_lines_are_worked_on_than_allowed() -> None:
    now, most = 0, 0

    async def count(_: str) -> dict[str, Any]:
        nonlocal now, most
        now += 1
        most = max(most, now)
        await asyncio.sleep(0.01)
        now -= 1
        return {}

    assert len(await served('"x"\n' * 20, count, width=3)) == 20
    assert 1 < most <= 5  # those in the queue, one that waits for a place, one that is being handed out


async def test_a_line_is_answered_while_the_input_is_still_open() -> None:
    read, write = os.pipe()
    with os.fdopen(read) as source, os.fdopen(write, "w") as sink:
        written: asyncio.Queue[str] = asyncio.Queue()

        class Out(io.StringIO):
            def write(self, text: str) -> int:
                written.put_nowait(text)
                return len(text)

        task = asyncio.create_task(lines.serve(echo, Out(), source))
        for number in ("1", "2"):
            print(json.dumps(number), file=sink, flush=True)
            assert json.loads(await asyncio.wait_for(written.get(), 5)) == {"got": number}
        sink.close()
        await task


async def test_input_that_is_no_utf8_ends_the_command() -> None:
    source = io.TextIOWrapper(io.BytesIO(b'"a"\n\xff\n'), encoding="utf-8")
    out = io.StringIO()
    with pytest.raises(UsageError, match="UTF-8"):
        await lines.serve(echo, out, source)
