"""`--option K=V`: options of a run, as the graph defines them."""

from collections.abc import Sequence
from dataclasses import fields
from typing import TYPE_CHECKING

from fiel.tools.errors import UsageError

if TYPE_CHECKING:
    from fiel.graphs.answer.options import Options


def options_of(collection: str, given: Sequence[str]) -> "Options":
    """Options of a run over `collection`. Raises UsageError for an unknown name or a value of the wrong kind.

    Whether the caller may set them is for the graph to say.
    """
    from fiel.graphs.answer.options import Options

    kinds: dict[str, type[str] | type[int]] = {
        spec.name: int if isinstance(spec.default, int) else str for spec in fields(Options)
    }
    values: dict[str, str | int] = {"collection": collection}
    for pair in given:
        name, equals, value = pair.partition("=")
        if not equals or name not in kinds:
            raise UsageError(
                f"there is no option {name!r}", where="--option", hint=f"Write K=V; options: {', '.join(kinds)}"
            )
        try:
            values[name] = kinds[name](value)
        except ValueError as error:
            raise UsageError(f"option {name} must be a whole number", where="--option") from error
    return Options(**values)  # type: ignore[arg-type]
