"""Values out of threads, by paths such as `values.messages[-1].content`."""

import re
from typing import Any

from fiel.infra.runs.errors import BadRequest

ROOTS = ("values", "metadata", "config", "interrupts")
"""What a path may begin with."""
MOST = 10
"""Paths in a request."""

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_PATH = re.compile(r"([^.\[\]]+)((?:\.[^.\[\]]+|\[-?\d{1,9}\])*)")
_STEP = re.compile(r"\.([^.\[\]]+)|\[(-?\d{1,9})\]")

Path = tuple[str | int, ...]


def parse(paths: dict[str, str], taken: frozenset[str]) -> dict[str, Path]:
    """Paths by the names that the client gives them. Raises BadRequest for one that cannot be, by name."""
    if len(paths) > MOST:
        raise BadRequest(f"at most {MOST} paths can be extracted", where="extract")
    return {_named(name, taken): _steps(name, path) for name, path in paths.items()}


def extract(thread: dict[str, Any], path: Path) -> Any:
    """What lies at a path; None where it leads nowhere."""
    found: Any = thread
    for step in path:
        if isinstance(step, int):
            within = isinstance(found, list) and -len(found) <= step < len(found)
            found = found[step] if within else None
        else:
            found = found.get(step) if isinstance(found, dict) else None
    return found


def _named(name: str, taken: frozenset[str]) -> str:
    if not _NAME.fullmatch(name) or name in taken:
        raise BadRequest(
            f"{name[:50]!r} cannot name what is extracted",
            where="extract",
            hint="Letters, digits, underscores; no field of threads",
        )
    return name


def _steps(name: str, path: str) -> Path:
    match = _PATH.fullmatch(path)
    if match is None or match[1] not in ROOTS:
        raise BadRequest(
            f"the path of {name} cannot be read",
            where="extract",
            hint=f"Begin with {', '.join(ROOTS)}; for example values.messages[-1].content",
        )
    return (match[1], *(step[1] if step[1] is not None else int(step[2]) for step in _STEP.finditer(match[2])))
