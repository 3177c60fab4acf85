"""Plain values as they leave fiel, on the command line and over HTTP: scores and costs are numbers.

Inside, and in the ledger, they are decimal strings, so that the same number gives the same bytes everywhere.
"""

from typing import Any

NUMBERS = frozenset({"answered", "cost", "relevance", "score", "scores", "threshold"})
"""Keys whose values are decimal strings inside."""


def outward(value: Any) -> Any:
    """`value` with numbers in place of the decimal strings under `NUMBERS`, at any depth; all else as it is."""
    if isinstance(value, dict):
        return {key: _number(item) if key in NUMBERS else outward(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [outward(item) for item in value]
    return value


def _number(value: Any) -> Any:
    if isinstance(value, str):
        return float(value)
    return [_number(item) for item in value] if isinstance(value, list | tuple) else outward(value)


__all__ = ["outward"]
