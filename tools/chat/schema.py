"""JSON schema, the part of it that constrained output uses: is a value what was asked for?

A few lines in place of a library that imports for seconds. A keyword outside this part is an error, never ignored.
"""

from collections.abc import Mapping
from typing import Any

_TYPES: Mapping[str, tuple[type, ...]] = {
    "object": (dict,),
    "array": (list,),
    "string": (str,),
    "integer": (int,),
    "number": (int, float),
    "boolean": (bool,),
    "null": (type(None),),
}
_KEYWORDS = frozenset(
    {"type", "enum", "properties", "required", "additionalProperties", "items", "minItems", "maxItems"}
    | {"minimum", "maximum", "minLength", "maxLength", "title", "description"}
)


def follows(value: Any, schema: Mapping[str, Any]) -> bool:
    """Whether `value` follows `schema`. Raises ValueError for a keyword that is not known here."""
    unknown = schema.keys() - _KEYWORDS
    if unknown:
        raise ValueError(f"no such keyword here: {', '.join(sorted(unknown))}")
    if "enum" in schema and not any(type(one) is type(value) and one == value for one in schema["enum"]):
        return False
    return _typed(value, schema) and _bounded(value, schema) and _inside(value, schema)


def _typed(value: Any, schema: Mapping[str, Any]) -> bool:
    kind = schema.get("type")
    if kind is None:
        return True
    if isinstance(value, bool):
        return bool(kind == "boolean")
    return isinstance(value, _TYPES[kind])


def _bounded(value: Any, schema: Mapping[str, Any]) -> bool:
    if isinstance(value, str | list):
        least, most = ("minLength", "maxLength") if isinstance(value, str) else ("minItems", "maxItems")
        return bool(schema.get(least, 0) <= len(value) <= schema.get(most, len(value)))
    if isinstance(value, int | float) and not isinstance(value, bool):
        return bool(schema.get("minimum", value) <= value <= schema.get("maximum", value))
    return True


def _inside(value: Any, schema: Mapping[str, Any]) -> bool:
    if isinstance(value, list) and "items" in schema:
        return all(follows(one, schema["items"]) for one in value)
    if not isinstance(value, dict):
        return True
    known = schema.get("properties", {})
    if not value.keys() >= set(schema.get("required", ())):
        return False
    if schema.get("additionalProperties", True) is False and value.keys() - known.keys():
        return False
    return all(follows(one, known[name]) for name, one in value.items() if name in known)
