"""What a caller may set for one run of the answer graph, and which role may set what."""

import re
from dataclasses import dataclass, field, fields
from typing import Any

from fiel.tools.canonical import digest_trusted
from fiel.tools.principal import Role

ANYONE: tuple[Role, ...] = ("reader", "curator", "developer", "auditor", "administrator")
TRUSTED: tuple[Role, ...] = ("developer", "administrator")


def option(default: Any, description: str, roles: tuple[Role, ...] = TRUSTED, **limits: Any) -> Any:
    """A field of `Options`: its description reaches Studio, its roles and limits are checked by `guard_input`."""
    return field(default=default, metadata={"description": description, "roles": roles, **limits})


@dataclass(frozen=True, slots=True)
class Options:
    """Options of one run. Serialisable, editable in Studio; unknown keys are refused."""

    collection: str = option("default", "Collection whose documents answer the question.", ANYONE)
    k: int = option(8, "Passages that are retrieved and judged, 1 to 50.", ANYONE, least=1, most=50)
    policy: str = option("default", "Policy bundle. A collection may name a stricter one, which then applies.")
    prompt: str = option("default", "Version of the prompts (a folder beside the graph).")
    chat: str = option("", "Chat model, by its name in the settings; empty: the first one.")
    release: str = option(
        "whole",
        "How an answer is shown: whole, when all of it has passed its checks, or window by window of sentences.",
        ANYONE,
        among=("whole", "window"),
    )
    attempts: int = option(2, "How often generation is tried before the graph abstains, 1 to 4.", least=1, most=4)
    tokens: int = option(
        0,
        "Most tokens that a run may use, beyond which no answer is written; 0: any.",
        ANYONE,
        least=0,
        most=10**7,
    )
    cost: str = option(
        "",
        "Most that a run may cost, in the units of the price settings, such as 0.05; empty: any.",
        ANYONE,
        matches=r"[0-9]{1,9}(\.[0-9]{1,6})?",
    )


def forbidden(options: Options, roles: frozenset[Role]) -> str | None:
    """Name of the first option that `roles` may not set to its value, or whose value is out of range; else None.

    A value must be of the very type of the default: `True` is no number, and 8.0 is not 8.
    """
    for spec in fields(Options):
        value = getattr(options, spec.name)
        if type(value) is not type(spec.default):
            return spec.name
        if value == spec.default:
            continue
        if roles.isdisjoint(spec.metadata["roles"]):
            return spec.name
        if "least" in spec.metadata and not spec.metadata["least"] <= value <= spec.metadata["most"]:
            return spec.name
        if "matches" in spec.metadata and not re.fullmatch(spec.metadata["matches"], str(value)):
            return spec.name
        if "among" in spec.metadata and value not in spec.metadata["among"]:
            return spec.name
    return None


_FIRST = frozenset(("collection", "k", "policy", "prompt", "chat", "attempts"))
"""Options of the first version. Later ones count where they are set, so that a run which began before them goes on."""
_ALL = tuple((spec.name, spec.default) for spec in fields(Options))


def digest(options: Options) -> str:
    """What `guard_input` binds a run to: the options that it has checked are those of every later hop."""
    values = ((name, getattr(options, name), default) for name, default in _ALL)
    return digest_trusted({name: value for name, value, default in values if name in _FIRST or value != default})
