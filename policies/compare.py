"""What differs between two bundles, as a list of changes: for `fiel policy diff` and for whoever reviews one."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from fiel.policies.bundled import PolicyBundle
from fiel.policies.describe import show_bundle

Kind = Literal[
    "version", "check", "threshold", "action", "parameter", "limit", "message", "order", "override", "review"
]


@dataclass(frozen=True, slots=True)
class Change:
    """One place in which two bundles differ; None where the one or the other has nothing there."""

    kind: Kind
    where: str
    """Path, e.g. `checks.injection.stages.input.block`."""
    before: Any
    after: Any


def compare(old: PolicyBundle, new: PolicyBundle) -> list[Change]:
    """The changes from `old` to `new` in a stable order; those of what decides first. Empty where nothing differs.

    Two bundles of the same words may still differ in version: the code of a check is part of it.
    """
    before, after = _flat(old), _flat(new)
    changes = [
        Change(_kind(path, before, after), path, before.get(path), after.get(path))
        for path in dict.fromkeys([*before, *after])
        if before.get(path) != after.get(path)
    ]
    return sorted(changes, key=lambda change: change.kind == "message")


def _kind(path: str, before: Mapping[str, Any], after: Mapping[str, Any]) -> Kind:
    parts = path.split(".")
    if parts[0] in ("overrides", "relaxable", "restore"):
        return "override"
    if parts[0] == "review":
        return "review"
    if parts[0] != "checks":
        return "message" if parts[0] == "messages" else "order" if parts[0] == "order" else "version"
    if len(parts) == 2:
        return "check"
    if parts[2] == "stages":
        return "threshold" if path in before and path in after else "action"
    return "parameter" if parts[2] == "with" else "limit"


def _flat(bundle: PolicyBundle) -> dict[str, Any]:
    """Path to value, for everything that a version covers."""
    shown = show_bundle(bundle)
    flat: dict[str, Any] = {"version": bundle.version, "lineage": list(bundle.lineage[1:])}
    for entry in shown["checks"]:
        path = f"checks.{entry['id']}"
        flat[path] = entry["check"]
        flat[f"{path}.limit_ms"] = entry["limit_ms"]
        for stage, bands in entry["stages"].items():
            flat |= {f"{path}.stages.{stage}.{action}": threshold for action, threshold in bands.items()}
        flat |= {f"{path}.with.{name}": value for name, value in entry["with"].items()}
    flat |= {f"review.{name}": value for name, value in shown["review"].items()}
    if bundle.restore:
        flat["restore"] = list(bundle.restore)
    flat |= {f"relaxable.{check}": list(roles) for check, roles in bundle.relaxable.items()}
    flat["order"] = [entry["id"] for entry in shown["checks"]]
    for language, words in shown["messages"].items():
        flat |= {f"messages.{language}.{reason}": text for reason, text in words.items()}
    own = dict(flat)
    for override in bundle.overrides:
        inside = bundle.variant([override.id])
        changed = {path: value for path, value in _flat(inside).items() if own.get(path) != value}
        whom = {"collections": list(override.collections), "roles": list(override.roles)}
        flat |= {f"overrides.{override.id}.{path}": value for path, value in {**whom, **changed}.items()}
    return flat
