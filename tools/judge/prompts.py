"""The prompts of the judge that asks a model: texts beside this module, hashed into the judge's version."""

from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from string import Template

from fiel.tools.canonical import digest_of
from fiel.tools.chat import Turn

NAMES = ("support", "answers", "labels")


@dataclass(frozen=True)
class Prompts:
    """Templates, each with a system and a user part, `---` between them."""

    folder: Path = field(default_factory=lambda: Path(__file__).parent)

    @cached_property
    def texts(self) -> dict[str, str]:
        return {name: (self.folder / f"{name}.md").read_text("utf-8") for name in NAMES}

    @cached_property
    def version(self) -> str:
        return digest_of(self.texts)[:16]

    def turns(self, name: str, **values: str) -> tuple[Turn, ...]:
        """System and user turn, filled.

        What a passage says is data between two fences. A fence is made of a digest of all values, so no value can
        contain it; and the same values give the same bytes, so that a recorded call is found again.
        """
        values = {key: value.encode("utf-8", "replace").decode() for key, value in values.items()}
        fence = f"=== {digest_of([name, values])[:24]} ==="
        system, user = self.texts[name].split("\n---\n")
        return (
            Turn("system", Template(system).substitute(values, fence=fence).strip()),
            Turn("user", Template(user).substitute(values, fence=fence).strip()),
        )
