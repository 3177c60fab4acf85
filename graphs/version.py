"""The version of the code that decides: a hash over the modules of graphs and nodes."""

import hashlib
from functools import cache
from importlib.resources import files
from importlib.resources.abc import Traversable


@cache
def code_version() -> str:
    """`answer:<16 hexadecimal digits>` over every module of `fiel.graphs` and `fiel.nodes`, names included."""
    found = hashlib.sha256()
    for package in ("fiel.graphs", "fiel.nodes"):
        for name, module in sorted(_modules(files(package), package)):
            found.update(name.encode() + b"\0" + module.read_bytes())
    return f"answer:{found.hexdigest()[:16]}"


def _modules(folder: Traversable, prefix: str) -> list[tuple[str, Traversable]]:
    modules: list[tuple[str, Traversable]] = []
    for item in folder.iterdir():
        if item.is_dir() and item.name != "__pycache__":
            modules += _modules(item, f"{prefix}.{item.name}")
        elif item.name.endswith(".py"):
            modules.append((f"{prefix}.{item.name}", item))
    return modules
