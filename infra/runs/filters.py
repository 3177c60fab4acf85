"""Filters over the values of store items: what LangGraph's stores understand."""

from collections.abc import Callable, Mapping
from typing import Any

from fiel.infra.runs.errors import BadRequest


def _number(value: Any) -> float | None:
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    try:
        return float(value)
    except ValueError:
        return None


def _ordered(compare: Callable[[Any, Any], bool]) -> Callable[[Any, Any], bool]:
    """Numbers (also written as text) compare as numbers, texts as texts, anything else never."""

    def test(value: Any, wanted: Any) -> bool:
        one, other = _number(value), _number(wanted)
        if one is not None and other is not None:
            return compare(one, other)
        return isinstance(value, str) and isinstance(wanted, str) and compare(value, wanted)

    return test


_OPERATORS: dict[str, Callable[[Any, Any], bool]] = {
    "$eq": lambda value, wanted: bool(value == wanted),
    "$ne": lambda value, wanted: bool(value != wanted),
    "$gt": _ordered(lambda value, wanted: bool(value > wanted)),
    "$gte": _ordered(lambda value, wanted: bool(value >= wanted)),
    "$lt": _ordered(lambda value, wanted: bool(value < wanted)),
    "$lte": _ordered(lambda value, wanted: bool(value <= wanted)),
}


def check(wanted: Any) -> None:
    """Refuse an operator that no store knows, by name. Raises BadRequest."""
    if isinstance(wanted, Mapping):
        for key, value in wanted.items():
            if key.startswith("$") and key not in _OPERATORS:
                raise BadRequest(
                    f"the filter has no operator {key[:50]!r}", where="filter", hint=f"One of {', '.join(_OPERATORS)}"
                )
            check(value)


def fits(value: Any, wanted: Any) -> bool:
    """Whether a value is what a filter wants: fields nested as deep as it names them, lists element by element."""
    if isinstance(wanted, Mapping):
        if any(key.startswith("$") for key in wanted):
            return all(key in _OPERATORS and _OPERATORS[key](value, one) for key, one in wanted.items())
        return isinstance(value, Mapping) and all(fits(value.get(key), one) for key, one in wanted.items())
    if isinstance(wanted, list):
        return (
            isinstance(value, list)
            and len(value) == len(wanted)
            and all(fits(one, other) for one, other in zip(value, wanted, strict=True))
        )
    return bool(value == wanted)
