"""The wheel carries the whole product and nothing else, and works where it is installed."""

import os
import shutil
import subprocess
import sys
import sysconfig
import tomllib
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
FOLDERS = ("docs", "graphs", "infra", "nodes", "policies", "tools")


def project() -> dict[str, object]:
    table: dict[str, object] = tomllib.loads((ROOT / "pyproject.toml").read_text())
    return table


def sources() -> list[str]:
    """Files of the product: tracked ones, and those that are about to be; not what builds an image of it."""
    listed = subprocess.run(
        ["git", "ls-files", "-co", "--exclude-standard", *FOLDERS], cwd=ROOT, capture_output=True, text=True, check=True
    )
    names = [name for name in listed.stdout.split("\n") if not name.startswith("infra/deploy/")]
    return sorted(name for name in names if name and (ROOT / name).is_file())


def test_every_package_is_named_in_pyproject() -> None:
    found = {"fiel." + ".".join(Path(name).parent.parts) for name in sources() if name.endswith("/__init__.py")}
    found.add("fiel.docs")  # documents only: `fiel ingest docs` finds no code in it
    assert set(project()["tool"]["setuptools"]["packages"]) == found  # type: ignore[index]


def test_every_requirement_has_a_pinned_version() -> None:
    lines = (ROOT / "constraints.txt").read_text().splitlines()
    pinned = {line.partition("==")[0] for line in lines if "==" in line}
    table = project()["project"]
    wanted = [*table["dependencies"], *(one for extra in table["optional-dependencies"].values() for one in extra)]  # type: ignore[index]
    names = {"".join(c if c.isalnum() or c in "-_." else " " for c in one).split()[0].lower() for one in wanted}
    assert {name.replace("_", "-") for name in names} - pinned == set()
    assert all("==" in line or line.startswith("#") for line in lines if line)


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A wheel built from a copy: the working tree's own build folder may hold leftovers."""
    copy = tmp_path_factory.mktemp("source")
    for name in [*sources(), "pyproject.toml", "README.md", "LICENSE"]:
        (copy / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, copy / name)
    command = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(copy / "dist"), str(copy)]
    outcome = subprocess.run(command, capture_output=True, text=True, check=False)
    assert outcome.returncode == 0, outcome.stdout + outcome.stderr
    [made] = (copy / "dist").glob("*.whl")
    return made


@pytest.mark.slow
def test_the_wheel_holds_the_product_and_no_tests(wheel: Path) -> None:
    names = [name for name in zipfile.ZipFile(wheel).namelist() if ".dist-info/" not in name]
    copied = [
        path.relative_to(wheel.parents[1]) for folder in FOLDERS for path in (wheel.parents[1] / folder).rglob("*")
    ]
    expected = {f"fiel/{path}" for path in copied if (wheel.parents[1] / path).is_file() and path.suffix != ".pyc"}
    assert sorted(names) == sorted(expected)


@pytest.mark.slow
def test_the_wheel_works_where_it_is_installed(wheel: Path, tmp_path: Path) -> None:
    home = tmp_path / "venv"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(home)], check=True)
    site = Path(sysconfig.get_path("purelib", vars={"base": str(home), "platbase": str(home)}))
    # Its libraries are those of this environment: a path line of a .pth file brings no editable install along.
    (site / "libraries.pth").write_text(sysconfig.get_path("purelib") + "\n")
    pip = [sys.executable, "-m", "pip", "--python", str(home / "bin/python"), "install", "--no-deps", "--quiet"]
    subprocess.run([*pip, "--no-index", str(wheel)], check=True)

    def fiel(*arguments: str) -> str:
        environment = {name: value for name, value in os.environ.items() if not name.startswith("FIEL_")}
        outcome = subprocess.run(
            [str(home / "bin/fiel"), *arguments],
            cwd=tmp_path,
            env=environment,
            capture_output=True,
            text=True,
            check=False,
        )
        assert outcome.returncode == 0, outcome.stderr
        return outcome.stdout

    assert "demo" in fiel("--help")
    assert fiel("--version") == f"fiel {project()['project']['version']}\n"  # type: ignore[index]
    assert fiel("policy", "list", "--json").startswith("[")
    question = "from fiel.infra.cli.serve import documentation; print(*(path.name for path in documentation()))"
    python = [str(home / "bin/python"), "-c", question]
    listed = subprocess.run(python, cwd=tmp_path, capture_output=True, text=True, check=True)
    assert set(listed.stdout.split()) == {path.name for path in (ROOT / "docs").glob("*.md")} != set()
