"""The JSON Schema of a bundle's file, made from the checks there are, so that an editor helps whoever writes one.

The loader decides what a bundle is; the schema says the same as far as a schema can. What compares two places (a bundle
that extends another, rising thresholds) only the loader knows.
"""

from dataclasses import fields
from typing import Any

from fiel.policies.checks import CHECKS, Check
from fiel.policies.entries import ACTIONS
from fiel.policies.examples import FACTS
from fiel.policies.terms import MOST_HOURS
from fiel.policies.types import STAGES
from fiel.tools.principal import ROLES

_TEXT = {"type": "string", "pattern": r"\S"}
_ROLES = {"type": "array", "items": {"enum": list(ROLES)}, "minItems": 1}
_MILLISECONDS = {"type": "number", "minimum": 1, "maximum": 600_000}


def schema() -> dict[str, Any]:
    """JSON Schema, draft 2020-12."""
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "A policy bundle of fiel",
        **_mapping(
            {
                "name": {"type": "string", "pattern": "^[A-Za-z0-9_-]*[A-Za-z0-9][A-Za-z0-9_-]*$"},
                "description": _TEXT,
                "extends": _TEXT,
                "limit_ms": _MILLISECONDS,
                "checks": _checks(),
                "messages": _messages(),
                "examples": {"type": "array", "items": _example()},
                "overrides": {"type": "array", "items": _override()},
                "relaxable": {"type": "object", "additionalProperties": _ROLES},
                "review": _review(),
                "restore": {"type": "array", "items": {"enum": list(ROLES)}},
            },
            "name",
        ),
    }


def _mapping(properties: dict[str, Any], *required: str) -> dict[str, Any]:
    return {"type": "object", "additionalProperties": False, "properties": properties, "required": list(required)}


def _checks() -> dict[str, Any]:
    return {"type": "array", "items": {"oneOf": [_entry(name, kind) for name, kind in CHECKS.items()]}}


def _messages() -> dict[str, Any]:
    return {
        "type": "object",
        "propertyNames": {"pattern": "^[a-z]{2}$"},
        "additionalProperties": {"type": "object", "additionalProperties": _TEXT},
    }


def _override() -> dict[str, Any]:
    properties = {
        "id": _TEXT, "collections": {"type": "array", "items": _TEXT, "minItems": 1}, "roles": _ROLES,
        "checks": _checks(), "messages": _messages(), "examples": {"type": "array", "items": _example()},
        "review": _review(),
    }  # fmt: skip
    either = [{"required": ["collections"]}, {"required": ["roles"]}]
    return {**_mapping(properties, "id"), "oneOf": either}


def _review() -> dict[str, Any]:
    hours = {"type": "number", "minimum": 0.01, "maximum": MOST_HOURS}
    return {**_mapping({"roles": _ROLES, "hours": hours, "self": {"type": "boolean"}}), "minProperties": 1}


def _entry(name: str, kind: type[Check]) -> dict[str, Any]:
    return _mapping(
        {
            "check": {"const": name, "description": (kind.__doc__ or "").strip().split("\n")[0]},
            "id": _TEXT,
            "stages": {**_mapping(dict.fromkeys(STAGES, _bands())), "minProperties": 1},
            "limit_ms": _MILLISECONDS,
            "with": _mapping({spec.name: _parameter(spec.default, spec.metadata) for spec in fields(kind)}),
        },
        "check",
        "stages",
    )


def _bands() -> dict[str, Any]:
    threshold = {"type": "number", "exclusiveMinimum": 0, "maximum": 1}
    return {
        "oneOf": [{"enum": list(ACTIONS)}, {**_mapping(dict.fromkeys(ACTIONS, threshold)), "minProperties": 1}],
    }


def _parameter(default: Any, metadata: Any) -> dict[str, Any]:
    meaning = {"description": metadata["meaning"]}
    if isinstance(default, tuple):
        item = {"enum": list(metadata["known"])} if metadata["known"] else _TEXT
        return {"type": "array", "items": item, **meaning}
    return {"type": "integer", "minimum": 1, "default": default, **meaning}


def _example() -> dict[str, Any]:
    facts = _mapping(dict.fromkeys(FACTS, _TEXT))
    expect = {"enum": ["allow", *ACTIONS]}
    properties = {
        "stage": {"enum": list(STAGES)}, "text": _TEXT, "expect": expect, "reason": _TEXT, "becomes": _TEXT,
        "facts": facts,
    }  # fmt: skip
    return _mapping(properties, "stage", "text", "expect")
