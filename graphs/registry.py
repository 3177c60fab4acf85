"""Maps a graph's name to its builder."""

from collections.abc import Callable
from typing import Any

from fiel.graphs.answer import graph as answer

BUILDERS: dict[str, Callable[..., Any]] = {answer.NAME: answer.build}
