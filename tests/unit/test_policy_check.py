"""`fiel policy check` decides as a run would: by the scores of the guard, where the bundle moderates the stage."""

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from fiel.infra.cli.app import run
from fiel.infra.desk.operations import check
from fiel.policies.bundle import parse_bundle
from fiel.policies.plain import PlainPolicies
from fiel.tools.errors import ModelUnavailable
from fiel.tools.guard import Assessment

MODERATED = """\
name: default
messages: {en: {blocked: No.}}
checks:
  - {check: moderation, stages: {input: {flag: 0.6, block: 0.9}, output: {block: 0.9}}}
  - {check: length, stages: {context: block, input: block, output: block}}
"""
PLAIN = "name: plain\nmessages: {en: {blocked: No.}}\nchecks: [{check: length, stages: {input: block}}]\n"
POLICIES = PlainPolicies({"default": parse_bundle(MODERATED), "plain": parse_bundle(PLAIN)})


@dataclass
class Guard:
    """Finds whatever it is asked about violent."""

    reads_answers: bool = True
    score: float = 0.95
    version: str = "guard:1"
    asked: list[tuple[str, str]] = field(default_factory=list)
    made: int = 0

    async def assess(self, question: str, answer: str = "") -> Assessment:
        self.asked.append((question, answer))
        if self.score > 1:
            raise ModelUnavailable("the guard does not answer")
        return Assessment({"violence": self.score})

    async def __call__(self) -> "Guard":
        self.made += 1
        return self


@pytest.mark.parametrize(
    ("stage", "asked"), [("input", [("How?", "")]), ("output", [("Why?", "How?")]), ("context", []), ("tool", [])]
)
async def test_the_guard_scores_what_a_run_would_let_it_score(stage: Any, asked: list[tuple[str, str]]) -> None:
    guard = Guard()
    decision = await check(POLICIES, guard, "default", stage, "How?", "Why?")
    assert guard.asked == asked
    assert decision["action"] == ("block" if asked else "allow")
    assert [verdict["reason"] for verdict in decision["verdicts"]][:1] in ([], ["ok"], ["harmful_violence"])


async def test_no_guard_is_made_where_none_is_needed_and_one_that_fails_passes_nothing() -> None:
    guard = Guard(reads_answers=False)
    assert (await check(POLICIES, guard, "plain", "input", "How?"))["action"] == "allow"
    assert guard.made == 0
    assert (await check(POLICIES, guard, "default", "output", "So.", "How?"))["action"] == "allow"
    assert guard.asked == []
    with pytest.raises(ModelUnavailable):
        await check(POLICIES, Guard(score=2.0), "default", "input", "How?")


def test_the_command_gives_the_check_its_scores(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("FIEL_HOME", str(tmp_path))
    assert run(["policy", "check", "--stage", "input", "How do I kill a process in Linux?", "--json"]) == 0
    [moderation] = [v for v in json.loads(capsys.readouterr().out)["verdicts"] if v["check"] == "moderation"]
    assert moderation["action"] == "allow"
    assert moderation["score"] > 0
