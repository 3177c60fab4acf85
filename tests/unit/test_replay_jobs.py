"""Replays in several processes: the same summary however many there are, and whoever dies is named with its run."""

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from fiel.infra.replay.change import UNCHANGED, Change
from fiel.infra.replay.jobs import heard, spread, told
from fiel.infra.replay.report import page
from fiel.tools.errors import Unavailable
from fiel.tools.principal import local_administrator

HEAD = told(local_administrator(), UNCHANGED, "", "")
WORKER = """
import json, os, signal, sys
def say(**what):
    print(json.dumps(what), flush=True)
json.loads(sys.stdin.readline())
say(ready=True)
for line in sys.stdin:
    run = json.loads(line)
    if run.startswith("dies"):
        os.kill(os.getpid(), signal.SIGKILL)
    if run.startswith("away"):
        say(unavailable="the database is away")
    elif run.startswith("other"):
        say(seen=None)
    else:
        first = {"hop": "judge", "what": "x", "recorded": 1, "replayed": 2} if run.startswith("differs") else None
        value = {"mode": "strict", "identical": first is None, "whole": True, "first_divergence": first,
                 "outcome": {"recorded": "answered", "replayed": "answered"}, "live_calls": 0}
        say(seen={"run": run, "kind": "", "value": value, "question": run + "?", "error": None})
"""


async def replayed(runs: Sequence[str], jobs: int, script: str = WORKER) -> dict[str, Any]:
    told: list[tuple[int, int]] = []
    command = [sys.executable, "-c", script]
    summary = await spread(HEAD, runs, UNCHANGED, jobs, lambda done, of: told.append((done, of)), command)
    assert told == [(done, len(runs)) for done in range(1, len(runs) + 1)]
    return {**summary.plain(), "seconds": 0}


async def test_the_summary_is_the_same_however_many_processes_there_are() -> None:
    runs = [f"{kind} {number}" for number in range(15) for kind in ("same", "differs", "other")]
    one, *others = [await replayed(runs, jobs) for jobs in (1, 2, 4)]
    assert all(other == one for other in others)
    assert (one["counts"]["same"], one["counts"]["changed"], one["runs"], one["lost"]) == (15, 15, 30, [])
    assert [example["run"] for example in one["examples"]["changed"]] == [f"differs {number}" for number in range(10)]


async def test_a_process_that_dies_is_named_and_its_run_is_counted() -> None:
    runs = ["same 1", "dies 2", "same 3", "same 4", "same 5"]
    value = await replayed(runs, 2)
    assert (value["runs"], value["counts"]["same"], value["counts"]["failed"], value["identical"]) == (5, 4, 1, False)
    (lost,) = value["lost"]
    assert (lost["run"], lost["how"]) == ("dies 2", "was ended by SIGKILL")
    (failed,) = value["examples"]["failed"]
    assert (failed["run"], failed["error"]["code"]) == ("dies 2", "process_died")
    assert str(lost["pid"]) in page(value, "Died")


async def test_no_run_is_lost_where_every_process_dies() -> None:
    value = await replayed(["dies 1", "dies 2", "same 3", "same 4"], 2)
    assert (value["runs"], value["counts"]["failed"], len(value["lost"])) == (4, 4, 2)
    assert {one["error"]["what"] for one in value["examples"]["failed"][2:]} == {"no process is left to replay it"}


@pytest.mark.parametrize("script", ["", "print('no line', end='')", "import sys; sys.exit(3)"])
async def test_a_process_that_does_not_start_ends_it(script: str) -> None:
    with pytest.raises(Unavailable, match="does not start"):
        await replayed(["same 1"], 2, script)


async def test_a_database_that_is_away_ends_it() -> None:
    with pytest.raises(Unavailable, match="away"):
        await replayed(["away 1"], 2)


def test_what_a_process_is_told_is_what_was_asked() -> None:
    change = Change({"policy": "strict", "k": 3}, frozenset({"chat"}), live=False)
    by = local_administrator("acme")
    assert heard(json.loads(json.dumps(told(by, change, "c", "")))) == (by, change)


@pytest.mark.slow
@pytest.mark.timeout(1200)  # four commands, five processes that load models
def test_the_command_replays_in_processes_of_its_own(tmp_path: Path) -> None:
    home = {name: value for name, value in os.environ.items() if not name.startswith("FIEL_")}
    home |= {"FIEL_HOME": str(tmp_path / "home")}

    def fiel(*arguments: str, given: str = "") -> Any:
        command = [sys.executable, "-m", "fiel.infra.cli", *arguments, "--json"]
        done = subprocess.run(
            command, cwd=tmp_path, env=home, input=given, capture_output=True, text=True, check=False, timeout=600
        )
        assert done.returncode in (0, 1), done.stderr
        return json.loads(done.stdout) if "--lines" not in arguments else None

    (tmp_path / "notes.md").write_text("# Vault\n\nThe vault holds a xylophone.\n")
    fiel("ingest", str(tmp_path / "notes.md"), "--collection", "notes")
    questions = "\n".join(json.dumps(f"What does the vault hold, {number}?") for number in range(5))
    fiel("ask", "--lines", "--collection", "notes", given=questions)
    one, two = [fiel("replay", "--since", "1d", "--jobs", jobs) | {"seconds": 0} for jobs in ("1", "2")]
    assert one == two and (one["runs"], one["counts"]["same"]) == (5, 5), one
