"""`--option K=V`: options of a run, as the graph defines them."""

import json
from collections.abc import Sequence
from dataclasses import fields
from typing import TYPE_CHECKING, Any

from fiel.tools.errors import UsageError

if TYPE_CHECKING:
    from dataclasses import Field

    from fiel.graphs.answer.options import Options


def options_of(collection: str, given: Sequence[str]) -> "Options":
    """Options of a run over `collection`. Raises UsageError for an unknown name or an impossible value.

    Whether the caller may set them is for the graph to say.
    """
    from fiel.graphs.answer.options import Options

    return Options(**{"collection": collection, **options_given(given)})


def options_given(given: Sequence[str], *, others: bool = False) -> dict[str, Any]:
    """What `--option` was given, by name. Raises UsageError for an unknown name or an impossible value.

    `others`: options of other graphs than fiel's own may be meant, with JSON or a text as their value.
    """
    from fiel.graphs.answer.options import Options

    known = {spec.name: spec for spec in fields(Options)}
    values: dict[str, Any] = {}
    for pair in given:
        name, equals, value = pair.partition("=")
        if name not in known and not others:
            raise UsageError(
                f"there is no option {name!r}", where="--option", hint=f"Write K=V; options: {', '.join(known)}"
            )
        if not equals:
            raise UsageError(f"option {name} has no value", where="--option", hint=f"Write {name}=VALUE")
        values[name] = _value(known[name], value) if name in known else _json(value)
    return values


def _json(given: str) -> Any:
    """What `given` says as JSON; where it is none, the text itself."""
    try:
        return json.loads(given)
    except ValueError:
        return given


def _value(spec: "Field[Any]", given: str) -> str | int:
    """`given` as the option's kind, within its range."""
    if not isinstance(spec.default, int):
        return given
    least, most = spec.metadata["least"], spec.metadata["most"]
    try:
        number = int(given)
    except ValueError:
        number = None
    if number is None or not least <= number <= most:
        raise UsageError(
            f"option {spec.name} must be a whole number from {least} to {most}, not {given!r}", where="--option"
        ) from None
    return number
