"""The prompts that lie beside this graph, one folder a version."""

from functools import lru_cache
from importlib.resources import files

from fiel.nodes.prompts import Prompts
from fiel.tools.errors import UsageError


def installed() -> list[Prompts]:
    """Every version of the prompts that there is."""
    folder = files("fiel.graphs.answer").joinpath("prompts")
    return [prompts(item.name) for item in folder.iterdir() if item.is_dir() and item.name.isidentifier()]


@lru_cache(maxsize=32)
def prompts(name: str) -> Prompts:
    """The prompts of version `name`. Raises UsageError where there is no such version."""
    folder = files("fiel.graphs.answer").joinpath("prompts", name)
    if not name.isidentifier() or not folder.is_dir():
        raise UsageError(f"there is no version {name!r} of the prompts", where="option prompt")
    return Prompts(
        name=name,
        answer_template=folder.joinpath("answer.md").read_text(encoding="utf-8"),
        rewrite_template=folder.joinpath("rewrite.md").read_text(encoding="utf-8"),
    )
