"""The version of a bundle: the hash of everything that decides, the code of its checks and their heads included."""

import sys
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fiel.policies.heads import hash_of
from fiel.policies.overrides import Override, canonical
from fiel.policies.terms import Terms
from fiel.tools.canonical import digest, digest_of
from fiel.tools.canonical import score as decimal
from fiel.tools.errors import PolicyError

if TYPE_CHECKING:
    from fiel.policies.bundled import Entry, PolicyBundle

_FORMAT = 1
_SHARED = (
    "fiel.policies.checks.base",
    "fiel.policies.mask",
    "fiel.policies.overrides",
    "fiel.policies.placeholders",
    "fiel.policies.rules",
    "fiel.policies.terms",
    "fiel.policies.types",
)
"""Modules whose source decides in every bundle."""


@cache
def code_hash(module: str) -> str:
    """SHA-256 of the source of a module that is already imported."""
    file = sys.modules[module].__file__
    if file is None:
        raise PolicyError(f"the source of {module} cannot be found", hint="Install fiel with its sources")
    return digest(Path(file).read_bytes())


def version_of(
    name: str,
    base: "PolicyBundle | None",
    entries: tuple["Entry", ...],
    messages: Mapping[str, Mapping[str, str]],
    overrides: tuple[Override, ...],
    marked: Mapping[str, tuple[str, ...]],
    review: Terms,
    restore: tuple[str, ...],
) -> str:
    return digest_of(
        {
            "format": _FORMAT,
            "name": name,
            "extends": base.version if base else None,
            "code": {module: code_hash(module) for module in _SHARED},
            "checks": [_canonical(entry) for entry in entries],
            "messages": {language: dict(words) for language, words in messages.items()},
            "overrides": [canonical(override, _canonical) for override in overrides],
            "relaxable": {check: sorted(roles) for check, roles in marked.items()},
            "review": review.canonical(),
            "restore": sorted(restore),
        }
    )


def _canonical(entry: "Entry") -> dict[str, Any]:
    return {
        "id": entry.id,
        "check": entry.check.name,
        "code": {module: code_hash(module) for module in (type(entry.check).__module__, *entry.check.modules)},
        "heads": {name: hash_of(name) for name in entry.check.heads},
        "with": entry.check.parameters(),
        "limit_ms": entry.limit_ms,
        "stages": {
            stage: {band.action: decimal(band.threshold) for band in bands} for stage, bands in entry.stages.items()
        },
    }
