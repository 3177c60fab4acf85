"""README and docs say what the code does, where that can be compared."""

import re
from dataclasses import fields
from pathlib import Path
from typing import get_args

import pytest

from fiel.infra.cli.app import COMMANDS
from fiel.infra.cli.picture import embedded
from fiel.infra.settings import PREFIX, Settings
from fiel.tools.errors import FielError, NotProven, Unavailable

ROOT = Path(__file__).parents[2]
README = ROOT / "README.md"
DOCUMENTS = [README, *sorted((ROOT / "docs").glob("*.md"))]
VARIABLES = {PREFIX + spec.name.upper() for spec in fields(Settings)}


def test_the_picture_in_the_readme_is_that_of_the_graph() -> None:
    text = README.read_text(encoding="utf-8")
    assert embedded(text) == text, "run `make graph`"


def test_every_setting_is_documented() -> None:
    text = (ROOT / "docs/settings.md").read_text(encoding="utf-8")
    assert {name for name in VARIABLES if f"`{name}`" not in text} == set()


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: path.name)
def test_no_document_names_a_setting_or_a_command_that_is_not_there(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert set(re.findall(r"\bFIEL_[A-Z_]+", text)) <= VARIABLES
    code = re.findall(r"```.*?```", text, re.DOTALL) + re.findall(r"`[^`\n]+`", text)
    assert {
        command for piece in code for command in re.findall(r"(?:^|[`/])fiel ([a-z]+)", piece, re.M)
    } <= COMMANDS.keys()


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: path.name)
def test_links_between_documents_lead_somewhere(path: Path) -> None:
    for target in re.findall(r"\]\(([^)#]+)", path.read_text(encoding="utf-8")):
        assert (path.parent / target).is_file(), target


def test_every_hop_is_described() -> None:
    from fiel.graphs.answer.hops import HOPS

    text = (ROOT / "docs/questions.md").read_text(encoding="utf-8")
    assert {hop for hop in HOPS if f"`{hop}`" not in text} == set()


def test_every_outcome_and_every_failure_of_a_service_is_described() -> None:
    from fiel.graphs.answer.state import Outcome

    text = (ROOT / "docs/outcomes.md").read_text(encoding="utf-8")
    codes = {kind.code for kind in (NotProven, *family(Unavailable))} - {"unavailable"}
    assert {word for word in {*get_args(Outcome), *codes} if f"`{word}`" not in text} == set()


def family(kind: type[FielError]) -> list[type[FielError]]:
    """The subclasses in `fiel.tools.errors`, at any depth."""
    return [
        below
        for one in kind.__subclasses__()
        for below in (one, *family(one))
        if below.__module__ == NotProven.__module__
    ]


def test_the_policies_of_the_documentation_load_and_pass_their_own_examples(tmp_path: Path) -> None:
    from fiel.policies.bundle import load_bundles

    written = re.findall(r"```yaml\n(.*?)```", (ROOT / "docs/policies.md").read_text(encoding="utf-8"), re.DOTALL)
    for number, one in enumerate(written):
        (tmp_path / f"{number}.yaml").write_text(one, encoding="utf-8")
    bundles = load_bundles(tmp_path)
    assert bundles["house"].satisfies("default")
    assert bundles["people"].restores({"curator"})


def test_every_check_is_described_with_its_reason() -> None:
    from fiel.policies.checks import CHECKS

    text = (ROOT / "docs/policies.md").read_text(encoding="utf-8")
    assert {
        name for name, check in CHECKS.items() if not (f"`{name}`" in text and f"`{check.reason}`" in text)
    } == set()


def test_the_table_of_checks_has_a_row_for_each_that_is_filled_in() -> None:
    from fiel.policies.checks import CHECKS

    text = (ROOT / "docs/policies.md").read_text(encoding="utf-8")
    lines = text[text.index("| check | catches |") :].split("\n\n")[0].splitlines()[2:]
    rows = {
        cells[0].strip("`"): cells[1:] for cells in ([cell.strip() for cell in line.split("|")[1:-1]] for line in lines)
    }
    assert rows.keys() >= CHECKS.keys(), "docs/policies.md: the table of checks wants a row a check"
    assert all(len(cells) == 4 and all(cells) and float(cells[-1]) < 70 for cells in rows.values()), rows
